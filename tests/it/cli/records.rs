//! `douse alerts`: what came in, by whom it is sent by hand, and asking again.

use std::time::Duration;

use super::{RESTART, douse, douse_as, engine_and_host};
use crate::support::engine::{Engine, OPERATOR_TOKEN, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

const BODY: &str = r#"{"version": "4", "alerts": [
    {"status": "firing", "startsAt": "2026-01-01T00:00:00Z", "labels": {"alertname": "ServiceDown", "service": "nginx", "severity": "critical"}},
    {"status": "firing", "startsAt": "2026-01-01T00:00:00Z", "labels": {"alertname": 7}},
    {"status": "resolved", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T01:00:00Z", "labels": {"alertname": "Other"}}]}"#;

#[test]
fn an_alert_is_sent_listed_shown_and_asked_about_again() {
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    douse(&engine, &["pause", "-m", "wait"]).ends(0);
    std::fs::write(engine.folder().join("body.json"), BODY).unwrap();
    std::fs::write(engine.folder().join("source.token"), WEBHOOK_TOKEN).unwrap();
    let send = ["alerts", "send", "-f", "body.json", "--source-token-file", "source.token"];
    douse(&engine, &send).ends(0).says(&["stored", "quarantined", "alertname"]);
    douse(&engine, &send).ends(0).says(&["duplicate"]);
    douse(&engine, &["alerts", "send", "-f", "body.json"]).ends(5).tells(&["--source-token-file"]);
    douse(&engine, &[&send[..], &["--source", "nobody"]].concat()).ends(5);
    douse(&engine, &["alerts", "send", "-f", "missing.json"]).ends(1).tells(&["missing.json"]);
    std::fs::write(engine.folder().join("wrong.json"), "{\"version\": \"9\", \"alerts\": []}").unwrap();
    douse(&engine, &["alerts", "send", "-f", "wrong.json", "--source-token-file", "source.token"])
        .ends(1)
        .tells(&["`version`"]);

    douse_as(VIEWER_TOKEN, &engine, &["alerts", "list"]).ends(0).says(&[
        "ServiceDown",
        "critical",
        "firing",
        "Other",
        "resolved",
    ]);
    let firing = douse(
        &engine,
        &["alerts", "list", "--status", "firing", "--name", "ServiceDown", "--severity", "critical", "-q"],
    )
    .id();
    assert_eq!(douse(&engine, &["alerts", "list", "--source", "elsewhere", "-q"]).stdout, "");
    douse(&engine, &["alerts", "quarantined", "-o", "wide"]).ends(0).says(&["main", "alertname", "is a number"]);
    assert_eq!(douse(&engine, &["alerts", "quarantined", "-o", "json"]).json()[0]["position"], 1);

    let held = || {
        let shown = douse(&engine, &["alerts", "show", &firing]).ends(0);
        shown.stdout.contains("held").then_some(shown)
    };
    wait_for("it is decided", LIMIT, held).says(&["label        service=nginx", "restart", "down", "douse explain"]);
    douse_as(OPERATOR_TOKEN, &engine, &["alerts", "replay", &firing]).ends(0).says(&["held"]);
    douse_as(VIEWER_TOKEN, &engine, &["alerts", "replay", &firing]).ends(5);
    assert_eq!(host.calls(), Vec::<String>::new());
    douse(&engine, &["resume"]).ends(0);
    let id = engine.wait_execution("restart", LIMIT);
    engine.wait_status(&id, "completed", LIMIT);
    douse(&engine, &["alerts", "replay", &firing]).ends(1).tells(&["executions retry"]);
    let of_alert = douse(&engine, &["executions", "list", "--alert", &firing, "-q"]).id();
    assert_eq!(of_alert, id);
}
