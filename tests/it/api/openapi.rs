//! The document that is generated from the handlers, held against the table of routes.

use std::collections::BTreeSet;

use douse::web::routes::ROUTES;
use serde_json::Value;

use super::engine;
use crate::support::http;

#[test]
fn the_document_lists_exactly_the_routes_of_the_table() {
    let engine = engine();
    let answer = http::get(&format!("{}/api/openapi.json", engine.url), None).expect("an answer");
    let document = answer.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    let listed: BTreeSet<String> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().expect("methods").keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    // The page itself is for people, and no part of the API.
    let table: BTreeSet<String> = ROUTES
        .iter()
        .filter(|(_, path, _)| *path != "/api/")
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert_eq!(table.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "missing in the document");
    assert_eq!(listed.difference(&table).collect::<Vec<_>>(), Vec::<&String>::new(), "missing in the table");
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let engine = engine();
    let document = http::get(&format!("{}/api/openapi.json", engine.url), None).expect("an answer").json();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let engine = engine();
    let page = http::get(&format!("{}/api/", engine.url), None).expect("an answer");
    assert_eq!(page.status, 200);
    for elsewhere in ["http://", "https://", "src=\"//", "@import"] {
        assert!(!page.text.contains(elsewhere), "the page names {elsewhere}");
    }
}
