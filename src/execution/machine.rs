//! What may follow what: the only way in which an execution's state changes.
//!
//! Deciding what should happen is [`mod@super::next`]'s; this only refuses what must not. Called by the engine for each
//! event before it is stored, and for stored ones when it reads them back.

mod places;

use crate::clock::Timestamp;

use super::event::Event;
use super::state::{InFlight, State, StepState};
use super::{Phase, RollbackState, Status, StepStatus, Verification};

/// The machine does not have this transition.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{event}` cannot follow while an execution is {status} ({phase}): {why}")]
pub struct IllegalTransition {
    pub status: Status,
    pub phase: Phase,
    pub event: &'static str,
    pub why: &'static str,
}

/// The state after all `events`, oldest first; the first must be [`Event::Created`].
pub fn replay<'a>(events: impl IntoIterator<Item = (Timestamp, &'a Event)>) -> Result<State, IllegalTransition> {
    let mut state = None;
    for (at, event) in events {
        state = Some(match state {
            None => begin(at, event)?,
            Some(state) => apply(state, at, event)?,
        });
    }
    state.ok_or_else(|| unborn("nothing", "there is no event at all"))
}

/// The state after its first event.
pub fn begin(at: Timestamp, event: &Event) -> Result<State, IllegalTransition> {
    let Event::Created { steps, approved_by, undoes } = event else {
        return Err(unborn(event.as_str(), "an execution begins with `created`"));
    };
    if undoes.iter().flatten().any(|step| step >= steps) {
        return Err(unborn(event.as_str(), "it undoes a step that the plan does not have"));
    }
    Ok(State {
        status: if approved_by.is_some() { Status::Approved } else { Status::Pending },
        phase: Phase::Main,
        rollback: RollbackState::None,
        verification: Verification::None,
        created_at: at,
        undoes: undoes.clone(),
        approved_by: approved_by.clone(),
        agreed: Vec::new(),
        held_until: None,
        next_try_at: None,
        reach_tries: 0,
        unreached_since: None,
        unreached: None,
        started_at: None,
        ended_at: None,
        halted_since: None,
        halted_for: std::time::Duration::ZERO,
        cancelled_by: None,
        is_timed_out: false,
        steps: vec![StepState::new(); *steps],
        started: Vec::new(),
        undos: Vec::new(),
        in_flight: None,
        error: None,
        skip_reason: None,
        is_released: false,
    })
}

/// The state after one more event, which happened at `at`.
pub fn apply(mut state: State, at: Timestamp, event: &Event) -> Result<State, IllegalTransition> {
    if let Err(why) = change(&mut state, at, event) {
        return Err(IllegalTransition { status: state.status, phase: state.phase, event: event.as_str(), why });
    }
    Ok(state)
}

/// What has no first event counts as pending: nothing may run.
const fn unborn(event: &'static str, why: &'static str) -> IllegalTransition {
    IllegalTransition { status: Status::Pending, phase: Phase::Main, event, why }
}

type Change = Result<(), &'static str>;

