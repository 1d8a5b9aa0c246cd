//! What sensitive steps print: used by later steps, shown nowhere, and unknown once it is forgotten.

use std::time::Duration;

use douse::config::Role;
use douse::engine::acts;
use douse::execution::{Phase, RollbackState, Status, StepStatus};
use douse::transport::fake::Answer;

use super::bench::{Bench, Shown, person};
use crate::store::harness;

const LOGIN: &str = "name: login
description: Logs in and uses the token
mode: auto
steps:
  - {id: login, name: Login, command: log in, sensitive: true, outputs: {token: {parse: json, path: token}}, rollback_command: 'log out {{ steps.login.outputs.token }}'}
  - {id: wait, name: Wait, command: wait}
  - {id: use, name: Use, command: 'use {{ steps.login.outputs.token }}', rollback_command: unuse}
outputs: {whole: '{{ steps.login.stdout }}', piece: '{{ steps.login.outputs.token[:5] }}', used: '{{ steps.use.stdout }}'}
";

/// Everything that is stored of it, as one text.
fn stored(shown: &Shown) -> String {
    format!("{:?} {:?} {:?} {:?}", shown.loaded, shown.steps, shown.outputs, shown.audit)
}

#[tokio::test]
async fn what_a_sensitive_step_printed_is_used_but_shown_nowhere() {
    let bench = Bench::new(harness::sqlite().await, &[LOGIN]).await;
    bench.transport.on("log in", [Answer::exit(0).stdout("{\"token\": \"tok-4711-abc\"}\n").stderr("as root-7\n")]);
    bench.transport.on("use ", [Answer::exit(0).stdout("used tok-4711-abc\n").stderr("was as root-7")]);
    let shown = bench.run(bench.execution("login", "web1", &[]).await).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert_eq!(bench.transport.commands(), ["log in", "wait", "use tok-4711-abc"]);
    let outputs = &shown.loaded.details.outputs.0;
    assert_eq!((&outputs["whole"], &outputs["piece"]), (&"<secret>".into(), &"<secret>".into()));
    assert_eq!(outputs["used"], "used <secret>\n");
    let stored = stored(&shown);
    for hidden in ["tok-4", "root-7"] {
        assert!(!stored.contains(hidden), "{hidden}: {stored}");
    }
}

#[tokio::test]
async fn an_unsafe_value_of_a_sensitive_step_is_not_quoted_in_the_refusal() {
    let bench = Bench::new(harness::sqlite().await, &[LOGIN]).await;
    bench.transport.on("log in", [Answer::exit(0).stdout("{\"token\": \"a;b\"}")]);
    let shown = bench.run(bench.execution("login", "web1", &[]).await).await;
    assert_eq!(shown.step(Phase::Main, "use").error_code.as_deref(), Some("unsafe_value"));
    assert!(!stored(&shown).contains("a;b"), "{}", stored(&shown));
}

/// Lets an engine die in the second step, which the next engine leaves `interrupted` unless it is idempotent.
async fn restarted(runbook: &str, printed: &str) -> (Bench, Shown) {
    let mut bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("log in", [Answer::exit(0).stdout(printed)]);
    bench.transport.on("wait", [Answer::exit(0).after(Duration::from_millis(200))]);
    let id = bench.execution("login", "web1", &[]).await;
    bench.engine.secrets.keep(id, [("password".to_owned(), "correct horse".to_owned())].into());
    bench.start(id).await;
    bench.until(id, |shown| shown.attempts.len() == 2).await;
    bench.engine.stopping.cancel();
    bench.tasks.close();
    bench.tasks.wait().await;
    bench.die_and_restart_with(|_| {}).await;
    let shown = bench.settled(id).await;
    (bench, shown)
}

#[tokio::test]
async fn after_a_restart_what_a_sensitive_step_printed_is_missing_and_not_empty() {
    let (bench, shown) = restarted(LOGIN, "{\"token\": \"tok-4711-abc\"}").await;
    assert_eq!(shown.status(), Status::Failed);
    let step = shown.step(Phase::Main, "use");
    assert_eq!((step.status, step.error_code.as_deref()), (StepStatus::Failed, Some("template_error")));
    let why = step.error_message.clone().unwrap();
    assert!(why.contains("steps.login.outputs.token") && why.contains("sensitive"), "{why}");
    assert_eq!(shown.loaded.row.rollback, RollbackState::Stuck, "its undo needs the token as well");
    assert!(bench.transport.commands().is_empty(), "{:?}", bench.transport.commands());
}

#[tokio::test]
async fn after_a_restart_masked_text_is_not_used_as_if_it_had_been_printed() {
    let runbook = "name: login
description: Uses what was printed
mode: auto
steps:
  - {id: login, name: Login, command: log in, outputs: {word: {parse: text}}}
  - {id: wait, name: Wait, command: wait}
  - {id: use, name: Use, argv: [use, '{{ steps.login.stdout }}']}
";
    let (bench, shown) = restarted(runbook, "correct horse").await;
    assert_eq!(shown.status(), Status::Failed, "{:?}", bench.transport.commands());
    assert!(shown.error().contains("masked"), "{}", shown.error());
    assert!(bench.transport.commands().is_empty());

    let variable =
        runbook.replace("argv: [use, '{{ steps.login.stdout }}']", "command: 'use \"$DOUSE_OUTPUT_LOGIN_WORD\"'");
    let (bench, shown) = restarted(&variable, "correct horse").await;
    assert_eq!(shown.status(), Status::Failed, "{:?}", bench.transport.commands());
    assert!(shown.error().contains("DOUSE_OUTPUT_LOGIN_WORD"), "{}", shown.error());

    let (bench, shown) = restarted(runbook, "plain").await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert_eq!(bench.transport.commands(), ["use plain"]);
}

#[tokio::test]
async fn a_rollback_by_hand_does_not_take_a_forgotten_output_for_empty() {
    let bench = Bench::new(harness::sqlite().await, &[LOGIN]).await;
    bench.transport.on("log in", [Answer::exit(0).stdout("{\"token\": \"tok-4711-abc\"}")]);
    let id = bench.execution("login", "web1", &[]).await;
    assert_eq!(bench.run(id).await.status(), Status::Completed);
    let made = acts::roll_back(&bench.engine, id, &person("ann", Role::Operator), None).await.unwrap();
    let shown = bench.run(made.id).await;
    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Stuck));
    assert!(shown.error().contains("sensitive"), "{}", shown.error());
    assert_eq!(bench.transport.commands().last().map(String::as_str), Some("unuse"));
}
