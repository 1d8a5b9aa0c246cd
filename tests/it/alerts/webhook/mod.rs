//! Webhooks over HTTP against the real process: what is answered, what is stored, and what a sender can make happen.

mod again;
mod answers;
mod credentials;

use serde_json::{Value, json};

use crate::support::engine::{Engine, Setup};
use crate::support::postgres;

/// Makes one execution for each firing episode, which waits for a person: nothing is run. The body of 1,000 alerts selects
/// no trigger: so many pending runs would only take time.
const ASKS: &str = "\
name: ask
mode: semi_auto
target: {from: web1}
steps: [{name: Nothing, command: 'true'}]
triggers: [{name: all, matchers: ['alertname!=\"KubePodCrashLooping1000\"']}]
";

/// A server that nobody logs in to.
const SERVER: &str = "{name: web1, hostname: 127.0.0.1, port: 9, username: douse, auth_type: agent}";

fn engine() -> Setup {
    Engine::setup()
}

/// `name::sqlite` and `name::postgres`, each with a setup on its own fresh database.
macro_rules! on_both_databases {
    ($(fn $name:ident($setup:ident: Setup) $body:block)+) => { $(
        mod $name {
            use super::*;

            fn body($setup: Setup) $body

            #[test]
            fn sqlite() {
                body(super::super::engine());
            }

            #[test]
            fn postgres() {
                body(super::super::engine().storage(&postgres::database()));
            }
        }
    )+ };
}
use on_both_databases;

/// One alert as Alertmanager sends it.
fn alert(name: &str) -> Value {
    json!({"status": "firing", "labels": {"alertname": name, "instance": "web1:9100"}, "annotations": {},
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": ""})
}

/// A body of version 4.
fn webhook(alerts: &[Value]) -> Value {
    json!({"version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am:9093", "truncatedAlerts": 0,
        "alerts": alerts})
}

/// All items of a list, over its pages.
fn all(engine: &Engine, list: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = engine.get(&format!("/api/v1/{list}?limit=200{cursor}"));
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}
