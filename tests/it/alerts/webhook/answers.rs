//! What each kind of body is answered, and what of it is kept.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use serde_json::{Value, json};

use super::{Setup, alert, all, engine, on_both_databases, postgres, webhook};
use crate::support::engine::{Engine, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::http::{self, Answer};
use crate::support::wait::wait_for;

fn send(engine: &Engine, body: &str) -> Answer {
    http::ask("POST", &engine.webhook(), Some(WEBHOOK_TOKEN), Some(body), &[])
}

/// A metric's value; `None` when the series is not there.
fn metric(engine: &Engine, series: &str) -> Option<String> {
    let text = http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).expect("an answer").text;
    text.lines().find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
}

#[test]
fn what_is_no_json_is_400_and_what_has_another_shape_422() {
    let engine = engine().start();
    for text in ["", "hello", "{", "{\"version\": \"4\", \"alerts\": [}", "\u{1}", "{\"version\": \"4\"} trailing"] {
        let answer = send(&engine, text);
        assert_eq!((answer.status, answer.code().as_str()), (400, "not_json"), "{text}: {}", answer.text);
    }
    let with = |key: &str, value: Value| {
        let mut body = webhook(&[alert("A")]);
        body[key] = value;
        body.to_string()
    };
    let without = |key: &str| {
        let mut body = webhook(&[alert("A")]);
        body.as_object_mut().unwrap().remove(key);
        body.to_string()
    };
    for (text, field) in [
        (with("version", json!("3")), "version"),
        (with("version", json!(4)), "version"),
        (with("version", Value::Null), "version"),
        (without("version"), "version"),
        (without("alerts"), "alerts"),
        (with("alerts", json!({"a": 1})), "alerts"),
        (with("groupLabels", json!([])), "groupLabels"),
        (with("receiver", json!(7)), "receiver"),
        (with("truncatedAlerts", json!("many")), "truncatedAlerts"),
        ("[]".to_owned(), "version"),
        ("null".to_owned(), "version"),
        ("\"text\"".to_owned(), "version"),
    ] {
        let answer = send(&engine, &text);
        assert_eq!((answer.status, answer.code().as_str()), (422, "wrong_shape"), "{text}: {}", answer.text);
        assert!(answer.text.contains(&format!("`{field}`")), "{text}: {}", answer.text);
    }
    assert_eq!(all(&engine, "alerts"), Vec::<Value>::new());
    assert_eq!(all(&engine, "alerts/quarantined"), Vec::<Value>::new());
}

#[test]
fn more_than_16_mib_or_10_000_alerts_is_413_and_what_is_less_is_taken() {
    let engine = engine().start();
    let filled = |bytes: usize| {
        let mut body = webhook(&[alert("A")]);
        body["padding"] = json!("");
        let missing = bytes - body.to_string().len();
        body["padding"] = json!("x".repeat(missing));
        body.to_string()
    };
    let limit = 16 * 1024 * 1024;
    let answer = send(&engine, &filled(17 * 1024 * 1024));
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"), "{}", answer.text);
    assert_eq!(send(&engine, &filled(limit + 1)).status, 413);
    assert_eq!(send(&engine, &filled(limit)).status, 200, "16 MiB is not over 16 MiB");

    let many: Vec<Value> = (0..10_001).map(|n| json!({"labels": {"alertname": format!("N{n}")}})).collect();
    let answer = send(&engine, &webhook(&many).to_string());
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_many_alerts"), "{}", answer.text);
    assert_eq!(all(&engine, "alerts").len(), 1);
}

