//! Fail every step of every runbook in `runbooks/`: the undos that ran are exactly the reverse of the steps started.

use std::collections::BTreeSet;
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
    ("mountpoint", "/srv/data"),
    ("logrotate", "nginx"),
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

/// A text that the host sees when it is asked to run the step.
fn command_of(step: &PlannedStep) -> String {
    text_of(&step.action)
}

fn text_of(action: &PlannedAction) -> String {
    let text = |text: &Text| match text {
        Text::Known(text) => text.clone(),
        // What stands before the first value that is known only when the step runs.
        Text::Hole(text) => text.split("{{").next().unwrap().to_owned(),
    };
    match action {
        PlannedAction::Command(command) => text(command),
        PlannedAction::Argv(words) => words.iter().map(text).collect::<Vec<_>>().join(" "),
        PlannedAction::Script { text: script, .. } => text(script),
    }
}

/// What the hosts print where a later step reads it.
const OUTPUTS: &[(&str, &str, &str)] = &[
    ("clean-disk", "before", " 97%\n"),
    ("clean-disk", "after", " 61%\n"),
    ("flush-mail-queue", "before", "1200\n"),
    ("flush-mail-queue", "after", "12\n"),
    ("renew-certificate", "old", "notAfter=Mar  5 10:00:00 2026 GMT\n"),
];

/// A host in one of the states that a runbook expects: each step ends with the first, or the last, of the exit codes
/// that it takes as success. Together they make every condition of `runbooks/` true once.
#[derive(Clone, Copy, Debug)]
enum World {
    First,
    Last,
}

/// Makes the host behave so, and step `failing` fail in each of its tries.
fn prepare(bench: &Bench, plan: &Plan, world: World, failing: Option<usize>) {
    let mut answers: Vec<(String, Vec<Answer>)> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let command = command_of(step);
        let codes = &step.expected_exit_codes;
        let good = match world {
            World::First => codes.first(),
            World::Last => codes.last(),
        };
        let printed = OUTPUTS.iter().find(|(runbook, id, _)| *runbook == plan.runbook && *id == step.id);
        let of_step = if failing == Some(index) {
            let bad = (1..=255).find(|code| !codes.contains(code)).unwrap();
            // Only these codes are tried again.
            let bad = step.retry.on_exit_codes.first().copied().unwrap_or(bad);
            vec![Answer::exit(bad); usize::try_from(step.retry.attempts).unwrap()]
        } else {
            vec![Answer::exit(*good.unwrap()).stdout(printed.map_or("", |(_, _, text)| text))]
        };
        match answers.iter_mut().find(|(earlier, _)| *earlier == command) {
            Some((_, list)) => list.extend(of_step),
            None => answers.push((command, of_step)),
        }
    }
    bench.transport.forget_rules();
    for (command, mut list) in answers {
        // An undo with the same text comes later, and works.
        list.push(Answer::exit(0));
        bench.transport.on(&command, list);
    }
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
    let bench = Bench::with_virtual_time(fixture, &texts).await;
    for (name, _) in &shipped {
        let mut failed: BTreeSet<usize> = BTreeSet::new();
        let mut steps = 0;
        for world in [World::First, World::Last] {
            let probe = bench.execution(name, "web1", LABELS).await;
            let plan = bench.shown(probe).await.loaded.plan;
            prepare(&bench, &plan, world, None);
            let good = bench.run(probe).await;
            assert_eq!(good.status(), Status::Completed, "{name}, {world:?}: {}", good.error());
            steps = plan.steps.len();
            for failing in 0..steps {
                if good.step(Phase::Main, &plan.steps[failing].id).status == StepStatus::Skipped {
                    continue;
                }
                let from = bench.transport.commands().len();
                prepare(&bench, &plan, world, Some(failing));
                let id = bench.execution(name, "web1", LABELS).await;
                let shown = bench.run(id).await;
                check(&shown, &plan, failing);
                check_commands(&bench, &shown, &plan, from);
                failed.insert(failing);
            }
        }
        assert_eq!(
            failed.len(),
            steps,
            "{name}: steps that never ran, so that they could not fail: only {failed:?} did"
        );
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
