//! What to do next: the one place that knows the way of an execution.
//!
//! Pure: the same answer for the same state, plan and moment, in the normal way and after a restart. `engine/execute`
//! performs the answer and asks again.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::AttemptId;
use crate::runbook::model::OnInterrupted;
use crate::runbook::plan::{Plan, PlannedStep};

use super::event::{Event, Outcome, Place};
use super::rollback::{self, Cause};
use super::state::{State, StepState};
use super::{Phase, RollbackState, Status, StepStatus};

/// What the engine has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// This follows from what is known: record it and ask again.
    Record(Event),
    /// Ask whether the condition of this place is true, record the answer, and ask again.
    EvaluateCondition(Place),
    /// Record the intent, run one attempt, record its outcome.
    RunAttempt {
        place: Place,
        /// From 1.
        number: u32,
        /// The step's own time-out, or what is left of the execution's.
        timeout: Duration,
    },
    /// An attempt is under way; whoever started it waits for it. After a restart nobody does.
    AwaitAttempt { place: Place, attempt: AttemptId },
    /// Nothing before this moment.
    WaitUntil(Timestamp),
    /// The kill switch keeps it: ask again when it is released.
    WaitForRelease,
    /// The host was not reached and nothing was run: put the execution back.
    ReachAgain(String),
    /// A person has to approve, or to release.
    WaitForPerson,
    /// It waits for its turn.
    WaitForTurn,
    /// It is over.
    Nothing,
}

/// What to do with an execution in this state, at `now`.
pub fn next(state: &State, plan: &Plan, now: Timestamp) -> Effect {
    match state.status {
        Status::Pending | Status::Interrupted => Effect::WaitForPerson,
        Status::Approved => Effect::WaitForTurn,
        Status::Completed
        | Status::Failed
        | Status::Timeout
        | Status::Cancelled
        | Status::Rejected
        | Status::Expired => Effect::Nothing,
        Status::Running => {
            if let Some(flight) = state.in_flight {
                return Effect::AwaitAttempt { place: flight.place, attempt: flight.attempt };
            }
            match state.phase {
                Phase::Main | Phase::Verify | Phase::Finally => next_step(state, plan, now),
                Phase::Rollback => next_undo(state, plan, now),
            }
        }
    }
}

fn next_step(state: &State, plan: &Plan, now: Timestamp) -> Effect {
    // Before anything else: undoing what may still be running would be as blind as running it again.
    if let Some((index, step)) = find(state, plan, |step, _| holds(step, plan)) {
        return Effect::Record(Event::Interrupted { reason: interrupted(index, plan, step) });
    }
    let left = Duration::from_secs(plan.timeout_secs).saturating_sub(state.elapsed(now));
    let is_asked_to_end = state.cancelled_by.is_some() || state.is_timed_out;
    let was_cut = state.started.last().and_then(|last| state.steps.get(*last));
    if left.is_zero() && !is_asked_to_end && was_cut.is_some_and(|step| step.status == StepStatus::Timeout) {
        return Effect::Record(Event::TimedOut);
    }
    if let Some((cause, _, _)) = ending(state, plan) {
        return go_back(state, plan, cause);
    }
    if let Some(undoes) = &state.undoes {
        return Effect::Record(Event::RollbackStarted { undos: undoes.clone() });
    }
    if let Some(message) = &state.unreached {
        return Effect::ReachAgain(message.clone());
    }
    let open = state.steps.iter().enumerate().find(|(_, step)| !step.is_over());
    if left.is_zero() && open.is_some() {
        return Effect::Record(Event::TimedOut);
    }
    let Some((index, step)) = open else {
        return Effect::Record(Event::Finished { status: Status::Completed, error: None });
    };
    // `begin` made one state per planned step; a plan of another length is not ours to run.
    let Some(planned) = plan.steps.get(index) else {
        let error = Some(format!("step {} is not in the plan", index + 1));
        return Effect::Record(Event::Finished { status: Status::Failed, error });
    };
    let timeout = Duration::from_secs(planned.timeout_secs).min(left);
    let place = Place::Step(index);
    match attempt(state, place, step, planned.when.as_deref(), timeout, now) {
        Effect::WaitUntil(at) => Effect::WaitUntil(at.min(now.plus(left))),
        other => other,
    }
}

fn next_undo(state: &State, plan: &Plan, now: Timestamp) -> Effect {
    match state.rollback {
        RollbackState::None | RollbackState::Running => {}
        RollbackState::Done | RollbackState::Stuck => return finish(state, plan),
    }
    let has_failed = state.undos.iter().any(|undo| undo.state.has_failed());
    let open = state.undos.iter().enumerate().find(|(_, undo)| !undo.state.is_over());
    let Some((position, undo)) = open.filter(|_| !has_failed || plan.rollback.continue_on_error) else {
        return Effect::Record(Event::RollbackFinished { is_stuck: has_failed });
    };
    let Some(planned) = plan.steps.get(undo.step).and_then(|step| step.undo.as_ref()) else {
        return Effect::Record(Event::RollbackFinished { is_stuck: true });
    };
    let timeout = Duration::from_secs(planned.timeout_secs);
    attempt(state, Place::Undo(position), &undo.state, planned.when.as_deref(), timeout, now)
}

