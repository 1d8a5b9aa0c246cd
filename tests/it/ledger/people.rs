//! The log of an engine that runs: what people do is in it, it is verified with and without the engine, and what is done
//! to its database is named.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use douse::store::{Db, Store};
use serde_json::{Value, json};

use super::world::KEY;
use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN, Engine, Setup, VIEWER_TOKEN};
use crate::support::http;
use crate::support::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(30);

const CONFIG: &str = "audit: {key_file: audit.key, anchors: {file: anchors.jsonl, every: 1s}}";

/// An engine whose log is chained, not started yet.
fn chained(setup: Setup) -> Engine {
    let engine = setup.config(CONFIG).write();
    std::fs::write(engine.folder().join("audit.key"), KEY).unwrap();
    engine
}

/// `douse audit …`: its exit code, standard output and standard error.
fn audit(engine: &Engine, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_douse"), "audit"]).args(arguments).stdin(Stdio::null());
    command.env("DOUSE_URL", &engine.url).env("DOUSE_TOKEN", ADMIN_TOKEN).current_dir(engine.folder());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn offline(engine: &Engine, more: &[&str]) -> (i32, Value) {
    let config = format!("--config.file={}", engine.config_file().display());
    let (code, out, err) = audit(engine, &[&["verify", &config, "-o", "json"], more].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
}

/// Foreign hands in the database of an engine that stands still.
fn tamper(folder: &Path, sql: &str) {
    let (url, sql) = (format!("sqlite://{}/data/douse.db", folder.display()), sql.to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let store = Store::open(&url).await.unwrap();
        let done = store.write(move |db| {
            if let Db::Sqlite(c) = db {
                c.batch_execute(&sql)?;
            }
            Ok(())
        });
        done.await.unwrap();
    });
}

fn anchors(engine: &Engine) -> Vec<Value> {
    let text = std::fs::read_to_string(engine.folder().join("anchors.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(engine: &Engine, kind: &str) -> Vec<Value> {
    engine.get(&format!("/api/v1/audit?limit=200&event_type={kind}"))["items"].as_array().unwrap().clone()
}

#[test]
fn what_people_do_is_in_the_chain_and_the_chain_is_verified_with_and_without_the_engine() {
    let mut engine = chained(Engine::setup());
    engine.start();
    assert_eq!(engine.post("/api/v1/pause", &json!({"reason": "looking"})).status, 201);
    assert_eq!(engine.post("/api/v1/resume", &json!({})).status, 200);
    assert_eq!(engine.post("/-/reload", &json!({})).status, 200);
    let blackout = json!({"name": "night", "daily": {"start": "01:00", "end": "02:00"}});
    let answer =
        http::post(&format!("{}/api/v1/blackouts", engine.url), Some(ENGINEER_TOKEN), Some(&blackout)).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text);
    for kind in ["AUDIT_CHAIN_STARTED", "ENGINE_STARTED", "PAUSED", "RESUMED", "CONFIG_RELOADED", "BLACKOUT_CREATED"] {
        assert_eq!(events(&engine, kind).len(), 1, "{kind}");
    }
    let verified = wait_until(
        "everything has its place",
        LIMIT,
        || engine.post("/api/v1/audit/verify", &json!({})).json(),
        |found| found["waiting"] == 0 || found["waiting"] == 1,
    );
    assert_eq!(verified["is_valid"], true, "{verified}");
    assert!(verified["chained"].as_i64().unwrap() >= 6, "{verified}");
    let (code, report) = offline(&engine, &[]);
    assert_eq!((code, &report["is_valid"]), (0, &json!(true)), "{report}");
    let (code, out, _) = audit(&engine, &["verify"]);
    assert!(code == 0 && out.contains("is as it was written"), "{out}");
    assert!(events(&engine, "AUDIT_VERIFIED").len() >= 2);
    let metrics = http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).unwrap().text;
    assert!(metrics.contains("douse_audit_chain_valid 1"), "{metrics}");

    engine.stop();
    let anchors = anchors(&engine);
    let (code, report) = offline(&engine, &[]);
    assert_eq!((code, &report["is_valid"], &report["waiting"]), (0, &json!(true), &json!(0)), "{report}");
    assert_eq!(anchors.last().unwrap()["count"], report["chained"], "the last anchor is of the end");
    assert_eq!(report["anchors"], anchors.len());
}

#[test]
fn what_foreign_hands_did_is_named_and_a_cut_end_is_found_by_the_anchor() {
    let mut engine = chained(Engine::setup());
    engine.start();
    for n in 0..5 {
        assert_eq!(engine.post("/api/v1/pause", &json!({"reason": format!("the {n}th")})).status, 201);
    }
    let third = events(&engine, "PAUSED")[2].clone();
    let seq = third["seq"].as_i64().unwrap();
    engine.stop();
    tamper(
        engine.folder(),
        &format!(
            "DROP TRIGGER audit_events_no_update; UPDATE audit_events SET payload_json = \
             replace(payload_json, 'the', 'not the') WHERE seq = {seq}"
        ),
    );
    let (code, report) = offline(&engine, &[]);
    assert_eq!(
        (code, &report["fault"]["kind"], &report["fault"]["seq"]),
        (1, &json!("edited"), &json!(seq)),
        "{report}"
    );
    assert_eq!(report["fault"]["id"], third["id"]);
    tamper(
        engine.folder(),
        &format!("UPDATE audit_events SET payload_json = replace(payload_json, 'not the', 'the') WHERE seq = {seq}"),
    );
    assert_eq!(offline(&engine, &[]).0, 0);

    tamper(
        engine.folder(),
        "DROP TRIGGER audit_events_no_delete; DROP TRIGGER audit_links_no_delete; \
         DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_links ORDER BY position DESC LIMIT 3); \
         DELETE FROM audit_links WHERE position > (SELECT max(position) - 3 FROM audit_links)",
    );
    let (code, report) = offline(&engine, &[]);
    assert_eq!((code, &report["fault"]["kind"]), (1, &json!("cut")), "{report}");
    // The engine that runs finds it, too, and goes on.
    engine.start();
    let verified = engine.post("/api/v1/audit/verify", &json!({})).json();
    assert_eq!(verified["is_valid"], false, "{verified}");
    let metrics = http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).unwrap().text;
    assert!(metrics.contains("douse_audit_chain_valid 0"), "{metrics}");
    // Without the file of anchors nobody can tell.
    let url = format!("sqlite://{}/data/douse.db", engine.folder().display());
    let (code, out, _) = audit(&engine, &["verify", "--database", &url, "--key-file", "audit.key"]);
    assert!(code == 0 && out.contains("No anchors were compared"), "{out}");
}

