//! Rights at single runbooks and groups of servers, over HTTP: what is out of reach is not there.

use serde_json::{Value, json};

use super::http::{invite, login, send};
use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN, Engine, OPERATOR_TOKEN};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMJhfvlHzB8xxNgGLkhTy9ZAhQyTAdsVNyDOBVmHgVQ3";

/// Two runbooks that ask, and a server in each of two groups; nothing listens there.
fn setup() -> crate::support::engine::Setup {
    let runbook = |name: &str| {
        format!(
            "name: {name}\nmode: auto\nrequires_approval: true\napproval_roles: [operator, engineer]\n\
             target: {{from: '{{{{ alert.labels.host }}}}'}}\n\
             steps: [{{name: Do, command: 'do it', rollback_command: 'undo it'}}]\n\
             triggers: [{{name: down, alert_name_pattern: 'Down'}}]\n"
        )
    };
    let server = |name: &str, group: &str| {
        format!(
            "{{name: {name}, hostname: 127.0.0.1, port: 9, username: douse, auth_type: agent, group: {group}, host_key: {KEY}}}"
        )
    };
    Engine::setup()
        .runbook("restart.yml", &runbook("restart-nginx"))
        .runbook("reboot.yml", &runbook("reboot"))
        .server(server("web1", "web"))
        .server(server("db1", "db"))
        .config("limits: {recently_remediated: 0s, attempts: {count: 0, window: 1h}}")
}

fn run(engine: &Engine, token: &str, runbook: &str, server: &str) -> (u16, String) {
    let body = json!({"server": server, "reason": "test"});
    let answer = send(engine, "POST", &format!("/api/v1/runbooks/{runbook}/execute"), Some(token), &body);
    let id = answer.json()["execution_id"].as_str().unwrap_or_default().to_owned();
    (answer.status, id)
}

fn get(engine: &Engine, token: &str, path: &str) -> (u16, Value) {
    let answer = send(engine, "GET", path, Some(token), &Value::Null);
    (answer.status, answer.json())
}

/// What stands under `key` in the items of a list.
fn listed(engine: &Engine, token: &str, path: &str, key: &str) -> Vec<String> {
    let (status, list) = get(engine, token, path);
    assert_eq!(status, 200, "{path}: {list}");
    let mut found: Vec<String> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item[key].as_str().unwrap_or_default().to_owned())
        .collect();
    found.sort();
    found
}