fn change(state: &mut State, at: Timestamp, event: &Event) -> Change {
    match event {
        Event::Created { .. } => Err("it exists already"),
        Event::Agreed { by, .. } => {
            only(state, Status::Pending, "only a pending execution is approved")?;
            if state.agreed.contains(by) {
                return Err("this person has said yes already");
            }
            state.agreed.push(by.clone());
            Ok(())
        }
        Event::Approved { by, .. } => {
            only(state, Status::Pending, "only a pending execution is approved")?;
            if state.agreed.contains(by) {
                return Err("this person has said yes already");
            }
            state.status = Status::Approved;
            state.approved_by = Some(by.clone());
            Ok(())
        }
        Event::Rejected { reason, .. } => {
            only(state, Status::Pending, "only a pending execution is rejected")?;
            state.error = Some(reason.clone());
            end(state, at, Status::Rejected);
            Ok(())
        }
        Event::Expired => {
            only(state, Status::Pending, "only a pending execution expires")?;
            end(state, at, Status::Expired);
            Ok(())
        }
        Event::BackToPending { .. } => {
            only(state, Status::Approved, "only what is approved and not started can need another yes")?;
            state.status = Status::Pending;
            state.approved_by = None;
            state.agreed.clear();
            state.held_until = None;
            reached(state);
            Ok(())
        }
        Event::HeldAtClaim { until, .. } => {
            only(state, Status::Approved, "only what is approved and not started is held")?;
            state.held_until = Some(*until);
            reached(state);
            Ok(())
        }
        Event::HostUnreachable { retry_at, message } => reach_later(state, at, *retry_at, message),
        Event::GaveUp { message } => {
            only(state, Status::Approved, "only what was never started is given up")?;
            state.error = Some(message.clone());
            end(state, at, Status::Failed);
            Ok(())
        }
        Event::Withdrawn { skip_reason, message } => {
            if state.status != Status::Approved && state.status != Status::Pending {
                return Err("only what was not started is withdrawn");
            }
            state.skip_reason = Some(skip_reason.clone());
            state.error = Some(message.clone());
            end(state, at, Status::Cancelled);
            Ok(())
        }
        Event::Claimed => {
            only(state, Status::Approved, "only an approved execution is claimed")?;
            state.status = Status::Running;
            state.started_at = Some(at);
            state.halted_for = std::time::Duration::ZERO;
            state.held_until = None;
            state.next_try_at = None;
            Ok(())
        }
        Event::ConditionMet { place } => {
            let step = places::fresh(state, *place)?;
            if step.is_condition_met {
                return Err("its condition was asked already");
            }
            step.is_condition_met = true;
            Ok(())
        }
        Event::StepSkipped { place } => places::over(places::fresh(state, *place)?, at, StepStatus::Skipped),
        Event::StepRefused { place, code, message } => {
            let step = places::open(state, *place)?;
            step.refusal = Some((code.clone(), message.clone()));
            places::over(step, at, StepStatus::Failed)
        }
        Event::AttemptStarted { place, attempt, number, is_held } => {
            places::start(state, at, InFlight { place: *place, attempt: *attempt }, *number, *is_held)
        }
        Event::AttemptUnheld { place, attempt, .. } => {
            let step = places::held(state, InFlight { place: *place, attempt: *attempt })?;
            step.is_held = false;
            Ok(())
        }
        Event::Reattached { place, attempt } => {
            places::held(state, InFlight { place: *place, attempt: *attempt }).map(drop)
        }
        Event::AttemptFinished { place, attempt, outcome, after } => {
            if state.in_flight != Some(InFlight { place: *place, attempt: *attempt }) {
                return Err("this attempt is not under way");
            }
            state.in_flight = None;
            places::finish_attempt(state, at, *place, outcome, after)
        }
        Event::Halted { .. } => {
            running(state)?;
            if state.halted_since.is_some() {
                return Err("it is halted already");
            }
            state.halted_since = Some(at);
            Ok(())
        }
        Event::Continued => {
            running(state)?;
            let since = state.halted_since.take().ok_or("it is not halted")?;
            state.halted_for += at.since(since);
            Ok(())
        }
        Event::CancelRequested { by, reason } => cancel(state, at, by, reason.as_deref()),
        Event::TimedOut => {
            idle(state)?;
            if state.phase != Phase::Main || state.is_timed_out {
                return Err("its time is not counted now");
            }
            state.is_timed_out = true;
            Ok(())
        }
        Event::RollbackStarted { undos } => places::start_rollback(state, at, undos),
        Event::RollbackFinished { is_stuck } => {
            idle(state)?;
            if state.rollback != RollbackState::Running {
                return Err("no rollback is under way");
            }
            if !is_stuck && state.undos.iter().any(|undo| !undo.state.is_over() || undo.state.has_failed()) {
                return Err("not every undo is done");
            }
            state.rollback = if *is_stuck { RollbackState::Stuck } else { RollbackState::Done };
            places::skip_pending(state, at);
            Ok(())
        }
        Event::Interrupted { reason } => {
            idle(state)?;
            if state.phase == Phase::Rollback {
                return Err("an undo whose outcome is unknown makes the rollback stuck");
            }
            state.error = Some(reason.clone());
            state.status = Status::Interrupted;
            state.halted_since = None;
            places::skip_pending(state, at);
            Ok(())
        }
        Event::Finished { status, error } => {
            idle(state)?;
            finish(state, at, *status, error.as_deref())
        }
        Event::Released { .. } => release(state, at),
    }
}

