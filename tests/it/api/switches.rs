//! Maintenance and the kill switch: who, why and until; idempotent, and still there after a restart, on both engines.

use serde_json::{Value, json};

use super::{RUNBOOK, SERVER};
use crate::cli::douse_as;
use crate::support::engine::{ADMIN_TOKEN, Engine, OPERATOR_TOKEN, Setup, VIEWER_TOKEN};
use crate::support::{http, postgres};

fn start(setup: Setup) -> Engine {
    setup.runbook("restart-service.yml", RUNBOOK).server(SERVER.to_owned()).start()
}

fn events(engine: &Engine, kind: &str) -> Vec<Value> {
    let all = engine.get("/api/v1/audit?limit=200")["items"].as_array().unwrap().clone();
    all.into_iter().filter(|event| event["event_type"] == kind).collect()
}

fn act(engine: &Engine, token: &str, path: &str, body: &Value) -> http::Answer {
    http::post(&format!("{}{path}", engine.url), Some(token), Some(body)).unwrap()
}

fn maintenance_is_switched(mut engine: Engine) {
    let path = "/api/v1/servers/web1/maintenance";
    let on = |engine: &Engine, token, reason: Option<&str>| {
        let answer = act(engine, token, path, &json!({"is_paused": true, "reason": reason}));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    assert_eq!(act(&engine, VIEWER_TOKEN, path, &json!({"is_paused": true})).status, 403);
    let first = on(&engine, OPERATOR_TOKEN, Some("new disk"));
    assert_eq!((&first["paused_by"], &first["paused_reason"]), (&json!("oli"), &json!("new disk")));
    for reason in [None, Some("new disk")] {
        assert_eq!(on(&engine, ADMIN_TOKEN, reason), first, "who did it first, and when, stays");
    }
    assert_eq!(act(&engine, ADMIN_TOKEN, "/api/v1/servers/web1/pause", &json!({})).json(), first);
    assert_eq!(events(&engine, "MAINTENANCE_CHANGED").len(), 1, "what changes nothing is no event");
    let other = on(&engine, ADMIN_TOKEN, Some("new disk, and memory"));
    assert_eq!((&other["paused_by"], events(&engine, "MAINTENANCE_CHANGED").len()), (&json!("ada"), 2));

    engine.kill();
    engine.start();
    assert_eq!(engine.get("/api/v1/servers/web1"), other, "it survives a kill and a start");
    let plan = json!({"server": "web1", "parameters": {"service": "nginx"}, "dry_run": true});
    let answer = act(&engine, ADMIN_TOKEN, "/api/v1/runbooks/restart-service/execute", &plan);
    let gates = answer.json();
    let gates =
        gates["decision"]["gates"].as_array().or_else(|| gates["gates"].as_array()).cloned().unwrap_or_default();
    let gate = gates.iter().find(|gate| gate["gate"] == "maintenance").unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(gate["verdict"], "approve", "{gate}");

    for _ in 0..2 {
        let off = douse_as(OPERATOR_TOKEN, &engine, &["servers", "maintenance", "off", "web1"]).ends(0);
        off.says(&["maintenance  false"]);
    }
    assert_eq!(events(&engine, "MAINTENANCE_CHANGED").len(), 3);
    engine.stop();
    engine.start();
    assert_eq!(engine.get("/api/v1/servers/web1")["is_paused"], false);
}

#[test]
fn maintenance_is_idempotent_and_survives_restarts_on_sqlite() {
    maintenance_is_switched(start(Engine::setup()));
}

#[test]
fn maintenance_is_idempotent_and_survives_restarts_on_postgres() {
    maintenance_is_switched(start(Engine::setup().storage(&postgres::database())));
}

fn every_kill_switch_is_thrown(mut engine: Engine) {
    let until = "2099-01-01T00:00:00Z";
    let scopes = [
        (json!({}), "global", ""),
        (json!({"runbook": "restart-service"}), "runbook", "restart-service"),
        (json!({"group": "web"}), "group", "web"),
        (json!({"server": "web1"}), "server", "web1"),
    ];
    let with = |scope: &Value, more: Value| {
        let mut body = scope.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let run = json!({"server": "web1", "parameters": {"service": "nginx"}});
    let tried = |engine: &Engine| act(engine, ADMIN_TOKEN, "/api/v1/runbooks/restart-service/execute", &run);
    for (scope, name, of) in &scopes {
        for wrong in [json!({}), json!({"reason": ""}), json!({"reason": " "}), json!({"reason": "x".repeat(1_001)})] {
            assert_eq!(
                act(&engine, OPERATOR_TOKEN, "/api/v1/pause", &with(scope, wrong.clone())).status,
                422,
                "{wrong}"
            );
        }
        let past = with(scope, json!({"reason": "r", "until": "2020-01-01T00:00:00Z"}));
        assert_eq!(act(&engine, OPERATOR_TOKEN, "/api/v1/pause", &past).status, 422);
        let body = with(scope, json!({"reason": format!("stop the {name}"), "until": until}));
        assert_eq!(act(&engine, VIEWER_TOKEN, "/api/v1/pause", &body).status, 403);
        let made = act(&engine, OPERATOR_TOKEN, "/api/v1/pause", &body);
        assert_eq!(made.status, 201, "{}", made.text);

        // Who, why and until: in the list, after a kill, in the gate's answer, and in the audit log.
        engine.kill();
        engine.start();
        let shown = engine.get("/api/v1/pauses")["items"][0].clone();
        assert_eq!(shown, made.json());
        for (key, value) in [
            ("scope", json!(name)),
            ("name", json!(of)),
            ("created_by", json!("oli")),
            ("reason", json!(format!("stop the {name}"))),
        ] {
            assert_eq!(shown[key], value, "{key} of {shown}");
        }
        assert!(shown["until"].as_str().unwrap().starts_with("2099-01-01"), "{shown}");
        let held = tried(&engine);
        assert_eq!(held.status, 409, "{name}: {}", held.text);
        assert!(held.json()["held_until"].as_str().unwrap().starts_with("2099"), "{}", held.text);
        assert!(held.text.contains("oli") && held.text.contains(&format!("stop the {name}")), "{}", held.text);
        let event = &events(&engine, "PAUSED")[0];
        assert_eq!(
            (&event["actor"], &event["payload"]["scope"], &event["payload"]["name"]),
            (&json!("oli"), &json!(name), &json!(of))
        );

        // Only exactly that is let go, once.
        for (other, ..) in scopes.iter().filter(|(other, ..)| other != scope) {
            assert_eq!(act(&engine, OPERATOR_TOKEN, "/api/v1/resume", other).status, 409, "{other}");
        }
        assert_eq!(act(&engine, VIEWER_TOKEN, "/api/v1/resume", scope).status, 403);
        let ended = act(&engine, ADMIN_TOKEN, "/api/v1/resume", scope);
        assert_eq!((ended.status, &ended.json()["items"][0]["resumed_by"]), (200, &json!("ada")), "{}", ended.text);
        assert_eq!(act(&engine, ADMIN_TOKEN, "/api/v1/resume", scope).status, 409, "there is none left");
        assert_eq!(events(&engine, "RESUMED")[0]["actor"], "ada");
        engine.stop();
        engine.start();
        assert_eq!(engine.get("/api/v1/pauses")["items"], json!([]), "what was ended does not come back");
    }
    for unknown in [
        json!({"runbook": "none"}),
        json!({"group": "none"}),
        json!({"server": "none"}),
        json!({"server": "web1", "group": "web"}),
    ] {
        assert_eq!(
            act(&engine, ADMIN_TOKEN, "/api/v1/pause", &with(&unknown, json!({"reason": "r"}))).status,
            422,
            "{unknown}"
        );
    }
}

#[test]
fn every_kill_switch_says_who_why_and_until_and_survives_restarts_on_sqlite() {
    every_kill_switch_is_thrown(start(Engine::setup()));
}

#[test]
fn every_kill_switch_says_who_why_and_until_and_survives_restarts_on_postgres() {
    every_kill_switch_is_thrown(start(Engine::setup().storage(&postgres::database())));
}
