//! Requests that a browser sends for a foreign page.

use douse::web::routes::ROUTES;

use crate::api::engine;
use crate::support::engine::{ADMIN_TOKEN, Engine, WEBHOOK_TOKEN};
use crate::support::http;

/// A path of the pattern that names nothing.
fn path(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| match part {
        "{source}" => "main",
        part if part.starts_with('{') => "00000000-0000-7000-8000-00000000dead",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn mutating() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().filter(|(method, ..)| *method != "GET").map(|(method, pattern, _)| (*method, *pattern))
}

fn token(pattern: &str) -> &'static str {
    if pattern.contains("webhooks") { WEBHOOK_TOKEN } else { ADMIN_TOKEN }
}

#[test]
fn a_foreign_or_hidden_origin_changes_nothing_on_any_route() {
    let engine = engine();
    let mut count = 0;
    for (method, pattern) in mutating() {
        let url = format!("{}{}", engine.url, path(pattern));
        for headers in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://127.0.0.1:1")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", &engine.url), ("sec-fetch-site", "cross-site")],
            &[("origin", &engine.url), ("origin", "https://evil.example")],
            &[("origin", "http://rebound.example"), ("host", "rebound.example")],
        ] {
            for token in [None, Some(token(pattern))] {
                let answer = http::ask(method, &url, token, Some("{}"), headers);
                let found = (answer.status, answer.code());
                assert_eq!(found, (403, "foreign_origin".to_owned()), "{method} {pattern} {headers:?}");
                count += 1;
            }
        }
    }
    assert!(count > 300, "{count}");
    for list in ["pauses", "executions", "alerts", "blackouts"] {
        let items = engine.get(&format!("/api/v1/{list}"));
        assert!(items["items"].as_array().is_none_or(Vec::is_empty), "{list}: {items}");
    }
}

#[test]
fn our_own_pages_and_clients_without_an_origin_are_let_through_on_every_route() {
    let engine = engine();
    let external = "http://localhost:9494";
    for (method, pattern) in mutating() {
        let url = format!("{}{}", engine.url, path(pattern));
        for headers in [
            &[][..],
            &[("origin", engine.url.as_str())],
            &[("origin", engine.url.as_str()), ("sec-fetch-site", "same-origin")],
            &[("origin", external)],
            &[("sec-fetch-site", "none")],
        ] {
            // Not JSON: whoever is let through gets no further.
            let answer = http::ask(method, &url, Some(token(pattern)), Some("{not json"), headers);
            assert_ne!(answer.status, 403, "{method} {pattern} {headers:?}: {}", answer.text);
        }
    }
}

#[test]
fn no_answer_allows_a_foreign_page_to_read_it() {
    let engine = engine();
    for (method, pattern, _) in ROUTES {
        for asked in [method, "OPTIONS"] {
            let headers = [
                ("origin", "https://evil.example"),
                ("access-control-request-method", *method),
                ("access-control-request-headers", "authorization"),
            ];
            let answer =
                http::ask(asked, &format!("{}{}", engine.url, path(pattern)), Some(ADMIN_TOKEN), None, &headers);
            for name in
                ["access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-headers"]
            {
                assert_eq!(answer.header(name), "", "{asked} {pattern}");
            }
            assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{asked} {pattern}");
        }
    }
}

#[test]
fn the_page_behind_a_proxy_is_our_own_by_its_external_url() {
    let engine = Engine::setup().config("global: {external_url: \"https://douse.example.org/\"}").start();
    let ask = |origin: &str| {
        http::ask("POST", &format!("{}/api/v1/pause", engine.url), Some(ADMIN_TOKEN), Some("["), &[("origin", origin)])
            .status
    };
    assert_eq!(ask("https://douse.example.org"), 400, "it gets as far as the body");
    assert_eq!(ask("http://douse.example.org"), 403);
    assert_eq!(ask("https://douse.example.org.evil.example"), 403);
}
