//! Attempts, conditions and undos: the part of the machine that is about places.
//!
//! Called by [`super::apply`] only.

use crate::clock::Timestamp;

use super::super::event::{After, Outcome, Place};
use super::super::state::{InFlight, State, StepState, UndoState};
use super::super::{Phase, RollbackState, StepStatus};
use super::{Change, idle};

/// The place where the next attempt may be made, not over yet.
pub(super) fn open(state: &mut State, place: Place) -> Result<&mut StepState, &'static str> {
    idle(state)?;
    match (place, state.phase) {
        (Place::Step(index), Phase::Main) => {
            if state.undoes.is_some() {
                return Err("it only undoes");
            }
            if state.cancelled_by.is_some() || state.is_timed_out || state.unreached.is_some() {
                return Err("no step may be started any more");
            }
            if state.steps.iter().take(index).any(|earlier| !earlier.is_over()) {
                return Err("an earlier step is not over");
            }
        }
        (Place::Undo(position), Phase::Rollback) => {
            if state.rollback != RollbackState::Running {
                return Err("no rollback is under way");
            }
            if state.undos.iter().take(position).any(|earlier| !earlier.state.is_over()) {
                return Err("an earlier undo is not over");
            }
        }
        (Place::Step(_), Phase::Rollback | Phase::Verify | Phase::Finally) => return Err("its steps are over"),
        (Place::Undo(_), Phase::Main | Phase::Verify | Phase::Finally) => return Err("no rollback is under way"),
    }
    let step = state.at_mut(place).ok_or("there is no such place")?;
    if step.is_over() { Err("that place is over") } else { Ok(step) }
}

/// The same, and nothing was attempted there yet.
pub(super) fn fresh(state: &mut State, place: Place) -> Result<&mut StepState, &'static str> {
    let step = open(state, place)?;
    if step.attempts > 0 && step.status != StepStatus::Pending { Err("it was attempted already") } else { Ok(step) }
}

pub(super) fn over(step: &mut StepState, at: Timestamp, status: StepStatus) -> Change {
    step.status = status;
    step.retry_at = None;
    step.ended_at = Some(at);
    Ok(())
}

/// The place of the attempt that is under way and can be found again on its host.
pub(super) fn held(state: &mut State, flight: InFlight) -> Result<&mut StepState, &'static str> {
    if state.in_flight != Some(flight) {
        return Err("this attempt is not under way");
    }
    let step = state.at_mut(flight.place).ok_or("there is no such place")?;
    if step.is_held { Ok(step) } else { Err("nothing holds this attempt") }
}

pub(super) fn start(state: &mut State, at: Timestamp, flight: InFlight, number: u32, is_held: bool) -> Change {
    if state.halted_since.is_some() {
        return Err("the kill switch keeps it");
    }
    let step = open(state, flight.place)?;
    if number != step.attempts + 1 {
        return Err("attempts are numbered in order");
    }
    if step.retry_at.is_some_and(|retry_at| at < retry_at) {
        return Err("its next attempt is not due");
    }
    step.status = StepStatus::Running;
    step.attempts += 1;
    step.tries += 1;
    step.is_held = is_held;
    step.retry_at = None;
    step.started_at.get_or_insert(at);
    state.in_flight = Some(flight);
    if let Place::Step(index) = flight.place
        && !state.started.contains(&index)
    {
        state.started.push(index);
    }
    Ok(())
}

pub(super) fn finish_attempt(
    state: &mut State,
    at: Timestamp,
    place: Place,
    outcome: &Outcome,
    after: &After,
) -> Change {
    if *after == After::ReachAgain {
        if state.is_touched() || outcome.may_have_effect() || state.phase != Phase::Main {
            return Err("something may have been run on the host");
        }
        state.unreached = Some(outcome.to_string());
    }
    let step = state.at_mut(place).ok_or("there is no such place")?;
    step.outcome = Some(outcome.clone());
    step.is_touched |= outcome.may_have_effect();
    step.lost += u32::from(outcome.is_unseen());
    match after {
        After::RetryAt(retry_at) => {
            step.retry_at = Some(*retry_at);
            Ok(())
        }
        After::ReachAgain => {
            step.status = StepStatus::Pending;
            Ok(())
        }
        After::Completed if outcome.exit_code().is_none() && !matches!(outcome, Outcome::Rebooted(_)) => {
            Err("a missing exit status is never success")
        }
        After::Completed => over(step, at, StepStatus::Completed),
        After::Failed => over(step, at, StepStatus::Failed),
        After::TimedOut => over(step, at, StepStatus::Timeout),
        After::Cancelled => over(step, at, StepStatus::Cancelled),
        After::Interrupted => over(step, at, StepStatus::Interrupted),
    }
}

pub(super) fn start_rollback(state: &mut State, at: Timestamp, undos: &[usize]) -> Change {
    idle(state)?;
    if state.phase == Phase::Rollback {
        return Err("its rollback has begun already");
    }
    match &state.undoes {
        Some(undoes) if undoes != undos => return Err("it undoes something else"),
        None if undos.iter().any(|index| !state.steps.get(*index).is_some_and(|step| step.is_touched)) => {
            return Err("a step that was not started is never undone");
        }
        Some(_) | None => {}
    }
    if undos.iter().enumerate().any(|(position, step)| undos.iter().take(position).any(|earlier| earlier == step)) {
        return Err("a step is undone at most once");
    }
    skip_pending(state, at);
    state.phase = Phase::Rollback;
    state.rollback = RollbackState::Running;
    state.undos = undos.iter().map(|step| UndoState { step: *step, state: StepState::new() }).collect();
    Ok(())
}

/// What was not reached never will be; what waited for another attempt gets none.
pub(super) fn skip_pending(state: &mut State, at: Timestamp) {
    let is_cancelled = state.cancelled_by.is_some();
    let is_timed_out = state.is_timed_out;
    let undos = state.undos.iter_mut().map(|undo| &mut undo.state);
    for step in state.steps.iter_mut().chain(undos) {
        step.status = match step.status {
            StepStatus::Pending => StepStatus::Skipped,
            StepStatus::Running if is_cancelled => StepStatus::Cancelled,
            StepStatus::Running if is_timed_out => StepStatus::Timeout,
            StepStatus::Running => StepStatus::Failed,
            StepStatus::Completed
            | StepStatus::Failed
            | StepStatus::Timeout
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::Interrupted => continue,
        };
        step.retry_at = None;
        step.ended_at = Some(at);
    }
}
