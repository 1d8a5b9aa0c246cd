//! Time-outs, cancels, the kill switch, and connections that end.

use std::time::Duration;

use douse::clock::Timestamp;
use douse::config::Role;
use douse::engine::acts::{self, ActError};
use douse::execution::{Phase, RollbackState, Status, StepStatus};
use douse::id::PauseId;
use douse::store::breakers;
use douse::store::pauses::{self, PauseRow};
use douse::store::{AttemptEnding, CircuitState, LockReason, PauseScope};
use douse::transport::Killed;
use douse::transport::fake::Answer;

use super::bench::{Bench, person};
use crate::store::harness::{self, on_both_engines};

const SLOW: &str = "name: slow
description: Two steps with short time-outs
mode: auto
timeout_seconds: 60
steps:
  - {name: One, command: do one, timeout_seconds: 1, rollback_command: revert one}
  - {name: Two, command: do two, timeout_seconds: 1, rollback_command: revert two}
";

async fn pause(bench: &Bench, scope: PauseScope, name: &str) -> PauseId {
    let row = PauseRow {
        id: PauseId::new(),
        scope,
        name: name.to_owned(),
        reason: "look".to_owned(),
        created_by: "ann".to_owned(),
        created_at: bench.engine.clock.now(),
        until: None,
        resumed_at: None,
        resumed_by: None,
    };
    let id = row.id;
    bench.store.write(move |db| pauses::insert(db, &row)).await.unwrap();
    id
}

async fn resume(bench: &Bench, id: PauseId) {
    let now: Timestamp = bench.engine.clock.now();
    assert!(bench.store.write(move |db| pauses::resume(db, id, "ann", now)).await.unwrap());
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_killed_and_undone() {
    let bench = Bench::new(harness::sqlite().await, &[SLOW]).await;
    bench.transport.on("do two", [Answer::endless().stderr("still at it")]);
    let shown = bench.run(bench.execution("slow", "web1", &[]).await).await;
    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Timeout, RollbackState::Done));
    assert_eq!(
        shown.outputs[0].head.clone() + &shown.outputs[0].tail,
        "still at it\nDouse: after 1 s it did not end in time; its processes were killed\n"
    );
    assert_eq!(shown.step(Phase::Main, "two").status, StepStatus::Timeout);
    let attempt = shown.attempts.iter().find(|attempt| attempt.ending == Some(AttemptEnding::TimedOut)).unwrap();
    assert_eq!(attempt.kill_confirmed, Some(true));
    assert_eq!(shown.attempted(Phase::Rollback), ["two", "one"]);
}

#[tokio::test]
async fn the_executions_own_time_bounds_its_steps() {
    let runbook = SLOW
        .replace("timeout_seconds: 60", "timeout_seconds: 1")
        .replace("timeout_seconds: 1,", "timeout_seconds: 50,");
    let bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
    bench.transport.on("do one", [Answer::endless()]);
    let shown = bench.run(bench.execution("slow", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Timeout);
    assert_eq!(
        shown.error(),
        "did not end within its 1 s: step 1 `One` did not end in time; its processes were killed"
    );
    assert_eq!(shown.attempted(Phase::Rollback), ["one"]);
}

on_both_engines! {
    async fn a_cancel_kills_the_running_step_and_undoes(fixture: Fixture) {
        let bench = Bench::new(fixture, &[SLOW]).await;
        bench.transport.on("do one", [Answer::endless()]);
        let id = bench.execution("slow", "web1", &[]).await;
        bench.start(id).await;
        bench.until(id, |shown| !shown.attempts.is_empty()).await;
        let ann = person("ann", Role::Operator);
        let row = acts::cancel(&bench.engine, id, &ann, Some("wrong host".to_owned())).await.unwrap();
        assert_eq!(row.status, Status::Running);
        let shown = bench.settled(id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Cancelled, RollbackState::Done));
        assert_eq!(shown.step(Phase::Main, "one").status, StepStatus::Cancelled);
        assert_eq!(shown.attempted(Phase::Rollback), ["one"]);
        assert_eq!(shown.loaded.details.cancel_reason.as_deref(), Some("wrong host"));
        assert!(shown.trail().contains(&"CANCEL_REQUESTED"));
        let late = acts::cancel(&bench.engine, id, &ann, None).await.unwrap_err();
        assert!(matches!(late, ActError::Conflict(_)), "{late}");
    }

    async fn the_kill_switch_lets_the_running_command_end_and_starts_nothing_more(fixture: Fixture) {
        let bench = Bench::new(fixture, &[SLOW]).await;
        // Longer than its time-out: the clock must stand still.
        bench.transport.on("do one", [Answer::exit(0).after(Duration::from_millis(2_500))]);
        let id = bench.execution("slow", "web1", &[]).await;
        bench.start(id).await;
        bench.until(id, |shown| !shown.attempts.is_empty()).await;
        let on = pause(&bench, PauseScope::Group, "web").await;
        let shown = bench.until(id, |shown| shown.attempts[0].ending.is_some()).await;
        assert_eq!(shown.step(Phase::Main, "one").status, StepStatus::Completed);
        assert!(shown.loaded.state.halted_since.is_some());
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(bench.transport.commands(), ["do one"], "a step started while the kill switch was on");
        resume(&bench, on).await;
        assert_eq!(bench.settled(id).await.status(), Status::Completed);
        assert_eq!(bench.transport.commands(), ["do one", "do two"]);
    }
}

