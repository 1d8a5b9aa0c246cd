//! Who may do what: every route of the table, with every role and with nobody.

use douse::rights::Role;
use douse::web::routes::{Access, ROUTES};

use super::engine;
use crate::support::engine::{ADMIN_TOKEN, AUDITOR_TOKEN, ENGINEER_TOKEN, OPERATOR_TOKEN, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::http;

const TOKENS: [(Role, &str); 5] = [
    (Role::Viewer, VIEWER_TOKEN),
    (Role::Auditor, AUDITOR_TOKEN),
    (Role::Operator, OPERATOR_TOKEN),
    (Role::Engineer, ENGINEER_TOKEN),
    (Role::Admin, ADMIN_TOKEN),
];

/// A path of the pattern that names nothing, so that what is let through changes nothing.
fn path(pattern: &str) -> String {
    let mut path = String::new();
    for part in pattern.split('/').skip(1) {
        path.push('/');
        path.push_str(if part.starts_with('{') { "00000000-0000-7000-8000-00000000dead" } else { part });
    }
    path
}

#[test]
fn each_route_lets_in_exactly_the_roles_of_the_table() {
    let engine = engine();
    // A body that is not JSON: whoever is let through gets no further, and who is not must not be told about it.
    let body = Some("{not json");
    for (method, pattern, access) in ROUTES {
        let url = format!("{}{}", engine.url, path(pattern));
        let asked = |token| http::ask(method, &url, token, body.filter(|_| *method != "GET"), &[]);
        let needed = match access {
            Access::Public => {
                assert!(asked(None).status < 400, "{method} {pattern} is for everybody");
                continue;
            }
            Access::Source => {
                for token in [None, Some(ADMIN_TOKEN), Some(WEBHOOK_TOKEN)] {
                    assert_eq!(asked(token).status, 401, "{method} {pattern}: this source is not known");
                }
                continue;
            }
            Access::Password => {
                for token in [None, Some(ADMIN_TOKEN), Some("wrong-token")] {
                    assert_eq!(asked(token).status, 400, "{method} {pattern}: the body is what is looked at");
                }
                continue;
            }
            Access::Metrics => Role::Viewer,
            Access::Role(role) => *role,
        };
        for wrong in [None, Some(""), Some("wrong-token"), Some(WEBHOOK_TOKEN)] {
            let answer = asked(wrong);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "unauthenticated"),
                "{method} {pattern} {wrong:?}"
            );
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {pattern}");
        }
        for (role, token) in TOKENS {
            let answer = asked(Some(token));
            if !role.covers(needed) {
                assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{method} {pattern} as {role}");
            } else {
                assert!(![401, 403, 500].contains(&answer.status), "{method} {pattern} as {role}: {}", answer.text);
                let is_no_route = answer.status == 404 && answer.text.contains("there is no route");
                assert!(!is_no_route, "{method} {pattern} has no handler");
            }
        }
    }
}

#[test]
fn authentication_comes_before_everything_else() {
    let engine = engine();
    let asked = |method: &str, path: &str, token| {
        http::ask(method, &format!("{}{path}", engine.url), token, Some("{"), &[("content-type", "text/plain")]).status
    };
    for path in ["/api/v1/nowhere", "/nowhere", "/", "/api/v1/executions/x/y/z", "/api/v1/executions?wrong=1"] {
        assert_eq!(asked("GET", path, None), 401, "{path}");
    }
    assert_eq!(asked("PATCH", "/api/v1/executions", None), 401);
    assert_eq!(asked("GET", "/api/v1/nowhere", Some(VIEWER_TOKEN)), 404);
    assert_eq!(asked("DELETE", "/api/v1/executions", Some(ADMIN_TOKEN)), 404);
    assert_eq!(asked("POST", "/api/v1/pause", Some(VIEWER_TOKEN)), 403, "rights come before the body");
    // A path that means the same to the router means the same to the table.
    for path in ["/api/v1/%70ause", "/api/v1/pause/", "/api/v1//pause", "/api/v1/pause?x=%2e%2e"] {
        assert!([403, 404].contains(&asked("POST", path, Some(VIEWER_TOKEN))), "{path}");
    }
}

#[test]
fn a_token_is_read_from_the_bearer_header_only() {
    let engine = engine();
    let url = format!("{}/api/v1/runbooks", engine.url);
    for (name, value, status) in [
        ("authorization", format!("Bearer {VIEWER_TOKEN}"), 200),
        ("authorization", format!("bearer {VIEWER_TOKEN}"), 200),
        ("authorization", format!("Basic {VIEWER_TOKEN}"), 401),
        ("authorization", VIEWER_TOKEN.to_owned(), 401),
        ("authorization", format!("Bearer {}", &VIEWER_TOKEN[1..]), 401),
        ("authorization", format!("Bearer {VIEWER_TOKEN}x"), 401),
        ("x-api-key", VIEWER_TOKEN.to_owned(), 401),
        ("cookie", format!("token={VIEWER_TOKEN}"), 401),
    ] {
        assert_eq!(http::ask("GET", &url, None, None, &[(name, &value)]).status, status, "{name}: {value}");
    }
    assert_eq!(http::ask("GET", &format!("{url}?token={VIEWER_TOKEN}"), None, None, &[]).status, 401);
}
