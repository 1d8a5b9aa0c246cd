//! `/-/healthy`, `/-/ready`, `/-/reload`, `/metrics`.

use std::fs;

use super::{RUNBOOK, ask, engine};
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN};
use crate::support::http;

#[test]
fn healthy_and_ready_need_no_credential() {
    let engine = engine();
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(http::get(&format!("{}{path}", engine.url), None).expect("an answer").status, 200, "{path}");
    }
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
