//! What starts, what waits, and hosts that cannot be reached before anything was run.

use std::collections::BTreeMap;
use std::time::Duration;

use douse::config::Role;
use douse::engine::dispatch::start_due;
use douse::engine::gating::{self, RunRequest};
use douse::engine::record;
use douse::execution::{Origin, Status};
use douse::id::ExecutionId;
use douse::store::executions;
use douse::transport::RefusalKind;
use douse::transport::fake::Answer;

use super::bench::{Bench, person};
use crate::store::harness::{self, on_both_engines};

/// A runbook of one step that anybody may run on any server.
fn runbook(name: &str, more: &str) -> String {
    format!(
        "name: {name}\ndescription: One step\nmode: auto\n{more}steps: [{{name: One, command: do {name}, rollback_command: revert}}]\n\
         guard: {{recently_remediated: 0s}}\n"
    )
}

/// Asks for a run as a person does; the gates let it through.
async fn ask(bench: &Bench, runbook: &str, server: &str) -> ExecutionId {
    let (policy, now) = (bench.engine.policy(), bench.engine.clock.now());
    let wanted = RunRequest {
        runbook: runbook.to_owned(),
        server: Some(server.to_owned()),
        parameters: BTreeMap::new(),
        incident: None,
        reason: None,
        by: person("ann", Role::Operator),
        dry_run: false,
        retry_of: None,
        idempotency: None,
    };
    let asked = bench.store.write(move |db| gating::request(db, &policy, &wanted, now)).await.unwrap();
    let evaluation = asked.evaluation.clone();
    asked.execution.unwrap_or_else(|| panic!("{evaluation:#?}")).id
}

async fn dispatch(bench: &Bench) -> usize {
    start_due(&bench.engine, &bench.tasks).await.unwrap()
}

on_both_engines! {
    async fn a_host_that_is_not_reached_is_tried_again_until_it_is(fixture: Fixture) {
        let text = runbook("one", "max_retries: 5\nretry_delay_seconds: 1\n");
        let bench = Bench::new(fixture, &[&text]).await;
        bench.transport.set_reachable("web1", false);
        let id = ask(&bench, "one", "web1").await;
        assert_eq!(dispatch(&bench).await, 1);
        let shown = bench.until(id, |shown| shown.loaded.row.next_try_at.is_some()).await;
        assert_eq!((shown.status(), shown.loaded.details.connect_tries), (Status::Approved, 1));
        assert!(shown.error().contains("web1"), "{}", shown.error());
        assert!(shown.attempts.is_empty() && shown.locks.is_empty());
        bench.idle(id).await;
        assert_eq!(dispatch(&bench).await, 0, "it is not due");
        bench.transport.set_reachable("web1", true);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(dispatch(&bench).await, 1);
        assert_eq!(bench.settled(id).await.status(), Status::Completed);
    }

    async fn what_was_put_back_too_often_fails_and_has_run_nothing(fixture: Fixture) {
        let text = runbook("one", "max_retries: 1\nretry_delay_seconds: 1\n");
        let bench = Bench::new(fixture, &[&text]).await;
        bench.transport.set_reachable("web1", false);
        let id = ask(&bench, "one", "web1").await;
        dispatch(&bench).await;
        bench.until(id, |shown| shown.loaded.row.next_try_at.is_some()).await;
        bench.idle(id).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(dispatch(&bench).await, 1);
        let shown = bench.settled(id).await;
        assert_eq!(shown.status(), Status::Failed);
        assert!(shown.error().contains("given up after 2 tries"), "{}", shown.error());
        assert!(bench.transport.commands().is_empty());
        assert_eq!(shown.trail().last(), Some(&"FAILED"));
    }
}

#[tokio::test]
async fn a_run_is_counted_once_while_it_runs_and_its_refusals_by_the_transport_alone() {
    let text = runbook("one", "max_retries: 5\nretry_delay_seconds: 60\n");
    let bench = Bench::new(harness::sqlite().await, &[&text]).await;
    let counted = |line: &str| bench.engine.metrics.render().unwrap().lines().any(|shown| shown == line);
    bench.transport.on("do one", [Answer::exit(0).after(Duration::from_millis(300))]);
    let id = ask(&bench, "one", "web1").await;
    dispatch(&bench).await;
    bench.until(id, |shown| !shown.attempts.is_empty()).await;
    assert!(counted("douse_executions_in_flight 1"), "{}", bench.engine.metrics.render().unwrap());
    bench.settled(id).await;
    bench.idle(id).await;
    assert!(counted("douse_executions_in_flight 0"), "{}", bench.engine.metrics.render().unwrap());

    bench.transport.on("do one", [Answer::refusal(RefusalKind::Unreachable, "no route to web2")]);
    let id = ask(&bench, "one", "web2").await;
    dispatch(&bench).await;
    bench.until(id, |shown| shown.loaded.row.next_try_at.is_some()).await;
    bench.idle(id).await;
    // The scripted transport counts nothing, as the one for SSH does.
    let text = bench.engine.metrics.render().unwrap();
    assert!(!text.contains("douse_ssh_errors_total{reason=\"unreachable\"}"), "{text}");
    assert!(counted("douse_executions_in_flight 0"), "{text}");
}

