//! Each gate alone: what it says, in whose words, and what comes of it.

use std::collections::BTreeSet;

use douse::execution::{Origin, Status};
use douse::gate::{Gate, Verdict};
use douse::store::audit::{self, AuditFilter};
use douse::store::{DecisionVerdict, Page, details};

use super::cases::{Case, Want, cases};
use super::world::{MINUTE, Scope, TRIGGER, World, gates, noon, objections};
use crate::store::harness::on_both_engines;

#[test]
fn every_gate_of_the_code_has_an_entry() {
    let tried: BTreeSet<Gate> = cases().iter().map(|case| case.gate).collect();
    let missing: Vec<&Gate> = Gate::ALL.iter().filter(|gate| !tried.contains(gate)).collect();
    assert!(missing.is_empty(), "no entry in tests/it/gates/cases.rs: {missing:?}");
}

on_both_engines! {
    async fn each_gate_alone_decides_and_is_recorded_with_its_reason(fixture: Fixture) {
        let mut changes: Vec<Vec<Case>> = cases().into_iter().map(|case| vec![case]).collect();
        // Nothing is changed here: everything passes.
        changes.push(Vec::new());
        let mut world = World::new(fixture, changes).await;
        world.decide().await;
        let mut said = String::new();
        for scope in &world.scopes {
            match scope.cases.as_slice() {
                [] => everything_passes(&world, scope).await,
                [case, ..] => {
                    said.push_str(&objects_alone(&world, scope, case).await);
                }
            }
        }
        insta::assert_snapshot!("each_gate_in_words", said);
        let held = world.scopes.iter().filter(|scope| scope.cases.iter().any(|case| case.want == Want::Hold)).count();
        assert!(held > 10, "{held}");
        // What was let through runs, what was not does not.
        let fixed = || world.bench.transport.commands().iter().filter(|command| *command == "fix nginx").count();
        let before = fixed();
        world.run_due().await;
        assert_eq!(fixed(), before + 1);
        let free = world.scopes.last().unwrap();
        assert_eq!(world.executions_of(free.episode.unwrap()).await[0].status, Status::Completed);
    }
}

async fn everything_passes(world: &World, scope: &Scope) {
    let row = world.decision(scope).await;
    let answers = gates(&row);
    assert_eq!(answers.iter().map(|one| one.gate).collect::<Vec<_>>(), Gate::ALL);
    assert_eq!(objections(&row), Default::default());
    assert_eq!(
        (row.verdict, row.hold_reason.as_deref(), row.skip_reason.as_deref()),
        (DecisionVerdict::Allowed, None, None)
    );
    let made = world.executions_of(scope.episode.unwrap()).await;
    let [one] = made.as_slice() else { panic!("{made:#?}") };
    assert_eq!((one.status, one.approved_by.as_deref(), one.origin), (Status::Approved, Some("auto"), Origin::Alert));
    assert_eq!((row.execution_id, row.server.as_deref()), (Some(one.id), Some(scope.server.as_str())));
}

