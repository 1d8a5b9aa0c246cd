//! What people change: each change is answered, kept, audited, and refused where it must be.

use std::time::Duration;

use serde_json::{Value, json};

use super::{RUNBOOK, SERVER, ask, engine};
use crate::support::engine::{ADMIN_TOKEN, Engine, OPERATOR_TOKEN, Setup};
use crate::support::wait::wait_for;
use crate::support::{http, postgres};

fn audited(engine: &Engine, kind: &str) -> Value {
    let events = engine.get(&format!("/api/v1/audit?event_type={kind}"));
    events["items"][0].clone()
}

#[test]
fn a_blackout_is_made_changed_and_removed() {
    let engine = engine();
    let body = json!({"name": "release", "once": {"start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"},
        "servers": {"tags": ["web"]}});
    let made = engine.post("/api/v1/blackouts", &body);
    assert_eq!(made.status, 201, "{}", made.text);
    let blackout = made.json();
    let id = blackout["id"].as_str().expect("an id");
    assert_eq!(made.header("location"), format!("/api/v1/blackouts/{id}"));
    assert_eq!(
        (&blackout["state"], &blackout["declared_in"], &blackout["created_by"]),
        (&json!("on"), &json!("api"), &json!("ada"))
    );
    assert_eq!(engine.get("/api/v1/blackouts/release")["id"], id);
    assert_eq!(engine.get("/api/v1/blackouts?at=2019-06-01T00:00:00Z")["items"][0]["state"], "off");
    assert_eq!(audited(&engine, "BLACKOUT_CREATED")["actor"], "ada");

    assert_eq!(engine.post("/api/v1/blackouts", &body).status, 409, "names are unique");
    let weekly = json!({"name": "release", "weekly": {"days": ["sunday"], "start": "02:00", "end": "04:00"}, "timezone": "Europe/Berlin"});
    let changed = ask(&engine, "PUT", &format!("/api/v1/blackouts/{id}"), Some(&weekly.to_string()));
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["weekly"]["days"], json!(["sunday"]));

    assert_eq!(ask(&engine, "DELETE", "/api/v1/blackouts/release", None).status, 204);
    assert_eq!(ask(&engine, "DELETE", "/api/v1/blackouts/release", None).status, 404);
    assert_eq!(audited(&engine, "BLACKOUT_DELETED")["payload"]["name"], "release");
}

#[test]
fn every_way_to_write_a_blackout_comes_back_as_it_was_meant() {
    let engine = engine();
    for (name, when) in [
        ("daily", json!({"daily": {"start": "22:00", "end": "06:00"}})),
        ("weekly", json!({"weekly": {"days": ["saturday", "sunday"], "start": "00:00", "end": "24:00"}})),
        ("monthly", json!({"monthly": {"days": [1, 31], "start": "01:00", "end": "02:00"}})),
        ("cron", json!({"cron": {"expression": "0 2 * * 0", "duration": "2h"}})),
        (
            "seed",
            json!({"start_time": "2026-03-01T02:00:00Z", "end_time": "2026-03-01T04:00:00Z", "recurrence": "weekly"}),
        ),
    ] {
        let mut body = when.clone();
        body["name"] = json!(name);
        body["timezone"] = json!("Europe/Berlin");
        body["effect"] = json!("refuse");
        let made = engine.post("/api/v1/blackouts", &body);
        assert_eq!(made.status, 201, "{name}: {}", made.text);
        let shown = engine.get(&format!("/api/v1/blackouts/{name}"));
        assert_eq!((&shown["timezone"], &shown["effect"]), (&json!("Europe/Berlin"), &json!("refuse")), "{name}");
        assert!(!shown["when"].as_str().unwrap_or_default().contains("cannot be read"), "{name}: {shown}");
    }
    for wrong in [
        json!({"name": "never"}),
        json!({"name": "two", "daily": {"start": "1:00", "end": "2:00"}, "cron": {"expression": "0 2 * * 0", "duration": "2h"}}),
        json!({"name": "zone", "daily": {"start": "01:00", "end": "02:00"}, "timezone": "Mars/Base"}),
        json!({"name": "typo", "dayly": {"start": "01:00", "end": "02:00"}}),
        json!({"name": "", "daily": {"start": "01:00", "end": "02:00"}}),
    ] {
        let answer = engine.post("/api/v1/blackouts", &wrong);
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.text);
    }
}

