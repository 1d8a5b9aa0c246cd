//! A stranger with network access and no credential can read nothing, change nothing and crash nothing.

use std::fmt::Write as _;
use std::time::Duration;

use douse::web::routes::{Access, ROUTES};
use serde_json::json;

use crate::api::engine;
use crate::support::engine::{ADMIN_TOKEN, Engine};
use crate::support::wait::wait_for;
use crate::support::{http, raw};

/// A path of the pattern with things that are there, so that an answer would tell of them.
fn path(pattern: &str) -> String {
    let mut path = String::new();
    for part in pattern.split('/').skip(1) {
        let part = match part {
            "{source}" => "main",
            "{name}" | "{runbook}" => "restart-service",
            "{key}" => "mode",
            "{n}" => "1",
            part if part.starts_with('{') => "web1",
            part => part,
        };
        write!(path, "/{part}").unwrap();
    }
    path
}

/// Everything that a viewer sees of what a stranger could change.
fn state(engine: &Engine) -> String {
    let lists = [
        "alerts",
        "alerts/quarantined",
        "episodes",
        "decisions",
        "executions",
        "approvals",
        "runbooks",
        "servers",
        "blackouts",
        "breakers",
        "pauses",
        "config",
        "audit",
    ];
    lists.map(|list| engine.get(&format!("/api/v1/{list}")).to_string()).join("\n")
}

#[test]
fn a_stranger_reads_nothing_and_changes_nothing_on_any_route_with_any_credential_that_is_none() {
    let engine = engine();
    engine.deliver(&json!({"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "SecretAlert", "service": "x"}, "startsAt": "2026-01-01T00:00:00Z"}]}));
    wait_for("the alert is decided", Duration::from_secs(60), || {
        let decided = engine.get("/api/v1/decisions")["items"].as_array().is_some_and(|items| !items.is_empty());
        decided.then_some(())
    });
    let before = state(&engine);
    let almost = &ADMIN_TOKEN[..ADMIN_TOKEN.len() - 1];
    let credentials: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("authorization", String::new())],
        vec![("authorization", "Bearer".to_owned())],
        vec![("authorization", "Bearer ".to_owned())],
        vec![("authorization", "Bearer null".to_owned())],
        vec![("authorization", format!("Bearer {almost}"))],
        vec![("authorization", format!("Bearer {ADMIN_TOKEN} "))],
        vec![("authorization", format!("Bearer {ADMIN_TOKEN}, Bearer x"))],
        vec![("authorization", format!("Bearer  x {ADMIN_TOKEN}"))],
        vec![("authorization", "Bearer x".to_owned()), ("authorization", format!("Bearer {ADMIN_TOKEN}"))],
        vec![("authorization", "Basic Og==".to_owned())],
        vec![("authorization", "Basic YWRtaW46YWRtaW4=".to_owned())],
        vec![("authorization", "Negotiate x".to_owned())],
        vec![("cookie", "__Host-douse=x; session=admin".to_owned())],
        vec![("x-forwarded-for", "127.0.0.1".to_owned()), ("x-forwarded-user", "ada".to_owned())],
        vec![("x-remote-user", "ada".to_owned()), ("x-webauth-user", "ada".to_owned())],
        vec![("x-ssl-client-verify", "SUCCESS".to_owned()), ("x-ssl-client-s-dn", "CN=am".to_owned())],
    ];
    let secrets = ["SecretAlert", "web1", "systemctl", "ada", "ENGINE_STARTED"];
    let mut count = 0;
    for (method, pattern, access) in ROUTES {
        for credential in &credentials {
            // White space at a header's end is none of its value: that one is the real token.
            let is_real = credential.iter().any(|(_, value)| value.trim_end() == format!("Bearer {ADMIN_TOKEN}"))
                && credential.len() == 1;
            if is_real {
                continue;
            }
            let headers: Vec<(&str, &str)> = credential.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let body = (*method != "GET").then_some("{\"reason\": \"stranger\", \"action\": \"on\"}");
            let answer = http::ask(method, &format!("{}{}", engine.url, path(pattern)), None, body, &headers);
            count += 1;
            if *access == Access::Public {
                continue;
            }
            // These ask for a password or a set-up token in the body, and there is none.
            let refusal = if *access == Access::Password { 422 } else { 401 };
            assert_eq!(answer.status, refusal, "{method} {pattern} {credential:?}: {}", answer.text);
            for secret in secrets {
                assert!(!answer.text.contains(secret), "{method} {pattern} tells of {secret}: {}", answer.text);
            }
        }
    }
    assert!(count > 1_000, "{count}");
    for (_, pattern, _) in ROUTES.iter().filter(|(.., access)| *access == Access::Public) {
        let open = http::get(&format!("{}{pattern}", engine.url), None).unwrap();
        for secret in secrets.iter().filter(|secret| **secret != "ada") {
            assert!(!open.text.contains(secret), "{pattern} is open to everybody and tells of {secret}");
        }
    }
    assert_eq!(state(&engine), before, "nothing was changed");
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[test]
fn bytes_that_are_no_http_end_their_connection_and_nothing_else() {
    let engine = engine();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..300 {
        let length = usize::try_from(random() % 4_000).unwrap() + 1;
        let mut bytes: Vec<u8> = (0..length).map(|_| u8::try_from(random() & 0xff).unwrap()).collect();
        if round % 3 == 0 {
            // Some that begin well.
            bytes.splice(0..0, b"POST /api/v1/webhooks/main HTTP/1.1\r\n".iter().copied());
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        let got = raw::exchange(engine.address(), &bytes, Duration::from_secs(15));
        assert!(got.is_closed && got.statuses().iter().all(|status| (400..500).contains(status)), "{round}: {got:?}");
    }
    assert_eq!(engine.deliver(&json!({"version": "4", "alerts": []})).status, 200);
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}
