//! Who may send: bearer, basic and signed requests, a rotation's two secrets, and everybody else.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;

use super::{alert, all, webhook};
use crate::support::engine::{ADMIN_TOKEN, Engine, WEBHOOK_TOKEN};
use crate::support::http;

type Headers = Vec<(&'static str, String)>;

/// Sources beside `main`, as sections cannot be given twice.
fn engine() -> Engine {
    let mut engine = Engine::setup().write();
    let file = engine.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let main = format!("{{name: main, bearer_token: {WEBHOOK_TOKEN}}}");
    assert!(text.contains(&main));
    let others = "{name: rotating, bearer_token: [old-secret, new-secret]}, \
         {name: basic, basic_auth: {username: am, password: 'p\u{e4}ss:word'}}, \
         {name: signed, hmac: {secret: Jefe, header: X-Signature}}, \
         {name: timed, hmac: {secret: Jefe, timestamp_header: X-Time}}, \
         {name: either, bearer_token: a-token, hmac: {secret: Jefe, header: X-Signature}}, \
         {name: open, insecure_no_auth: true}";
    std::fs::write(&file, text.replace(&main, &format!("{main}, {others}"))).unwrap();
    engine.start();
    engine
}

fn url(engine: &Engine, source: &str) -> String {
    format!("{}/api/v1/webhooks/{source}", engine.url)
}

fn text() -> String {
    webhook(&[alert("A")]).to_string()
}

fn signature(text: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"Jefe").unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn basic(text: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

#[test]
fn a_wrong_or_missing_credential_is_401_and_stores_nothing() {
    let engine = engine();
    let (good, bad) = (signature(&text()), signature("another body"));
    let cases: Vec<(&str, Option<String>, Headers)> = vec![
        ("main", None, vec![]),
        ("main", Some("wrong".to_owned()), vec![]),
        ("main", Some(String::new()), vec![]),
        ("main", Some(ADMIN_TOKEN.to_owned()), vec![]),
        ("main", Some(format!("{WEBHOOK_TOKEN}x")), vec![]),
        ("main", None, vec![("authorization", basic(WEBHOOK_TOKEN))]),
        ("nobody", Some(WEBHOOK_TOKEN.to_owned()), vec![]),
        ("rotating", Some("older-secret".to_owned()), vec![]),
        ("basic", Some("p\u{e4}ss:word".to_owned()), vec![]),
        ("basic", None, vec![("authorization", basic("am:wrong"))]),
        ("basic", None, vec![("authorization", basic("other:p\u{e4}ss:word"))]),
        ("signed", None, vec![]),
        ("signed", None, vec![("x-signature", bad)]),
        ("signed", None, vec![("x-signature", good[1..].to_owned())]),
        ("signed", Some("Jefe".to_owned()), vec![]),
        ("timed", None, vec![("x-grafana-alerting-signature", good.clone())]),
        ("timed", None, vec![("x-grafana-alerting-signature", good.clone()), ("x-time", "1700000000".to_owned())]),
        ("either", Some("wrong".to_owned()), vec![]),
    ];
    for (source, token, headers) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http::ask("POST", &url(&engine, source), token.as_deref(), Some(&text()), &headers);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "unauthenticated"),
            "{source} {token:?} {headers:?}: {}",
            answer.text
        );
        assert!(!answer.header("www-authenticate").is_empty());
    }
    // The credential comes before the body: a stranger is not told what is wrong with it.
    assert_eq!(http::ask("POST", &url(&engine, "main"), None, Some("{not json"), &[]).status, 401);
    let huge = "x".repeat(17 * 1024 * 1024);
    assert_eq!(http::ask("POST", &url(&engine, "main"), None, Some(&huge), &[("expect", "")]).status, 401);
    let known = http::ask("POST", &url(&engine, "main"), None, Some(&text()), &[]);
    let unknown = http::ask("POST", &url(&engine, "nobody"), None, Some(&text()), &[]);
    assert_eq!(known.text, unknown.text, "a stranger does not learn which sources there are");
    assert_eq!(all(&engine, "alerts"), Vec::<Value>::new());
}

#[test]
fn each_kind_of_credential_admits_its_owner() {
    let engine = engine();
    let signed = signature(&text());
    let timed = signature(&format!("1700000000:{}", text()));
    let cases: Vec<(&str, Option<&str>, Headers)> = vec![
        ("main", Some(WEBHOOK_TOKEN), vec![]),
        ("rotating", Some("old-secret"), vec![]),
        ("rotating", Some("new-secret"), vec![]),
        ("basic", None, vec![("authorization", basic("am:p\u{e4}ss:word"))]),
        ("signed", None, vec![("x-signature", signed.clone())]),
        ("signed", None, vec![("x-signature", format!("sha256={}", signed.to_uppercase()))]),
        ("timed", None, vec![("x-grafana-alerting-signature", timed), ("x-time", "1700000000".to_owned())]),
        ("either", Some("a-token"), vec![]),
        ("either", None, vec![("x-signature", signed)]),
        ("open", None, vec![]),
    ];
    for (source, token, headers) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http::ask("POST", &url(&engine, source), token, Some(&text()), &headers);
        assert_eq!(answer.status, 200, "{source} {token:?} {headers:?}: {}", answer.text);
    }
    // An episode is of one source: each has begun one of its own.
    assert_eq!(all(&engine, "episodes").len(), 7);
    assert!(engine.log().contains("insecure_no_auth"), "an open door is logged at each start");
}
