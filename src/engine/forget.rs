//! Forgets what is kept for a while only: the answers to requests with an `Idempotency-Key`, replicas that have ended,
//! sessions that are long over, and failed log-ins.
//!
//! Records (alerts, decisions, executions, the audit log) are [`super::retention`]'s. Called by [`super::schedule`].

use super::Engine;
use crate::limits;
use crate::store::{StoreError, idempotency, login_failures, replicas, sessions};

/// Forgets what has become old enough; answers how much.
pub async fn forget(engine: &Engine) -> Result<usize, StoreError> {
    let now = engine.clock.now();
    engine
        .store
        .write(move |db| {
            replicas::forget(db, now.minus(limits::REPLICAS_KEPT_FOR))?;
            login_failures::prune(db, now.minus(limits::LOGIN_FAILURES_KEPT))?;
            sessions::prune(db, now.minus(limits::SESSIONS_KEPT_FOR))?;
            idempotency::prune(db, now.minus(limits::IDEMPOTENCY_KEPT))
        })
        .await
}
