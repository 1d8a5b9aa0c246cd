//! The claim: all gates are asked again, in the transaction that lets an execution run.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::record::{self, Author, Evidence, Loaded};
use crate::execution::{Event, Status};
use crate::failpoint;
use crate::gate::{Evaluation, Gate, Reason, Verdict, queue};
use crate::id::ExecutionId;
use crate::limits;
use crate::store::details::{self, DetailsChange};
use crate::store::executions::{self, ExecutionChange};
use crate::store::leases::Hold;
use crate::store::target_locks::Claim;
use crate::store::{Db, StoreError, lock_decisions};

use super::ask::{Asked, ask_again, millis};
use super::{batch, outcome, start};

/// What became of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// It runs under this hold, and holds its target: start it.
    Running(Box<Loaded>, Hold),
    /// A gate says "not now": it stays approved, and is tried again.
    Held,
    /// A gate wants a yes that nobody has given.
    BackToPending,
    /// A gate refuses it for good.
    Cancelled,
    /// It is not approved any more, or another replica has it.
    NotApproved,
}

/// An approved execution that waits for a release is asked about this often: dispatching has no other alarm clock.
const RELEASE_DOUBTED_AFTER: Duration = Duration::from_secs(10);

/// Asks all gates about an approved execution once more, and lets it run if none objects.
pub async fn claim(engine: &Engine, id: ExecutionId) -> Result<Claimed, StoreError> {
    let author = Author::engine(engine);
    let write = engine.store.write_in_turn(move |db: &mut Db| {
        let claimed = claim_in(db, id, &author)?;
        failpoint::pass(failpoint::CLAIM_UNCOMMITTED);
        Ok(claimed)
    });
    let (claimed, row) = write.await?;
    failpoint::pass(failpoint::CLAIM_COMMITTED);
    // What runs is counted by who runs it.
    if matches!(claimed, Claimed::Cancelled) {
        engine.metrics.execution_closed(&row.runbook, row.status, row.mode.as_str());
    }
    Ok(claimed)
}

fn claim_in(db: &mut Db, id: ExecutionId, author: &Author) -> Result<(Claimed, executions::ExecutionRow), StoreError> {
    lock_decisions(db)?;
    let loaded = record::load(db, id)?;
    if loaded.row.status != Status::Approved {
        return Ok((Claimed::NotApproved, loaded.row));
    }
    let asked = ask_again(db, &author.policy, &loaded, author.now)?;
    match asked.evaluation.outcome {
        Verdict::Allow => run(db, loaded, &asked, author),
        Verdict::Hold(_) => hold(db, loaded, &asked.evaluation, author),
        Verdict::Approve => back_to_pending(db, loaded, &asked.evaluation, author),
        Verdict::Refuse => cancel(db, loaded, &asked.evaluation, author),
    }
}

type Outcome = Result<(Claimed, executions::ExecutionRow), StoreError>;

fn run(db: &mut Db, loaded: Loaded, asked: &Asked, author: &Author) -> Outcome {
    let row = loaded.row.clone();
    if asked.is_probe && !row.breaker_probe {
        let change = ExecutionChange { breaker_probe: Some(true), ..ExecutionChange::default() };
        executions::change(db, row.id, &[Status::Approved], &change)?;
    }
    let (loaded, hold) = match record::claim(db, loaded, author)? {
        Ok(claimed) => claimed,
        // Its lock came between although claims take turns: somebody else's hands. It is asked about again.
        Err(Claim::Busy(_)) => return Ok((Claimed::Held, row)),
        Err(Claim::NotApproved | Claim::Taken(_)) => return Ok((Claimed::NotApproved, row)),
    };
    if asked.is_probe {
        outcome::note_half_open(db, &author.policy, &loaded.row.runbook, author.now)?;
    }
    Ok((Claimed::Running(Box::new(loaded), hold), row))
}

fn hold(db: &mut Db, loaded: Loaded, evaluation: &Evaluation, author: &Author) -> Outcome {
    let (now, id) = (author.now, loaded.row.id);
    let until = match evaluation.outcome {
        Verdict::Hold(until) => until,
        Verdict::Allow | Verdict::Approve | Verdict::Refuse => None,
    };
    let queued = queue::queued_for(millis(loaded.details.queued_ms), loaded.details.waits_since, now);
    let change = DetailsChange {
        queued_ms: i64::try_from(queued.as_millis()).ok(),
        waits_since: Some(queue::is_queued(evaluation).then_some(now)),
        conflicting_execution_id: Some(evaluation.conflicting_execution()),
        ..DetailsChange::default()
    };
    details::change(db, id, &change)?;
    let next = until.unwrap_or_else(|| now.plus(RELEASE_DOUBTED_AFTER));
    let row = if loaded.state.held_until == Some(until) {
        // Nothing new to tell: only asked again.
        loaded.row
    } else {
        told(db, loaded, Event::HeldAtClaim { until, gates: evaluation.holds() }, author)?.row
    };
    let change = ExecutionChange { held_until: Some(Some(next)), ..ExecutionChange::default() };
    executions::change(db, id, &[Status::Approved], &change)?;
    Ok((Claimed::Held, row))
}

fn back_to_pending(db: &mut Db, loaded: Loaded, evaluation: &Evaluation, author: &Author) -> Outcome {
    let (id, now) = (loaded.row.id, author.now);
    let runbook = author.policy.runbooks.get(&loaded.row.runbook);
    let expires_after = runbook.map_or(limits::APPROVAL_EXPIRES_AFTER, |active| active.runbook.approval.expires_after);
    // The old yes is void, so the new one has to cover what that one covered, too.
    let known = loaded.details.approval_gates.0.iter().filter_map(|gate| gate.parse::<Gate>().ok());
    let mut gates: Vec<Gate> = known.chain(evaluation.approvals()).collect();
    gates.sort_unstable();
    gates.dedup();
    let mut change = ExecutionChange { breaker_probe: Some(false), ..ExecutionChange::default() };
    if gates.contains(&Gate::BlastRadius) {
        let (row, window) = (&loaded.row, start::blast_window(evaluation));
        let hash = &loaded.details.plan_hash;
        let batch = batch::join(db, &row.runbook, row.server_group.as_deref(), id, hash, window, now)?;
        change.batch_id = Some(Some(batch));
    }
    let event = Event::BackToPending { gates, expires_at: now.plus(expires_after) };
    told(db, loaded, event, author)?;
    executions::change(db, id, &[Status::Pending], &change)?;
    Ok((Claimed::BackToPending, executions::get(db, id)?))
}

fn cancel(db: &mut Db, loaded: Loaded, evaluation: &Evaluation, author: &Author) -> Outcome {
    let leading = evaluation.leading();
    let reason = leading.and_then(|leading| leading.reason).unwrap_or(Reason::Unknown);
    let message = leading.map(|leading| leading.message.clone()).unwrap_or_default();
    let change = DetailsChange {
        conflicting_execution_id: Some(evaluation.conflicting_execution()),
        ..DetailsChange::default()
    };
    details::change(db, loaded.row.id, &change)?;
    let event = Event::Withdrawn { skip_reason: reason.as_str().to_owned(), message };
    Ok((Claimed::Cancelled, told(db, loaded, event, author)?.row))
}

fn told(db: &mut Db, loaded: Loaded, event: Event, author: &Author) -> Result<Loaded, StoreError> {
    record::record(db, loaded, &[(event, Evidence::None)], author)?
        .map_err(|illegal| StoreError::Defect(illegal.to_string()))
}
