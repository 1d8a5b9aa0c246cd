//! Fail every step of every runbook in `runbooks/`: the undos that ran are exactly the reverse of the steps started.

use std::path::Path;

use douse::execution::{Phase, RollbackState, Status, StepStatus};
use douse::runbook::plan::{Plan, PlannedAction, PlannedStep, Text};
use douse::transport::fake::Answer;

use crate::engine::bench::{Bench, Shown};
use crate::store::harness::{self, Fixture};

/// Labels that satisfy the parameters of every runbook in `runbooks/`.
const LABELS: &[(&str, &str)] = &[
    ("service", "nginx"),
    ("severity", "critical"),
    ("type", "service"),
    ("mountpoint", "/var"),
    ("device", "sda1"),
    ("domain", "example.org"),
    ("queue", "mail"),
    ("name", "nginx.service"),
];

/// The runbooks that are shipped, by name.
fn shipped() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".yml") && !name.ends_with(".test.yml") && name != "servers.yml" && name != "douse.yml" {
            let text = std::fs::read_to_string(&path).unwrap();
            let runbook = text.lines().find_map(|line| line.strip_prefix("name: ")).unwrap().trim().to_owned();
            found.push((runbook, text));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is no runbook in runbooks/");
    found
}

/// A text that the step's command has and no other step's or undo's has; the plan is of known text.
fn command_of(step: &PlannedStep) -> String {
    text_of(&step.action)
}

fn text_of(action: &PlannedAction) -> String {
    let text = |text: &Text| match text {
        Text::Known(text) | Text::Hole(text) => text.clone(),
    };
    match action {
        PlannedAction::Command(command) => text(command),
        PlannedAction::Argv(words) => words.iter().map(text).collect::<Vec<_>>().join(" "),
        PlannedAction::Script { text: script, .. } => text(script),
    }
}

/// Makes step `failing` fail: of the calls with the same text, those before it succeed.
fn fail(bench: &Bench, plan: &Plan, failing: usize) {
    let command = command_of(&plan.steps[failing]);
    let before = plan.steps[..failing].iter().filter(|step| command_of(step) == command).count();
    let bad = (1..=255).find(|code| !plan.steps[failing].expected_exit_codes.contains(code)).unwrap();
    let tries = usize::try_from(plan.steps[failing].retry.attempts).unwrap();
    let mut answers = vec![Answer::exit(0); before];
    answers.extend(vec![Answer::exit(bad); tries]);
    // An undo with the same text comes later, and works.
    answers.push(Answer::exit(0));
    bench.transport.on(&command, answers);
}

/// What the run must look like, from the plan and the steps that the host saw.
fn check(shown: &Shown, plan: &Plan, failing: usize) {
    let name = format!("{} failing in step {}", plan.runbook, failing + 1);
    let started = shown.attempted(Phase::Main);
    let failed = &plan.steps[failing];
    let expected: Vec<String> = plan.steps[..=failing]
        .iter()
        .filter(|step| shown.step(Phase::Main, &step.id).status != StepStatus::Skipped)
        .map(|step| step.id.clone())
        .collect();
    if failed.continue_on_failure {
        assert!(started.starts_with(&expected), "{name}: {started:?}");
        assert_eq!(shown.status(), Status::Completed, "{name}: {}", shown.error());
        assert!(shown.attempted(Phase::Rollback).is_empty(), "{name}");
        return;
    }
    assert_eq!(started, expected, "{name}");
    assert_eq!(shown.status(), Status::Failed, "{name}: {}", shown.error());
    let undone: Vec<String> = started
        .iter()
        .rev()
        .filter(|id| plan.steps.iter().any(|step| step.id == **id && step.undo.is_some()))
        .filter(|id| plan.rollback.include_failed || **id != failed.id)
        .filter(|_| plan.rollback.enabled && plan.rollback.after_failure)
        .cloned()
        .collect();
    let rolled_back: Vec<String> = shown
        .attempted(Phase::Rollback)
        .into_iter()
        .filter(|id| shown.step(Phase::Rollback, id).status != StepStatus::Skipped)
        .collect();
    let undone: Vec<String> =
        undone.into_iter().filter(|id| shown.step(Phase::Rollback, id).status != StepStatus::Skipped).collect();
    assert_eq!(rolled_back, undone, "{name}");
    let expected = if shown.loaded.state.undos.is_empty() { RollbackState::None } else { RollbackState::Done };
    assert_eq!(shown.loaded.row.rollback, expected, "{name}: {}", shown.error());
    assert!(shown.locks.is_empty(), "{name}: its target stays locked");
}

/// The undos' commands are what the host saw, after the steps' and in that order.
fn check_commands(bench: &Bench, shown: &Shown, plan: &Plan, from: usize) {
    let seen: Vec<String> = bench.transport.commands().split_off(from);
    let undos: Vec<String> = shown
        .attempted(Phase::Rollback)
        .iter()
        .map(|id| plan.steps.iter().find(|step| step.id == *id).unwrap())
        .map(|step| text_of(&step.undo.as_ref().unwrap().action))
        .collect();
    assert!(seen.len() >= undos.len());
    let tail = &seen[seen.len() - undos.len()..];
    let is_known = undos.iter().all(|undo| !undo.contains("{{"));
    if is_known {
        assert_eq!(tail, undos, "{}", plan.runbook);
    }
}

async fn fail_every_step(fixture: Fixture) {
    let shipped = shipped();
    let texts: Vec<&str> = shipped.iter().map(|(_, text)| text.as_str()).collect();
    let bench = Bench::new(fixture, &texts).await;
    for (name, _) in &shipped {
        let probe = bench.execution(name, "web1", LABELS).await;
        let plan = bench.shown(probe).await.loaded.plan;
        let first = bench.run(probe).await;
        assert!(first.status().is_final(), "{name}");
        for failing in 0..plan.steps.len() {
            if first.step(Phase::Main, &plan.steps[failing].id).status == StepStatus::Skipped {
                continue;
            }
            let from = bench.transport.commands().len();
            fail(&bench, &plan, failing);
            let id = bench.execution(name, "web1", LABELS).await;
            let shown = bench.run(id).await;
            check(&shown, &plan, failing);
            check_commands(&bench, &shown, &plan, from);
            bench.transport.forget_rules();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_undos_are_exactly_the_reverse_of_the_steps_started_on_sqlite() {
    fail_every_step(harness::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_undos_are_exactly_the_reverse_of_the_steps_started_on_postgres() {
    fail_every_step(harness::postgres().await).await;
}
