//! Too much at once: a fleet that fires in one body, a disk that is full.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::engine::{ADMIN_TOKEN, Engine, WEBHOOK_TOKEN};
use crate::support::http;
use crate::support::program::Program;
use crate::support::sshd::Sshd;
use crate::support::wait::{wait_for, wait_until};

use super::LIMIT;

const FLEET: usize = 1_000;
/// 1 % of the fleet.
const ALLOWED: usize = 10;

fn body(alerts: &[Value]) -> Value {
    json!({
        "version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "truncatedAlerts": 0, "alerts": alerts,
    })
}

fn alert(name: &str, instance: &str, padding: usize) -> Value {
    json!({
        "status": "firing", "labels": {"alertname": name, "instance": instance}, "generatorURL": "", "fingerprint": "",
        "annotations": {"description": "x".repeat(padding)},
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
    })
}

#[test]
fn a_fleet_that_fires_at_once_is_touched_a_little_and_asks_one_person_once() {
    let sshd = Sshd::start();
    let effects = sshd.dir().join("effects");
    let runbook = json!({
        "name": "fix", "description": "Touches its server", "mode": "auto",
        "steps": [{"name": "Fix", "command": format!("echo {{{{ server.name }}}} >>{}", effects.display())}],
        "triggers": [{"name": "down", "alert_name_pattern": "Down"}],
    });
    let entry = |n: usize| {
        let entry = sshd.server_yaml(&format!("web{n}"));
        entry.trim_end_matches('}').to_owned() + ", group: web}"
    };
    let engine = (0..FLEET)
        .fold(Engine::setup(), |setup, n| setup.server(entry(n)))
        .runbook("fix.yml", &runbook.to_string())
        .config("limits: {executions_per_hour: 0, blast_radius: {min: 3, percent: 1, window: 10m}}")
        .start();

    let alerts: Vec<Value> = (0..FLEET).map(|n| alert("Down", &format!("web{n}:9100"), 0)).collect();
    let answer = engine.deliver(&body(&alerts));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let status = |status: &str| {
        let mut count = 0;
        let mut cursor = String::new();
        loop {
            let page = engine.get(&format!("/api/v1/executions?status={status}&limit=200{cursor}"));
            count += page["items"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return count,
            }
        }
    };
    let limit = 3 * LIMIT;
    wait_until("each alert has its execution", limit, || status("pending"), |count| *count == FLEET - ALLOWED);
    wait_until("the first are done", limit, || status("completed"), |count| *count == ALLOWED);

    let waiting = engine.get("/api/v1/approvals?limit=200");
    let waiting = waiting["items"].as_array().unwrap();
    let batches: Vec<&Value> = waiting.iter().filter(|item| item["kind"] == "batch").collect();
    assert_eq!((batches.len(), waiting.len()), (1, 1), "one question for all of them: {waiting:?}");
    let id = batches[0]["id"].as_str().unwrap();
    let no = json!({"reason": "it is the switch, not the servers"});
    let answer =
        http::post(&format!("{}/api/v1/approvals/{id}/reject", engine.url), Some(ADMIN_TOKEN), Some(&no)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    wait_until("one no is a no to all", limit, || status("rejected"), |count| *count == FLEET - ALLOWED);
    let touched = fs::read_to_string(&effects).unwrap();
    assert_eq!(touched.lines().count(), ALLOWED, "{touched}");
}

/// Starts the engine with its data on a disk of its own, of so many MiB.
fn start_on_disk(engine: &mut Engine, mib: u32) {
    fs::create_dir(engine.folder().join("data")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={mib}m,mode=700 none data && exec '{}' serve --config.file='{}'",
        env!("CARGO_BIN_EXE_douse"),
        engine.config_file().display()
    );
    let folder = engine.folder().to_owned();
    let script = format!("cd '{}' && {script}", folder.display());
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    let mut program = Program::start(Path::new("unshare"), "util-linux", &folder, unshare);
    let ready = format!("{}/-/ready", engine.url);
    program.wait_ready(|| http::get(&ready, None).is_some_and(|answer| answer.status == 200));
    engine.adopt(program);
}

#[test]
fn a_full_disk_loses_nothing_that_was_accepted_and_is_over_when_there_is_room_again() {
    let mut engine = Engine::setup().write();
    start_on_disk(&mut engine, 12);
    let webhook = engine.webhook();
    let post = |n: usize, padding: usize| {
        let body = body(&[alert(&format!("A{n}"), "web1", padding)]);
        let begun = Instant::now();
        let answer = http::post(&webhook, Some(WEBHOOK_TOKEN), Some(&body)).expect("it answers");
        assert!(begun.elapsed() < Duration::from_secs(5), "answered after {:?}", begun.elapsed());
        answer.status
    };
    let mut accepted: Vec<usize> = Vec::new();
    let full = (0..200).find(|n| match post(*n, 300_000) {
        200 => {
            accepted.push(*n);
            false
        }
        status => {
            assert_eq!(status, 503, "a sender gives up at anything else");
            true
        }
    });
    let full = full.expect("12 MiB are full before 200 alerts of 300 KB");
    assert!(accepted.len() > 3, "{accepted:?}");
    assert_eq!(http::get(&format!("{}/-/healthy", engine.url), None).unwrap().status, 200);
    // What is small may fit still; fill that, too.
    let mut next = full;
    wait_for("not even a small one fits", LIMIT, || {
        next += 1;
        match post(next, 3_000) {
            200 => accepted.push(next),
            _ => return Some(()),
        }
        None
    });
    let ready = format!("{}/-/ready", engine.url);
    wait_for("it is not ready", LIMIT, || (http::get(&ready, None)?.status == 503).then_some(()));

    let enter = format!("--mount=/proc/{}/ns/mnt", engine.pid());
    let data = engine.folder().join("data");
    let grown =
        Command::new("nsenter").arg(enter).args(["mount", "-o", "remount,size=64m"]).arg(&data).status().unwrap();
    assert!(grown.success());
    wait_for("it is ready again by itself", LIMIT, || (http::get(&ready, None)?.status == 200).then_some(()));
    for n in [full, next] {
        assert_eq!(post(n, 3_000), 200, "what was refused comes again");
        accepted.push(n);
    }
    for n in accepted {
        let found = engine.get(&format!("/api/v1/alerts?name=A{n}"));
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "alert {n}: {found}");
    }
}