#[tokio::test]
async fn a_kill_switch_thrown_between_two_steps_is_seen_before_the_next_one() {
    for (scope, name) in [(PauseScope::Global, ""), (PauseScope::Runbook, "slow"), (PauseScope::Server, "web1")] {
        let bench = Bench::new(harness::sqlite().await, &[SLOW]).await;
        bench.transport.on("do one", [Answer::exit(0).after(Duration::from_millis(100))]);
        let id = bench.execution("slow", "web1", &[]).await;
        bench.start(id).await;
        bench.until(id, |shown| !shown.attempts.is_empty()).await;
        let on = pause(&bench, scope, name).await;
        bench.until(id, |shown| shown.loaded.state.halted_since.is_some()).await;
        assert_eq!(bench.transport.commands(), ["do one"], "{scope}");
        // Stopping it does not wait for the release; undoing does.
        acts::cancel(&bench.engine, id, &person("ann", Role::Operator), None).await.unwrap();
        bench.until(id, |shown| shown.loaded.row.phase == Phase::Rollback).await;
        assert_eq!(bench.transport.commands(), ["do one"], "{scope}");
        resume(&bench, on).await;
        assert_eq!(bench.settled(id).await.status(), Status::Cancelled);
        assert_eq!(bench.transport.commands(), ["do one", "revert one"], "{scope}");
    }
}

#[tokio::test]
async fn a_pause_of_something_else_stops_nothing() {
    let bench = Bench::new(harness::sqlite().await, &[SLOW]).await;
    for (scope, name) in [(PauseScope::Runbook, "other"), (PauseScope::Server, "web2"), (PauseScope::Group, "db")] {
        pause(&bench, scope, name).await;
    }
    assert_eq!(bench.run(bench.execution("slow", "web1", &[]).await).await.status(), Status::Completed);
}

on_both_engines! {
    async fn a_lost_connection_interrupts_the_run_and_keeps_its_target(fixture: Fixture) {
        let bench = Bench::new(fixture, &[SLOW]).await;
        bench.transport.on("do two", [Answer::lost()]);
        let id = bench.execution("slow", "web1", &[]).await;
        let shown = bench.run(id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Interrupted, RollbackState::None));
        assert_eq!(shown.locks[0].reason, LockReason::Interrupted);
        assert_eq!(shown.step(Phase::Main, "two").status, StepStatus::Interrupted);
        assert!(shown.error().contains("step 2 `Two`") && shown.error().contains("release"), "{}", shown.error());
        assert_eq!(shown.trail().last(), Some(&"INTERRUPTED"));
        assert_eq!(bench.transport.commands(), ["do one", "do two"], "nothing is undone blindly");

        let ann = person("ann", Role::Operator);
        let early = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap_err();
        assert!(matches!(early, ActError::Conflict(_)), "{early}");
        let row = acts::release(&bench.engine, id, &ann, "it had not run".to_owned()).await.unwrap();
        assert_eq!((row.status, row.released_at.is_some()), (Status::Failed, true));
        let shown = bench.shown(id).await;
        assert!(shown.locks.is_empty());
        assert_eq!(shown.trail()[shown.trail().len() - 3..], ["RELEASED", "STATUS_UPDATED", "FAILED"]);
        let undoing = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap();
        assert_eq!(bench.run(undoing.id).await.attempted(Phase::Rollback), ["two", "one"]);
    }
}

