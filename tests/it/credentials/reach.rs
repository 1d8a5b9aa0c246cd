//! Servers and credentials for people whose rights are narrowed to some groups of servers.

use serde_json::{Value, json};

use super::*;
use crate::identity::http::{invite, login, send};
use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN};

/// Pinned, and nobody's: nothing here logs in.
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMJhfvlHzB8xxNgGLkhTy9ZAhQyTAdsVNyDOBVmHgVQ3";

/// A user with these scopes: the token of a session.
fn user(engine: &Engine, name: &str, role: &str, scopes: &Value) -> String {
    invite(engine, name, role);
    let path = format!("/api/v1/users/{name}");
    assert_eq!(send(engine, "PATCH", &path, Some(ADMIN_TOKEN), &json!({"scopes": scopes})).status, 200);
    login(engine, name, "command_line").json()["token"].as_str().unwrap().to_owned()
}

/// A server of `group` that logs in by password.
fn server(name: &str, group: &str) -> Value {
    json!({"name": name, "hostname": "127.0.0.1", "port": 9, "username": "ops", "group": group, "host_keys": [HOST_KEY],
        "password": format!("password-of-{name}")})
}

#[test]
fn servers_out_of_reach_are_not_there_and_cannot_be_touched() {
    let engine = started(setup());
    for (name, group) in [("web1", "web"), ("db1", "db")] {
        let made = send(&engine, "POST", "/api/v1/servers", Some(ENGINEER_TOKEN), &server(name, group));
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let amy = user(&engine, "amy", "engineer", &json!([{"may": ["execute"], "groups": ["web"]}]));
    let ask = |method: &str, path: &str, body: Value| {
        let answer = send(&engine, method, &format!("/api/v1/servers{path}"), Some(&amy), &body);
        (answer.status, answer.text)
    };
    let before = engine.get("/api/v1/servers/db1");
    let (status, list) = ask("GET", "", Value::Null);
    assert!(status == 200 && list.contains("web1") && !list.contains("db1"), "{list}");
    let id = before["id"].as_str().unwrap().to_owned();
    for name in ["db1", id.as_str()] {
        for (method, part, body) in [
            ("GET", "", Value::Null),
            ("GET", "/executions", Value::Null),
            ("PUT", "", server("db1", "web")),
            ("DELETE", "", Value::Null),
            ("PUT", "/credentials", json!({"password": "of-amys-own"})),
            ("DELETE", "/credentials", Value::Null),
            ("POST", "/test", json!({})),
            ("POST", "/maintenance", json!({"is_paused": true})),
            ("POST", "/pause", json!({})),
            ("POST", "/unpause", json!({})),
        ] {
            let (status, text) = ask(method, &format!("/{name}{part}"), body);
            assert_eq!(status, 404, "{method} /{name}{part}: {text}");
        }
    }
    assert_eq!(engine.get("/api/v1/servers/db1"), before, "nothing of it was changed");

    // What is in reach can be changed, and not be carried out of it.
    assert_eq!(ask("PUT", "/web1", server("web1", "web")).0, 200);
    assert_eq!(ask("PUT", "/web1/credentials", json!({"password": "another"})).0, 200);
    assert_eq!(ask("POST", "/web1/test", json!({})).0, 200);
    for group in [json!("db"), Value::Null] {
        let mut body = server("web1", "web");
        body["group"] = group;
        assert_eq!(ask("PUT", "/web1", body.clone()).0, 403, "{body}");
        body["name"] = json!("web2");
        assert_eq!(ask("POST", "", body.clone()).0, 403, "{body}");
    }
    // Files and the agent log in elsewhere, too.
    for with in [
        json!({"password_file": "db1.password"}),
        json!({"password": "x-of-web2", "become_password_file": "db1.password"}),
        json!({"key_file": "db1.key"}),
        json!({"auth_type": "agent"}),
    ] {
        let mut body = server("web2", "web");
        body.as_object_mut().unwrap().remove("password");
        body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let (status, text) = ask("POST", "", body);
        assert!(status == 403 && text.contains("give the key or the password itself"), "{with}: {text}");
    }
    // A bastion out of reach is told of in the words for one that does not exist.
    let through = |bastion: &str| {
        let mut body = server("web2", "web");
        body["bastion"] = json!(bastion);
        let (status, text) = ask("POST", "", body);
        (status, text.replace(bastion, "…"))
    };
    assert_eq!(through("db1"), through("nowhere"));
    assert_eq!((through("db1").0, through("web1").0), (409, 201));
    assert_eq!(ask("DELETE", "/web2", Value::Null).0, 204);
}

#[test]
fn whoever_only_sees_a_server_may_stop_what_runs_there_and_nothing_else() {
    let engine = started(setup());
    assert_eq!(send(&engine, "POST", "/api/v1/servers", Some(ENGINEER_TOKEN), &server("web1", "web")).status, 201);
    let eye = user(&engine, "eye", "engineer", &json!([{"may": ["view", "approve"], "groups": ["web"]}]));
    let ask = |method: &str, part: &str, body: Value| {
        send(&engine, method, &format!("/api/v1/servers/web1{part}"), Some(&eye), &body).status
    };
    assert_eq!(ask("GET", "", Value::Null), 200);
    assert_eq!(ask("POST", "/maintenance", json!({"is_paused": true, "reason": "smoke"})), 200);
    for (method, part, body) in [
        ("POST", "/maintenance", json!({"is_paused": false})),
        ("POST", "/unpause", json!({})),
        ("POST", "/test", json!({})),
        ("PUT", "", server("web1", "web")),
        ("PUT", "/credentials", json!({"password": "another"})),
        ("DELETE", "", Value::Null),
    ] {
        assert_eq!(ask(method, part, body), 403, "{method} {part}");
    }
    assert_eq!(engine.get("/api/v1/servers/web1")["is_paused"], true);
    // An admin whose rights are narrowed does not rotate what all servers' secrets are under.
    let adi = user(&engine, "adi", "admin", &json!([{"may": ["execute"], "groups": ["web"]}]));
    assert_eq!(send(&engine, "GET", "/api/v1/keys", Some(&adi), &Value::Null).status, 403);
    assert_eq!(send(&engine, "POST", "/api/v1/keys/rotate", Some(&adi), &json!({})).status, 403);
    assert_eq!(send(&engine, "GET", "/api/v1/keys", Some(ADMIN_TOKEN), &Value::Null).status, 200);
}
