//! Forgets what is kept for a while only: the answers to requests with an `Idempotency-Key`.
//!
//! Records (alerts, decisions, executions, the audit log) are kept for ever. Called by [`super::schedule`].

use super::Engine;
use crate::limits;
use crate::store::{StoreError, idempotency};

/// Forgets what has become old enough; answers how much.
pub async fn forget(engine: &Engine) -> Result<usize, StoreError> {
    let before = engine.clock.now().minus(limits::IDEMPOTENCY_KEPT);
    engine.store.write(move |db| idempotency::prune(db, before)).await
}
