//! The rows that show an execution: written from its state, never read to decide.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::execution::state::StepState;
use crate::execution::{Event, Outcome, Phase, Place, State, Status};
use crate::gate::queue;
use crate::id::{AttemptId, StepRunId};
use crate::store::attempts::{self, AttemptEnd, AttemptRow, OutputRow};
use crate::store::details::{self, DetailsChange};
use crate::store::executions::{self, ExecutionChange};
use crate::store::steps::{self, StepRow};
use crate::store::{AttemptEnding, AttemptHold, Db, Json, StoreError, Stream};

use super::{Evidence, Loaded};
use crate::engine::execute::output::Printed;

/// What people said and what the claim met with; `true` if that changes anything.
pub(super) fn write_details(
    db: &mut Db,
    loaded: &Loaded,
    told: &[(Event, Evidence)],
    state: &State,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut change = DetailsChange::default();
    for (event, evidence) in told {
        if let Evidence::Results { outputs, summary } = evidence {
            change.outputs = Some(Json(outputs.clone()));
            change.output_summary = Some(Some(summary.clone()));
        }
        match event {
            Event::Approved { reason, .. } => {
                change.approval_reason = Some(reason.clone());
                // From now on it waits for a free worker.
                change.waits_since = Some(Some(now));
            }
            Event::Rejected { by, reason } => {
                change.rejected_by = Some(Some(by.clone()));
                change.rejected_at = Some(Some(now));
                change.rejection_reason = Some(Some(reason.clone()));
            }
            Event::BackToPending { gates, .. } => {
                change.approval_gates = Some(Json(gates.iter().map(|gate| gate.as_str().to_owned()).collect()));
                change.approval_reason = Some(None);
                // Waiting for a person is no queue.
                let counted = Duration::from_millis(u64::try_from(loaded.details.queued_ms).unwrap_or(0));
                change.queued_ms = Some(millis(queue::queued_for(counted, loaded.details.waits_since, now)));
                change.waits_since = Some(None);
            }
            Event::CancelRequested { by, reason } => {
                change.cancel_requested_by = Some(Some(by.clone()));
                change.cancel_reason = Some(reason.clone());
            }
            Event::Released { by, reason } => {
                change.released_by = Some(Some(by.clone()));
                change.released_reason = Some(Some(reason.clone()));
            }
            Event::HostUnreachable { .. } => change.connect_tries = Some(count(state.reach_tries)),
            Event::Created { .. }
            | Event::Agreed { .. }
            | Event::Expired
            | Event::HeldAtClaim { .. }
            | Event::GaveUp { .. }
            | Event::Withdrawn { .. }
            | Event::Claimed
            | Event::ConditionMet { .. }
            | Event::StepSkipped { .. }
            | Event::StepRefused { .. }
            | Event::AttemptStarted { .. }
            | Event::AttemptUnheld { .. }
            | Event::Reattached { .. }
            | Event::AttemptFinished { .. }
            | Event::Halted { .. }
            | Event::Continued
            | Event::TimedOut
            | Event::RollbackStarted { .. }
            | Event::RollbackFinished { .. }
            | Event::Interrupted { .. }
            | Event::Finished { .. } => {}
        }
    }
    details::change(db, loaded.row.id, &change)?;
    Ok(change != DetailsChange::default())
}

