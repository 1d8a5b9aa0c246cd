//! Lists: pages, cursors, and the errors of a wrong query.

use serde_json::json;

use super::{ask, engine};

#[test]
fn a_wrong_query_is_422_and_says_which_key() {
    let engine = engine();
    for (path, told) in [
        ("/api/v1/executions?colour=red", "colour"),
        ("/api/v1/executions?status=finished", "finished"),
        ("/api/v1/executions?limit=0", "limit"),
        ("/api/v1/executions?limit=201", "201"),
        ("/api/v1/executions?cursor=yesterday", "cursor"),
        ("/api/v1/alerts?status=burning", "burning"),
        ("/api/v1/decisions?verdict=maybe", "maybe"),
        ("/api/v1/audit?since=monday", "since"),
        ("/api/v1/runbooks?page=2", "page"),
    ] {
        let answer = ask(&engine, "GET", path, None);
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_query"), "{path}: {}", answer.text);
        assert!(answer.text.contains(told), "{path}: {}", answer.text);
    }
}

#[test]
fn every_list_is_empty_at_first_and_has_the_shape() {
    let engine = engine();
    for list in ["alerts", "episodes", "decisions", "executions", "approvals", "pauses", "blackouts"] {
        let answer = engine.get(&format!("/api/v1/{list}"));
        assert_eq!(answer, json!({"items": [], "next_cursor": null}), "{list}");
    }
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let engine = engine();
    for number in 0..7 {
        let body = json!({"name": format!("window-{number}"), "daily": {"start": "01:00", "end": "02:00"}});
        assert_eq!(engine.post("/api/v1/blackouts", &body).status, 201);
    }
    for (list, key) in [("blackouts", "name"), ("audit", "seq")] {
        let whole = engine.get(&format!("/api/v1/{list}?limit=200"));
        let whole: Vec<_> = whole["items"].as_array().expect("items").iter().map(|item| item[key].clone()).collect();
        assert!(whole.len() >= 7);
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = engine.get(&format!("/api/v1/{list}?limit=3{cursor}"));
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= 3);
            paged.extend(items.iter().map(|item| item[key].clone()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole, "{list}");
    }
}

#[test]
fn what_does_not_exist_is_404() {
    let engine = engine();
    let id = "0198c1d2-0000-7000-8000-000000000000";
    for path in [
        format!("/api/v1/executions/{id}"),
        format!("/api/v1/executions/{id}/steps"),
        format!("/api/v1/executions/{id}/export"),
        "/api/v1/executions/not-an-id".to_owned(),
        format!("/api/v1/alerts/{id}"),
        format!("/api/v1/decisions/{id}"),
        "/api/v1/decisions/not-an-id".to_owned(),
        format!("/api/v1/approvals/{id}"),
        "/api/v1/runbooks/none".to_owned(),
        "/api/v1/runbooks/none/versions".to_owned(),
        "/api/v1/runbooks/restart-service/versions/9/diff".to_owned(),
        "/api/v1/servers/none".to_owned(),
        "/api/v1/blackouts/none".to_owned(),
        "/api/v1/breakers/none".to_owned(),
    ] {
        let answer = ask(&engine, "GET", &path, None);
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}: {}", answer.text);
    }
    for path in [format!("/api/v1/executions/{id}/approve"), format!("/api/v1/approvals/{id}/approve")] {
        assert_eq!(ask(&engine, "POST", &path, Some("{}")).status, 404, "{path}");
    }
}
