//! What the end of a run means for others: its runbook's breaker, and those that waited for it.

use serde_json::json;

use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::execution::{Origin, Status, Verification};
use crate::gate::Reason;
use crate::gate::circuit_breaker::{Breaker, BreakerState, Observed};
use crate::store::breakers;
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, StoreError, audit, decisions, lock_breaker};

use super::facts::breaker_spec;
use super::rows;

/// Takes note of an execution's end, in the transaction that ends it: its breaker observes it.
pub fn record_outcome(db: &mut Db, policy: &Policy, ended: &ExecutionRow, now: Timestamp) -> Result<(), StoreError> {
    if let (Some(observed), Some(started)) = (observed(ended), ended.started_at) {
        let (runbook, spec) = (&ended.runbook, breaker_spec(policy, &ended.runbook));
        lock_breaker(db, runbook)?;
        let row = breakers::get(db, runbook)?;
        let before = row.as_ref().map(rows::breaker).unwrap_or_default();
        let after = before.observe(observed, started, ended.completed_at.unwrap_or(now), &spec);
        if after != before {
            // Newer than this is only what ends later.
            let never_changed = started.min(now);
            write(db, policy, runbook, (&before, &after), never_changed, now)?;
        }
    }
    Ok(())
}

/// A run is over, or gave its target back: what waited for the target, for a place in a rate limit or for a probe is
/// asked again.
pub fn target_freed(db: &mut Db, server: &str, now: Timestamp) -> Result<(), StoreError> {
    let any_end = [Reason::RateLimited.as_str(), Reason::CircuitProbing.as_str()];
    decisions::release_waiting(db, server, &any_end, now)?;
    executions::release_server(db, server, now)?;
    Ok(())
}

/// Cancelled, interrupted and withdrawn runs count as nothing, and so does undoing.
fn observed(ended: &ExecutionRow) -> Option<Observed> {
    if ended.origin == Origin::Rollback {
        return None;
    }
    match (ended.status, ended.verification) {
        (Status::Failed | Status::Timeout, _)
        | (Status::Completed, Verification::Ineffective | Verification::Inconclusive) => Some(Observed::Failure),
        (Status::Completed, Verification::None | Verification::Pending | Verification::Effective) => {
            Some(Observed::Success)
        }
        (
            Status::Pending
            | Status::Approved
            | Status::Running
            | Status::Cancelled
            | Status::Rejected
            | Status::Expired
            | Status::Interrupted,
            _,
        ) => None,
    }
}

/// A probe was let through: the breaker is half-open from now on in the table, too.
pub(super) fn note_half_open(db: &mut Db, policy: &Policy, runbook: &str, now: Timestamp) -> Result<(), StoreError> {
    lock_breaker(db, runbook)?;
    let Some(before) = breakers::get(db, runbook)?.as_ref().map(rows::breaker) else { return Ok(()) };
    let after = before.at(&breaker_spec(policy, runbook), now);
    if after.state != before.state {
        write(db, policy, runbook, (&before, &after), now, now)?;
    }
    Ok(())
}

fn write(
    db: &mut Db,
    policy: &Policy,
    runbook: &str,
    (before, after): (&Breaker, &Breaker),
    never_changed: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    breakers::put(db, &rows::breaker_row(runbook, after, never_changed))?;
    if before.state != after.state {
        let payload = json!({
            "runbook": runbook, "from": before.state, "to": after.state, "failureCount": after.failure_count,
        });
        audit::append(
            db,
            &NewEvent::of(EventKind::BreakerChanged, "engine", "breaker", runbook, payload),
            &policy.version,
            now,
        )?;
    }
    if after.state == BreakerState::Closed && before.state != BreakerState::Closed {
        decisions::release_held(db, now)?;
        executions::release_held(db, now)?;
    }
    Ok(())
}