#[tokio::test]
async fn a_refusal_that_time_does_not_mend_fails_at_once() {
    let text = runbook("one", "");
    let bench = Bench::new(harness::sqlite().await, &[&text]).await;
    bench.transport.on("do one", [Answer::refusal(RefusalKind::HostKeyChanged, "web1 shows another key")]);
    let id = ask(&bench, "one", "web1").await;
    dispatch(&bench).await;
    let shown = bench.settled(id).await;
    assert_eq!(shown.status(), Status::Failed);
    assert!(shown.error().contains("another key"), "{}", shown.error());
    assert!(shown.loaded.state.undos.is_empty(), "the host saw nothing that could be undone");
}

#[tokio::test]
async fn how_long_a_host_is_tried_counts_from_the_first_try_in_vain() {
    let text = runbook("one", "");
    let bench = Bench::with_virtual_time(harness::sqlite().await, &[&text]).await;
    bench.transport.set_reachable("web1", false);
    let id = ask(&bench, "one", "web1").await;
    // It was approved, and held for long.
    bench.engine.clock.advance(Duration::from_secs(5 * 3_600));
    assert_eq!(dispatch(&bench).await, 1);
    let shown = bench.until(id, |shown| shown.loaded.row.next_try_at.is_some() || shown.status().is_final()).await;
    assert_eq!(shown.status(), Status::Approved, "{}", shown.error());
    bench.idle(id).await;
    bench.engine.clock.advance(Duration::from_secs(3_600));
    assert_eq!(dispatch(&bench).await, 1);
    let shown = bench.settled(id).await;
    assert_eq!(shown.status(), Status::Failed);
    assert!(shown.error().contains("given up after 2 tries"), "{}", shown.error());
}

#[tokio::test]
async fn a_cancel_while_the_host_is_waited_for_is_final() {
    let text = runbook("one", "max_retries: 5\nretry_delay_seconds: 60\n");
    let bench = Bench::new(harness::sqlite().await, &[&text]).await;
    bench.transport.set_reachable("web1", false);
    let id = ask(&bench, "one", "web1").await;
    dispatch(&bench).await;
    bench.until(id, |shown| shown.loaded.row.next_try_at.is_some()).await;
    let row = douse::engine::acts::cancel(&bench.engine, id, &person("ann", Role::Operator), None).await.unwrap();
    assert_eq!((row.status, row.next_try_at), (Status::Cancelled, None));
}

#[tokio::test]
async fn no_more_run_at_once_than_may_and_the_runbooks_take_turns() {
    let (one, two) = (runbook("one", ""), runbook("two", ""));
    let bench = Bench::with_limits(harness::sqlite().await, &[&one, &two], "executions: 2").await;
    for part in ["do one", "do two"] {
        bench.transport.on(part, [Answer::exit(0).after(Duration::from_millis(300))]);
    }
    let mut asked = Vec::new();
    for server in ["web1", "web2", "web3"] {
        asked.push(ask(&bench, "one", server).await);
    }
    asked.push(ask(&bench, "two", "web4").await);
    assert_eq!(dispatch(&bench).await, 2);
    assert_eq!(dispatch(&bench).await, 0, "there is no free slot");
    let last = asked[3];
    let shown = bench.until(last, |shown| shown.status() != Status::Approved).await;
    assert!(shown.loaded.row.started_at.is_some(), "three of another runbook were before it");
    let waiting = bench.store.read(|db| executions::count_in(db, Status::Approved)).await.unwrap();
    assert_eq!(waiting, 2);
    for id in asked {
        bench.until(id, |shown| shown.status() == Status::Completed || shown.status() == Status::Approved).await;
        bench.idle(id).await;
        dispatch(&bench).await;
    }
}

#[tokio::test]
async fn a_retry_is_a_new_execution_of_the_same_for_which_the_gates_are_asked() {
    let text = runbook("one", "");
    let bench = Bench::new(harness::sqlite().await, &[&text]).await;
    bench.transport.on("do one", [Answer::exit(1), Answer::exit(0)]);
    let id = ask(&bench, "one", "web1").await;
    let ann = person("ann", Role::Operator);
    let early = gating::retry(&bench.engine, id, &ann, None).await.unwrap_err();
    assert!(matches!(early, douse::engine::acts::ActError::Conflict(_)), "{early}");
    dispatch(&bench).await;
    assert_eq!(bench.settled(id).await.status(), Status::Failed);
    bench.idle(id).await;
    let again = gating::retry(&bench.engine, id, &ann, Some("fixed".to_owned())).await.unwrap();
    let again = again.execution.unwrap_or_else(|| panic!("{:#?}", again.evaluation)).id;
    dispatch(&bench).await;
    let shown = bench.settled(again).await;
    assert_eq!((shown.status(), shown.loaded.row.origin), (Status::Completed, Origin::Retry));
    assert_eq!(shown.loaded.details.retry_of, Some(id));
    let first = bench.store.read(move |db| record::load(db, id)).await.unwrap();
    assert_eq!(first.row.status, Status::Failed);
}
