//! Which approved executions start now: those whose moment has come, as many as may run at once.
//!
//! A host is reached before its execution is claimed, so that one that is away costs a try and not a failure. The claim
//! asks all gates again; only what it lets run is run. Reaching and running are tasks of their own: a slow host never
//! keeps the others waiting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::record::{self, Author, Evidence};
use super::{Engine, Policy, execute, gating};
use crate::clock::Timestamp;
use crate::execution::{Event, Status};
use crate::id::{ExecutionId, ReplicaId};
use crate::limits;
use crate::store::executions::{self, DueRow};
use crate::store::{Db, StoreError, leases};
use crate::transport::Refusal;

/// Starts what is due, as far as there is room; answers how many it took up. A claim that has to wait for its server is told
/// so.
pub async fn start_due(engine: &Arc<Engine>, runs: &TaskTracker) -> Result<usize, StoreError> {
    take_up(engine, runs, BTreeSet::new(), 0).await
}

/// The same, but for the servers at which this process is at work: most need not wait long for these, and a claim would
/// only write down that they have to.
pub async fn start_free(engine: &Arc<Engine>, runs: &TaskTracker) -> Result<usize, StoreError> {
    take_up(engine, runs, engine.in_flight.servers(), limits::DISPATCH_LOOK).await
}

/// `busy`: servers for which nothing is started. With `look` > 0 one execution is started for each other server, and that many of
/// each runbook are looked at to find them.
async fn take_up(
    engine: &Arc<Engine>,
    runs: &TaskTracker,
    mut busy: BTreeSet<String>,
    look: usize,
) -> Result<usize, StoreError> {
    let spreads = look > 0;
    let limit = engine.policy().config.limits.executions.unwrap_or(usize::MAX);
    let in_hand = engine.in_flight.by_runbook();
    let free = limit.saturating_sub(in_hand.values().sum());
    if free == 0 {
        return Ok(0);
    }
    let now = engine.clock.now();
    let (room, held) = (free.min(limits::DISPATCH_BATCH), in_hand.clone());
    let (others, policy) = (engine.replica.others().ids, engine.policy());
    let due = engine.store.read(move |db| {
        let mut due = BTreeMap::new();
        for runbook in executions::due_runbooks(db, now)? {
            // What this process is reaching for is approved still, and is among them.
            let enough = room.saturating_add(held.get(&runbook).copied().unwrap_or(0));
            let enough = enough.max(look);
            let rows = executions::due(db, &runbook, now, i64::try_from(enough).unwrap_or(i64::MAX))?;
            due.insert(runbook, VecDeque::from(rows));
        }
        leave_to_their_makers(db, &mut due, &others, &policy, now)?;
        Ok(due)
    });
    let mut taken = 0;
    for row in in_turn(due.await?, in_hand) {
        if engine.stopping.is_cancelled() || taken == room {
            break;
        }
        if spreads && !busy.insert(row.server.clone()) {
            continue;
        }
        // In flight from here on, so that the next look does not take it a second time.
        let Some(flight) = Engine::enter_flight(engine, row.id, &row.runbook, &row.server) else { continue };
        taken += 1;
        runs.spawn(async move {
            let (engine, cancel) = (&flight.engine, flight.cancel.clone());
            if let Err(error) = start(engine, row.id, &row.server, cancel).await {
                if error.is_fenced() {
                    return tracing::warn!(execution = %row.id, "let go: the others gave this replica up meanwhile");
                }
                tracing::error!(execution = %row.id, %error, "an execution could not be started; it is tried again");
                // What fails at once must not be tried again at once.
                engine.clock.sleep(limits::POLL_INTERVAL).await;
            }
        });
    }
    Ok(taken)
}

/// Takes out what another replica made and is about to start itself: the host need not be reached twice. Only one of them
/// could claim it anyway. What was given secrets is never taken from a replica that lives: they are in its memory alone.
fn leave_to_their_makers(
    db: &mut Db,
    due: &mut BTreeMap<String, VecDeque<DueRow>>,
    others: &BTreeSet<ReplicaId>,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), StoreError> {
    if others.is_empty() {
        return Ok(());
    }
    let ids: Vec<ExecutionId> = due.values().flatten().map(|row| row.id).collect();
    let makers = leases::makers(db, &ids)?;
    let theirs: BTreeSet<ExecutionId> =
        makers.into_iter().filter(|(_, maker)| others.contains(maker)).map(|(id, _)| id).collect();
    for (runbook, rows) in due.iter_mut() {
        let has_secrets = policy.runbooks.get(runbook).is_some_and(|active| active.runbook.has_secrets());
        rows.retain(|row| {
            let since = [row.approved_at, row.held_until, row.next_try_at].into_iter().flatten().max();
            let is_overdue = since.is_none_or(|since| now.since(since) > limits::LEFT_TO_ITS_MAKER_FOR);
            !theirs.contains(&row.id) || (is_overdue && !has_secrets)
        });
    }
    Ok(())
}

/// The due executions in the order in which they get a free slot: each time the runbook that has the fewest in hand, of
/// those the one that waits longest. A storm of one runbook never keeps the others waiting.
fn in_turn(mut due: BTreeMap<String, VecDeque<DueRow>>, mut in_hand: BTreeMap<String, usize>) -> Vec<DueRow> {
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
    // Before the claim: what is held under a later tenure was taken anew.
    let tenure = engine.replica.tenure();
    if !tenure.is_valid() {
        return Ok(());
    }
    match gating::claim(engine, id).await? {
        gating::Claimed::Running(loaded, hold) => execute::run_claimed(engine, *loaded, (hold, tenure), cancel).await,
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
