//! Requests that no honest client sends: odd methods and paths, too much of everything, pipelines, shapes that smuggle.

use std::time::Duration;

use douse::limits;

use crate::api::engine;
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::{http, raw};

const SOON: Duration = Duration::from_secs(20);

fn exchange(engine: &Engine, request: &str) -> raw::Exchange {
    raw::exchange(engine.address(), request.as_bytes(), SOON)
}

/// It still answers, nothing was paused, and nothing panicked.
fn is_unharmed(engine: &Engine) {
    assert_eq!(http::get(&format!("{}/-/healthy", engine.url), None).map(|answer| answer.status), Some(200));
    let pauses = engine.get("/api/v1/pauses");
    assert_eq!(pauses["items"].as_array().map(Vec::len), Some(0), "{pauses}");
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[test]
fn odd_methods_and_paths_lead_nobody_to_a_handler() {
    let engine = engine();
    let paths = [
        "/api/v1/pause/",
        "//api/v1/pause",
        "/api/v1//pause",
        "/api/v1/./pause",
        "/api/v1/x/../pause",
        "/api/v1/%70ause",
        "/api/v1/pause%00",
        "/api/v1/%2e%2e/pause",
        "/api/v1/..%2fpause",
        "/API/V1/PAUSE",
        "/api/v1/pause;a=b",
        "/api/v1/pause.json",
        "/api/v1/pause%20",
        "/api%2fv1%2fpause",
        "/-/healthy/../reload",
        "/-/healthy/..%2freload",
        "/-/reload/",
        "/-//reload",
        "/api/v1/pause?%00",
        "/api/v1/pause#x",
        "http://127.0.0.1/api/v1/pause",
        "*",
        "/api/../api/v1/pause",
        "/metrics/..;/api/v1/pause",
        "\\api\\v1\\pause",
        "/api/v1/webhooks/..%2fpause",
        "/api/v1/pause/%2e",
        "/%61pi/v1/pause",
        "/api/v1/pa%75se",
        "/api/v1/runbooks/x/../../pause",
    ];
    let methods =
        ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "post", "POST2"];
    for path in paths {
        for method in methods {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}");
            let got = exchange(&engine, &request);
            let is_refused = got.statuses().iter().all(|status| [400, 401, 404].contains(status));
            assert!(got.is_closed && is_refused, "{method} {path}: {got:?}");
        }
    }
    // A method that another one stands for changes nothing either.
    for header in ["X-HTTP-Method-Override: POST", "X-Method-Override: POST", "X-Original-URL: /-/healthy"] {
        let request = format!(
            "GET /api/v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n{header}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(exchange(&engine, &request).statuses(), [404], "{header}");
        let request = format!("POST /api/v1/pause HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: 2\r\n\r\n{{}}");
        assert_eq!(exchange(&engine, &request).statuses(), [401], "{header}");
    }
    is_unharmed(&engine);
}