#[tokio::test]
async fn a_step_that_was_stopped_before_it_was_sent_is_not_undone() {
    for (is_cancelled, status) in [(false, Status::Timeout), (true, Status::Cancelled)] {
        let bench = Bench::new(harness::sqlite().await, &[SLOW]).await;
        bench.transport.on("do two", [Answer::endless().killed(Killed::Unsent)]);
        let id = bench.execution("slow", "web1", &[]).await;
        bench.start(id).await;
        if is_cancelled {
            bench.until(id, |shown| shown.attempts.len() == 2).await;
            acts::cancel(&bench.engine, id, &person("ann", Role::Operator), None).await.unwrap();
        }
        let shown = bench.settled(id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (status, RollbackState::Done), "{}", shown.error());
        assert_eq!(shown.attempted(Phase::Rollback), ["one"], "the host never saw the second step");
        assert!(shown.attempts.iter().any(|attempt| attempt.ending == Some(AttemptEnding::NotStarted)));
        assert!(shown.locks.is_empty());
    }
}

#[tokio::test]
async fn what_may_still_run_after_its_kill_is_not_undone_and_keeps_its_target() {
    for is_cancelled in [false, true] {
        let bench = Bench::new(harness::sqlite().await, &[SLOW]).await;
        bench.transport.on("do two", [Answer::endless().killed(Killed::Unconfirmed)]);
        let id = bench.execution("slow", "web1", &[]).await;
        bench.start(id).await;
        let ann = person("ann", Role::Operator);
        if is_cancelled {
            bench.until(id, |shown| shown.attempts.len() == 2).await;
            acts::cancel(&bench.engine, id, &ann, None).await.unwrap();
        }
        let shown = bench.settled(id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Interrupted, RollbackState::None));
        assert_eq!(shown.locks[0].reason, LockReason::Interrupted);
        assert_eq!(bench.transport.commands(), ["do one", "do two"], "it was undone while it may run");
        assert!(shown.error().contains("could not be confirmed"), "{}", shown.error());
        acts::release(&bench.engine, id, &ann, "killed it".to_owned()).await.unwrap();
        let undoing = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap();
        assert_eq!(bench.run(undoing.id).await.attempted(Phase::Rollback), ["two", "one"]);
    }
}

#[tokio::test]
async fn the_release_of_an_interrupted_run_does_not_move_the_breaker() {
    let runbook = format!("{SLOW}guard: {{circuit_breaker: {{failure_threshold: 1}}}}\n");
    let bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
    bench.transport.on("do two", [Answer::lost(), Answer::exit(1)]);
    let id = bench.execution("slow", "web1", &[]).await;
    assert_eq!(bench.run(id).await.status(), Status::Interrupted);
    let breaker = || bench.store.read(|db| Ok(breakers::get(db, "slow")?.map(|row| row.state)));
    acts::release(&bench.engine, id, &person("ann", Role::Operator), "looked".to_owned()).await.unwrap();
    assert_eq!(breaker().await.unwrap().unwrap_or(CircuitState::Closed), CircuitState::Closed);
    assert_eq!(bench.run(bench.execution("slow", "web1", &[]).await).await.status(), Status::Failed);
    assert_eq!(breaker().await.unwrap(), Some(CircuitState::Open), "a run that failed does move it");
}

#[tokio::test]
async fn an_idempotent_step_that_was_lost_is_tried_again() {
    let runbook = SLOW.replace("command: do two,", "command: do two, idempotent: true,");
    let bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
    bench.transport.on("do two", [Answer::lost(), Answer::exit(0)]);
    let shown = bench.run(bench.execution("slow", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert_eq!(bench.transport.commands(), ["do one", "do two", "do two"]);
}
