//! Word from one replica to the others that something may be new, by PostgreSQL's LISTEN and NOTIFY.
//!
//! It only hastens what polling finds anyway: a word that is lost costs one poll interval. It has a connection of its own
//! on the side of the writes, because a NOTIFY in them would make their commits take turns.

use futures_util::future::{Either, select};
use std::future::poll_fn;
use std::pin::pin;
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use super::connection::Opener;
use super::{Pools, Store};
use crate::limits;

/// Tells the others. When it is dropped, nothing is heard any more.
#[derive(Clone, Debug)]
pub struct Word(mpsc::Sender<()>);

impl Word {
    /// Something may be new. Several at once are told as one.
    pub fn give(&self) {
        // Full: one is on its way.
        let _on_its_way = self.0.try_send(());
    }
}

impl Store {
    /// Calls `heard` whenever one that is not called `name` gives its word; `None` on SQLite, where there is no other.
    pub fn listen(&self, name: &str, heard: impl Fn() + Send + Sync + 'static) -> Option<Word> {
        let Pools::Pg { opener, runtime: Some(runtime), .. } = &*self.pools else { return None };
        let (word, mut to_tell) = mpsc::channel(1);
        let (opener, name) = (opener.clone(), name.to_owned());
        runtime.spawn(async move {
            loop {
                match attend(&opener, &name, &heard, &mut to_tell).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "nothing is heard of the other replicas; polling goes on"),
                }
                tokio::time::sleep(limits::LISTEN_AGAIN_AFTER).await;
                // Whatever was missed.
                heard();
            }
        });
        Some(Word(word))
    }
}

/// Listens and tells until the connection ends (an error), or nobody wants it any more.
async fn attend(
    opener: &Opener,
    name: &str,
    heard: &(impl Fn() + Sync),
    to_tell: &mut mpsc::Receiver<()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Opener::Pg { config, tls, .. } = opener else { return Ok(()) };
    let (client, mut connection) = config.connect(tls.clone()).await?;
    let notify = format!("NOTIFY douse, '{name}'");
    let mut told = pin!(async {
        client.batch_execute("LISTEN douse").await?;
        while to_tell.recv().await.is_some() {
            client.batch_execute(&notify).await?;
            // What follows at once is told together.
            tokio::time::sleep(limits::TELL_TOGETHER_FOR).await;
        }
        Ok::<_, tokio_postgres::Error>(())
    });
    loop {
        let message = pin!(poll_fn(|cx| connection.poll_message(cx)));
        match select(message, told.as_mut()).await {
            Either::Left((None, _)) => return Err("the connection was closed".into()),
            Either::Left((Some(message), _)) => {
                if let AsyncMessage::Notification(told) = message?
                    && told.payload() != name
                {
                    heard();
                }
            }
            Either::Right((ended, _)) => return ended.map_err(Into::into),
        }
    }
}