#[test]
fn a_chain_that_is_cut_while_the_engine_watches_is_noticed() {
    let engine = chained(Engine::setup());
    let mut engine = engine;
    engine.start();
    assert_eq!(engine.post("/api/v1/pause", &json!({"reason": "x"})).status, 201);
    let is_sealed = || engine.post("/api/v1/audit/verify", &json!({})).json();
    wait_until("it is sealed", LIMIT, is_sealed, |found| found["chained"].as_i64() > Some(4));
    wait_until("it is anchored", LIMIT, || anchors(&engine), |anchors| !anchors.is_empty());
    let path = engine.folder().join("data/douse.db");
    let mut other = diesel::Connection::establish(path.to_str().unwrap()).unwrap();
    let c: &mut diesel::SqliteConnection = &mut other;
    c.batch_execute(
        "PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE; DROP TRIGGER audit_events_no_delete; DROP TRIGGER audit_links_no_delete; \
         DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_links WHERE position > 2); \
         DELETE FROM audit_links WHERE position > 2; COMMIT",
    )
    .unwrap();
    let metrics = || http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).unwrap().text;
    wait_until("it is noticed", LIMIT, metrics, |text| text.contains("douse_audit_chain_valid 0"));
    wait_until("it is logged", LIMIT, || engine.log(), |log| log.contains("somebody changed or cut it"));
}

