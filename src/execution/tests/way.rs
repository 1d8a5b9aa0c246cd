//! The way of an execution, told step by step.

use super::*;

const OK: Outcome = Outcome::Exited(0);
const BAD: Outcome = Outcome::Exited(1);

fn unreachable() -> Outcome {
    Outcome::NotStarted { reason: "unreachable".to_owned(), message: "no route".to_owned(), is_retryable: true }
}

fn undone(run: &Run) -> Vec<usize> {
    run.state.undos.iter().map(|undo| undo.step).collect()
}

#[test]
fn every_step_in_order_then_completed() {
    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, OK);
    assert_eq!(run.settle(), Effect::Nothing);
    assert_eq!((run.state.status, run.state.rollback), (Status::Completed, RollbackState::None));
}

#[test]
fn a_failed_step_is_undone_with_those_before_it_and_the_rest_is_skipped() {
    let mut run = Run::claimed(plan(3));
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, BAD);
    run.settle();
    assert_eq!(undone(&run), [1, 0]);
    run.attempt(Place::Undo(0), 1, OK);
    run.attempt(Place::Undo(1), 1, OK);
    assert_eq!(run.settle(), Effect::Nothing);
    assert_eq!((run.state.status, run.state.rollback), (Status::Failed, RollbackState::Done));
    assert_eq!(run.state.steps[2].status, StepStatus::Skipped);
    assert_eq!(run.state.error.as_deref(), Some("step 2 `S1` ended with exit code 1"));
}

#[test]
fn without_include_failed_only_what_ended_well_is_undone() {
    let mut run = Run::claimed(Plan { rollback: RollbackPolicy { include_failed: false, ..policy() }, ..plan(2) });
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, BAD);
    run.settle();
    assert_eq!(undone(&run), [0]);
}

#[test]
fn a_step_that_the_host_never_saw_is_not_undone() {
    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, unreachable());
    run.settle();
    assert_eq!(undone(&run), [0]);

    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, OK);
    run.record(Event::StepRefused {
        place: Place::Step(1),
        code: "unsafe_value".to_owned(),
        message: "`steps.s0.stdout` has a `;`".to_owned(),
    });
    run.settle();
    assert_eq!(undone(&run), [0]);
}

#[test]
fn a_host_that_is_lost_before_the_first_step_sends_the_execution_back() {
    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, unreachable());
    assert!(matches!(run.next(), Effect::ReachAgain(_)), "{:?}", run.next());
    let retry_at = run.now.plus(Duration::from_secs(60));
    run.record(Event::HostUnreachable { retry_at, message: "no route".to_owned() });
    assert_eq!((run.state.status, run.state.next_try_at), (Status::Approved, Some(retry_at)));
    assert_eq!(run.state.steps[0].status, StepStatus::Pending);
    run.record(Event::Claimed);
    run.attempt(Place::Step(0), 1, OK);
    assert_eq!(run.state.steps[0].attempts, 2);
}

#[test]
fn what_was_run_on_the_host_never_goes_back_to_approved() {
    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, unreachable());
    let back = Event::HostUnreachable { retry_at: run.now, message: String::new() };
    apply(run.state.clone(), run.now, &back).unwrap_err();
}

#[test]
fn a_step_is_tried_again_after_its_delay_with_backoff() {
    let mut plan = plan(1);
    plan.steps[0].retry.attempts = 3;
    let mut run = Run::claimed(plan);
    run.attempt(Place::Step(0), 0, BAD);
    assert_eq!(run.next(), Effect::WaitUntil(run.now.plus(Duration::from_secs(5))));
    run.pass(5);
    run.attempt(Place::Step(0), 0, BAD);
    assert_eq!(run.next(), Effect::WaitUntil(run.now.plus(Duration::from_secs(10))));
    run.pass(10);
    run.attempt(Place::Step(0), 0, OK);
    run.settle();
    assert_eq!(run.state.status, Status::Completed);
}

#[test]
fn only_the_named_exit_codes_are_tried_again() {
    let mut plan = plan(1);
    plan.steps[0].retry = Retry { attempts: 3, on_exit_codes: vec![75], ..plan.steps[0].retry.clone() };
    let mut run = Run::claimed(plan);
    run.attempt(Place::Step(0), 0, Outcome::Exited(75));
    run.pass(5);
    run.attempt(Place::Step(0), 0, BAD);
    assert_eq!(run.state.steps[0].status, StepStatus::Failed);
}

#[test]
fn a_process_that_may_still_run_is_not_started_a_second_time() {
    let mut plan = plan(1);
    plan.steps[0].retry.attempts = 3;
    let mut run = Run::claimed(plan.clone());
    run.attempt(Place::Step(0), 60, Outcome::TimedOut { is_confirmed: false });
    assert_eq!(run.state.steps[0].status, StepStatus::Interrupted);
    let mut run = Run::claimed(plan);
    run.attempt(Place::Step(0), 60, Outcome::TimedOut { is_confirmed: true });
    assert_eq!(run.state.steps[0].status, StepStatus::Running);
}