#[test]
fn too_much_of_anything_is_refused_and_costs_nothing() {
    let engine = engine();
    let long = "a".repeat(200 * 1024);
    let many = (0..200).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    for (what, request) in [
        ("a long path", format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a long query", format!("GET /api/v1/alerts?x={long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a long method", format!("{long} / HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a long header", format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n")),
        ("a long header's name", format!("GET / HTTP/1.1\r\nHost: x\r\n{long}: x\r\n\r\n")),
        ("a long token", format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long}\r\n\r\n")),
        ("many headers", format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
        ("a line without end", long.clone()),
    ] {
        let got = exchange(&engine, &request);
        let is_refused = got.statuses().iter().all(|status| [400, 401, 431].contains(status));
        assert!(got.is_closed && is_refused, "{what}: {:?}", got.statuses());
    }
    // A stranger's body is not read at all, however much is announced or sent.
    for length in ["99999999999", "18446744073709551615"] {
        for path in ["/api/v1/webhooks/main", "/api/v1/webhooks/nobody", "/api/v1/pause", "/-/healthy"] {
            let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nabc");
            let got = exchange(&engine, &request);
            assert!(got.is_closed && got.statuses().iter().all(|status| [400, 401, 404].contains(status)), "{got:?}");
        }
    }
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let bearer = |token: &str, path: &str, body: &str| {
        http::ask("POST", &format!("{}{path}", engine.url), Some(token), Some(body), &[]).status
    };
    assert_eq!(bearer(WEBHOOK_TOKEN, "/api/v1/webhooks/main", &deep), 422);
    assert_eq!(bearer(ADMIN_TOKEN, "/api/v1/pause", &deep), 422);
    let large = " ".repeat(limits::API_BODY_BYTES_MAX + 1);
    assert_eq!(bearer(ADMIN_TOKEN, "/api/v1/pause", &large), 413);
    let chunks = format!("{:x}\r\n{}\r\n", 64 * 1024, "b".repeat(64 * 1024)).repeat(20);
    let request = format!(
        "POST /api/v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(exchange(&engine, &request).statuses().first(), Some(&413), "however its length is told");
    is_unharmed(&engine);
}

#[test]
fn a_stranger_has_one_request_on_a_connection_and_a_known_client_many() {
    let engine = engine();
    let ask =
        |path: &str, token: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let known = ask("/api/v1/runbooks", VIEWER_TOKEN);
    let got = raw::exchange(engine.address(), known.repeat(5).as_bytes(), Duration::from_secs(2));
    assert_eq!(got.statuses(), [200; 5], "pipelined requests are answered in turn");
    for (first, status) in
        [(ask("/api/v1/runbooks", "wrong"), 401), (ask("/-/healthy", ""), 200), (ask("/api/openapi.json", ""), 200)]
    {
        let got = exchange(&engine, &format!("{first}{}", ask("/-/healthy", "")));
        assert!(got.is_closed, "{got:?}");
        let answers = got.statuses();
        assert!(
            answers == [status] || answers == [status, 400],
            "nothing of a pipeline is done after a stranger's first request: {got:?}"
        );
        assert!(got.text.to_ascii_lowercase().contains("connection: close"), "{}", got.text);
    }
}

#[test]
fn requests_that_two_servers_would_read_differently_are_read_by_none() {
    let engine = engine();
    let hidden = format!(
        "POST /api/v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 23\r\n\r\n{{\"reason\": \"smuggled!\"}}"
    );
    for head in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len() + 5),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", hidden.len() + 5),
        format!("Content-Length: {}\r\nContent-Length: 5\r\n", hidden.len() + 5),
        format!("Content-Length: 5, {}\r\n", hidden.len() + 5),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "Content-Length : 5\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Transfer-Encoding: identity, chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        " Transfer-Encoding: chunked\r\n".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked\r\n".to_owned(),
        "X: y\nTransfer-Encoding: chunked\r\n".to_owned(),
        "X: y\r\rTransfer-Encoding: chunked\r\n".to_owned(),
        "X\0: y\r\n".to_owned(),
    ] {
        for method in ["POST", "GET"] {
            // The front request is a stranger's: whatever is hidden behind it must not be answered.
            let request = format!("{method} /-/healthy HTTP/1.1\r\nHost: x\r\n{head}\r\n0\r\n\r\n{hidden}");
            let got = exchange(&engine, &request);
            assert!(got.is_closed && got.statuses().iter().skip(1).all(|status| *status == 400), "{head:?}: {got:?}");
            assert!(!got.statuses().contains(&201), "{head:?}: {got:?}");
            // The same behind a client that is known. An honest reading of its length may find another request of that client's.
            let request = format!(
                "{method} /api/v1/runbooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIEWER_TOKEN}\r\n{head}\r\n0\r\n\r\n"
            );
            let got = raw::exchange(engine.address(), request.as_bytes(), Duration::from_millis(300));
            assert!(got.statuses().iter().all(|status| [200, 400, 404].contains(status)), "{head:?}: {got:?}");
        }
    }
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9", "ICY/1.0", ""] {
        let got = exchange(&engine, &format!("POST /api/v1/pause {version}\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert!(got.is_closed && got.statuses().iter().all(|status| [400, 401].contains(status)), "{version}: {got:?}");
    }
    let preface = exchange(&engine, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(preface.is_closed && preface.statuses().iter().all(|status| *status == 400), "{preface:?}");
    let upgrade = "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert_eq!(exchange(&engine, upgrade).statuses(), [200], "no upgrade is taken");
    is_unharmed(&engine);
}
