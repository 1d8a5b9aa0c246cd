//! Removing what hosts keep of attempts whose outcome is stored.
//!
//! In batches, and behind everything else: a session for each attempt would cost as much as the attempt. What is not
//! removed because the engine or the host went away is removed by age with a later batch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::{sleep, timeout};

use super::pool::Pool;
use super::session::{Input, Session};
use crate::id::AttemptId;
use crate::inventory::Server;
use crate::limits;
use crate::transport::script::hold;

/// Output of `rm`, for a log.
const OUTPUT_BYTES_MAX: usize = 4096;

/// What is to be removed, by the server's name.
pub(super) struct Forget {
    pool: Weak<Pool>,
    waiting: Arc<Mutex<HashMap<String, Vec<AttemptId>>>>,
}

impl Forget {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::downgrade(pool), waiting: Arc::default() }
    }

    /// Removes what `server` keeps of `attempt`, some time.
    pub(super) fn later(&self, server: &Arc<Server>, attempt: AttemptId) {
        let (count, pool, waiting) = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let attempts = waiting.entry(server.name.clone()).or_default();
            attempts.push(attempt);
            (attempts.len(), self.pool.clone(), Arc::clone(&self.waiting))
        };
        let after = self.pool.upgrade().map_or(limits::HELD_FORGET_AFTER, |pool| pool.options.forget_after);
        let after = match count {
            1 => after,
            limits::HELD_FORGET_BATCH => std::time::Duration::ZERO,
            // One is on its way.
            _ => return,
        };
        let server = Arc::clone(server);
        // Outside of a runtime nothing was run that could be removed.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            sleep(after).await;
            let attempts = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&server.name);
            if let (Some(attempts), Some(pool)) = (attempts, pool.upgrade()) {
                remove(&pool, &server, &attempts).await;
            }
        });
    }
}

async fn remove(pool: &Pool, server: &Arc<Server>, attempts: &[AttemptId]) {
    let run = async {
        let script = hold::forget(attempts).map_err(|error| error.to_string())?;
        let opened = pool.open(server).await.map_err(|refusal| refusal.message)?;
        let session = Session::start(opened, server, &script, OUTPUT_BYTES_MAX).await;
        let mut session = session.map_err(|refusal| refusal.message)?;
        session.upload(&script, Input::Ends);
        session.drive().await;
        Ok::<_, String>(session.finish(None).await)
    };
    match timeout(limits::SSH_SLOT_TIMEOUT, run).await {
        Ok(Ok(_)) => {}
        // Age removes them.
        Ok(Err(reason)) => tracing::debug!(server = server.name, reason, "files of attempts were not removed"),
        Err(_) => tracing::debug!(server = server.name, "files of attempts were not removed in time"),
    }
}
