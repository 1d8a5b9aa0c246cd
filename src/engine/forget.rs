//! Forgets what is kept for a while only: the answers to requests with an `Idempotency-Key`, and
//! replicas that have ended.
//!
//! Records (alerts, decisions, executions, the audit log) are kept for ever. Called by [`super::schedule`].

use super::Engine;
use crate::limits;
use crate::store::{StoreError, idempotency, replicas};

/// Forgets what has become old enough; answers how much.
pub async fn forget(engine: &Engine) -> Result<usize, StoreError> {
    let now = engine.clock.now();
    engine
        .store
        .write(move |db| {
            replicas::forget(db, now.minus(limits::REPLICAS_KEPT_FOR))?;
            idempotency::prune(db, now.minus(limits::IDEMPOTENCY_KEPT))
        })
        .await
}