fn attempt(
    state: &State,
    place: Place,
    step: &StepState,
    when: Option<&str>,
    timeout: Duration,
    now: Timestamp,
) -> Effect {
    if state.halted_since.is_some() {
        return Effect::WaitForRelease;
    }
    if let Some(retry_at) = step.retry_at.filter(|retry_at| now < *retry_at) {
        return Effect::WaitUntil(retry_at);
    }
    if when.is_some() && !step.is_condition_met {
        return Effect::EvaluateCondition(place);
    }
    Effect::RunAttempt { place, number: step.attempts + 1, timeout }
}

/// Whether the run has to wait for a person because of `step`: what became of it is unknown, and the runbook has no other
/// wish; or it was to be killed, and that was not seen to be done.
fn holds(step: &StepState, plan: &Plan) -> bool {
    let is_unseen = step.outcome.as_ref().is_some_and(Outcome::is_unseen);
    step.status == StepStatus::Interrupted && (plan.on_interrupted == OnInterrupted::Hold || !is_unseen)
}

/// After a run went wrong: undo, if there is something to undo and the runbook wants it; else the end.
fn go_back(state: &State, plan: &Plan, cause: Cause) -> Effect {
    let undos = if rollback::is_wanted(plan, cause) && state.undoes.is_none() {
        rollback::order(state, plan)
    } else {
        Vec::new()
    };
    if undos.is_empty() { finish(state, plan) } else { Effect::Record(Event::RollbackStarted { undos }) }
}

/// The last event of a run whose steps, and undos if any, are over.
fn finish(state: &State, plan: &Plan) -> Effect {
    let (mut status, mut error) = match ending(state, plan) {
        Some((_, status, error)) => (status, Some(error)),
        None => (Status::Completed, None),
    };
    if state.rollback == RollbackState::Stuck {
        status = Status::Failed;
        let why = stuck(state, plan);
        error = Some(error.map_or_else(|| why.clone(), |error| format!("{error}; {why}")));
    }
    Effect::Record(Event::Finished { status, error })
}

/// Why the run ends other than well: the policy's cause, the status, and the reason in words.
fn ending(state: &State, plan: &Plan) -> Option<(Cause, Status, String)> {
    if let Some(by) = &state.cancelled_by {
        return Some((Cause::Cancel, Status::Cancelled, format!("cancelled by {by}")));
    }
    if state.is_timed_out {
        let mut error = format!("did not end within its {} s", plan.timeout_secs);
        if let Some((index, step)) = find(state, plan, |step, _| step.status == StepStatus::Timeout) {
            error = format!("{error}: {} {}", name(index, plan), how(step));
        }
        return Some((Cause::Timeout, Status::Timeout, error));
    }
    let is_fatal = |step: &StepState, planned: Option<&PlannedStep>| match step.status {
        StepStatus::Failed | StepStatus::Timeout => !planned.is_some_and(|planned| planned.continue_on_failure),
        // Without anybody's request: the process group was killed from outside Douse's wishes.
        StepStatus::Cancelled => true,
        // `holds` had its say before.
        StepStatus::Interrupted => true,
        StepStatus::Pending | StepStatus::Running | StepStatus::Completed | StepStatus::Skipped => false,
    };
    let (index, step) = find(state, plan, is_fatal)?;
    let (cause, status) = match step.status {
        StepStatus::Timeout => (Cause::Timeout, Status::Timeout),
        StepStatus::Interrupted => (Cause::Interrupted, Status::Failed),
        StepStatus::Pending
        | StepStatus::Running
        | StepStatus::Completed
        | StepStatus::Failed
        | StepStatus::Skipped
        | StepStatus::Cancelled => (Cause::Failure, Status::Failed),
    };
    Some((cause, status, format!("{} {}", name(index, plan), how(step))))
}

fn find<'a>(
    state: &'a State,
    plan: &Plan,
    is: impl Fn(&StepState, Option<&PlannedStep>) -> bool,
) -> Option<(usize, &'a StepState)> {
    state.steps.iter().enumerate().find(|(index, step)| is(step, plan.steps.get(*index)))
}

fn interrupted(index: usize, plan: &Plan, step: &StepState) -> String {
    format!(
        "{} {}. It is not run again by itself; look on `{}`, then release the execution",
        name(index, plan),
        how(step),
        plan.server
    )
}

fn stuck(state: &State, plan: &Plan) -> String {
    let failed: Vec<String> = state
        .undos
        .iter()
        .filter(|undo| undo.state.has_failed())
        .map(|undo| format!("the undo of {} {}", name(undo.step, plan), how(&undo.state)))
        .collect();
    format!("rollback stuck: {}. `{}` stays locked until a person releases it", failed.join(", "), plan.server)
}

fn name(index: usize, plan: &Plan) -> String {
    let name = plan.steps.get(index).map_or("?", |step| step.name.as_str());
    format!("step {} `{name}`", index + 1)
}

fn how(step: &StepState) -> String {
    if let Some((code, message)) = &step.refusal {
        return format!("was not started ({code}): {message}");
    }
    step.outcome.as_ref().map_or_else(|| "did not end well".to_owned(), Outcome::to_string)
}
