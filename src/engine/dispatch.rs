//! Which approved executions start now: those whose moment has come, as many as may run at once.
//!
//! A host is reached before its execution is claimed, so that one that is away costs a try and not a failure. The claim
//! asks all gates again; only what it lets run is run. Reaching and running are tasks of their own: a slow host never
//! keeps the others waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::record::{self, Author, Evidence};
use super::{Engine, execute, gating};
use crate::execution::{Event, Status};
use crate::id::ExecutionId;
use crate::limits;
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, StoreError};
use crate::transport::Refusal;

/// Starts what is due, as far as there is room; answers how many it took up.
pub async fn start_due(engine: &Arc<Engine>, runs: &TaskTracker) -> Result<usize, StoreError> {
    let limit = engine.policy().config.limits.executions.unwrap_or(usize::MAX);
    let in_hand = engine.in_flight.by_runbook();
    let free = limit.saturating_sub(in_hand.values().sum());
    if free == 0 {
        return Ok(0);
    }
    let now = engine.clock.now();
    let (room, held) = (free.min(limits::DISPATCH_BATCH), in_hand.clone());
    let due = engine.store.read(move |db| {
        let mut due = BTreeMap::new();
        for runbook in executions::due_runbooks(db, now)? {
            // What this process is reaching for is approved still, and is among them.
            let enough = room.saturating_add(held.get(&runbook).copied().unwrap_or(0));
            let rows = executions::due(db, &runbook, now, i64::try_from(enough).unwrap_or(i64::MAX))?;
            due.insert(runbook, VecDeque::from(rows));
        }
        Ok(due)
    });
    let mut taken = 0;
    for row in in_turn(due.await?, in_hand) {
        if engine.stopping.is_cancelled() || taken == room {
            break;
        }
        // In flight from here on, so that the next look does not take it a second time.
        let Some(flight) = Engine::enter_flight(engine, row.id, &row.runbook) else { continue };
        taken += 1;
        runs.spawn(async move {
            let (engine, cancel) = (&flight.engine, flight.cancel.clone());
            if let Err(error) = start(engine, row.id, &row.server, cancel).await {
                tracing::error!(execution = %row.id, %error, "an execution could not be started; it is tried again");
                // What fails at once must not be tried again at once.
                engine.clock.sleep(limits::POLL_INTERVAL).await;
            }
        });
    }
    Ok(taken)
}

/// The due executions in the order in which they get a free slot: each time the runbook that has the fewest in hand, of
/// those the one that waits longest. A storm of one runbook never keeps the others waiting.
fn in_turn(
    mut due: BTreeMap<String, VecDeque<ExecutionRow>>,
    mut in_hand: BTreeMap<String, usize>,
) -> Vec<ExecutionRow> {
    let mut order = Vec::new();
    loop {
        let waiting = due.iter().filter_map(|(runbook, rows)| Some((runbook, rows.front()?)));
        let next = waiting.min_by_key(|(runbook, row)| (in_hand.get(*runbook).copied().unwrap_or(0), row.id));
        let Some(runbook) = next.map(|(runbook, _)| runbook.clone()) else { return order };
        order.extend(due.get_mut(&runbook).and_then(VecDeque::pop_front));
        *in_hand.entry(runbook).or_default() += 1;
    }
}

async fn start(engine: &Engine, id: ExecutionId, server: &str, cancel: CancellationToken) -> Result<(), StoreError> {
    let reached = match engine.policy().servers.get(server).cloned() {
        // The claim's target gate says why a server that is gone is no target.
        None => Ok(()),
        Some(server) => engine.transport.reach(&server).await,
    };
    match reached {
        Ok(()) => {}
        Err(refusal) => return not_reached(engine, id, refusal).await,
    }
    match gating::claim(engine, id).await? {
        gating::Claimed::Running => execute::run(engine, id, cancel).await,
        gating::Claimed::Held
        | gating::Claimed::BackToPending
        | gating::Claimed::Cancelled
        | gating::Claimed::NotApproved => Ok(()),
    }
}

/// Nothing was run: another try later, or, for a reason that time does not mend, the end.
async fn not_reached(engine: &Engine, id: ExecutionId, refusal: Refusal) -> Result<(), StoreError> {
    let (author, policy) = (Author::engine(engine), engine.policy());
    let ended = engine.store.write(move |db: &mut Db| {
        let loaded = record::load(db, id)?;
        if loaded.row.status != Status::Approved {
            return Ok(None);
        }
        let events = if refusal.kind.is_retryable() {
            execute::reach_later(&policy, &loaded, &refusal.message, author.now)
        } else {
            vec![(Event::GaveUp { message: refusal.message.clone() }, Evidence::None)]
        };
        let loaded = record::record(db, loaded, &events, &author)?;
        let loaded = loaded.map_err(|illegal| StoreError::Defect(illegal.to_string()))?;
        Ok(loaded.row.status.is_final().then_some(loaded.row))
    });
    if let Some(row) = ended.await? {
        engine.metrics.execution_closed(&row.runbook, row.status, row.mode.as_str());
    }
    Ok(())
}