#[test]
fn what_may_still_run_is_not_undone_and_keeps_its_target() {
    for is_cancelled in [false, true] {
        let mut run = Run::claimed(plan(2));
        run.attempt(Place::Step(0), 1, OK);
        let (place, attempt) = (Place::Step(1), AttemptId::new());
        run.record(Event::AttemptStarted { place, attempt, number: 1, is_held: true });
        if is_cancelled {
            run.record(Event::CancelRequested { by: "ann".to_owned(), reason: None });
        }
        let is_confirmed = false;
        let outcome =
            if is_cancelled { Outcome::Cancelled { is_confirmed } } else { Outcome::TimedOut { is_confirmed } };
        let after = retry::judge(&run.state, &run.plan, place, &outcome, run.now);
        run.record(Event::AttemptFinished { place, attempt, outcome, after });
        assert_eq!(run.settle(), Effect::WaitForPerson);
        assert_eq!((run.state.status, run.state.rollback), (Status::Interrupted, RollbackState::None));
        assert!(run.state.holds_target());
        run.record(Event::Released { by: "ann".to_owned(), reason: "killed it".to_owned() });
        assert!(run.state.status.is_final() && !run.state.holds_target());
    }
}

#[test]
fn a_steps_time_is_bounded_by_what_is_left_of_the_executions() {
    let mut run = Run::claimed(Plan { timeout_secs: 70, ..plan(3) });
    run.attempt(Place::Step(0), 30, OK);
    let left = Duration::from_secs(40);
    assert_eq!(run.next(), Effect::RunAttempt { place: Place::Step(1), number: 1, timeout: left });
    run.attempt(Place::Step(1), 40, OK);
    assert_eq!(run.next(), Effect::Record(Event::TimedOut));
    run.settle();
    assert_eq!(undone(&run), [1, 0]);
    run.attempt(Place::Undo(0), 500, OK);
    run.attempt(Place::Undo(1), 1, OK);
    run.settle();
    assert_eq!((run.state.status, run.state.rollback), (Status::Timeout, RollbackState::Done));
}

#[test]
fn the_kill_switch_stops_the_clock_and_the_next_step() {
    let mut run = Run::claimed(Plan { timeout_secs: 70, ..plan(2) });
    run.attempt(Place::Step(0), 30, OK);
    run.record(Event::Halted { reason: "pause".to_owned() });
    run.pass(3_600);
    assert_eq!(run.next(), Effect::WaitForRelease);
    run.record(Event::Continued);
    assert_eq!(run.next(), Effect::RunAttempt { place: Place::Step(1), number: 1, timeout: Duration::from_secs(40) });
}

#[test]
fn rollback_obeys_the_kill_switch_too() {
    let mut run = Run::claimed(plan(1));
    run.attempt(Place::Step(0), 1, BAD);
    run.record(Event::Halted { reason: "pause".to_owned() });
    assert_eq!(run.settle(), Effect::WaitForRelease);
    assert_eq!(run.state.phase, Phase::Rollback);
}

#[test]
fn cancel_kills_the_step_and_then_the_policy_rules() {
    for after_cancel in [true, false] {
        let mut run = Run::claimed(Plan { rollback: RollbackPolicy { after_cancel, ..policy() }, ..plan(2) });
        let attempt = AttemptId::new();
        run.record(Event::AttemptStarted { place: Place::Step(0), attempt, number: 1, is_held: true });
        run.record(Event::CancelRequested { by: "ann".to_owned(), reason: None });
        assert_eq!(run.next(), Effect::AwaitAttempt { place: Place::Step(0), attempt });
        let outcome = Outcome::Cancelled { is_confirmed: true };
        run.record(Event::AttemptFinished { place: Place::Step(0), attempt, outcome, after: After::Cancelled });
        run.settle();
        assert_eq!(undone(&run), if after_cancel { vec![0] } else { vec![] });
        if after_cancel {
            run.attempt(Place::Undo(0), 1, OK);
            run.settle();
        }
        assert_eq!(run.state.status, Status::Cancelled);
        assert_eq!(run.state.steps[0].status, StepStatus::Cancelled);
    }
}

#[test]
fn a_failing_undo_is_stuck_until_a_person_releases_it() {
    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, BAD);
    run.settle();
    run.attempt(Place::Undo(0), 1, BAD);
    assert_eq!(run.settle(), Effect::Nothing);
    assert_eq!((run.state.status, run.state.rollback), (Status::Failed, RollbackState::Stuck));
    assert_eq!(run.state.undos[1].state.status, StepStatus::Skipped);
    assert!(run.state.holds_target());
    insta::assert_snapshot!(run.state.error.clone().unwrap(), @"step 2 `S1` ended with exit code 1; rollback stuck: the undo of step 2 `S1` ended with exit code 1. `web1` stays locked until a person releases it");
    run.record(Event::Released { by: "ann".to_owned(), reason: "looked".to_owned() });
    assert!(!run.state.holds_target());
    assert_eq!(run.state.rollback, RollbackState::Stuck);
}

