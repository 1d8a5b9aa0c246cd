//! What every answer bears, and where a client's address comes from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use douse::web::routes::ROUTES;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::api::engine;
use crate::support::engine::{ADMIN_TOKEN, Engine, WEBHOOK_TOKEN};
use crate::support::http;

#[test]
fn every_answer_bears_the_headers_that_keep_browsers_in_check() {
    let engine = engine();
    let routes = ROUTES.iter().map(|(method, pattern, _)| (*method, pattern.replace(['{', '}'], "")));
    let odd = [("GET", "/".to_owned()), ("PATCH", "/x".to_owned()), ("OPTIONS", "/api/v1/runbooks".to_owned())];
    for (method, path) in routes.chain(odd) {
        for token in [None, Some("wrong"), Some(ADMIN_TOKEN)] {
            let answer = http::ask(method, &format!("{}{path}", engine.url), token, Some("["), &[]);
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), value, "{name} of {method} {path}: {}", answer.status);
            }
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{path}");
            assert!(!policy.contains("unsafe-inline") || path == "/api/", "{path}: {policy}");
            assert_eq!(answer.header("server"), "", "{path}");
            assert_eq!(answer.header("strict-transport-security"), "", "{path}: there is no TLS");
        }
    }
}

#[test]
fn the_page_of_the_api_may_run_its_own_script_and_no_other() {
    let engine = engine();
    let page = http::get(&format!("{}/api/", engine.url), None).unwrap();
    let script = page.text.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let hash = STANDARD.encode(Sha256::digest(script));
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&format!("script-src 'sha256-{hash}';")), "{policy}");
    assert_eq!(page.text.matches("<script").count(), 1);
}

/// Where an audit event says that an act came from.
fn actor_address(engine: &Engine, forwarded: &str) -> String {
    let body = json!({"reason": forwarded}).to_string();
    let headers = [("x-forwarded-for", forwarded)];
    let answer = http::ask("POST", &format!("{}/api/v1/pause", engine.url), Some(ADMIN_TOKEN), Some(&body), &headers);
    assert_eq!(answer.status, 201, "{}", answer.text);
    let events = engine.get("/api/v1/audit?limit=1");
    events["items"][0]["ip_address"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_forwarded_address_counts_from_a_trusted_proxy_alone() {
    let engine = engine();
    assert_eq!(actor_address(&engine, "203.0.113.9"), "127.0.0.1");
    let engine = Engine::setup().web("trusted_proxies: [127.0.0.1, 10.0.0.0/8]").start();
    assert_eq!(actor_address(&engine, "198.51.100.1, 203.0.113.9, 10.1.2.3"), "203.0.113.9");
    assert_eq!(actor_address(&engine, "nonsense"), "127.0.0.1");
    let sent = [("x-forwarded-for", "203.0.113.9")];
    let body = json!({"version": "4", "alerts": []}).to_string();
    assert_eq!(http::ask("POST", &engine.webhook(), Some(WEBHOOK_TOKEN), Some(&body), &sent).status, 200);
}
