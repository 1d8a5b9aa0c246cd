//! Runs from the first step to the end.

use douse::execution::{Phase, RollbackState, Status, StepStatus};
use douse::store::AttemptEnding;
use douse::transport::RefusalKind;
use douse::transport::fake::Answer;

use super::bench::Bench;
use crate::store::harness::{self, on_both_engines};

const TWO: &str = "name: two
description: Two steps
mode: auto
steps:
  - {name: One, command: do one, rollback_command: revert one}
  - {name: Two, command: do two, rollback_command: revert two}
";

on_both_engines! {
    async fn a_good_run_leaves_the_seeds_audit_trail(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do one", [Answer::exit(0).stdout("hello\n")]);
        let shown = bench.run(bench.execution("two", "web1", &[]).await).await;
        assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
        assert_eq!(shown.trail(), [
            "PLANNED", "STEP_STARTED", "STEP_FINISHED", "STEP_STARTED", "STEP_FINISHED", "STATUS_UPDATED", "COMPLETED",
        ]);
        let planned = &shown.audit[0].payload_json.0;
        assert_eq!((&planned["playbookId"], &planned["stepsCount"]), (&"two".into(), &2.into()));
        let started = &shown.audit[1].payload_json.0;
        assert_eq!((&started["stepId"], &started["actionType"]), (&"one".into(), &"COMMAND".into()));
        assert_eq!(started["idempotencyKey"], shown.attempts[0].id.to_string());
        assert_eq!(started["inputsHash"].as_str().unwrap().len(), 64);
        let finished = &shown.audit[2].payload_json.0;
        assert_eq!((&finished["status"], &finished["exitCode"]), (&"SUCCEEDED".into(), &0.into()));
        assert_eq!(finished["outputSummary"]["hasOutput"], true);
        assert_eq!(finished["outputSummary"]["outputHash"].as_str().unwrap().len(), 64);
        let ended = &shown.audit[6].payload_json.0;
        assert_eq!((&ended["status"], &ended["totalSteps"], &ended["successCount"], &ended["failedCount"]),
            (&"SUCCEEDED".into(), &2.into(), &2.into(), &0.into()));
        assert!(ended["durationMs"].is_u64());
        assert!(shown.audit.iter().all(|event| !event.payload_json.0.to_string().contains("hello")));
        assert_eq!(shown.outputs[0].head, "hello\n");
        let row = &shown.loaded.row;
        assert!(row.started_at.is_some() && row.completed_at.is_some() && row.duration_ms.is_some());
        assert!(shown.locks.is_empty());
    }

    async fn a_failed_run_tells_which_step_and_why(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do two", [Answer::exit(3).stderr("no such service")]);
        let shown = bench.run(bench.execution("two", "web1", &[]).await).await;
        assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Done));
        assert_eq!(shown.error(), "step 2 `Two` ended with exit code 3");
        assert_eq!(shown.step(Phase::Main, "two").exit_code, Some(3));
        assert_eq!(shown.trail()[5..], [
            "ROLLBACK_STARTED", "UNDO_STARTED", "UNDO_FINISHED", "UNDO_STARTED", "UNDO_FINISHED", "ROLLBACK_FINISHED",
            "STATUS_UPDATED", "FAILED",
        ]);
        let ended = &shown.audit.last().unwrap().payload_json.0;
        assert_eq!((&ended["status"], &ended["successCount"], &ended["failedCount"]), (&"FAILED".into(), &1.into(), &1.into()));
    }
}

#[tokio::test]
async fn output_is_used_by_later_steps_and_by_the_runbooks_outputs() {
    let runbook = "name: chain
description: Later steps use earlier output
mode: auto
steps:
  - {id: find, name: Find, command: find it, capture_output: true, outputs: {pid: {parse: regex, pattern: 'pid=([0-9]+)'}}}
  - {name: Kill, command: 'kill {{ steps.find.outputs.pid }}', rollback_command: 'echo {{ steps.find.outputs.pid }}'}
outputs: {killed: '{{ steps.find.outputs.pid }}'}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("find it", [Answer::exit(0).stdout("name=nginx pid=4711\n")]);
    let shown = bench.run(bench.execution("chain", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert_eq!(bench.transport.commands(), ["find it", "kill 4711"]);
    assert_eq!(shown.loaded.details.outputs.0["killed"], "4711");
}

#[tokio::test]
async fn an_unsafe_output_fails_the_step_that_would_use_it_and_leads_to_rollback() {
    let runbook = "name: chain
description: Later steps use earlier output
mode: auto
steps:
  - {id: find, name: Find, command: find it, capture_output: true, rollback_command: forget it}
  - {name: Kill, command: 'kill {{ steps.find.stdout }}', rollback_command: never}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("find it", [Answer::exit(0).stdout("1; reboot")]);
    let shown = bench.run(bench.execution("chain", "web1", &[]).await).await;
    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Done));
    assert_eq!(bench.transport.commands(), ["find it", "forget it"], "a step that was not started is not undone");
    let step = shown.step(Phase::Main, "kill");
    assert_eq!((step.status, step.error_code.as_deref()), (StepStatus::Failed, Some("unsafe_value")));
    assert!(step.started_at.is_none());
}