#[test]
fn what_a_file_declares_is_read_only() {
    let engine = Engine::setup()
        .runbook("restart-service.yml", RUNBOOK)
        .server(SERVER.to_owned())
        .config("blackouts: [{name: patching, daily: {start: '02:00', end: '03:00'}}]\n")
        .start();
    let body = r#"{"name": "patching", "daily": {"start": "01:00", "end": "02:00"}}"#;
    assert_eq!(ask(&engine, "POST", "/api/v1/blackouts", Some(body)).status, 409);
    assert_eq!(ask(&engine, "PUT", "/api/v1/blackouts/patching", Some(body)).status, 409);
    assert_eq!(ask(&engine, "DELETE", "/api/v1/blackouts/patching", None).status, 409);
    assert_eq!(engine.get("/api/v1/blackouts/patching")["declared_in"], "file");

    let server = r#"{"name": "web1", "hostname": "10.0.0.1", "auth_type": "agent"}"#;
    assert_eq!(ask(&engine, "POST", "/api/v1/servers", Some(server)).status, 409);
    assert_eq!(ask(&engine, "PUT", "/api/v1/servers/web1", Some(server)).status, 409);
    assert_eq!(ask(&engine, "DELETE", "/api/v1/servers/web1", None).status, 409);
}

#[test]
fn the_kill_switch_is_thrown_and_released() {
    let engine = engine();
    let paused = engine.post("/api/v1/pause", &json!({"reason": "fire drill"}));
    assert_eq!(paused.status, 201, "{}", paused.text);
    assert_eq!((&paused.json()["scope"], &paused.json()["created_by"]), (&json!("global"), &json!("ada")));
    assert_eq!(engine.post("/api/v1/pause", &json!({"server": "web1", "reason": "disk"})).status, 201);
    assert_eq!(engine.get("/api/v1/pauses")["items"].as_array().expect("items").len(), 2);
    assert_eq!(audited(&engine, "PAUSED")["payload"]["reason"], "disk");

    assert_eq!(engine.post("/api/v1/resume", &json!({})).status, 200);
    assert_eq!(engine.post("/api/v1/resume", &json!({})).status, 409, "it is not on");
    let left = engine.get("/api/v1/pauses");
    assert_eq!(left["items"][0]["name"], "web1", "only what is named is resumed: {left}");

    for wrong in [
        json!({}),
        json!({"reason": "  "}),
        json!({"reason": "x".repeat(1_001)}),
        json!({"reason": "x", "runbook": "typo"}),
        json!({"reason": "x", "server": "web1", "group": "web"}),
        json!({"reason": "x", "until": "2020-01-01T00:00:00Z"}),
        json!({"reason": "x", "colour": "red"}),
    ] {
        assert_eq!(engine.post("/api/v1/pause", &wrong).status, 422, "{wrong}");
    }
}

#[test]
fn a_breaker_is_opened_closed_and_reset_with_a_reason() {
    let engine = engine();
    let untouched = engine.get("/api/v1/breakers")["items"][0].clone();
    assert_eq!((&untouched["state"], &untouched["changed_at"]), (&json!("closed"), &Value::Null));
    assert_eq!(engine.get("/api/v1/breakers/restart-service"), untouched);
    let act = |what: &str, body: Value| engine.post(&format!("/api/v1/breakers/restart-service/{what}"), &body);
    assert_eq!(act("open", json!({})).status, 422, "a reason is needed");
    let opened = act("open", json!({"reason": "it made things worse"}));
    assert_eq!(opened.status, 200, "{}", opened.text);
    assert!(opened.json()["changed_at"].is_string(), "{}", opened.text);
    let opened = opened.json();
    assert_eq!(
        (&opened["state"], &opened["forced_open"], &opened["changed_by"]),
        (&json!("open"), &json!(true), &json!("ada"))
    );
    assert_eq!(engine.get("/api/v1/breakers/restart-service")["reason"], "it made things worse");
    assert_eq!(act("close", json!({"reason": "mended"})).json()["state"], "closed");
    assert_eq!(act("reset", json!({"reason": "as new"})).json()["forced_open"], false);
    assert_eq!(audited(&engine, "BREAKER_CHANGED")["resource_id"], "restart-service");
    assert_eq!(engine.post("/api/v1/breakers/none/open", &json!({"reason": "x"})).status, 404);
}

#[test]
fn a_runbook_is_disabled_and_enabled_over_its_file_and_that_survives_a_reload() {
    let engine = engine();
    let disabled = engine.post("/api/v1/runbooks/restart-service/disable", &json!({"reason": "look at it first"}));
    assert_eq!(disabled.json()["status"], "disabled", "{}", disabled.text);
    assert_eq!(ask(&engine, "POST", "/-/reload", None).status, 200);
    let shown = engine.get("/api/v1/runbooks/restart-service");
    assert_eq!((&shown["status"], &shown["file_status"]), (&json!("disabled"), &json!("active")));
    assert_eq!((&shown["override"]["by"], &shown["override"]["reason"]), (&json!("ada"), &json!("look at it first")));
    let enabled = engine.post("/api/v1/runbooks/restart-service/enable", &json!({}));
    assert_eq!(enabled.json()["status"], "active", "{}", enabled.text);
    assert_eq!(engine.post("/api/v1/runbooks/none/disable", &json!({})).status, 404);
}

