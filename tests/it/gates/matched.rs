//! What a decision sees of its delivery: the moment at which the incident began, and the group that it came in.

use std::time::Duration;

use douse::clock::{Clock, Timestamp};
use douse::engine::matching;
use douse::execution::Status;
use douse::runbook::parse::parse;
use douse::store::{DecisionVerdict, alerts, decisions, episodes};
use serde_json::{Map, Value, json};

use super::world::{deliver, firing};
use crate::engine::bench::{Bench, Setup};
use crate::store::harness::on_both_engines;

fn labels(round: &str) -> Map<String, Value> {
    let labels = json!({"alertname": "Down", "instance": "web1:9100", "round": round});
    labels.as_object().unwrap().clone()
}

on_both_engines! {
    async fn a_triggers_window_is_asked_for_the_moment_at_which_the_incident_came(fixture: Fixture) {
        let file = json!({
            "name": "fix", "description": "By day only", "mode": "auto", "steps": [{"name": "Fix", "command": "fix it"}],
            "triggers": [{"name": "down", "time_window_start": "08:00", "time_window_end": "12:00"}],
        });
        let last_second: Timestamp = "2026-03-03T11:59:59Z".parse().unwrap();
        let setup = Setup { runbooks: vec![file.to_string()], clock: Clock::manual(last_second), ..Setup::default() };
        let bench = Bench::open(fixture, setup).await;
        let verdicts = |episode| bench.store.read(move |db| {
            Ok(decisions::of_episode(db, episode)?.into_iter().map(|row| row.verdict).collect::<Vec<_>>())
        });
        // Its own clock says that it began in the night, and it is decided late: neither matters.
        let night = "2026-03-03T03:00:00Z".parse().unwrap();
        let inside = deliver(&bench.engine.ingest, vec![firing(labels("inside"), night)], last_second).await[0];
        bench.engine.clock.advance(Duration::from_secs(3_600));
        matching::decide_waiting(&bench.engine).await.unwrap();
        assert_eq!(verdicts(inside).await.unwrap(), [DecisionVerdict::Allowed]);
        let row = bench.store.read(move |db| Ok((episodes::get(db, inside)?, alerts::newest_firing(db, inside)?)));
        let (episode, alert) = row.await.unwrap();
        assert_eq!((episode.created_at, alert.unwrap().received_at), (last_second, last_second));

        // One that comes now is outside, though its own clock says that it began inside.
        let morning = "2026-03-03T09:00:00Z".parse().unwrap();
        let outside = deliver(&bench.engine.ingest, vec![firing(labels("outside"), morning)], bench.engine.clock.now()).await[0];
        matching::decide_waiting(&bench.engine).await.unwrap();
        assert_eq!(verdicts(outside).await.unwrap(), [DecisionVerdict::NoMatch]);
    }

    async fn a_runbook_sees_the_group_under_the_names_that_check_knows(fixture: Fixture) {
        let words = [
            "say", "{{ group.labels.alertname }}", "{{ group.common_labels.alertname }}", "{{ group.receiver }}",
            "{{ group.key }}", "{{ group.common_annotations | length }}",
        ];
        let file = json!({
            "name": "say", "description": "Says its group", "mode": "auto", "steps": [{"name": "Say", "argv": words}],
            "triggers": [{"name": "any"}],
        });
        let bench = Bench::open(fixture, Setup { runbooks: vec![file.to_string()], ..Setup::default() }).await;
        let now = bench.engine.clock.now();
        let episode = deliver(&bench.engine.ingest, vec![firing(labels("one"), now)], now).await[0];
        matching::decide_waiting(&bench.engine).await.unwrap();
        let rows = bench.store.read(move |db| decisions::of_episode(db, episode)).await.unwrap();
        assert_eq!(rows[0].verdict, DecisionVerdict::Allowed, "{:#?}", rows[0].gates_json);
        let shown = bench.run(rows[0].execution_id.unwrap()).await;
        assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
        assert_eq!(bench.transport.commands(), ["say Down Down douse {}:{alertname=\"Down\"} 0"]);
    }
}

#[test]
fn a_name_that_the_group_does_not_have_is_found_when_the_file_is_read() {
    for (name, hint) in [("groupKey", "`group` has"), ("label", "did you mean `group.labels`?")] {
        let text = format!("name: say\nsteps:\n  - {{command: 'say {{{{ group.{name} }}}}'}}\n");
        let problems = parse("say.yml", &text).problems;
        let found = problems.iter().find(|problem| problem.code == "E108").unwrap_or_else(|| panic!("{problems:#?}"));
        assert!(found.message.contains(&format!("`group` has no `{name}`")), "{found}");
        assert!(found.hint.as_deref().is_some_and(|said| said.contains(hint)), "{found:?}");
    }
}