/// A user with these scopes: the token of a session.
fn user(engine: &Engine, name: &str, role: &str, scopes: &Value) -> String {
    invite(engine, name, role);
    let path = format!("/api/v1/users/{name}");
    assert_eq!(send(engine, "PATCH", &path, Some(ADMIN_TOKEN), &json!({"scopes": scopes})).status, 200);
    login(engine, name, "command_line").json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_out_of_reach_is_not_there() {
    let engine = setup().start();
    let scopes = json!([{"may": ["execute"], "runbooks": ["restart-*"], "groups": ["web"]}]);
    let amy = user(&engine, "amy", "engineer", &scopes);
    let mine = run(&engine, ENGINEER_TOKEN, "restart-nginx", "web1").1;
    let other_server = run(&engine, ENGINEER_TOKEN, "restart-nginx", "db1").1;
    let other_runbook = run(&engine, ENGINEER_TOKEN, "reboot", "web1").1;
    engine.deliver(&json!({"version": "4", "groupKey": "g", "status": "firing", "receiver": "r", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "alerts": [{"status": "firing", "startsAt": "2026-03-01T09:30:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0123456789abcdef", "annotations": {},
        "labels": {"alertname": "Down", "host": "db1", "instance": "db1:9100"}}]}));
    crate::support::wait::wait_for("both triggers are decided", std::time::Duration::from_secs(30), || {
        (!listed(&engine, ADMIN_TOKEN, "/api/v1/decisions", "runbook").is_empty()).then_some(())
    });
    // Lists.
    assert_eq!(listed(&engine, &amy, "/api/v1/runbooks", "name"), ["restart-nginx"]);
    assert_eq!(listed(&engine, &amy, "/api/v1/breakers", "runbook"), ["restart-nginx"]);
    assert_eq!(listed(&engine, &amy, "/api/v1/executions", "id"), std::slice::from_ref(&mine));
    assert_eq!(listed(&engine, &amy, "/api/v1/servers/web1/executions", "id"), std::slice::from_ref(&mine));
    assert_eq!(listed(&engine, &amy, "/api/v1/servers", "name"), ["web1"]);
    assert_eq!(listed(&engine, &amy, "/api/v1/approvals", "id"), std::slice::from_ref(&mine));
    assert_eq!(listed(&engine, &amy, "/api/v1/decisions", "runbook"), Vec::<String>::new(), "on db1, all of them");
    let decision = listed(&engine, ADMIN_TOKEN, "/api/v1/decisions", "id").remove(0);
    let alert = listed(&engine, &amy, "/api/v1/alerts", "id").remove(0);
    assert_eq!(listed(&engine, &amy, &format!("/api/v1/alerts/{alert}/decisions"), "id"), Vec::<String>::new());
    // By id and name.
    let hidden = |path: &str| assert_eq!(get(&engine, &amy, path).0, 404, "{path}");
    for id in [&other_server, &other_runbook] {
        for part in ["", "/steps", "/output", "/audit", "/export"] {
            hidden(&format!("/api/v1/executions/{id}{part}"));
        }
        hidden(&format!("/api/v1/approvals/{id}"));
    }
    for part in ["", "/versions", "/versions/1/diff"] {
        hidden(&format!("/api/v1/runbooks/reboot{part}"));
    }
    hidden("/api/v1/runbooks/reboot/export");
    hidden("/api/v1/breakers/reboot");
    hidden("/api/v1/servers/db1");
    hidden("/api/v1/servers/db1/executions");
    hidden(&format!("/api/v1/decisions/{decision}"));
    for part in ["", "/steps", "/output", "/audit", "/export"] {
        assert_eq!(get(&engine, &amy, &format!("/api/v1/executions/{mine}{part}")).0, 200, "{part}");
    }
    let question = json!({"alert": {"labels": {"alertname": "Down", "host": "web1"}}});
    let told = send(&engine, "POST", "/api/v1/decisions/explain", Some(&amy), &question);
    assert!(told.text.contains("restart-nginx") && !told.text.contains("reboot"), "{}", told.text);
    // Acts: what is not there, what is and is not permitted, what is.
    let act = |path: &str, body: Value| {
        let answer = send(&engine, "POST", path, Some(&amy), &body);
        (answer.status, answer.text)
    };
    let why = || json!({"reason": "test"});
    for id in [&other_server, &other_runbook] {
        for verb in ["approve", "reject", "cancel", "retry", "rollback", "release"] {
            let (status, text) = act(&format!("/api/v1/executions/{id}/{verb}"), why());
            assert_eq!(status, 404, "{verb}: {text}");
        }
    }
    for verb in ["approve", "reject"] {
        assert_eq!(act(&format!("/api/v1/executions/{mine}/{verb}"), why()).0, 403, "execute is not approve");
        assert_eq!(act(&format!("/api/v1/approvals/{mine}/{verb}"), why()).0, 403);
    }
    assert_eq!(act("/api/v1/runbooks/reboot/execute", json!({"server": "web1"})).0, 404);
    assert_eq!(act("/api/v1/runbooks/reboot/disable", why()).0, 404);
    let before = listed(&engine, ADMIN_TOKEN, "/api/v1/executions", "id").len();
    assert_eq!(act("/api/v1/runbooks/restart-nginx/execute", json!({"server": "db1"})).0, 403);
    assert_eq!(listed(&engine, ADMIN_TOKEN, "/api/v1/executions", "id").len(), before, "nothing was made");
    assert_eq!(act(&format!("/api/v1/alerts/{alert}/replay"), json!({})).0, 403);
    assert_eq!(act("/api/v1/pause", why()).0, 201, "stopping is easy");
    assert_eq!(act("/api/v1/resume", json!({})).0, 403, "letting all go on is not hers");
    assert_eq!(send(&engine, "POST", "/api/v1/resume", Some(OPERATOR_TOKEN), &json!({})).status, 200);
    let (status, text) = act("/api/v1/runbooks/restart-nginx/execute", json!({"server": "web1"}));
    assert_eq!(status, 202, "{text}");
    assert_eq!(act(&format!("/api/v1/executions/{mine}/cancel"), why()).0, 200);
}

#[test]
fn scopes_permit_what_they_say_wherever_they_stand() {
    let mut engine = setup().write();
    let file = std::fs::read_to_string(engine.config_file()).unwrap();
    let narrowed = r#"{"name": "bot", "role": "operator", "token": "bot-token-of-the-tests", "scopes": [{"may": ["view"]}, {"may": ["execute"], "groups": ["db"]}]}, "#;
    let rights = "rights: [{role: operator, may: [view, execute]}, {role: operator, may: [approve], runbooks: [\"restart-*\"], groups: [web]}]";
    let file = file.replace("tokens: [", &format!("{rights}, tokens: [{narrowed}"));
    std::fs::write(engine.config_file(), file).unwrap();
    engine.start();
    let cat = user(&engine, "cat", "operator", &Value::Null);
    let dan = user(&engine, "dan", "operator", &json!([{"may": ["approve"]}]));
    let eng = user(&engine, "eng", "engineer", &Value::Null);
    let yes = |token: &str, id: &str| {
        send(&engine, "POST", &format!("/api/v1/executions/{id}/approve"), Some(token), &json!({})).status
    };
    let ids: Vec<String> = [("restart-nginx", "web1"), ("restart-nginx", "db1"), ("reboot", "web1")]
        .map(|(runbook, server)| run(&engine, ENGINEER_TOKEN, runbook, server).1)
        .to_vec();
    // The role's rule narrows every operator, also tokens of the configuration; engineers have none.
    for token in [&cat, &dan, OPERATOR_TOKEN, "bot-token-of-the-tests"] {
        assert_eq!((yes(token, &ids[1]), yes(token, &ids[2])), (403, 403), "{token}");
    }
    assert_eq!(yes("bot-token-of-the-tests", &ids[0]), 403, "its own scopes permit no yes at all");
    assert_eq!(run(&engine, &dan, "reboot", "db1").0, 403, "the role permits it, the user's scopes do not");
    assert_eq!(run(&engine, "bot-token-of-the-tests", "reboot", "web1").0, 403);
    assert_eq!(run(&engine, "bot-token-of-the-tests", "reboot", "db1").0, 202);
    assert_eq!(run(&engine, &cat, "reboot", "db1").0, 202);
    assert_eq!(yes(&dan, &ids[0]), 200, "role and user both permit it");
    assert_eq!((yes(&eng, &ids[1]), yes(&eng, &ids[2])), (200, 200));
    // A token of an engineer that stands for an operator is bound by the operators' rule.
    let body = json!({"name": "less", "role": "operator"});
    let less = send(&engine, "POST", "/api/v1/tokens", Some(&eng), &body).json();
    let less = less["token"].as_str().unwrap().to_owned();
    let id = run(&engine, ENGINEER_TOKEN, "reboot", "web1").1;
    assert_eq!((yes(&less, &id), yes(&eng, &id)), (403, 200));
}

#[test]
fn whoever_is_asked_sees_why_and_what() {
    let engine = setup().start();
    let text = std::fs::read_to_string(engine.folder().join("runbooks/restart.yml")).unwrap();
    let text = format!("{text}risk: high\napproval: {{min_approvals: 2, message: 'Ask the shop first'}}\n")
        .replace("approval_roles: [operator, engineer]\n", "");
    std::fs::write(engine.folder().join("runbooks/restart.yml"), text).unwrap();
    assert_eq!(send(&engine, "POST", "/-/reload", Some(ADMIN_TOKEN), &Value::Null).status, 200);
    let on = send(&engine, "POST", "/api/v1/servers/web1/maintenance", Some(ADMIN_TOKEN), &json!({"is_paused": true}));
    assert_eq!(on.status, 200, "{}", on.text);
    let id = run(&engine, OPERATOR_TOKEN, "restart-nginx", "web1").1;
    let shown = get(&engine, ADMIN_TOKEN, &format!("/api/v1/approvals/{id}")).1;
    let reasons = shown["reasons"].to_string();
    assert!(reasons.contains("maintenance") && reasons.contains("requires an approval"), "a run by hand, too: {shown}");
    assert_eq!((&shown["risk"], &shown["message"]), (&json!("high"), &json!("Ask the shop first")));
    assert_eq!((&shown["min_approvals"], &shown["agreed_by"]), (&json!(2), &json!([])));
    let step = &shown["members"][0]["steps"][0];
    assert_eq!((&step["action"], &step["undo"]), (&json!("do it"), &json!("undo it")));
    let body = json!({"plan_hash": shown["plan_hash"]});
    let first = send(&engine, "POST", &format!("/api/v1/approvals/{id}/approve"), Some(ADMIN_TOKEN), &body).json();
    assert_eq!((&first["state"], &first["agreed_by"]), (&json!("pending"), &json!(["ada"])));
    let second = send(&engine, "POST", &format!("/api/v1/approvals/{id}/approve"), Some(ENGINEER_TOKEN), &body).json();
    assert_eq!((&second["state"], &second["decided_by"]), (&json!("approved"), &json!("eve")));
}
