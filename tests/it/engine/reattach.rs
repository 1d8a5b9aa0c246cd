//! An engine ends in the middle of an attempt: the next one finds the attempt on its host, with the same id.

use std::fs;
use std::time::Duration;

use douse::execution::{Event, Phase, Place, RollbackState, Status, StepStatus};
use douse::store::{AttemptHold, LockReason, events};
use douse::transport::fake::Answer;
use douse::transport::{Ending, Hold, RefusalKind};
use serde_json::json;

use super::bench::Bench;
use crate::store::harness::{self, on_both_engines};
use crate::support::engine::Engine;
use crate::support::sshd::Sshd;
use crate::support::wait::wait_for;

const TWO: &str = "name: two
description: Two steps
mode: auto
steps:
  - {id: one, name: One, command: do one, rollback_command: revert one}
  - {id: two, name: Two, command: do two, rollback_command: revert two}
";

/// Lets an engine end while `part` is under way, and returns the attempt that it left.
async fn die_in(
    bench: &mut Bench,
    part: &str,
    answers: impl FnOnce(&douse::transport::fake::FakeTransport),
) -> (douse::id::ExecutionId, douse::id::AttemptId) {
    bench.transport.on(part, [Answer::endless()]);
    let id = bench.execution("two", "web1", &[]).await;
    bench.start(id).await;
    let is_there = |text: &String| text.contains(part);
    while !bench.transport.commands().last().is_some_and(is_there) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let attempt = bench.transport.calls().last().unwrap().job.attempt;
    bench.die_and_restart_with(answers).await;
    (id, attempt)
}

on_both_engines! {
    async fn a_step_that_was_under_way_ends_with_its_real_exit_code_and_the_run_goes_on(fixture: Fixture) {
        let mut bench = Bench::new(fixture, &[TWO]).await;
        let (id, attempt) = die_in(&mut bench, "do one", |transport| {
            transport.on_found("do one", [Answer::exit(0).stdout("from the host")]);
        })
        .await;
        let shown = bench.settled(id).await;
        assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
        let looked_for = bench.transport.looked_for();
        assert_eq!(looked_for.len(), 1);
        assert_eq!(looked_for[0].job.attempt, attempt, "the same attempt");
        assert!(matches!(looked_for[0].job.hold, Hold::Attach { may_start: true, .. }));
        assert_eq!(bench.transport.commands(), ["do two"], "nothing is begun twice");
        assert!(shown.trail().contains(&"REATTACHED"), "{:?}", shown.trail());
        assert_eq!(shown.attempts.len(), 2);
        assert_eq!(shown.attempts[0].hold, AttemptHold::Held);
        assert_eq!(shown.outputs[0].head, "from the host");
        assert!(bench.transport.forgotten().contains(&attempt));
    }

    async fn a_step_that_was_found_to_have_failed_is_undone_and_an_undo_is_found_as_well(fixture: Fixture) {
        let mut bench = Bench::new(fixture, &[TWO]).await;
        let (id, _) = die_in(&mut bench, "do two", |transport| {
            transport.on_found("do two", [Answer::exit(1)]);
            transport.on("revert two", [Answer::endless()]);
        })
        .await;
        bench.until(id, |shown| matches!(shown.loaded.state.in_flight, Some(flight) if flight.place == Place::Undo(0))).await;
        while bench.transport.commands().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bench.die_and_restart_with(|transport| transport.on_found("revert two", [Answer::exit(0)])).await;
        let shown = bench.settled(id).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Done), "{}", shown.error());
        assert_eq!(bench.transport.commands(), ["revert one"]);
        assert_eq!(shown.step(Phase::Main, "two").exit_code, Some(1));
    }
}

#[tokio::test]
async fn what_the_host_has_lost_follows_the_runbooks_wish() {
    for (wish, status, rollback, commands) in [
        ("hold", Status::Interrupted, RollbackState::None, &[][..]),
        ("rollback", Status::Failed, RollbackState::Done, &["revert two", "revert one"]),
        ("fail", Status::Failed, RollbackState::None, &[]),
    ] {
        let runbook = TWO.replace("mode: auto", &format!("mode: auto\non_interrupted: {wish}"));
        let mut bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
        for ending in [Ending::Lost("no trace".into()), Ending::Rebooted("it was started anew".into())] {
            let (id, _) = die_in(&mut bench, "do two", |transport| {
                transport.on_found("do two", [Answer::ending(ending.clone())]);
            })
            .await;
            let shown = bench.settled(id).await;
            assert_eq!((shown.status(), shown.loaded.row.rollback), (status, rollback), "{wish}: {}", shown.error());
            assert_eq!(bench.transport.commands(), commands, "{wish}");
            assert_eq!(shown.step(Phase::Main, "two").status, StepStatus::Interrupted, "{wish}");
            assert_eq!(
                shown.locks.first().map(|lock| lock.reason),
                (wish == "hold").then_some(LockReason::Interrupted)
            );
            bench.free("web1").await;
        }
    }
}