#[test]
fn an_engine_starts_with_the_chains_key_only() {
    let mut engine = chained(Engine::setup());
    engine.start();
    wait_until("there is a chain", LIMIT, || anchors(&engine), |anchors| !anchors.is_empty());
    let key = engine.folder().join("audit.key");
    let was = std::fs::read_to_string(engine.config_file()).unwrap();
    // Not by a reload either.
    std::fs::write(&key, "9a".repeat(32)).unwrap();
    let answer = engine.post("/-/reload", &json!({}));
    assert_eq!((answer.status, answer.code()), (409, "not_reloaded".to_owned()), "{}", answer.text);
    assert!(answer.text.contains("audit.key_file"), "{}", answer.text);
    engine.stop();
    assert!(engine.fails_to_start().contains("is chained with the key `2026."));
    std::fs::write(engine.config_file(), was.replace(CONFIG, "")).unwrap();
    assert!(engine.fails_to_start().contains("is chained with the key `2026."));
    std::fs::write(engine.config_file(), &was).unwrap();
    std::fs::write(&key, "not a key").unwrap();
    assert!(engine.fails_to_start().contains("64 hex characters"));
    // A new key after the old one.
    std::fs::write(&key, format!("{KEY}\n2027:{}\n", "9a".repeat(32))).unwrap();
    engine.start();
    let verified = engine.post("/api/v1/audit/verify", &json!({})).json();
    assert_eq!(verified["is_valid"], true, "{verified}");
}

#[test]
fn a_flood_of_refused_requests_is_counted_and_does_not_fill_the_log() {
    let engine = chained(Engine::setup());
    let mut engine = engine;
    engine.start();
    for n in 0..300 {
        let path = ["/api/v1/alerts", "/api/v1/executions", "/api/v1/none-such"][n % 3];
        let answer = http::get(&format!("{}{path}?{n}", engine.url), Some(&format!("guess-{n}"))).unwrap();
        assert_eq!(answer.status, 401);
    }
    let refused =
        http::post(&format!("{}/api/v1/pause", engine.url), Some(VIEWER_TOKEN), Some(&json!({"reason": "x"})));
    assert_eq!(refused.unwrap().status, 403);
    let delivery = http::post(&engine.webhook(), Some("wrong"), Some(&json!({})));
    assert_eq!(delivery.unwrap().status, 401);
    let count = |events: &[Value], status: i64| -> i64 {
        let of = events.iter().filter(|event| event["payload"]["status"] == status);
        of.map(|event| event["payload"]["count"].as_i64().unwrap()).sum()
    };
    let found = wait_until(
        "all are counted",
        LIMIT,
        || events(&engine, "ACCESS_REFUSED"),
        |found| count(found, 401) == 301 && count(found, 403) == 1,
    );
    assert!(found.len() <= 24, "{} events for 302 refusals", found.len());
    let vic = found.iter().find(|event| event["payload"]["status"] == 403).unwrap();
    assert_eq!((&vic["actor"], &vic["payload"]["route"]), (&json!("vic"), &json!("/api/v1/pause")));
    assert_eq!(vic["ip_address"], "127.0.0.1");
    let routes: Vec<&str> = found.iter().map(|event| event["payload"]["route"].as_str().unwrap()).collect();
    assert!(routes.contains(&"/api/v1/alerts") && routes.contains(&"unknown"), "{routes:?}");
    assert!(!json!(found).to_string().contains("guess-"), "no credential is kept");
}

#[test]
fn the_log_is_searched_and_copied_as_lines_and_as_a_table() {
    let mut engine = chained(Engine::setup());
    engine.start();
    for n in 0..3 {
        assert_eq!(engine.post("/api/v1/pause", &json!({"reason": format!("=SUM({n}), \"quoted\"")})).status, 201);
    }
    let (code, out, err) = audit(&engine, &["search", "--event-type", "PAUSED", "--actor", "ada", "-q"]);
    assert_eq!((code, out.lines().count()), (0, 3), "{out}{err}");
    let (code, out, err) = audit(&engine, &["export"]);
    assert_eq!(code, 0, "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<i64> = lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert!(seqs.len() >= 5 && seqs.is_sorted(), "{seqs:?}");
    assert!(lines.iter().all(|line| line["mac"].as_str().is_some_and(|mac| mac.len() == 64)), "{out}");
    assert_eq!(lines.last().unwrap()["event_type"], "AUDIT_EXPORTED");
    let (code, out, err) = audit(&engine, &["export", "--format", "csv", "--since", "2020-01-01T00:00:00Z"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("seq,id,event_type,"), "{out}");
    assert!(out.lines().count() > lines.len(), "{out}");
    assert!(out.contains("\"\"reason\"\":\"\"=SUM(0), \\\"\"quoted\\\"\"\"\""), "{out}");
    let (code, _, err) = audit(&engine, &["export", "--since", "yesterday"]);
    assert_eq!(code, 1, "{err}");
    let answer = http::get(&format!("{}/api/v1/audit/export?format=xml", engine.url), Some(ADMIN_TOKEN)).unwrap();
    assert_eq!(answer.status, 422);
}