#[test]
fn a_body_without_an_announced_length_is_bounded_too() {
    let engine = engine().start();
    let mut stream = TcpStream::connect(engine.address()).unwrap();
    let head = format!(
        "POST /api/v1/webhooks/main HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {WEBHOOK_TOKEN}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 1024 * 1024, "x".repeat(1024 * 1024));
    // The engine may hang up while we still write.
    let _ = (0..17).try_for_each(|_| stream.write_all(chunk.as_bytes()));
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
}

on_both_databases! {
    fn one_bad_alert_among_99_good_ones_is_kept_aside_and_shown(setup: Setup) {
        let engine = setup.start();
        let mut alerts: Vec<Value> = (0..99).map(|n| alert(&format!("A{n}"))).collect();
        let bad = json!({"status": "firing", "labels": {"alertname": 7}, "startsAt": "2026-01-01T00:00:00Z"});
        alerts.insert(50, bad.clone());
        let answer = engine.deliver(&webhook(&alerts));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let told = answer.json();
        let results = told["alerts"].as_array().expect("alerts");
        assert_eq!(results.len(), 100);
        for (position, result) in results.iter().enumerate() {
            let expected = if position == 50 { "quarantined" } else { "stored" };
            assert_eq!(result["result"], expected, "{position}: {result}");
            assert_eq!(result["episode_id"].is_null(), position == 50);
        }
        assert!(results[50]["reason"].as_str().is_some_and(|reason| reason.contains("alertname")), "{}", results[50]);
        assert!(results[49].get("reason").is_none(), "a good one has nothing to explain");
        // What is answered is there: the answer comes after the commit.
        let stored = all(&engine, "alerts");
        assert_eq!(stored.len(), 99);
        assert!(results.iter().all(|result| result["result"] == "quarantined" || stored.iter().any(|row| row["id"] == result["alert_id"])));

        let aside = all(&engine, "alerts/quarantined");
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!((&aside[0]["id"], &aside[0]["position"], &aside[0]["source"]), (&results[50]["alert_id"], &json!(50), &json!("main")));
        assert_eq!((&aside[0]["reason"], &aside[0]["raw"]), (&results[50]["reason"], &bad));
        assert_eq!(aside[0]["delivery_id"], told["delivery_id"]);
        assert_eq!(metric(&engine, "douse_alerts_received_total{source=\"main\",status=\"quarantined\"}").as_deref(), Some("1"));
        assert_eq!(metric(&engine, "douse_alerts_received_total{source=\"main\",status=\"stored\"}").as_deref(), Some("99"));
    }

    fn too_many_and_too_long_labels_are_kept_aside_and_never_cut(setup: Setup) {
        let engine = setup.start();
        let (mut many, mut long, mut chatty) = (alert("Many"), alert("Long"), alert("Chatty"));
        for n in 0..520 {
            many["labels"][format!("label_{n}")] = json!("x");
        }
        long["labels"]["text"] = json!("x".repeat(16 * 1024 + 1));
        chatty["annotations"]["text"] = json!("y".repeat(64 * 1024 + 1));
        chatty["labels"]["with.dots und Umlaut ä"] = json!("a\u{0}b");
        let results = engine.deliver(&webhook(&[many, long, chatty])).json()["alerts"].clone();
        let results: Vec<&str> = results.as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap()).collect();
        assert_eq!(results, ["quarantined", "quarantined", "stored"]);
        let stored = all(&engine, "alerts");
        assert_eq!(stored[0]["labels"]["with.dots und Umlaut ä"], "a\u{fffd}b");
        assert_eq!(stored[0]["annotations_cut"], true);
        assert!(stored[0]["annotations"]["text"].as_str().unwrap().len() <= 64 * 1024);
    }

    fn the_answer_and_a_repetition_have_the_shape_that_clients_rely_on(setup: Setup) {
        let engine = setup.start();
        let sent = webhook(&[alert("A"), alert("B")]);
        let (first, again) = (engine.deliver(&sent), engine.deliver(&sent));
        assert!(first.header("content-type").starts_with("application/json"), "{first:?}");
        let (first, again) = (first.json(), again.json());
        assert_ne!(first["delivery_id"], again["delivery_id"], "each request is kept");
        for place in 0..2 {
            let (one, two) = (&first["alerts"][place], &again["alerts"][place]);
            let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
            assert_eq!(keys.len(), 4, "{keys:?}");
            assert_eq!((&one["result"], &two["result"]), (&json!("stored"), &json!("duplicate")));
            for key in ["fingerprint", "alert_id", "episode_id"] {
                assert!(one[key].is_string() && one[key] == two[key], "{key}: {one} {two}");
            }
        }
        let empty = engine.deliver(&webhook(&[]));
        assert_eq!((empty.status, &empty.json()["alerts"]), (200, &json!([])));
    }

    fn grafanas_body_comes_by_post_and_by_put(setup: Setup) {
        let engine = setup.start();
        let grafana = |name: &str| {
            let mut alert = alert(name);
            alert["labels"]["grafana_folder"] = json!("Web");
            alert["startsAt"] = json!("2026-03-01T10:00:00+02:00");
            for (key, value) in [
                ("silenceURL", json!("http://grafana/silence")),
                ("dashboardURL", json!("")),
                ("panelURL", json!("")),
                ("values", json!({"A": 1.5, "B": null})),
                ("valueString", json!("[ var='A' value=1.5 ]")),
                ("orgId", json!(1)),
            ] {
                alert[key] = value;
            }
            let mut body = webhook(&[alert]);
            for (key, value) in
                [("version", json!("1")), ("orgId", json!(1)), ("title", json!("[FIRING:1]")), ("state", json!("alerting")), ("message", json!("m"))]
            {
                body[key] = value;
            }
            body.to_string()
        };
        for (method, name) in [("POST", "High memory usage"), ("PUT", "High CPU usage")] {
            let answer = http::ask(method, &engine.webhook(), Some(WEBHOOK_TOKEN), Some(&grafana(name)), &[]);
            assert_eq!((answer.status, &answer.json()["alerts"][0]["result"]), (200, &json!("stored")), "{}", answer.text);
            let stored = all(&engine, "alerts");
            let id = stored[0]["id"].as_str().unwrap();
            assert_eq!((&stored[0]["alert_name"], &stored[0]["starts_at"]), (&json!(name), &json!("2026-03-01T08:00:00.000000Z")));
            assert_eq!(engine.get(&format!("/api/v1/alerts/{id}"))["raw"]["values"], json!({"A": 1.5, "B": null}), "kept as sent");
        }
        let again = http::ask("POST", &engine.webhook(), Some(WEBHOOK_TOKEN), Some(&grafana("High CPU usage")), &[]);
        assert_eq!(again.json()["alerts"][0]["result"], "duplicate");
        assert_eq!(http::ask("PATCH", &engine.webhook(), Some(WEBHOOK_TOKEN), Some("{}"), &[]).status, 401, "no such route");
    }
}

#[test]
fn a_database_that_another_program_holds_is_503_and_the_repetition_is_stored() {
    let engine = engine().start();
    let file = engine.folder().join("data/douse.db");
    let mut other = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let asked = Instant::now();
    let answer = engine.deliver(&webhook(&[alert("A")]));
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"), "{}", answer.text);
    assert!(asked.elapsed() < Duration::from_secs(5), "answered after {:?}", asked.elapsed());
    other.batch_execute("ROLLBACK").unwrap();
    let told = wait_for("the repetition is taken", Duration::from_secs(30), || {
        let answer = engine.deliver(&webhook(&[alert("A")]));
        (answer.status == 200).then(|| answer.json())
    });
    // The first write may have come through after its answer; then the repetition is a duplicate of it.
    assert!(["stored", "duplicate"].contains(&told["alerts"][0]["result"].as_str().unwrap()), "{told}");
    assert_eq!(all(&engine, "alerts").len(), 1);
    assert_eq!(all(&engine, "episodes").len(), 1);
}
