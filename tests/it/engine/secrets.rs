//! Secret parameters live in memory only: what needs one after a restart fails and says so.

use std::collections::BTreeMap;

use douse::config::Role;
use douse::engine::dispatch::start_due;
use douse::engine::gating::{self, RunRequest};
use douse::execution::{Phase, Status, StepStatus};
use douse::gate::{Gate, Reason};
use douse::id::ExecutionId;
use douse::transport::fake::Answer;
use serde_json::json;

use super::bench::{Bench, person};
use crate::store::harness::on_both_engines;

/// The secret in every place in which a step can have it, after a step that does without.
const PLACES: [&str; 5] = [
    "argv: [login, '{{ params.key }}']",
    "command: 'login {{ params.key | shq }}'",
    "command: 'login \"$DOUSE_PARAM_KEY\"'",
    "command: 'login \"$KEY_FILE\"'",
    "command: login, env: {TOKEN: '{{ KEY_FILE }}'}",
];

fn runbook(place: &str) -> String {
    format!(
        "name: login\ndescription: Logs in\nmode: auto\nparameters: [{{name: key, type: secret, required: true}}]\n\
         environment_vars: {{KEY_FILE: '/run/{{{{ params.key }}}}'}}\nguard: {{recently_remediated: 0s}}\nsteps:\n  \
         - {{id: free, name: Free, command: look around, rollback_command: tidy up}}\n  - {{id: login, name: Log in, {place}}}\n"
    )
}

async fn ask(bench: &Bench) -> ExecutionId {
    let (policy, now) = (bench.engine.policy(), bench.engine.clock.now());
    let wanted = RunRequest {
        runbook: "login".to_owned(),
        server: Some("web1".to_owned()),
        parameters: BTreeMap::from([("key".to_owned(), json!("hunter2"))]),
        incident: None,
        reason: None,
        by: person("ann", Role::Operator),
        dry_run: false,
        retry_of: None,
        idempotency: None,
    };
    let asked = bench.store.write(move |db| gating::request(db, &policy, &wanted, now)).await.unwrap();
    asked.announce(&bench.engine);
    asked.execution.unwrap().id
}

on_both_engines! {
    async fn what_a_command_printed_that_was_started_with_a_lost_secret_is_not_stored(fixture: Fixture) {
        let place = "command: 'log in {{ steps.free.stdout | shq }}'";
        let mut bench = Bench::new(fixture, &[&runbook(place)]).await;
        bench.transport.on("look around", [Answer::endless()]);
        let id = ask(&bench).await;
        start_due(&bench.engine, &bench.tasks).await.unwrap();
        while bench.transport.commands().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        bench
            .die_and_restart_with(|transport| {
                transport.on_found("look around", [Answer::exit(0).stdout("it was hunter2").stderr("hunter2 again")]);
                transport.on("log in", [Answer::exit(0).stdout("they say it was hunter2 indeed")]);
            })
            .await;
        let shown = bench.settled(id).await;
        assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
        let stored: Vec<&str> = shown.outputs.iter().map(|output| output.head.as_str()).collect();
        assert_eq!(stored, ["<secret>", "<secret>", "they say <secret> indeed"], "masked where a later step shows it, too");
    }

    async fn a_step_that_needs_a_lost_secret_fails_and_nothing_is_sent_in_its_place(fixture: Fixture) {
        let mut bench = Bench::new(fixture, &[&runbook(PLACES[0])]).await;
        // With the secret at hand every place is filled.
        for place in PLACES {
            bench.reload(&[runbook(place)]).await;
            let id = ask(&bench).await;
            start_due(&bench.engine, &bench.tasks).await.unwrap();
            let shown = bench.settled(id).await;
            assert_eq!(shown.status(), Status::Completed, "{place}: {}", shown.error());
            bench.idle(id).await;
            let sent = bench.transport.calls().pop().unwrap();
            let environment = format!("{:?}", sent.job.environment);
            assert!(sent.text.contains("hunter2") || environment.contains("hunter2"), "{place}: {sent:?}");
            assert!(!format!("{sent:?}").contains("****"), "{place}: {sent:?}");
        }
        // The engine ends between the request and the run.
        for place in PLACES {
            bench.reload(&[runbook(place)]).await;
            let id = ask(&bench).await;
            bench.die_and_restart_with(|_| ()).await;
            start_due(&bench.engine, &bench.tasks).await.unwrap();
            let shown = bench.settled(id).await;
            assert_eq!(shown.status(), Status::Failed, "{place}");
            let login = shown.step(Phase::Main, "login");
            assert_eq!((login.status, login.error_code.as_deref()), (StepStatus::Failed, Some("param_rejected")), "{place}");
            for words in ["secret parameter `key`", "Douse was restarted", "ask for the run again"] {
                assert!(shown.error().contains(words), "{place}: {}", shown.error());
            }
            // What does without it ran and was undone, and got neither a mask nor an empty text.
            assert_eq!(bench.transport.commands(), ["look around", "tidy up"], "{place}");
            for call in bench.transport.calls() {
                let names: Vec<&String> = call.job.environment.iter().map(|(name, _)| name).collect();
                assert!(!names.iter().any(|name| ["DOUSE_PARAM_KEY", "KEY_FILE"].contains(&name.as_str())), "{names:?}");
            }
            // Asking for the same again does not run without it either.
            let again = gating::retry(&bench.engine, id, &person("ann", Role::Operator), None).await.unwrap();
            let answer = again.evaluation.of_gate(Gate::Parameters).unwrap();
            assert_eq!((again.execution.is_some(), answer.reason), (false, Some(Reason::ParamRejected)), "{place}");
        }
    }
}
