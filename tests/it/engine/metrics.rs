//! The metrics that are counted in the database.

use std::time::Duration;

use douse::clock::{Clock, Timestamp};
use douse::config::Role;
use douse::engine::people::breakers::{self, BreakerAct};
use douse::engine::people::{blackouts, pauses};
use douse::gate::blackout::spec::{BlackoutSpec, OnceSpec};
use douse::store::PauseScope;
use douse::transport::fake::Answer;
use serde_json::json;

use super::bench::{Bench, Setup, person};
use crate::store::harness::on_both_engines;
use crate::support::engine::{Engine, VIEWER_TOKEN};
use crate::support::http;
use crate::support::wait::wait_until;

const FRAIL: &str = "name: frail
description: Fails
mode: auto
guard: {circuit_breaker: {failure_threshold: 1, reset_timeout_seconds: 600}}
steps: [{name: One, command: do one}]
";

fn shows(bench: &Bench, lines: &[&str]) {
    let text = bench.engine.metrics.render().unwrap();
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line}\nis missing in\n{text}");
    }
}

on_both_engines! {
    async fn what_waits_is_on_or_is_open_is_counted_until_it_is_over(fixture: Fixture) {
        let noon: Timestamp = "2026-03-03T12:00:00Z".parse().unwrap();
        let setup = Setup { runbooks: vec![FRAIL.to_owned()], clock: Clock::manual(noon), ..Setup::default() };
        let bench = Bench::open(fixture, setup).await;
        bench.engine.count().await.unwrap();
        shows(&bench, &["douse_approvals_pending 0", "douse_blackouts_active 0", "douse_paused 0"]);

        let (ann, why) = (person("ann", Role::Admin), || Some("storm".to_owned()));
        let end = noon.plus(Duration::from_secs(600));
        bench.prepared("frail", "web1", &[], None, "bob").await;
        bench.prepared("frail", "web2", &[], None, "bob").await;
        let everything = pauses::Scope { scope: PauseScope::Global, name: String::new() };
        pauses::pause(&bench.engine, everything, Some(end), why(), &ann).await.unwrap();
        let once = |start: Timestamp, end: Timestamp| Some(OnceSpec { start: start.to_string(), end: end.to_string() });
        for (name, once) in [("now", once(noon, end)), ("later", once(end, end.plus(Duration::from_secs(600))))] {
            let spec = BlackoutSpec { name: name.to_owned(), once, ..BlackoutSpec::default() };
            blackouts::create(&bench.engine, spec, &ann).await.unwrap();
        }
        breakers::act(&bench.engine, "frail".to_owned(), BreakerAct::Close, why(), &ann).await.unwrap();
        bench.engine.count().await.unwrap();
        shows(&bench, &[
            "douse_approvals_pending 2", "douse_blackouts_active 1", "douse_paused 1",
            r#"douse_circuit_breaker_open{runbook="frail"} 0"#,
        ]);

        // All of it ends by itself, and the other blackout begins; a breaker opens, as it would at another replica.
        bench.engine.clock.advance(Duration::from_secs(600));
        bench.transport.on("do one", [Answer::exit(1)]);
        let failed = bench.execution("frail", "web3", &[]).await;
        bench.run(failed).await;
        bench.idle(failed).await;
        bench.engine.metrics.breaker("frail", false);
        bench.engine.count().await.unwrap();
        shows(&bench, &[
            "douse_approvals_pending 2", "douse_blackouts_active 1", "douse_paused 0",
            r#"douse_circuit_breaker_open{runbook="frail"} 1"#, "douse_executions_in_flight 0",
        ]);
        bench.engine.clock.advance(Duration::from_secs(600));
        bench.engine.count().await.unwrap();
        shows(&bench, &["douse_blackouts_active 0", r#"douse_circuit_breaker_open{runbook="frail"} 0"#]);
    }
}

#[test]
fn a_running_engine_counts_by_itself() {
    let engine = Engine::setup().start();
    let metrics = || http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).expect("an answer").text;
    let shows = |line: &'static str| move |text: &String| text.lines().any(|found| found == line);
    let limit = Duration::from_secs(30);
    wait_until("no pause is counted", limit, metrics, shows("douse_paused 0"));
    let paused = engine.post("/api/v1/pause", &json!({"reason": "storm"}));
    assert!(paused.status < 300, "{}", paused.text);
    wait_until("the pause is counted", limit, metrics, shows("douse_paused 1"));
}
