//! The same over HTTP, as browsers and programs do it.

use douse::rights::Role;
use douse::web::auth::SESSION_COOKIE;
use douse::web::routes::{Access, ROUTES};
use serde_json::{Value, json};

use super::PASSWORD;
use crate::api;
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN};
use crate::support::http::{self, Answer};

pub(crate) fn send(engine: &Engine, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    http::ask(method, &format!("{}{path}", engine.url), token, body.as_deref(), &[])
}

/// Adds a user through the API, who chooses [`PASSWORD`].
pub(crate) fn invite(engine: &Engine, name: &str, role: &str) {
    let added = send(engine, "POST", "/api/v1/users", Some(ADMIN_TOKEN), &json!({"name": name, "role": role}));
    assert_eq!(added.status, 201, "{}", added.text);
    let token = added.json()["setup_token"].as_str().unwrap().to_owned();
    let chosen = send(engine, "POST", "/api/v1/setup", None, &json!({"token": token, "password": PASSWORD}));
    assert_eq!((chosen.status, chosen.json()["state"].as_str()), (200, Some("active")), "{}", chosen.text);
}

pub(crate) fn login(engine: &Engine, name: &str, kind: &str) -> Answer {
    let answer =
        send(engine, "POST", "/api/v1/login", None, &json!({"name": name, "password": PASSWORD, "kind": kind}));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// `name=value` of the session's cookie.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

fn with_cookie(engine: &Engine, method: &str, path: &str, cookie: &str, body: Option<&str>) -> Answer {
    let origin = engine.url.clone();
    let headers = [("cookie", cookie), ("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
    http::ask(method, &format!("{}{path}", engine.url), None, body, &headers)
}

#[test]
fn a_browser_logs_in_with_a_cookie_that_nothing_else_gets() {
    let engine = api::engine();
    invite(&engine, "amy", "operator");
    let answer = login(&engine, "amy", "browser");
    let set = answer.header("set-cookie").to_owned();
    assert!(set.starts_with(&format!("{SESSION_COOKIE}=douse_session_")), "{set}");
    for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=43200"] {
        assert!(set.contains(part), "{part} is missing in {set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let secret = cookie(&answer).split_once('=').unwrap().1.to_owned();
    assert!(!answer.text.contains(&secret), "a script must not see it");
    let me = with_cookie(&engine, "GET", "/api/v1/me", &cookie(&answer), None);
    assert_eq!(
        me.json(),
        json!({"name": "amy", "role": "operator", "by": "session", "scopes": null, "is_narrowed": false})
    );
    let other = with_cookie(&engine, "GET", "/api/v1/me", &format!("a=b; {}; c", cookie(&answer)), None);
    assert_eq!(other.status, 200, "among others");
    let twice = format!("{0}; {0}", cookie(&answer));
    assert_eq!(with_cookie(&engine, "GET", "/api/v1/me", &twice, None).status, 401, "one of the two is not ours");
    assert_eq!(send(&engine, "GET", "/api/v1/me", Some(&secret), &Value::Null).status, 401, "it is no bearer token");
    let out = with_cookie(&engine, "POST", "/api/v1/logout", &cookie(&answer), None);
    assert_eq!(out.status, 204, "{}", out.text);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{}", out.header("set-cookie"));
    assert_eq!(with_cookie(&engine, "GET", "/api/v1/me", &cookie(&answer), None).status, 401);
}

#[test]
fn each_way_to_be_somebody_has_exactly_the_rights_of_the_role() {
    let engine = api::engine();
    let mut ways = Vec::new();
    for role in Role::ALL {
        let name = format!("the-{role}");
        invite(&engine, &name, role.as_str());
        let browser = cookie(&login(&engine, &name, "browser"));
        let session = login(&engine, &name, "command_line").json()["token"].as_str().unwrap().to_owned();
        let token = send(&engine, "POST", "/api/v1/tokens", Some(&session), &json!({"name": "t"}));
        let token = token.json()["token"].as_str().unwrap().to_owned();
        ways.push((*role, [format!("Bearer {session}"), format!("Bearer {token}")], browser));
    }
    for (method, pattern, access) in ROUTES {
        let Access::Role(needed) = access else { continue };
        // These end the very session that asks.
        if *pattern == "/api/v1/logout" {
            continue;
        }
        let path: String = pattern
            .split('/')
            .map(|part| if part.starts_with('{') { "00000000-0000-7000-8000-00000000dead" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let url = format!("{}{path}", engine.url);
        let body = (*method != "GET").then_some("{not json");
        for (role, bearers, browser) in &ways {
            let origin = engine.url.clone();
            let cookie = [("cookie", browser.as_str()), ("origin", &origin), ("sec-fetch-site", "same-origin")];
            let by_bearer =
                bearers.iter().map(|value| http::ask(method, &url, None, body, &[("authorization", value)]));
            for answer in by_bearer.chain([http::ask(method, &url, None, body, &cookie)]) {
                let is_let_in = answer.status != 403 || answer.code() != "forbidden";
                assert_ne!(answer.status, 401, "{method} {pattern} as {role}: {}", answer.text);
                assert_eq!(is_let_in, role.covers(*needed), "{method} {pattern} as {role}: {}", answer.text);
            }
        }
    }
}

#[test]
fn a_failed_login_tells_nothing_and_too_many_have_to_wait() {
    let engine = api::engine();
    invite(&engine, "amy", "viewer");
    let tried = |name: &str, password: &str| {
        send(&engine, "POST", "/api/v1/login", None, &json!({"name": name, "password": password}))
    };
    let (known, unknown) = (tried("amy", "wrong"), tried("nobody", "wrong"));
    assert_eq!((known.status, known.code().as_str()), (401, "wrong_credentials"));
    assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
    assert_eq!(known.header("set-cookie"), "");
    // A slow machine lets the first second pass; each wait is twice the one before.
    let wait = (0..60).map(|_| tried("amy", "wrong")).find(|answer| answer.status != 401).expect("it has to wait");
    assert_eq!((wait.status, wait.code().as_str()), (429, "too_many_failures"), "{}", wait.text);
    assert!(wait.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=61).contains(&seconds)), "{wait:?}");
    assert!(!engine.log().contains(PASSWORD));
    // A bad bearer token is 401, however often.
    for _ in 0..60 {
        assert_eq!(send(&engine, "GET", "/api/v1/me", Some("douse_token_wrong"), &Value::Null).status, 401);
    }
    for body in ["{", "[]", "{}", r#"{"name": "amy"}"#, r#"{"name": 1, "password": 2}"#] {
        let answer = http::ask("POST", &format!("{}/api/v1/login", engine.url), None, Some(body), &[]);
        assert!([400, 422].contains(&answer.status), "{body}: {}", answer.status);
    }
}

#[test]
fn users_are_changed_by_admins_and_seen_by_auditors() {
    let engine = api::engine();
    invite(&engine, "amy", "operator");
    invite(&engine, "aud", "auditor");
    let as_admin = |method: &str, path: &str, body: Value| send(&engine, method, path, Some(ADMIN_TOKEN), &body);
    let auditor = login(&engine, "aud", "command_line").json()["token"].as_str().unwrap().to_owned();
    let amy = login(&engine, "amy", "command_line").json()["token"].as_str().unwrap().to_owned();
    let listed = send(&engine, "GET", "/api/v1/users", Some(&auditor), &Value::Null).json();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["amy", "aud"]);
    assert!(!listed.to_string().contains("argon2"), "{listed}");
    let scopes = json!([{"may": ["execute"], "runbooks": ["restart-*"], "groups": ["web"]}]);
    let changed = as_admin("PATCH", "/api/v1/users/amy", json!({"role": "engineer", "scopes": scopes}));
    assert_eq!((changed.json()["role"].as_str(), &changed.json()["scopes"]), (Some("engineer"), &scopes));
    let me = send(&engine, "GET", "/api/v1/me", Some(&amy), &Value::Null).json();
    assert_eq!((me["role"].as_str(), me["is_narrowed"].as_bool()), (Some("engineer"), Some(true)));
    let lifted = as_admin("PATCH", "/api/v1/users/amy", json!({"scopes": null})).json();
    assert_eq!((lifted["role"].as_str(), &lifted["scopes"]), (Some("engineer"), &Value::Null));
    for (body, status) in [
        (json!({"role": "root"}), 422),
        (json!({"scopes": []}), 422),
        (json!({"scopes": [{"may": ["fly"]}]}), 422),
        (json!({"name": "eve"}), 422),
    ] {
        assert_eq!(as_admin("PATCH", "/api/v1/users/amy", body.clone()).status, status, "{body}");
    }
    assert_eq!(
        as_admin("POST", "/api/v1/users", json!({"name": "eve", "role": "viewer"})).status,
        409,
        "a token's name"
    );
    assert_eq!(as_admin("PATCH", "/api/v1/users/amy", json!({"disabled": true})).json()["state"], "disabled");
    assert_eq!(send(&engine, "GET", "/api/v1/me", Some(&amy), &Value::Null).status, 401);
    assert_eq!(as_admin("DELETE", "/api/v1/users/amy", Value::Null).status, 204);
    assert_eq!(as_admin("GET", "/api/v1/users/amy", Value::Null).status, 404);
    assert_eq!(as_admin("POST", "/api/v1/users", json!({"name": "amy", "role": "viewer"})).status, 409);
    let audit = send(&engine, "GET", "/api/v1/audit?resource_type=user&resource_id=amy", Some(&auditor), &Value::Null);
    let kinds: Vec<String> = audit.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|event| event["event_type"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "USER_CREATED",
        "SETUP_COMPLETED",
        "LOGIN_SUCCEEDED",
        "USER_UPDATED",
        "USER_UPDATED",
        "USER_UPDATED",
        "USER_DELETED",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn own_tokens_and_sessions_are_seen_and_ended_and_nobody_elses() {
    let engine = api::engine();
    invite(&engine, "bob", "operator");
    invite(&engine, "cat", "operator");
    let session = |name: &str| login(&engine, name, "command_line").json()["token"].as_str().unwrap().to_owned();
    let (bob, cat) = (session("bob"), session("cat"));
    let body = json!({"name": "ci", "role": "viewer", "expires_in": "30d"});
    let made = send(&engine, "POST", "/api/v1/tokens", Some(&bob), &body).json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!(send(&engine, "GET", "/api/v1/me", Some(secret), &Value::Null).json()["role"], "viewer");
    assert_eq!(send(&engine, "POST", "/api/v1/pause", Some(secret), &json!({"reason": "x"})).status, 403);
    let count = |token: &str, path: &str| {
        let answer = send(&engine, "GET", path, Some(token), &Value::Null);
        (answer.status, answer.json()["items"].as_array().map_or(0, Vec::len), answer.text.contains(secret))
    };
    assert_eq!(count(&bob, "/api/v1/tokens"), (200, 1, false), "the secret is shown once");
    assert_eq!(count(&cat, "/api/v1/tokens"), (200, 0, false));
    assert_eq!(count(&cat, "/api/v1/tokens?owner=bob").0, 403);
    assert_eq!(count(&cat, "/api/v1/sessions?owner=*").0, 403);
    assert_eq!(count(ADMIN_TOKEN, "/api/v1/tokens?owner=bob"), (200, 1, false));
    assert_eq!(count(ADMIN_TOKEN, "/api/v1/sessions?owner=*"), (200, 2, false));
    assert_eq!(count(VIEWER_TOKEN, "/api/v1/tokens").0, 409, "a token of the configuration has no account");
    assert_eq!(send(&engine, "POST", "/api/v1/tokens", Some(ADMIN_TOKEN), &json!({"name": "x"})).status, 403);
    let password = json!({"current": "x", "new": "another long password"});
    assert_eq!(send(&engine, "POST", "/api/v1/me/password", Some(ADMIN_TOKEN), &password).status, 403);
    let sessions = send(&engine, "GET", "/api/v1/sessions", Some(&bob), &Value::Null).json();
    let of_bob = sessions["items"][0]["id"].as_str().unwrap();
    assert_eq!(sessions["items"][0]["is_current"], true);
    for path in [format!("/api/v1/tokens/{id}"), format!("/api/v1/sessions/{of_bob}")] {
        assert_eq!(send(&engine, "DELETE", &path, Some(&cat), &Value::Null).status, 404, "{path}");
        assert_eq!(send(&engine, "DELETE", &path, Some(&bob), &Value::Null).status, 204, "{path}");
    }
    assert_eq!(send(&engine, "GET", "/api/v1/me", Some(secret), &Value::Null).status, 401);
    assert_eq!(send(&engine, "GET", "/api/v1/me", Some(&bob), &Value::Null).status, 401);
}

#[test]
fn a_token_of_the_configuration_does_not_take_a_users_name() {
    let engine = api::engine();
    invite(&engine, "bob", "viewer");
    let file = std::fs::read_to_string(engine.config_file()).unwrap();
    let added = r#"tokens: [{"name": "Bob", "role": "admin", "token": "bobs-token-of-the-tests"}, "#;
    std::fs::write(engine.config_file(), file.replace("tokens: [", added)).unwrap();
    let refused = send(&engine, "POST", "/-/reload", Some(ADMIN_TOKEN), &Value::Null);
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("is called `bob`, as a user is"), "{}", refused.text);
    assert_eq!(send(&engine, "GET", "/api/v1/me", Some("bobs-token-of-the-tests"), &Value::Null).status, 401);
}
