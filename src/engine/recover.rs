//! Takes up what an engine that ended left `running`.
//!
//! There is no second way for it: the same loop goes on from the replayed state. Between two steps nothing is unknown,
//! so it continues; an attempt that was under way is `lost`, and then the plan says what follows: an `idempotent` step is
//! tried again, any other makes the execution `interrupted` (its target stays locked until a person releases it), and an
//! undo makes the rollback stuck. `pending` and `approved` ones need nothing. Called once, before anything is dispatched.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{Engine, execute};
use crate::execution::Status;
use crate::store::{StoreError, executions};

/// Takes up every running execution as a task of `tasks`; answers how many there were.
pub async fn recover(engine: &Arc<Engine>, tasks: &TaskTracker) -> Result<usize, StoreError> {
    let left = engine.store.read(|db| executions::in_status(db, Status::Running)).await?;
    let count = left.len();
    for row in left {
        tracing::warn!(execution = %row.id, runbook = row.runbook, server = row.server, "taking up a run that was left");
        let cancel = engine.in_flight.enter(row.id);
        if row.cancel_requested_at.is_some() {
            cancel.cancel();
        }
        let engine = Arc::clone(engine);
        tasks.spawn(async move {
            if let Err(error) = execute::run(&engine, row.id, cancel).await {
                tracing::error!(execution = %row.id, %error, "a run that was left could not be taken up");
            }
            engine.in_flight.leave(row.id);
            engine.wake.all();
        });
    }
    Ok(count)
}
