//! Undos that fail, and undoing by hand.

use douse::config::Role;
use douse::engine::acts::{self, ActError};
use douse::execution::{Origin, Phase, RollbackState, Status, StepStatus};
use douse::store::LockReason;
use douse::transport::fake::Answer;

use crate::engine::bench::{Bench, person};
use crate::store::harness::{self, on_both_engines};

const THREE: &str = "name: three
description: Three steps that can be undone
mode: auto
steps:
  - {name: One, command: do one, rollback_command: revert one}
  - {name: Two, command: do two, rollback_command: revert two}
  - {name: Three, command: do three, rollback_command: revert three}
";

on_both_engines! {
    async fn a_failing_undo_is_stuck_and_its_target_stays_locked_until_a_release(fixture: Fixture) {
        let bench = Bench::new(fixture, &[THREE]).await;
        bench.transport.on("do three", [Answer::exit(1)]);
        bench.transport.on("revert two", [Answer::exit(7).stderr("cannot")]);
        let id = bench.execution("three", "web1", &[]).await;
        let shown = bench.run(id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Stuck));
        assert_eq!(shown.attempted(Phase::Rollback), ["three", "two"]);
        assert_eq!(shown.step(Phase::Rollback, "one").status, StepStatus::Skipped);
        let [lock] = shown.locks.as_slice() else { panic!("{:?}", shown.locks) };
        assert_eq!((lock.execution_id, lock.reason), (id, LockReason::Stuck));
        assert!(shown.error().contains("the undo of step 2 `Two` ended with exit code 7"), "{}", shown.error());

        let other = bench.execution("three", "web1", &[]).await;
        assert!(!bench.try_start(other).await, "a stuck target was taken");

        let ann = person("ann", Role::Operator);
        let without = acts::release(&bench.engine, id, &ann, "  ".to_owned()).await.unwrap_err();
        assert!(matches!(without, ActError::Invalid(_)), "{without}");
        let row = acts::release(&bench.engine, id, &ann, "restarted by hand".to_owned()).await.unwrap();
        assert!(row.released_at.is_some());
        assert_eq!((row.status, row.rollback), (Status::Failed, RollbackState::Stuck));
        assert!(bench.shown(id).await.trail().ends_with(&["FAILED", "RELEASED"]));
        let again = acts::release(&bench.engine, id, &ann, "again".to_owned()).await.unwrap_err();
        assert!(matches!(again, ActError::Conflict(_)), "{again}");
        assert!(bench.try_start(other).await);
        assert_eq!(bench.settled(other).await.status(), Status::Failed);
    }

    async fn a_rollback_by_hand_undoes_what_is_left(fixture: Fixture) {
        let bench = Bench::new(fixture, &[THREE]).await;
        bench.transport.on("do three", [Answer::exit(1)]);
        bench.transport.on("revert two", [Answer::exit(7), Answer::exit(0)]);
        let id = bench.execution("three", "web1", &[]).await;
        bench.run(id).await;
        let ann = person("ann", Role::Operator);
        let locked = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap_err();
        assert!(matches!(locked, ActError::Conflict(_)), "{locked}");
        acts::release(&bench.engine, id, &ann, "looked".to_owned()).await.unwrap();

        let made = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap();
        assert_eq!((made.origin, made.status, made.approved_by.as_deref()), (Origin::Rollback, Status::Approved, Some("ann")));
        let second = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap_err();
        assert!(matches!(second, ActError::Conflict(_)), "{second}");
        let shown = bench.run(made.id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Completed, RollbackState::Done));
        assert_eq!(shown.attempted(Phase::Rollback), ["two", "one"], "`three` was undone already");
        assert!(shown.attempted(Phase::Main).is_empty());
        assert_eq!(shown.loaded.details.rollback_of, Some(id));
        assert!(shown.locks.is_empty());
    }
}

#[tokio::test]
async fn a_second_rollback_by_hand_does_not_repeat_what_the_first_has_undone() {
    let bench = Bench::new(harness::sqlite().await, &[THREE]).await;
    let id = bench.execution("three", "web1", &[]).await;
    bench.engine.secrets.keep(id, [("password".to_owned(), "correct horse".to_owned())].into());
    assert_eq!(bench.run(id).await.status(), Status::Completed);
    bench.transport.on("revert two", [Answer::exit(7), Answer::exit(0).stdout("correct horse")]);
    let ann = person("ann", Role::Operator);
    let first = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap();
    let shown = bench.run(first.id).await;
    assert_eq!(shown.loaded.row.rollback, RollbackState::Stuck);
    assert_eq!(shown.attempted(Phase::Rollback), ["three", "two"]);
    acts::release(&bench.engine, first.id, &ann, "looked".to_owned()).await.unwrap();
    let second = acts::roll_back(&bench.engine, id, &ann, None).await.unwrap();
    let shown = bench.run(second.id).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert_eq!(shown.attempted(Phase::Rollback), ["two", "one"], "`three` was undone by the first");
    assert_eq!(shown.outputs[0].head, "<secret>", "the secrets of the run are those of its rollback");
}

#[tokio::test]
async fn a_completed_run_can_be_undone_by_hand() {
    let bench = Bench::new(harness::sqlite().await, &[THREE]).await;
    let id = bench.execution("three", "web1", &[]).await;
    assert_eq!(bench.run(id).await.status(), Status::Completed);
    let made = acts::roll_back(&bench.engine, id, &person("ann", Role::Operator), None).await.unwrap();
    let shown = bench.run(made.id).await;
    assert_eq!(shown.attempted(Phase::Rollback), ["three", "two", "one"]);
    assert_eq!(bench.transport.commands().split_off(3), ["revert three", "revert two", "revert one"]);
}

#[tokio::test]
async fn continue_on_error_runs_the_other_undos_and_is_stuck_all_the_same() {
    let runbook = format!("{THREE}rollback: {{continue_on_error: true}}\n");
    let bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
    bench.transport.on("do three", [Answer::exit(1)]);
    bench.transport.on("revert two", [Answer::exit(7)]);
    let shown = bench.run(bench.execution("three", "web1", &[]).await).await;
    assert_eq!(shown.loaded.row.rollback, RollbackState::Stuck);
    assert_eq!(shown.attempted(Phase::Rollback), ["three", "two", "one"]);
}

#[tokio::test]
async fn strategy_none_and_switched_off_causes_undo_nothing() {
    for policy in ["rollback: {strategy: none}", "rollback: {after: [timeout, cancel]}"] {
        let runbook = format!("{THREE}{policy}\n");
        let bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
        bench.transport.on("do three", [Answer::exit(1)]);
        let shown = bench.run(bench.execution("three", "web1", &[]).await).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::None), "{policy}");
        assert_eq!(bench.transport.commands(), ["do one", "do two", "do three"], "{policy}");
    }
}