#[tokio::test]
async fn a_missing_declared_output_fails_its_step() {
    let runbook = "name: chain
description: Declared but not printed
mode: auto
steps:
  - {id: find, name: Find, command: find it, outputs: {pid: {parse: regex, pattern: 'pid=([0-9]+)'}}}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("find it", [Answer::exit(0).stdout("nothing")]);
    let shown = bench.run(bench.execution("chain", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Failed);
    assert_eq!(
        (shown.step(Phase::Main, "find").exit_code, shown.attempts[0].ending),
        (Some(0), Some(AttemptEnding::Exited))
    );
    assert!(shown.error().contains("output `pid`"), "{}", shown.error());
}

#[tokio::test]
async fn sensitive_output_is_stored_as_a_hash_only() {
    let runbook = "name: quiet
description: Prints a secret
mode: auto
steps:
  - {name: Show, command: show it, sensitive: true}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("show it", [Answer::exit(0).stdout("hunter2")]);
    let shown = bench.run(bench.execution("quiet", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed);
    let [output] = shown.outputs.as_slice() else { panic!("{:?}", shown.outputs) };
    assert_eq!((output.head.as_str(), output.tail.as_str(), output.total_bytes), ("", "", 7));
    assert_eq!(output.sha256, douse::audit::canonical::sha256_hex(b"hunter2"));
}

#[tokio::test]
async fn a_secret_of_the_run_is_masked_in_what_it_prints() {
    let bench = Bench::new(harness::sqlite().await, &[TWO]).await;
    let id = bench.execution("two", "web1", &[]).await;
    bench.engine.secrets.keep(id, [("password".to_owned(), "correct horse".to_owned())].into());
    bench.transport.on("do one", [Answer::exit(0).stdout("login with correct horse").stderr("correct%20horse")]);
    let shown = bench.run(id).await;
    let texts: Vec<&str> = shown.outputs.iter().map(|output| output.head.as_str()).collect();
    assert!(texts.contains(&"login with <secret>") && texts.contains(&"<secret>"), "{texts:?}");
}

#[tokio::test]
async fn a_step_is_tried_again_and_each_attempt_is_kept() {
    let runbook = "name: flaky
description: Works at the third try
mode: auto
steps:
  - {name: Try, command: try it, retry: {attempts: 3, delay: 10ms}, rollback_command: revert it}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("try it", [Answer::exit(1), Answer::exit(2), Answer::exit(0)]);
    let shown = bench.run(bench.execution("flaky", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    let codes: Vec<Option<i32>> = shown.attempts.iter().map(|attempt| attempt.exit_code).collect();
    assert_eq!(codes, [Some(1), Some(2), Some(0)]);
    let numbers: Vec<i32> = shown.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(shown.step(Phase::Main, "try").retry_attempt, 2);
}

#[tokio::test]
async fn conditions_are_asked_with_what_is_known_then() {
    let runbook = "name: when
description: Only if needed
mode: auto
steps:
  - {id: check, name: Check, command: check it, expected_exit_codes: [0, 3], rollback_command: uncheck}
  - {id: fix, name: Fix, command: fix it, when: steps.check.exit_code == 3, rollback_command: unfix}
  - {id: never, name: Never, command: never, when: steps.check.exit_code == 0}
  - {id: last, name: Last, command: last}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("check it", [Answer::exit(3)]);
    bench.transport.on("last", [Answer::exit(1)]);
    let shown = bench.run(bench.execution("when", "web1", &[]).await).await;
    assert_eq!(bench.transport.commands(), ["check it", "fix it", "last", "unfix", "uncheck"]);
    assert_eq!(shown.step(Phase::Main, "never").status, StepStatus::Skipped);
}

#[tokio::test]
async fn a_failure_that_may_happen_does_not_end_the_run() {
    let runbook = "name: lenient
description: The first step may fail
mode: auto
steps:
  - {name: One, command: do one, continue_on_failure: true}
  - {name: Two, command: do two}
";
    let bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("do one", [Answer::exit(1)]);
    let shown = bench.run(bench.execution("lenient", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed);
    assert_eq!(shown.step(Phase::Main, "one").status, StepStatus::Failed);
}

#[tokio::test]
async fn a_host_that_is_lost_between_claim_and_first_step_is_tried_again_later() {
    let bench = Bench::new(harness::sqlite().await, &[TWO]).await;
    bench.transport.on("do one", [Answer::refusal(RefusalKind::Unreachable, "no route to web1"), Answer::exit(0)]);
    let id = bench.execution("two", "web1", &[]).await;
    bench.start(id).await;
    let shown = bench.until(id, |shown| shown.loaded.row.next_try_at.is_some()).await;
    assert_eq!((shown.status(), shown.loaded.details.connect_tries), (Status::Approved, 1));
    assert!(shown.locks.is_empty(), "it holds its target while it waits");
    assert_eq!(shown.step(Phase::Main, "one").status, StepStatus::Pending);
    bench.idle(id).await;
    assert_eq!(bench.run(id).await.status(), Status::Completed);
}

#[tokio::test]
async fn a_host_that_is_lost_between_two_steps_fails_the_run() {
    let bench = Bench::new(harness::sqlite().await, &[TWO]).await;
    bench.transport.on("do two", [Answer::refusal(RefusalKind::Unreachable, "no route to web1")]);
    let shown = bench.run(bench.execution("two", "web1", &[]).await).await;
    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Done));
    assert_eq!(shown.attempted(Phase::Rollback), ["one"], "the host never saw the second step");
    assert_eq!(shown.step(Phase::Main, "two").error_code.as_deref(), Some("unreachable"));
}
