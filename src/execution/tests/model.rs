//! Random plans and random hosts: `next` and the machine together, against what a log must look like.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What the world does to one run.
#[derive(Clone, Debug)]
struct World {
    plan: Plan,
    /// Outcomes in the order of the attempts; the last one is repeated.
    outcomes: Vec<(Outcome, u64)>,
    conditions: Vec<bool>,
    cancel_after: Option<usize>,
    halts: Vec<usize>,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        12 => Just(Outcome::Exited(0)),
        4 => (1..3_i32).prop_map(Outcome::Exited),
        1 => Just(Outcome::BadOutput { code: 0, message: "no `pid`".to_owned() }),
        1 => Just(Outcome::Signalled("KILL".to_owned())),
        1 => any::<bool>().prop_map(|is_confirmed| Outcome::TimedOut { is_confirmed }),
        1 => Just(Outcome::Unsent { is_timeout: true }),
        1 => any::<bool>().prop_map(|is_retryable| Outcome::NotStarted {
            reason: "session".to_owned(), message: "refused".to_owned(), is_retryable }),
        1 => Just(Outcome::Lost("reset".to_owned())),
    ]
}

fn planned(index: usize) -> impl Strategy<Value = PlannedStep> {
    let shape = (any::<bool>(), any::<bool>(), any::<bool>(), 1..4_u32, any::<bool>());
    (shape, prop::collection::vec(1..3_i32, 0..2), prop::bool::weighted(0.7)).prop_map(
        move |((go_on, idempotent, has_when, attempts, undo_when), on_exit_codes, has_undo)| {
            let mut step = step(index);
            step.continue_on_failure = go_on;
            step.idempotent = idempotent;
            step.when = has_when.then(|| "c".to_owned());
            step.retry = Retry { attempts, on_exit_codes, ..step.retry };
            let when = undo_when.then(|| "c".to_owned());
            step.undo = has_undo.then(|| PlannedUndo { when, ..undo() });
            step
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let rollback =
        (prop::bool::weighted(0.9), any::<[bool; 5]>()).prop_map(|(enabled, [a, b, c, d, e])| RollbackPolicy {
            enabled,
            after_failure: a,
            after_timeout: b,
            after_cancel: c,
            include_failed: d,
            continue_on_error: e,
        });
    let steps = (1..6_usize).prop_flat_map(|count| (0..count).map(planned).collect::<Vec<_>>());
    (
        (steps, rollback, 20..200_u64),
        prop::collection::vec((outcome(), 0..40_u64), 1..20),
        prop::collection::vec(prop::bool::weighted(0.8), 1..8),
        prop::option::weighted(0.3, 0..12_usize),
        prop::collection::vec(0..12_usize, 0..3),
    )
        .prop_map(|((steps, rollback, timeout_secs), outcomes, conditions, cancel_after, halts)| World {
            plan: Plan { steps, rollback, timeout_secs, ..plan(0) },
            outcomes,
            conditions,
            cancel_after,
            halts,
        })
}

/// Drives a run to where nothing can be done without a person.
fn drive(world: &World) -> Run {
    let mut run = Run::claimed(world.plan.clone());
    let mut outcomes = world.outcomes.iter().cycle();
    let mut conditions = world.conditions.iter().cycle();
    for turn in 0.. {
        assert!(turn < 500, "it does not come to an end: {:?}", run.log);
        if world.cancel_after == Some(turn) {
            let event = Event::CancelRequested { by: "ann".to_owned(), reason: None };
            if apply(run.state.clone(), run.now, &event).is_ok() {
                run.record(event);
            }
        }
        if world.halts.contains(&turn) && run.state.status == Status::Running && run.state.halted_since.is_none() {
            run.record(Event::Halted { reason: "pause".to_owned() });
        }
        match run.next() {
            Effect::Record(event) => run.record(event),
            Effect::EvaluateCondition(place) => run.record(match conditions.next() {
                Some(true) => Event::ConditionMet { place },
                Some(false) => Event::StepSkipped { place },
                None => Event::StepRefused { place, code: "template_error".to_owned(), message: "?".to_owned() },
            }),
            Effect::RunAttempt { place, .. } => {
                let (outcome, secs) = outcomes.next().cloned().unwrap();
                run.attempt(place, secs, outcome);
            }
            Effect::WaitUntil(at) => {
                assert!(at > run.now);
                run.now = at;
            }
            Effect::WaitForRelease => {
                run.pass(1_000);
                run.record(Event::Continued);
            }
            Effect::ReachAgain(message) => {
                let retry_at = run.now;
                run.record(Event::HostUnreachable { retry_at, message });
            }
            Effect::WaitForTurn if run.state.reach_tries > 2 => run.record(Event::GaveUp { message: "?".to_owned() }),
            Effect::WaitForTurn => run.record(Event::Claimed),
            Effect::AwaitAttempt { .. } => panic!("nothing is under way"),
            Effect::WaitForPerson | Effect::Nothing => break,
        }
    }
    run
}

/// Steps that the host saw, in the order of their first such attempt, from the log alone.
fn seen(run: &Run) -> Vec<usize> {
    let mut seen = Vec::new();
    for (_, event) in &run.log {
        if let Event::AttemptFinished { place: Place::Step(index), outcome, .. } = event
            && !matches!(outcome, Outcome::NotStarted { .. } | Outcome::Unsent { .. })
            && !seen.contains(index)
        {
            seen.push(*index);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_undos_are_the_reverse_of_the_steps_that_the_host_saw(world in world()) {
        let run = drive(&world);
        let started: Vec<&Vec<usize>> = run.log.iter().filter_map(|(_, event)| match event {
            Event::RollbackStarted { undos } => Some(undos),
            _ => None,
        }).collect();
        prop_assert!(started.len() <= 1);
        let policy = &world.plan.rollback;
        let ended_well = |index: &usize| run.state.steps[*index].status == StepStatus::Completed;
        let expected: Vec<usize> = seen(&run).into_iter().rev()
            .filter(|index| world.plan.steps[*index].undo.is_some())
            .filter(|index| policy.include_failed || ended_well(index))
            .collect();
        let is_wanted = policy.enabled && match run.state.status {
            Status::Cancelled => policy.after_cancel,
            Status::Timeout => policy.after_timeout,
            Status::Failed if run.state.cancelled_by.is_some() => policy.after_cancel,
            Status::Failed if run.state.is_timed_out => policy.after_timeout,
            Status::Failed => {
                // A stuck rollback makes a time-out `failed` as well; the step tells which it was.
                let timed_out = run.state.steps.iter().zip(&world.plan.steps)
                    .any(|(step, planned)| step.status == StepStatus::Timeout && !planned.continue_on_failure);
                if timed_out { policy.after_timeout } else { policy.after_failure }
            }
            _ => false,
        };
        if let Some(undos) = started.first() {
            prop_assert_eq!(*undos, &expected);
            prop_assert!(is_wanted);
        } else {
            prop_assert!(!is_wanted || expected.is_empty() || run.state.status == Status::Interrupted, "{:?}", run.log);
        }
    }

    #[test]
    fn undos_run_in_their_order_and_stop_at_the_first_failure(world in world()) {
        let run = drive(&world);
        let mut tried = Vec::new();
        let mut failed = false;
        for (_, event) in &run.log {
            match event {
                Event::AttemptStarted { place: Place::Undo(position), number: 1, .. } => {
                    prop_assert!(!failed || world.plan.rollback.continue_on_error);
                    tried.push(*position);
                }
                Event::AttemptFinished { place: Place::Undo(_), after, .. } => {
                    failed |= !matches!(after, After::Completed | After::RetryAt(_));
                }
                _ => {}
            }
        }
        let mut sorted = tried.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(&tried, &sorted);
        prop_assert_eq!(failed, run.state.rollback == RollbackState::Stuck);
        if failed {
            prop_assert_eq!(run.state.status, Status::Failed);
            prop_assert!(run.state.holds_target());
        }
    }

    #[test]
    fn no_step_follows_one_that_failed_for_good(world in world()) {
        let run = drive(&world);
        let mut is_over = false;
        for (_, event) in &run.log {
            match event {
                Event::AttemptStarted { place: Place::Step(_), .. } => prop_assert!(!is_over, "{:?}", run.log),
                Event::AttemptFinished { place: Place::Step(index), after, .. } => match after {
                    After::Failed | After::TimedOut => is_over |= !world.plan.steps[*index].continue_on_failure,
                    After::Interrupted | After::Cancelled => is_over = true,
                    After::Completed | After::RetryAt(_) | After::ReachAgain => {}
                },
                Event::CancelRequested { .. } | Event::TimedOut => is_over = true,
                _ => {}
            }
        }
    }

    #[test]
    fn no_step_is_started_more_often_than_it_may_be(world in world()) {
        let run = drive(&world);
        let mut tries: BTreeMap<usize, u32> = BTreeMap::new();
        for (_, event) in &run.log {
            match event {
                Event::Claimed => tries.clear(),
                Event::AttemptStarted { place: Place::Step(index), .. } => {
                    let planned = &world.plan.steps[*index];
                    let again = if planned.idempotent { crate::limits::LOST_ATTEMPTS_MAX } else { 0 };
                    let tries = tries.entry(*index).or_default();
                    *tries += 1;
                    prop_assert!(*tries <= planned.retry.attempts + again, "{:?}", run.log);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_step_whose_outcome_is_unknown_is_run_again_only_if_it_is_idempotent(world in world()) {
        let run = drive(&world);
        let mut lost = None;
        for (_, event) in &run.log {
            match event {
                Event::AttemptFinished { place: Place::Step(index), outcome: Outcome::Lost(_), .. } => lost = Some(*index),
                Event::AttemptStarted { .. } => if let Some(index) = lost.take() {
                    prop_assert!(world.plan.steps[index].idempotent, "{:?}", run.log);
                },
                _ => {}
            }
        }
    }

    #[test]
    fn a_replay_of_the_log_is_the_state_also_after_every_event(world in world()) {
        let run = drive(&world);
        prop_assert_eq!(&replay(run.log.iter().map(|(at, event)| (*at, event))).unwrap(), &run.state);
        let mut state = begin(run.log[0].0, &run.log[0].1).unwrap();
        for (position, (at, event)) in run.log.iter().enumerate().skip(1) {
            let stored: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
            state = apply(state, *at, &stored).unwrap();
            let head = run.log[..=position].iter().map(|(at, event)| (*at, event));
            prop_assert_eq!(&replay(head).unwrap(), &state);
        }
    }

    #[test]
    fn an_ended_run_is_completed_only_if_every_step_did_well_or_may_fail(world in world()) {
        let run = drive(&world);
        prop_assert!(run.state.status.is_final() || run.state.status == Status::Interrupted);
        let all_well = run.state.steps.iter().zip(&world.plan.steps).all(|(step, planned)| match step.status {
            StepStatus::Completed | StepStatus::Skipped => true,
            StepStatus::Failed | StepStatus::Timeout => planned.continue_on_failure,
            _ => false,
        });
        if run.state.status == Status::Completed {
            prop_assert!(all_well && run.state.cancelled_by.is_none());
        }
        prop_assert!(run.state.steps.iter().all(StepState::is_over) || run.state.status == Status::Interrupted);
        prop_assert_eq!(run.next(), if run.state.status.is_final() { Effect::Nothing } else { Effect::WaitForPerson });
    }
}
