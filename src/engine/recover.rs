//! Takes up what is `running` and nobody runs: what an engine that ended left, and what this one had to let go.
//!
//! There is no second way for it: the same loop goes on from the replayed state. Between two steps nothing is unknown,
//! so it continues; an attempt that was under way is `lost`, and then the plan says what follows: an `idempotent` step is
//! tried again, any other makes the execution `interrupted` (its target stays locked until a person releases it), and an
//! undo makes the rollback stuck. `pending` and `approved` ones need nothing. Called before each dispatch: a database
//! that went away between a claim and its run must not cost the run.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{Engine, execute};
use crate::execution::Status;
use crate::limits;
use crate::store::{StoreError, executions};

/// Takes up every running execution that this process does not have in hand, each as a task of `tasks`; answers how
/// many there were.
pub async fn take_up(engine: &Arc<Engine>, tasks: &TaskTracker) -> Result<usize, StoreError> {
    let running = engine.store.read(|db| executions::in_status(db, Status::Running)).await?;
    let mut count = 0;
    for row in running {
        if engine.stopping.is_cancelled() {
            break;
        }
        let Some(flight) = Engine::enter_flight(engine, row.id, &row.runbook) else { continue };
        count += 1;
        tasks.spawn(async move {
            let (engine, cancel) = (&flight.engine, flight.cancel.clone());
            // It may have ended between the list and the flight.
            match engine.store.read(move |db| executions::get(db, row.id)).await {
                Ok(row) if row.status != Status::Running => return,
                Ok(row) if row.cancel_requested_at.is_some() => cancel.cancel(),
                Ok(_) | Err(_) => {}
            }
            tracing::warn!(execution = %row.id, runbook = row.runbook, server = row.server, "taking up a run that was left");
            if let Err(error) = execute::run(engine, row.id, cancel).await {
                tracing::error!(execution = %row.id, %error, "a run that was left could not be taken up; it is tried again");
                engine.clock.sleep(limits::POLL_INTERVAL).await;
            }
        });
    }
    Ok(count)
}