fn only(state: &State, status: Status, why: &'static str) -> Change {
    if state.status == status { Ok(()) } else { Err(why) }
}

fn running(state: &State) -> Change {
    only(state, Status::Running, "it does not run")
}

/// Running, and no attempt's outcome is waited for.
fn idle(state: &State) -> Change {
    running(state)?;
    if state.in_flight.is_some() { Err("an attempt is under way") } else { Ok(()) }
}

/// Back to `approved`, as if it had not been claimed: nothing was run.
fn reach_later(state: &mut State, at: Timestamp, retry_at: Timestamp, message: &str) -> Change {
    if state.status == Status::Running {
        if state.unreached.is_none() || state.in_flight.is_some() || state.is_touched() {
            return Err("something was run on the host already");
        }
        for step in &mut state.steps {
            *step = StepState { attempts: step.attempts, outcome: step.outcome.take(), ..StepState::new() };
        }
        state.started.clear();
        state.started_at = None;
        state.halted_since = None;
        state.status = Status::Approved;
    }
    only(state, Status::Approved, "only what was not started waits for its host")?;
    state.unreached = None;
    state.reach_tries += 1;
    state.unreached_since.get_or_insert(at);
    // Whatever held it before is asked again when the host is there.
    state.held_until = None;
    state.next_try_at = Some(retry_at);
    state.error = Some(message.to_owned());
    Ok(())
}

/// The gates were asked, so its host was there: what came of tries before does not count any more.
fn reached(state: &mut State) {
    state.reach_tries = 0;
    state.unreached_since = None;
    state.next_try_at = None;
}

fn cancel(state: &mut State, at: Timestamp, by: &str, reason: Option<&str>) -> Change {
    match state.status {
        Status::Pending | Status::Approved => {
            state.cancelled_by = Some(by.to_owned());
            state.error =
                Some(reason.map_or_else(|| format!("cancelled by {by}"), |why| format!("cancelled by {by}: {why}")));
            end(state, at, Status::Cancelled);
            Ok(())
        }
        Status::Running if state.phase == Phase::Rollback => Err("its rollback is not interrupted"),
        Status::Running if state.cancelled_by.is_some() => Err("it was asked to stop already"),
        Status::Running => {
            state.cancelled_by = Some(by.to_owned());
            Ok(())
        }
        Status::Completed
        | Status::Failed
        | Status::Timeout
        | Status::Cancelled
        | Status::Rejected
        | Status::Expired
        | Status::Interrupted => Err("only what waits or runs is cancelled"),
    }
}

fn finish(state: &mut State, at: Timestamp, status: Status, error: Option<&str>) -> Change {
    let has_right_end = match status {
        Status::Completed => {
            state.rollback != RollbackState::Stuck
                && state.cancelled_by.is_none()
                && if state.undoes.is_some() {
                    state.rollback == RollbackState::Done
                } else {
                    state.steps.iter().all(StepState::is_over)
                }
        }
        Status::Failed => true,
        Status::Timeout => state.is_timed_out || state.steps.iter().any(|step| step.status == StepStatus::Timeout),
        Status::Cancelled => state.cancelled_by.is_some(),
        Status::Pending
        | Status::Approved
        | Status::Running
        | Status::Rejected
        | Status::Expired
        | Status::Interrupted => false,
    };
    if !has_right_end {
        return Err("it cannot end so");
    }
    if state.rollback == RollbackState::Running {
        return Err("its rollback is not over");
    }
    state.error = error.map(str::to_owned);
    end(state, at, status);
    Ok(())
}

fn release(state: &mut State, at: Timestamp) -> Change {
    if !state.holds_target() || state.status == Status::Running {
        return Err("it holds no target that a person could release");
    }
    state.is_released = true;
    if state.status == Status::Interrupted {
        end(state, at, Status::Failed);
    }
    Ok(())
}

fn end(state: &mut State, at: Timestamp, status: Status) {
    state.status = status;
    state.ended_at = Some(at);
    state.held_until = None;
    state.next_try_at = None;
    state.halted_since = None;
    places::skip_pending(state, at);
}