#[test]
fn the_versions_of_a_runbook_are_kept_and_compared() {
    let engine = engine();
    std::fs::write(
        engine.folder().join("runbooks/restart-service.yml"),
        RUNBOOK.replace("restart {{", "try-restart {{"),
    )
    .unwrap();
    assert_eq!(ask(&engine, "POST", "/-/reload", None).status, 200);
    let versions = engine.get("/api/v1/runbooks/restart-service/versions");
    assert_eq!(versions["items"].as_array().expect("items").len(), 2);
    assert_eq!(versions["items"][0]["version"], 2, "newest first");
    let diff = engine.get("/api/v1/runbooks/restart-service/versions/2/diff");
    let text = diff["diff"].as_str().expect("text");
    assert!(
        text.contains("-    command: systemctl restart") && text.contains("+    command: systemctl try-restart"),
        "{text}"
    );
    assert_eq!(diff["previous"], 1);
    let export = ask(&engine, "GET", "/api/v1/runbooks/restart-service/export", None);
    assert_eq!(export.text, RUNBOOK.replace("restart {{", "try-restart {{"));
    assert!(export.header("content-type").starts_with("application/yaml"));
}

#[test]
fn a_server_is_added_changed_put_under_maintenance_and_removed() {
    let engine = engine();
    let body = json!({"name": "db1", "hostname": "10.0.0.5", "username": "douse", "password_file": "db1.password", "tags": ["db"], "group": "db"});
    let made = engine.post("/api/v1/servers", &body);
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains("password_file") && !made.text.contains("db1.password"), "credentials are write-only");
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/servers/{id}"));
    assert_eq!(engine.get(&format!("/api/v1/servers/{id}"))["declared_in"], "api");
    assert_eq!(engine.post("/api/v1/servers", &body).status, 409);

    let changed = ask(
        &engine,
        "PUT",
        "/api/v1/servers/db1",
        Some(r#"{"name": "db1", "hostname": "10.0.0.6", "auth_type": "agent"}"#),
    );
    assert_eq!((changed.status, &changed.json()["hostname"]), (200, &json!("10.0.0.6")), "{}", changed.text);

    let operator = |path: &str, body: &str| {
        http::ask("POST", &format!("{}{path}", engine.url), Some(OPERATOR_TOKEN), Some(body), &[])
    };
    let on = operator("/api/v1/servers/db1/maintenance", r#"{"is_paused": true, "reason": "new disk"}"#);
    assert_eq!((on.status, &on.json()["is_paused"]), (200, &json!(true)), "{}", on.text);
    assert_eq!(operator("/api/v1/servers/db1/unpause", "").json()["is_paused"], json!(false));
    assert_eq!(operator("/api/v1/servers/web1/pause", "").json()["is_paused"], json!(true), "over what its file says");
    assert_eq!(audited(&engine, "MAINTENANCE_CHANGED")["actor"], "oli");
    assert_eq!(ask(&engine, "POST", "/-/reload", None).status, 200);
    assert_eq!(engine.get("/api/v1/servers/web1")["is_paused"], true, "it survives a reload");

    assert_eq!(ask(&engine, "DELETE", "/api/v1/servers/db1", None).status, 204);
    assert_eq!(ask(&engine, "GET", "/api/v1/servers/db1", None).status, 404);
    assert_eq!(engine.post("/api/v1/servers", &body).status, 201, "the name is free again");
}

#[test]
fn a_server_may_not_name_any_file_of_the_engines_machine() {
    let engine = engine();
    for file in ["/etc/shadow", "../douse.yml", "a/../../b", "./x", ""] {
        let body = json!({"name": "evil", "hostname": "10.0.0.5", "password_file": file});
        let answer = engine.post("/api/v1/servers", &body);
        assert_eq!(answer.status, 422, "{file}: {}", answer.text);
    }
    for wrong in [
        json!({"name": "x"}),
        json!({"name": "x y", "hostname": "h"}),
        json!({"name": "x", "hostname": "-oProxyCommand=x"}),
        json!({"name": "x", "hostname": "h", "pasword": "p"}),
    ] {
        assert_eq!(engine.post("/api/v1/servers", &wrong).status, 422, "{wrong}");
    }
}

#[test]
fn a_server_that_cannot_be_reached_says_why() {
    let engine = engine();
    let answer = engine.post("/api/v1/servers/web1/test", &json!({}));
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("failed")), "{}", answer.text);
    let checks = answer.json()["checks"].as_array().expect("checks").clone();
    let failed = checks.iter().find(|check| check["state"] == "failed").expect("one that failed");
    let told = format!("{}: {}", failed["part"].as_str().unwrap(), failed["message"].as_str().unwrap());
    assert_eq!(answer.json()["message"], told);
    assert_eq!(checks[5], json!({"part": "sudo", "state": "skipped", "message": ""}));
    assert_eq!(engine.get("/api/v1/servers/web1")["last_connection_status"], "failed");
}

