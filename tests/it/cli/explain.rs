//! `douse explain`: why nothing ran, gate by gate, in words.

use std::time::Duration;

use douse::gate::Gate;
use serde_json::json;

use super::{RESTART, douse, douse_as, engine_and_host};
use crate::support::engine::{Engine, VIEWER_TOKEN};
use crate::support::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_alert_that_did_not_run_shows_every_gate_with_its_reason() {
    let other = RESTART.replace("name: restart\n", "name: other\n").replace("ServiceDown*", "DiskFull");
    let setup = Engine::setup().runbook("restart.yml", RESTART).runbook("other.yml", &other).config(
        "blackouts: [{name: release, once: {start: \"2020-01-01T00:00:00Z\", end: \"2099-01-01T00:00:00Z\"}, servers: {names: [web1]}}]",
    );
    let (engine, host) = engine_and_host(setup);
    douse(&engine, &["pause", "--runbook", "restart", "-m", "it does harm"]).ends(0);
    let body = json!({"version": "4", "alerts": [{"status": "firing", "startsAt": "2026-01-01T00:00:00Z",
        "labels": {"alertname": "ServiceDown", "severity": "critical", "service": "nginx", "instance": "web1:9100"}}]});
    let alert = engine.deliver(&body).json()["alerts"][0]["alert_id"].as_str().unwrap().to_owned();
    wait_for("it is decided", LIMIT, || engine.get("/api/v1/decisions")["items"].as_array()?.first().cloned());

    let ran = douse_as(VIEWER_TOKEN, &engine, &["explain", &alert]).ends(13);
    for gate in Gate::ALL {
        let line = ran.stdout.lines().find(|line| line.trim_start_matches([' ', '!']).starts_with(gate.as_str()));
        let line = line.unwrap_or_else(|| panic!("{gate} is missing in\n{}", ran.stdout));
        let message = line.trim_start_matches([' ', '!']).trim_start_matches(gate.as_str()).trim();
        let words = message.split_whitespace().skip(1).count();
        assert!(words >= 2, "{gate} gives no reason: {line}");
    }
    let ran =
        ran.says(&["ServiceDown (critical) on web1:9100", "! kill_switch", "it does harm", "! blackout", "release"]);
    ran.says(&["Triggers that do not match", "other / down", "DiskFull"]);
    let json = douse(&engine, &["explain", &alert[..13], "-o", "json"]).ends(13).json();
    let triggers = json["triggers"].as_array().unwrap();
    let matching = triggers.iter().find(|trigger| trigger["matches"] == true).unwrap();
    assert_eq!(
        (&matching["runbook"], matching["gates"].as_array().map(Vec::len)),
        (&json!("restart"), Some(Gate::ALL.len()))
    );

    // What an imagined alert would meet, now and at another time.
    let labels = ["explain", "alertname=ServiceDown", "service=nginx", "instance=web1:9100"];
    douse(&engine, &labels).ends(13).says(&["! kill_switch"]);
    douse(&engine, &["resume", "--runbook", "restart"]).ends(0);
    douse(&engine, &labels).ends(13).says(&["! blackout"]);
    douse(&engine, &[&labels[..], &["--at", "2099-06-01T00:00:00Z"]].concat()).ends(0);
    std::fs::write(engine.folder().join("body.json"), body.to_string()).unwrap();
    douse(&engine, &["explain", "-f", "body.json"]).ends(13).says(&["! blackout", "release"]);
    douse(&engine, &["explain", "alertname=Nothing"]).ends(13).says(&["No trigger matches"]);
    assert_eq!((engine.executions().len(), host.calls().len()), (0, 0), "explaining does nothing");
}
