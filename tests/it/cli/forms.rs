//! The forms of the data: for people, for programs, and ids alone.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use super::{RESTART, command, douse};
use crate::support::engine::Engine;

fn engine() -> Engine {
    let other = RESTART.replace("name: restart", "name: \"restart, twice\"");
    let server = |name: &str| {
        format!("{{name: {name}, hostname: 127.0.0.1, port: 9, username: douse, auth_type: agent, group: web}}")
    };
    Engine::setup()
        .runbook("restart.yml", RESTART)
        .runbook("twice.yml", &other)
        .server(server("web1"))
        .server(server("web2"))
        .start()
}

#[test]
fn a_list_has_every_form() {
    let engine = engine();
    let list = |form: &str| douse(&engine, &["runbooks", "list", "-o", form]).ends(0);
    let table = list("table");
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(
        lines[0].starts_with("NAME") && lines[0].contains("STATUS") && !lines[0].contains("DESCRIPTION"),
        "{}",
        lines[0]
    );
    assert_eq!(lines.len(), 3, "a head and two rows: {}", table.stdout);
    assert!(!table.stdout.contains('\u{1b}'), "no colours where no terminal is");
    assert_eq!(douse(&engine, &["runbooks", "list"]).stdout, table.stdout, "a table is what one gets");
    list("wide").says(&["DESCRIPTION", "Restart a service"]);

    let json = list("json").json();
    let names: Vec<&str> = json.as_array().expect("a list").iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["restart", "restart, twice"]);
    let lines = list("jsonl");
    let lines: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Value::Array(lines), json);
    let yaml: Value = serde_saphyr::from_str(&list("yaml").stdout).unwrap();
    assert_eq!(yaml, json);
    let csv = list("csv").stdout;
    assert!(csv.starts_with("name,status,") && csv.contains("\r\n\"restart, twice\","), "{csv}");
    assert_eq!(douse(&engine, &["runbooks", "list", "-q"]).stdout, "restart\nrestart, twice\n");
}

#[test]
fn one_thing_has_every_form() {
    let engine = engine();
    let show = |form: &str| douse(&engine, &["servers", "show", "web1", "-o", form]).ends(0);
    show("table").says(&["name         web1", "group        web"]);
    let json = show("json").json();
    assert_eq!((&json["name"], &json["port"]), (&"web1".into(), &9.into()));
    assert_eq!(serde_json::from_str::<Value>(show("jsonl").stdout.trim()).unwrap(), json);
    assert_eq!(serde_saphyr::from_str::<Value>(&show("yaml").stdout).unwrap(), json);
    show("csv").says(&["key,value\r\n", "hostname,127.0.0.1\r\n"]);
    assert_eq!(douse(&engine, &["servers", "show", "web1", "-q"]).stdout, "web1\n");
}

#[test]
fn an_empty_list_is_data_too() {
    let engine = engine();
    assert_eq!(douse(&engine, &["executions", "list", "-o", "json"]).ends(0).json(), Value::Array(Vec::new()));
    assert_eq!(douse(&engine, &["executions", "list", "-q"]).ends(0).stdout, "");
    douse(&engine, &["executions", "list"]).ends(0).says(&["ID", "STATUS"]);
}

#[test]
fn a_limit_is_kept_over_pages_and_a_reader_may_go_away() {
    let engine = engine();
    for number in 0..4 {
        let name = format!("window-{number}");
        douse(&engine, &["blackouts", "add", &name, "--daily", "01:00-02:00"]).ends(0);
    }
    assert_eq!(douse(&engine, &["blackouts", "list", "-q"]).stdout.lines().count(), 4);
    assert_eq!(douse(&engine, &["runbooks", "list", "--limit", "1", "-q"]).stdout, "restart\n");

    let mut child = command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "`douse schema | head -1` is no error");
}

#[test]
fn text_from_outside_cannot_move_the_cursor() {
    let engine = engine();
    let hostile = "web1\u{1b}[2J\u{202e}";
    let body = serde_json::json!({"version": "4", "alerts": [{"status": "firing", "startsAt": "2026-01-01T00:00:00Z",
        "labels": {"alertname": hostile, "instance": hostile}, "annotations": {"summary": hostile}}]});
    let id = engine.deliver(&body).json()["alerts"][0]["alert_id"].as_str().unwrap().to_owned();
    for arguments in [&["alerts", "list"][..], &["alerts", "show", &id], &["explain", &id]] {
        let ran = douse(&engine, arguments);
        assert!(ran.stdout.contains("web1\\u{1b}[2J"), "{arguments:?}: {}", ran.stdout);
        assert!(!ran.stdout.contains(['\u{1b}', '\u{202e}']), "{arguments:?}");
    }
    let raw = douse(&engine, &["alerts", "show", &id, "-o", "json"]).json();
    assert_eq!(raw["labels"]["alertname"], hostile, "programs get it as it is");
}
