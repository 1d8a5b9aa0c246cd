//! Takes up what is `running` and nobody runs: what a replica that ended left, and what this one had to let go.
//!
//! There is no second way for it: the same loop goes on from the replayed state. Between two steps nothing is unknown,
//! so it continues; an attempt that was under way is found on its host with the same id (`execute/reattach`). What
//! nothing holds there, or what its host has lost, is `lost`, and then the plan says what follows: an `idempotent` step is
//! tried again, any other is `interrupted` (`on_interrupted`: its target stays locked until a person releases it), and an
//! undo makes the rollback stuck. `pending` and `approved` ones need nothing. Called before each dispatch: a database
//! that went away between a claim and its run must not cost the run.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{Engine, execute};
use crate::execution::Status;
use crate::id::{ExecutionId, ReplicaId};
use crate::limits;
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, StoreError, leases};

/// Takes up every running execution that nobody alive has in hand, each as a task of `tasks`; answers how many.
pub async fn take_up(engine: &Arc<Engine>, tasks: &TaskTracker) -> Result<usize, StoreError> {
    let me = engine.replica.id;
    let left = engine.store.read(move |db| leases::to_take_up(db, me)).await?;
    let mut count = 0;
    for (id, known) in left {
        if engine.stopping.is_cancelled() {
            break;
        }
        if engine.in_flight.contains(id) {
            continue;
        }
        let row = engine.store.read(move |db| executions::get(db, id)).await?;
        let Some(flight) = Engine::enter_flight(engine, id, &row.runbook, &row.server) else { continue };
        count += 1;
        tasks.spawn(async move {
            let (engine, cancel) = (&flight.engine, flight.cancel.clone());
            match engine.store.write(move |db| take(db, id, me, known)).await {
                Ok(row) if row.status != Status::Running => return,
                Ok(row) if row.cancel_requested_at.is_some() => cancel.cancel(),
                Ok(_) => {}
                // Another replica was faster.
                Err(error) if error.is_fenced() => return,
                Err(error) => {
                    tracing::error!(execution = %id, %error, "a run that was left could not be taken up; it is tried again");
                    return engine.clock.sleep(limits::POLL_INTERVAL).await;
                }
            }
            tracing::warn!(execution = %id, runbook = row.runbook, server = row.server, "taking up a run that was left");
            if let Err(error) = execute::run(engine, id, cancel).await {
                if error.is_fenced() {
                    return tracing::warn!(execution = %id, "let go: the others gave this replica up meanwhile");
                }
                tracing::error!(execution = %id, %error, "a run that was left could not be taken up; it is tried again");
                engine.clock.sleep(limits::POLL_INTERVAL).await;
            }
        });
    }
    Ok(count)
}

/// Of many replicas that try, one gets it; it may have ended since the caller looked.
fn take(db: &mut Db, id: ExecutionId, me: ReplicaId, known: i64) -> Result<ExecutionRow, StoreError> {
    leases::take_up(db, id, me, known)?;
    executions::get(db, id)
}