/// Answers with what it says, for the snapshot.
async fn objects_alone(world: &World, scope: &Scope, case: &Case) -> String {
    let name = scope.name();
    let row = world.decision(scope).await;
    let answers = gates(&row);
    assert_eq!(answers.iter().map(|one| one.gate).collect::<Vec<_>>(), Gate::ALL, "{name}");
    let mut expected: Vec<(Gate, &str)> = case.also.iter().map(|gate| (*gate, Want::Refuse.as_str())).collect();
    expected.push((case.gate, case.want.as_str()));
    assert_eq!(objections(&row), expected.into_iter().collect(), "{name}: {answers:#?}");

    let answer = answers.iter().find(|one| one.gate == case.gate).unwrap();
    assert_eq!(answer.reason, Some(case.reason), "{name}");
    assert!(answer.evidence.is_object(), "{name}: {}", answer.evidence);
    for words in case.words {
        let words = words.replace("{runbook}", &scope.runbook).replace("{server}", &scope.server);
        let words = words.replace("{group}", &scope.group);
        assert!(answer.message.contains(&words), "{name} does not say `{words}`: {}", answer.message);
    }

    let reason = Some(case.reason.as_str());
    let until = case.minutes.map(|minutes| noon().plus(minutes * MINUTE));
    let made = world.executions_of(scope.episode.unwrap()).await;
    match case.want {
        Want::Hold => {
            assert_eq!(answer.verdict, Verdict::Hold(until), "{name}");
            assert_eq!((row.verdict, row.held_until), (DecisionVerdict::Held, until), "{name}");
            assert_eq!((row.hold_reason.as_deref(), row.skip_reason.as_deref()), (reason, None), "{name}");
            assert_eq!((row.execution_id, made.len()), (None, 0), "{name}");
        }
        Want::Refuse => {
            let expected = if case.reason == douse::gate::Reason::Observed {
                DecisionVerdict::Observed
            } else {
                DecisionVerdict::Refused
            };
            assert_eq!((row.verdict, row.held_until), (expected, None), "{name}");
            assert_eq!((row.hold_reason.as_deref(), row.skip_reason.as_deref()), (None, reason), "{name}");
            assert_eq!(row.execution_id, None, "{name}");
            match case.gate {
                Gate::Duplicate => assert_eq!(row.conflicting_execution_id, Some(made[0].id), "{name}"),
                _ => assert_eq!(made.len(), 0, "{name}"),
            }
        }
        Want::Approve => {
            assert_eq!((row.verdict, row.hold_reason.as_deref()), (DecisionVerdict::Approval, reason), "{name}");
            let [one] = made.as_slice() else { panic!("{name}: {made:#?}") };
            assert_eq!((one.status, one.approved_by.as_deref()), (Status::Pending, None), "{name}");
            assert_eq!(row.execution_id, Some(one.id), "{name}");
            assert!(one.expires_at > Some(noon()), "{name}");
            let id = one.id;
            let details = world.bench.store.read(move |db| details::get(db, id)).await.unwrap();
            assert_eq!(details.approval_gates.0, [case.gate.as_str()], "{name}");
            assert_eq!(one.batch_id.is_some(), case.gate == Gate::BlastRadius, "{name}");
        }
    }
    is_audited(world, scope, case).await;
    let message = answer.message.replace(&scope.runbook, "RUNBOOK").replace(&scope.group, "GROUP");
    let message = uuid().replace_all(&message, "ID").replace(&format!(" {}", scope.server), " SERVER");
    format!("{} / {}: {}\n    {message}\n", case.gate, case.name, case.want.as_str())
}

async fn is_audited(world: &World, scope: &Scope, case: &Case) {
    let filter = AuditFilter { episode: scope.episode, ..AuditFilter::default() };
    let page = Page { before: None, limit: 200 };
    let events = world.bench.store.read(move |db| audit::list(db, &filter, page)).await.unwrap().rows;
    let decided: Vec<_> = events.iter().filter(|event| event.event_type.as_str() == "DECIDED").collect();
    let [event] = decided.as_slice() else { panic!("{}: {events:#?}", scope.name()) };
    let payload = &event.payload_json.0;
    assert_eq!(
        (payload["runbook"].as_str(), payload["trigger"].as_str()),
        (Some(scope.runbook.as_str()), Some(TRIGGER))
    );
    let answers = payload["gates"].as_array().unwrap();
    assert_eq!(answers.len(), Gate::ALL.len());
    let answer = answers.iter().find(|one| one["gate"] == case.gate.as_str()).unwrap();
    assert_eq!(
        (answer["verdict"].as_str(), answer["reason"].as_str()),
        (Some(case.want.as_str()), Some(case.reason.as_str()))
    );
}

fn uuid() -> regex::Regex {
    regex::Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap()
}
