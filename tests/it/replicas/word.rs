//! What one replica does is heard by the others before they would look.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use douse::store::{Db, Store, Word};

use crate::store::harness;
use crate::support::postgres;

/// A store that counts what it hears.
struct Ear {
    store: Store,
    word: Word,
    heard: Arc<AtomicUsize>,
}

async fn ear(url: &str, name: &str) -> Ear {
    let store = Store::open(url).await.unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let word = store
        .listen(name, move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    Ear { store, word, heard }
}

impl Ear {
    fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }

    /// Waits until it hears `other`, who says it again and again: a word before it listens is lost.
    async fn hears(&self, other: &Ear) {
        let (before, begun) = (self.heard(), Instant::now());
        while self.heard() == before {
            assert!(begun.elapsed() < Duration::from_secs(30), "it hears nothing");
            other.word.give();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_is_heard_by_the_others_and_again_after_a_connection_was_lost() {
    let url = tokio::task::spawn_blocking(postgres::database).await.unwrap();
    let (one, two) = (ear(&url, "one").await, ear(&url, "two").await);
    two.hears(&one).await;
    assert_eq!(one.heard(), 0, "its own words are no news");
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE '%LISTEN%' AND pid <> pg_backend_pid()";
    let cut = one.store.write(move |db| match db {
        Db::Pg(c) => Ok(c.batch_execute(sql)?),
        Db::Sqlite(_) => Ok(()),
    });
    cut.await.unwrap();
    two.hears(&one).await;
    two.hears(&one).await;
}

#[tokio::test]
async fn sqlite_has_nobody_to_hear() {
    assert!(harness::sqlite().await.store.listen("one", || {}).is_none());
}