#[test]
fn the_mode_is_changed_while_the_engine_runs() {
    let engine = engine();
    assert_eq!(engine.get("/api/v1/config")["mode"], "enforce");
    let set = |value: Value| ask(&engine, "PUT", "/api/v1/config/mode", Some(&json!({"value": value}).to_string()));
    assert_eq!(set(json!("observe")).json()["mode"], "observe");
    let shown = engine.get("/api/v1/config");
    assert_eq!((&shown["mode"], &shown["configured_mode"]), (&json!("observe"), &json!("enforce")));
    assert_eq!(audited(&engine, "CONFIG_CHANGED")["payload"], json!({"from": "enforce", "to": "observe"}));
    assert_eq!(set(Value::Null).json()["mode"], "enforce");
    assert_eq!(set(json!("off")).status, 422);
    assert_eq!(ask(&engine, "PUT", "/api/v1/config/limits", Some("{\"value\": 1}")).status, 404);
}

#[test]
fn a_body_that_is_no_json_is_400_a_wrong_one_422_and_a_huge_one_413() {
    let engine = engine();
    let asked = |body: &str| ask(&engine, "POST", "/api/v1/pause", Some(body)).status;
    assert_eq!(asked("{"), 400);
    assert_eq!(asked("[]"), 422);
    assert_eq!(asked("{\"reason\": 5}"), 422);
    assert_eq!(asked(&format!("{{\"reason\": \"{}\"}}", "x".repeat(1_100_000))), 413);
}

/// An alert that the runbook's trigger selects.
fn service_down() -> Value {
    let labels = json!({"alertname": "ServiceDown", "service": "nginx", "instance": "web1:9100"});
    json!({"version": "4", "alerts": [{"status": "firing", "startsAt": "2026-01-01T00:00:00Z", "labels": labels}]})
}

#[test]
fn a_replay_asks_all_gates_again_where_the_engine_would_not() {
    let engine = engine();
    let set = |act: &str| engine.post(&format!("/api/v1/runbooks/restart-service/{act}"), &json!({"reason": "test"}));
    assert_eq!(set("disable").status, 200);
    let id = engine.deliver(&service_down()).json()["alerts"][0]["alert_id"].as_str().expect("an id").to_owned();
    let decision = || engine.get(&format!("/api/v1/alerts/{id}/decisions"))["items"][0].clone();
    let refused = wait_for("it is decided", Duration::from_secs(60), || {
        let decision = decision();
        (decision["verdict"] != Value::Null).then_some(decision)
    });
    assert_eq!((&refused["verdict"], &refused["skip_reason"]), (&json!("refused"), &json!("runbook_disabled")));
    assert_eq!(set("enable").status, 200);
    assert_eq!(decision()["verdict"], "refused", "a refusal is for good, unless a person asks");
    let answer = engine.post(&format!("/api/v1/alerts/{id}/replay"), &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["items"][0]["verdict"], "approval", "{}", answer.text);
    assert_eq!(answer.json()["items"][0]["id"], refused["id"]);
    assert_eq!(engine.executions()[0]["status"], "pending");
    assert_eq!(audited(&engine, "ALERT_REPLAYED")["payload"]["decisions"], 1);
}

fn of_equal_requests_at_the_same_time_one_starts_a_run(setup: Setup) {
    let engine = setup.runbook("restart-service.yml", RUNBOOK).server(SERVER.to_owned()).start();
    let body = json!({"server": "web1", "parameters": {"service": "nginx"}}).to_string();
    for round in 0..5 {
        let (key, url) = (format!("key-{round}"), format!("{}/api/v1/runbooks/restart-service/execute", engine.url));
        let ask = || http::ask("POST", &url, Some(ADMIN_TOKEN), Some(&body), &[("Idempotency-Key", &key)]);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        for answer in &answers {
            assert_eq!((answer.status, answer.json()), (202, answers[0].json()));
        }
        assert_eq!(engine.executions().len(), round + 1);
    }
}

#[test]
fn of_equal_requests_at_the_same_time_one_starts_a_run_on_sqlite() {
    of_equal_requests_at_the_same_time_one_starts_a_run(Engine::setup());
}

#[test]
fn of_equal_requests_at_the_same_time_one_starts_a_run_on_postgres() {
    of_equal_requests_at_the_same_time_one_starts_a_run(Engine::setup().storage(&postgres::database()));
}
