//! `/-/healthy`, `/-/ready`, `/-/reload`, `/metrics`.

use std::fs;

use serde_json::json;

use super::{RUNBOOK, ask, engine};
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::http;

#[test]
fn healthy_and_ready_need_no_credential() {
    let engine = engine();
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(http::get(&format!("{}{path}", engine.url), None).expect("an answer").status, 200, "{path}");
    }
}

#[test]
fn a_head_is_answered_as_a_get_without_its_body() {
    let engine = engine();
    let head = |path: &str, token| http::ask("HEAD", &format!("{}{path}", engine.url), token, None, &[]);
    let answer = head("/-/healthy", None);
    assert_eq!((answer.status, answer.text.as_str(), answer.header("content-length")), (200, "", "18"));
    assert_eq!(head("/api/v1/alerts", None).status, 401);
    assert_eq!(head("/api/v1/alerts", Some(VIEWER_TOKEN)).status, 200);
    assert_eq!(head("/-/reload", Some(ADMIN_TOKEN)).status, 404, "a GET of it is none either");
}

#[test]
fn metrics_need_a_viewer_unless_they_are_public() {
    let engine = engine();
    let url = format!("{}/metrics", engine.url);
    assert_eq!(http::get(&url, None).expect("an answer").status, 401);
    let answer = http::get(&url, Some(VIEWER_TOKEN)).expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"), "{:?}", answer);
    assert!(answer.text.contains("douse_audit_records_total{event=\"ENGINE_STARTED\"}"), "{}", answer.text);
    assert!(answer.text.ends_with("# EOF\n"));
}

#[test]
fn a_reload_is_all_or_nothing_and_says_what_is_wrong() {
    let engine = engine();
    let runbooks = |engine: &Engine| engine.get("/api/v1/runbooks")["items"].as_array().expect("a list").len();
    let folder = engine.folder().join("runbooks");
    fs::write(folder.join("second.yml"), RUNBOOK.replace("restart-service", "second")).unwrap();
    assert_eq!(ask(&engine, "POST", "/-/reload", None).status, 200);
    assert_eq!(runbooks(&engine), 2);

    fs::write(folder.join("second.yml"), "name: second\nstep: []\n").unwrap();
    fs::write(folder.join("third.yml"), RUNBOOK.replace("restart-service", "third")).unwrap();
    let answer = ask(&engine, "POST", "/-/reload", None);
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("second.yml") && answer.text.contains("step"), "{}", answer.text);
    assert_eq!(runbooks(&engine), 2, "what was in force stays in force, and nothing new is");
    let metrics = http::get(&format!("{}/metrics", engine.url), Some(ADMIN_TOKEN)).expect("an answer").text;
    assert!(metrics.contains("douse_config_last_reload_successful 0"), "{metrics}");

    fs::write(folder.join("second.yml"), RUNBOOK.replace("restart-service", "second")).unwrap();
    assert_eq!(ask(&engine, "POST", "/-/reload", None).status, 200);
    assert_eq!(runbooks(&engine), 3);
}

#[test]
fn a_configuration_that_is_wrong_stops_the_start_with_every_problem() {
    let engine = Engine::setup().config("limits: {executions: many}\nsorces: []\n").write();
    let log = engine.fails_to_start();
    for told in ["`limits.executions`", "unknown key `sorces`", "did you mean `sources`", "douse.yml:"] {
        assert!(log.contains(told), "{told} is missing in\n{log}");
    }
}

/// A series' value; `None` when it is not there.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn metrics(engine: &Engine) -> String {
    http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).expect("an answer").text
}

#[test]
fn every_series_that_can_be_foreseen_is_there_from_the_start() {
    let engine = engine();
    let text = metrics(&engine);
    for (series, expected) in [
        ("douse_alerts_received_total{source=\"main\",status=\"stored\"}", 0.0),
        ("douse_alerts_received_total{source=\"main\",status=\"quarantined\"}", 0.0),
        ("douse_webhook_duration_seconds_count", 0.0),
        ("douse_decisions_total{runbook=\"restart-service\",decision=\"allowed\",reason=\"\"}", 0.0),
        ("douse_executions_total{runbook=\"restart-service\",status=\"failed\",mode=\"semi_auto\"}", 0.0),
        ("douse_execution_duration_seconds_count", 0.0),
        ("douse_executions_in_flight", 0.0),
        ("douse_approvals_pending", 0.0),
        ("douse_time_to_remediate_seconds_count", 0.0),
        ("douse_rollbacks_total{runbook=\"restart-service\",result=\"stuck\"}", 0.0),
        ("douse_circuit_breaker_open{runbook=\"restart-service\"}", 0.0),
        ("douse_blackouts_active", 0.0),
        ("douse_paused", 0.0),
        ("douse_ssh_connect_seconds_count", 0.0),
        ("douse_ssh_errors_total{reason=\"host_key_changed\"}", 0.0),
        ("douse_config_last_reload_successful", 1.0),
        ("douse_audit_records_total{event=\"ENGINE_STARTED\"}", 1.0),
        ("douse_audit_records_total{event=\"PAUSED\"}", 0.0),
        ("douse_audit_record_errors_total", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    assert!(value(&text, "douse_audit_record_duration_seconds_count") >= Some(1.0), "{text}");
}

#[test]
fn states_are_counted_when_they_are_asked_for_also_after_a_restart() {
    let mut engine = engine();
    assert_eq!(engine.post("/api/v1/pause", &json!({"reason": "test"})).status, 201);
    assert_eq!(engine.post("/api/v1/breakers/restart-service/open", &json!({"reason": "test"})).status, 200);
    let window = json!({"name": "now", "once": {"start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}});
    assert_eq!(engine.post("/api/v1/blackouts", &window).status, 201);
    let over = json!({"name": "over", "once": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}});
    assert_eq!(engine.post("/api/v1/blackouts", &over).status, 201);
    engine.deliver(&json!({"version": "4", "alerts": []}));
    let check = |engine: &Engine| {
        let text = metrics(engine);
        for series in
            ["douse_paused", "douse_blackouts_active", "douse_circuit_breaker_open{runbook=\"restart-service\"}"]
        {
            assert_eq!(value(&text, series), Some(1.0), "{series} in\n{text}");
        }
        let last = value(&text, "douse_last_webhook_timestamp_seconds{source=\"main\"}").expect("it has delivered");
        assert!(last > 1_700_000_000.0, "{last}");
    };
    check(&engine);
    engine.stop();
    engine.start();
    check(&engine);
    assert_eq!(
        value(&metrics(&engine), "douse_audit_records_total{event=\"PAUSED\"}"),
        Some(0.0),
        "counters begin anew"
    );
}

#[test]
fn only_a_delivery_that_is_taken_moves_the_time_of_the_last_one() {
    let engine = engine();
    let last = || value(&metrics(&engine), "douse_last_webhook_timestamp_seconds{source=\"main\"}").unwrap_or(0.0);
    let body = json!({"version": "4", "alerts": []});
    let post = |token: &str, body: &str| http::ask("POST", &engine.webhook(), Some(token), Some(body), &[]).status;
    assert_eq!(post("a-wrong-token", &body.to_string()), 401);
    assert_eq!(post(WEBHOOK_TOKEN, "{"), 400);
    assert_eq!(post(WEBHOOK_TOKEN, "{\"version\": \"9\"}"), 422);
    assert_eq!(last(), 0.0);
    assert_eq!(engine.deliver(&body).status, 200);
    assert!(last() > 1_700_000_000.0, "{}", last());
}