#[tokio::test]
async fn a_host_that_cannot_hold_an_attempt_runs_it_all_the_same_and_that_is_visible() {
    let bench = Bench::new(harness::sqlite().await, &[TWO]).await;
    bench.transport.on("do one", [Answer::refusal(RefusalKind::Nowhere, "no place"), Answer::exit(0)]);
    let shown = bench.run(bench.execution("two", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    let calls = bench.transport.calls();
    let holds: Vec<Hold> = calls.iter().map(|call| call.job.hold).collect();
    assert_eq!(holds, [Hold::Claim, Hold::None, Hold::Claim]);
    assert_eq!(calls[0].job.attempt, calls[1].job.attempt);
    let kept: Vec<AttemptHold> = shown.attempts.iter().map(|attempt| attempt.hold).collect();
    assert_eq!(kept, [AttemptHold::Weak, AttemptHold::Held]);
    let text = bench.engine.metrics.render().unwrap();
    assert!(text.contains("douse_attempts_unheld_total 1"), "{text}");
}

#[tokio::test]
async fn an_attempt_that_nothing_held_is_lost_and_not_looked_for() {
    let mut bench = Bench::new(harness::sqlite().await, &[TWO]).await;
    bench.transport.on("do one", [Answer::refusal(RefusalKind::Nowhere, "no place"), Answer::endless()]);
    let id = bench.execution("two", "web1", &[]).await;
    bench.start(id).await;
    bench.until(id, |shown| shown.attempts.first().is_some_and(|attempt| attempt.hold == AttemptHold::Weak)).await;
    bench.die_and_restart_with(|_| {}).await;
    assert_eq!(bench.settled(id).await.status(), Status::Interrupted);
    assert!(bench.transport.looked_for().is_empty());
}

#[tokio::test]
async fn a_log_from_before_attempts_were_held_is_not_looked_for() {
    let old: Event = serde_json::from_value(json!({
        "type": "attempt_started", "place": {"step": 0}, "attempt": "0198c1d2-0000-7000-8000-000000000001", "number": 1
    }))
    .unwrap();
    assert!(matches!(old, Event::AttemptStarted { is_held: false, .. }));
}

#[tokio::test]
async fn a_reboot_step_ends_well_on_a_new_boot() {
    let runbook = "name: two
description: Start a host anew
mode: auto
steps:
  - {id: boot, name: Boot, command: systemctl reboot, expect_disconnect: true, timeout_seconds: 600}
  - {id: after, name: After, command: do after}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("reboot", [Answer::ending(Ending::Rebooted("it was started anew".into()))]);
    let id = bench.execution("two", "web1", &[]).await;
    let shown = bench.run(id).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert!(bench.transport.calls()[0].job.awaits_reboot && !bench.transport.calls()[1].job.awaits_reboot);
    let log = bench.store.read(move |db| events::load(db, id)).await.unwrap();
    assert!(log.iter().any(|row| row.event_json.0.to_string().contains("rebooted")));
}

const LIMIT: Duration = Duration::from_secs(60);

/// The whole program, killed in the middle of a step, and the real host.
fn killed_in_the_middle(exit: i32, storage: Option<&str>) {
    let sshd = Sshd::start();
    let dir = sshd.dir().display().to_string();
    let runbook = format!(
        "name: slow
description: A step that outlives the engine
mode: auto
steps:
  - name: First
    command: 'echo first >> {dir}/log'
    rollback_command: 'echo undo first >> {dir}/log'
  - name: Slow
    command: 'echo slow >> {dir}/log; echo begun; until [ -e {dir}/go ]; do sleep 0.05; done; echo ended; exit {exit}'
    rollback_command: 'echo undo slow >> {dir}/log'
  - name: Last
    command: 'echo last >> {dir}/log'
"
    );
    let mut setup = Engine::setup().server(sshd.server_yaml("web1")).runbook("slow.yml", &runbook);
    if let Some(url) = storage {
        setup = setup.storage(url);
    }
    let mut engine = setup.start();
    let answer = engine.post("/api/v1/runbooks/slow/execute", &json!({"server": "web1", "reason": "test"}));
    assert!(answer.status < 300, "{}", answer.text);
    let id = answer.json()["id"].as_str().map(str::to_owned).unwrap_or_else(|| engine.wait_execution("slow", LIMIT));
    let log = || fs::read_to_string(sshd.dir().join("log")).unwrap_or_default();
    wait_for("the slow step runs", LIMIT, || log().contains("slow").then_some(()));
    engine.kill();
    if exit != 0 {
        // It ends while nobody is there.
        fs::write(sshd.dir().join("go"), "").unwrap();
    }
    engine.start();
    fs::write(sshd.dir().join("go"), "").unwrap();
    let ended = engine.wait_status(&id, if exit == 0 { "completed" } else { "failed" }, LIMIT);
    let step = &ended["steps"][1];
    assert_eq!((step["exit_code"].as_i64(), step["stdout"].as_str()), (Some(i64::from(exit)), Some("begun\nended\n")));
    assert_eq!(step["hold"], "held");
    let expected = if exit == 0 { "first\nslow\nlast\n" } else { "first\nslow\nundo slow\nundo first\n" };
    assert_eq!(log(), expected, "each ran once");
}

#[test]
fn an_engine_that_is_killed_in_a_step_finishes_it_after_its_start() {
    killed_in_the_middle(0, None);
}

#[test]
fn a_step_that_failed_while_the_engine_was_away_is_undone() {
    killed_in_the_middle(7, None);
}