#[test]
fn continue_on_error_runs_the_other_undos_and_is_stuck_all_the_same() {
    let mut run = Run::claimed(Plan { rollback: RollbackPolicy { continue_on_error: true, ..policy() }, ..plan(2) });
    run.attempt(Place::Step(0), 1, OK);
    run.attempt(Place::Step(1), 1, BAD);
    run.settle();
    run.attempt(Place::Undo(0), 1, BAD);
    run.attempt(Place::Undo(1), 1, OK);
    run.settle();
    assert_eq!((run.state.status, run.state.rollback), (Status::Failed, RollbackState::Stuck));
}

#[test]
fn a_lost_step_is_interrupted_and_keeps_its_target() {
    let mut run = Run::claimed(plan(2));
    run.attempt(Place::Step(0), 1, Outcome::Lost("connection reset".to_owned()));
    assert_eq!(run.settle(), Effect::WaitForPerson);
    assert_eq!(run.state.status, Status::Interrupted);
    assert!(run.state.holds_target() && run.state.undos.is_empty());
    run.record(Event::Released { by: "ann".to_owned(), reason: "looked".to_owned() });
    assert_eq!((run.state.status, run.state.holds_target()), (Status::Failed, false));
}

#[test]
fn a_lost_step_that_is_asked_to_stop_is_interrupted_all_the_same() {
    let mut run = Run::claimed(plan(1));
    let attempt = AttemptId::new();
    run.record(Event::AttemptStarted { place: Place::Step(0), attempt, number: 1, is_held: true });
    run.record(Event::CancelRequested { by: "ann".to_owned(), reason: None });
    let outcome = Outcome::Lost("reset".to_owned());
    run.record(Event::AttemptFinished { place: Place::Step(0), attempt, outcome, after: After::Interrupted });
    run.settle();
    assert_eq!(run.state.status, Status::Interrupted);
}

#[test]
fn an_idempotent_step_that_was_lost_is_run_again_but_not_for_ever() {
    let mut plan = plan(1);
    plan.steps[0].idempotent = true;
    let mut run = Run::claimed(plan);
    let mut attempts = 0;
    while run.state.status == Status::Running {
        match run.settle() {
            Effect::RunAttempt { .. } => run.attempt(Place::Step(0), 1, Outcome::Lost("reset".to_owned())),
            Effect::WaitUntil(at) => {
                run.now = at;
                continue;
            }
            other => {
                assert_eq!(other, Effect::WaitForPerson);
                continue;
            }
        }
        attempts += 1;
    }
    assert_eq!((attempts, run.state.status), (crate::limits::LOST_ATTEMPTS_MAX, Status::Interrupted));
}

#[test]
fn a_rollback_by_hand_runs_only_the_undos_it_was_made_for() {
    let mut run = Run::claimed(plan(3));
    for index in 0..3 {
        run.attempt(Place::Step(index), 1, OK);
    }
    run.settle();
    let undoes = rollback::order_by_hand(&run.state, &[], &run.plan);
    assert_eq!(undoes, [2, 1, 0]);

    let mut run = Run::created(plan(3), Some(undoes));
    run.record(Event::Claimed);
    run.settle();
    for position in 0..3 {
        run.attempt(Place::Undo(position), 1, OK);
    }
    run.settle();
    assert_eq!((run.state.status, run.state.rollback), (Status::Completed, RollbackState::Done));
    assert!(run.state.started.is_empty());
}

#[test]
fn a_false_condition_skips_the_step_and_its_undo() {
    let mut plan = plan(2);
    plan.steps[0].when = Some("params.deep".to_owned());
    let mut run = Run::claimed(plan);
    assert_eq!(run.next(), Effect::EvaluateCondition(Place::Step(0)));
    run.record(Event::StepSkipped { place: Place::Step(0) });
    run.attempt(Place::Step(1), 1, BAD);
    run.settle();
    assert_eq!(undone(&run), [1]);
}

#[test]
fn an_undo_whose_host_does_not_answer_is_tried_a_few_times() {
    let mut run = Run::claimed(plan(1));
    run.attempt(Place::Step(0), 1, BAD);
    run.settle();
    for _ in 1..crate::limits::UNDO_REACH_TRIES {
        run.attempt(Place::Undo(0), 1, unreachable());
        assert!(matches!(run.settle(), Effect::WaitUntil(_)));
        run.now = run.now.plus(crate::limits::UNDO_REACH_DELAY);
    }
    run.attempt(Place::Undo(0), 1, unreachable());
    run.settle();
    assert_eq!(run.state.rollback, RollbackState::Stuck);
}