/// The execution's own row; refused by the database if another changed it meanwhile.
pub(super) fn write_execution(
    db: &mut Db,
    loaded: &mut Loaded,
    before: &State,
    told: &[(Event, Evidence)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let state = &loaded.state;
    let mut change = ExecutionChange::default();
    if state.is_released {
        change.released_at = Some(Some(now));
    }
    // A final row is frozen, but for its release.
    if !before.status.is_final() {
        let took = state.started_at.zip(state.ended_at).map(|(from, to)| millis(to.since(from)));
        change.status = Some(state.status);
        change.phase = Some(state.phase);
        change.rollback = Some(state.rollback);
        change.verification = Some(state.verification);
        change.approved_by = Some(state.approved_by.clone());
        change.held_until = Some(state.held_until.flatten());
        change.next_try_at = Some(state.next_try_at);
        change.started_at = Some(state.started_at);
        change.completed_at = Some(state.ended_at);
        change.duration_ms = Some(took);
        change.error_message = Some(state.error.clone());
        change.skip_reason = Some(state.skip_reason.clone());
        for (event, _) in told {
            if let Event::Approved { .. } = event {
                change.approved_at = Some(Some(executions::approval_time(db, now)?));
            } else if let Event::BackToPending { expires_at, .. } = event {
                change.approved_at = Some(None);
                change.expires_at = Some(Some(*expires_at));
            } else if let Event::CancelRequested { .. } = event {
                change.cancel_requested_at = Some(Some(now));
            }
        }
    }
    // Most events of a run show elsewhere, and a claim has changed the row before its event is recorded. Who writes at the same
    // time meets at the events.
    if !change.is_news(&loaded.row) {
        return Ok(());
    }
    let from: &[Status] = &[before.status, state.status];
    loaded.row = executions::changed(db, loaded.row.id, from, &change)?
        .ok_or_else(|| StoreError::Conflict(format!("execution {} was changed by another", loaded.row.id)))?;
    Ok(())
}

/// The ids of the step rows that were written.
pub(super) type StepIds = BTreeMap<Place, StepRunId>;

/// Writes each step and undo that is not as `before` had it.
pub(super) fn write_steps(
    db: &mut Db,
    loaded: &Loaded,
    before: Option<&State>,
    state: &State,
) -> Result<StepIds, StoreError> {
    let mut ids = StepIds::new();
    let main = (0..state.steps.len()).map(Place::Step);
    let undos = (0..state.undos.len()).map(Place::Undo);
    for place in main.chain(undos) {
        let Some(step) = state.at(place) else { continue };
        if before.and_then(|before| before.at(place)) == Some(step) {
            continue;
        }
        if let Some(row) = step_row(loaded, state, place, step) {
            ids.insert(place, steps::upsert(db, &row)?);
        }
    }
    Ok(ids)
}

fn step_row(loaded: &Loaded, state: &State, place: Place, step: &StepState) -> Option<StepRow> {
    let (index, phase) = match place {
        Place::Step(index) => (index, Phase::Main),
        Place::Undo(position) => (state.undos.get(position)?.step, Phase::Rollback),
    };
    let planned = loaded.plan.steps.get(index)?;
    let error = if !step.has_failed() {
        None
    } else if let Some((code, message)) = &step.refusal {
        Some((code.clone(), message.clone()))
    } else {
        step.outcome.as_ref().map(|outcome| (outcome.code().to_owned(), outcome.to_string()))
    };
    let (error_code, error_message) = error.unzip();
    Some(StepRow {
        id: StepRunId::new(),
        execution_id: loaded.row.id,
        phase,
        step_order: count(planned.order),
        step_id: planned.id.clone(),
        name: planned.name.clone(),
        status: step.status,
        sensitive: planned.sensitive,
        retry_attempt: count(step.attempts.saturating_sub(1)),
        exit_code: step.outcome.as_ref().and_then(Outcome::exit_code),
        started_at: step.started_at,
        completed_at: step.started_at.and(step.ended_at),
        duration_ms: step.started_at.zip(step.ended_at).map(|(from, to)| millis(to.since(from))),
        error_code,
        error_message,
    })
}

/// The attempt's row, and what it printed.
pub(super) fn write_attempt(
    db: &mut Db,
    loaded: &Loaded,
    ids: &StepIds,
    event: &Event,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<(), StoreError> {
    if let Event::AttemptStarted { place, attempt, number, is_held } = event {
        let step_run_id = *ids.get(place).ok_or_else(|| {
            StoreError::Defect(format!("execution {} has no step row for its attempt {attempt}", loaded.row.id))
        })?;
        let row = AttemptRow {
            id: *attempt,
            step_run_id,
            execution_id: loaded.row.id,
            number: count(*number),
            started_at: now,
            finished_at: None,
            ending: None,
            exit_code: None,
            signal: None,
            kill_confirmed: None,
            error_message: None,
            hold: if *is_held { AttemptHold::Held } else { AttemptHold::Plain },
        };
        attempts::insert(db, &row)?;
    } else if let Event::AttemptUnheld { attempt, .. } = event {
        attempts::unhold(db, *attempt)?;
    } else if let Event::AttemptFinished { attempt, outcome, .. } = event {
        attempts::finish(db, *attempt, &attempt_end(outcome), now)?;
        if let Evidence::Output { stdout, stderr } = evidence {
            write_output(db, *attempt, Stream::Stdout, stdout)?;
            write_output(db, *attempt, Stream::Stderr, stderr)?;
        }
    }
    Ok(())
}

fn attempt_end(outcome: &Outcome) -> AttemptEnd {
    let (ending, signal, kill_confirmed) = match outcome {
        Outcome::Exited(_) | Outcome::BadOutput { .. } => (AttemptEnding::Exited, None, None),
        Outcome::Signalled(signal) => (AttemptEnding::Signalled, Some(signal.clone()), None),
        Outcome::TimedOut { is_confirmed } => (AttemptEnding::TimedOut, None, Some(*is_confirmed)),
        Outcome::Cancelled { is_confirmed } => (AttemptEnding::Cancelled, None, Some(*is_confirmed)),
        Outcome::Unsent { .. } | Outcome::NotStarted { .. } => (AttemptEnding::NotStarted, None, None),
        Outcome::Lost(_) | Outcome::Rebooted(_) => (AttemptEnding::Lost, None, None),
    };
    let error_message = match outcome {
        Outcome::Exited(_) => None,
        Outcome::BadOutput { message, .. }
        | Outcome::NotStarted { message, .. }
        | Outcome::Lost(message)
        | Outcome::Rebooted(message) => Some(message.clone()),
        Outcome::Signalled(_) | Outcome::TimedOut { .. } | Outcome::Cancelled { .. } | Outcome::Unsent { .. } => {
            Some(outcome.to_string())
        }
    };
    AttemptEnd { ending, exit_code: outcome.exit_code(), signal, kill_confirmed, error_message }
}

fn write_output(db: &mut Db, attempt_id: AttemptId, stream: Stream, printed: &Printed) -> Result<(), StoreError> {
    if printed.total == 0 {
        return Ok(());
    }
    let row = OutputRow {
        attempt_id,
        stream,
        head: printed.head.clone(),
        tail: printed.tail.clone(),
        total_bytes: i64::try_from(printed.total).unwrap_or(i64::MAX),
        truncated: printed.is_cut,
        sha256: printed.sha256.clone(),
    };
    attempts::insert_output(db, &row)
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
