//! What the end of a run means for others: its runbook's breaker, and those that waited for it.

use serde_json::json;

use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::execution::{Origin, Status, Verification};
use crate::gate::Reason;
use crate::gate::circuit_breaker::{Breaker, BreakerState, Observed};
use crate::store::breakers::{self, BreakerRow};
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, StoreError, audit, decisions, lock_decisions};

use super::facts::breaker_spec;
use super::rows;

/// Takes note of an execution's end, in the transaction that ends it: its breaker observes it. The caller has the
/// decisions' turn, so that two ends at once are both counted.
pub fn record_outcome(db: &mut Db, policy: &Policy, ended: &ExecutionRow, now: Timestamp) -> Result<(), StoreError> {
    if let (Some(observed), Some(started)) = (observed(ended), ended.started_at) {
        let (runbook, spec) = (&ended.runbook, breaker_spec(policy, &ended.runbook));
        let row = breakers::get(db, runbook)?;
        let before = row.as_ref().map(rows::breaker).unwrap_or_default();
        let after = before.observe(observed, started, ended.completed_at.unwrap_or(now), &spec);
        if after != before {
            // Newer than this is only what ends later.
            let never_changed = started.min(now);
            let row = match row {
                // Who changed it last and why stays told until it changes again.
                Some(row) if after.state == before.state => {
                    let (changed_by, reason) = (row.changed_by, row.reason);
                    BreakerRow { changed_by, reason, ..rows::breaker_row(runbook, &after, never_changed) }
                }
                Some(_) | None => rows::breaker_row(runbook, &after, never_changed),
            };
            write(db, policy, (&before, &row), now)?;
        }
    }
    Ok(())
}

/// What time has made of a stored breaker.
pub fn breaker_at(policy: &Policy, row: &BreakerRow, now: Timestamp) -> Breaker {
    rows::breaker(row).at(&breaker_spec(policy, &row.runbook), now)
}

/// A person changes a runbook's breaker; answers with what it was and what it is. Takes the decisions' turn. Telling of
/// it, and releasing what it held, is the caller's.
pub fn change_breaker(
    db: &mut Db,
    policy: &Policy,
    runbook: &str,
    (by, reason): (&str, &str),
    now: Timestamp,
    change: impl FnOnce(&Breaker) -> Breaker,
) -> Result<(Breaker, BreakerRow), StoreError> {
    lock_decisions(db)?;
    let before = breakers::get(db, runbook)?.map(|row| breaker_at(policy, &row, now)).unwrap_or_default();
    let (changed_by, reason) = (by.to_owned(), Some(reason.to_owned()));
    let row = BreakerRow { changed_by, reason, ..rows::breaker_row(runbook, &change(&before), now) };
    breakers::put(db, &row)?;
    Ok((before, row))
}

/// A run is over, or gave its target back: what waited for the target, for a place in a rate limit or for a probe is
/// asked again.
pub fn target_freed(db: &mut Db, server: &str, now: Timestamp) -> Result<(), StoreError> {
    let any_end = [Reason::RateLimited.as_str(), Reason::CircuitProbing.as_str()];
    decisions::release_waiting(db, server, &any_end, now)?;
    executions::release_server(db, server, now)?;
    Ok(())
}

/// Cancelled, interrupted and withdrawn runs count as nothing, and so does undoing. What ends by a release was
/// interrupted.
fn observed(ended: &ExecutionRow) -> Option<Observed> {
    if ended.origin == Origin::Rollback || ended.released_at.is_some() {
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
    let Some(row) = breakers::get(db, runbook)? else { return Ok(()) };
    let (before, after) = (rows::breaker(&row), breaker_at(policy, &row, now));
    if after.state != before.state {
        write(db, policy, (&before, &rows::breaker_row(runbook, &after, now)), now)?;
    }
    Ok(())
}

fn write(
    db: &mut Db,
    policy: &Policy,
    (before, row): (&Breaker, &BreakerRow),
    now: Timestamp,
) -> Result<(), StoreError> {
    breakers::put(db, row)?;
    let (runbook, after) = (&row.runbook, rows::breaker(row));
    if before.state != after.state {
        let payload = json!({
            "runbook": runbook, "from": before.state, "to": after.state, "failureCount": after.failure_count,
        });
        let event = NewEvent::of(EventKind::BreakerChanged, "engine", "breaker", runbook.clone(), payload);
        audit::append(db, &event, &policy.version, now)?;
    }
    if after.state == BreakerState::Closed && before.state != BreakerState::Closed {
        decisions::release_held(db, now)?;
        executions::release_held(db, now)?;
    }
    Ok(())
}
