//! Figures, documents and the live stream after real runs on a real host.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN};
use crate::support::host::Host;
use crate::support::http;
use crate::support::postgres;
use crate::support::wait::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

const RESTART: &str = "\
name: restart
description: Restart a service
mode: auto
target: {from: web1}
parameters: [{name: service, from_label: service, pattern: '[a-z]+'}]
steps:
  - {name: Look, command: 'systemctl status {{ params.service }}', expected_exit_codes: [0, 3]}
  - {name: Restart, command: 'systemctl restart {{ params.service }}'}
triggers: [{name: down, alert_name_pattern: 'ServiceDown*', cooldown_seconds: 300}]
";

const FAILS: &str = "\
name: fails
description: Never works
mode: auto
target: {from: web1}
steps: [{name: Break, command: 'echo no such unit >&2; exit 7'}]
";

const ASKS: &str = "\
name: asks
description: Needs a yes
mode: auto
requires_approval: true
target: {from: web1}
steps: [{name: Do, command: 'true'}]
";

const FREE: &str = "limits: {recently_remediated: 0s, attempts: {count: 0, window: 1h}}";

/// A host with nginx, and an engine on SQLite or on the database of `storage`.
fn world(storage: Option<String>) -> (Engine, Host) {
    let host = Host::start(&["nginx"]);
    let mut setup =
        Engine::setup().runbook("restart.yml", RESTART).runbook("fails.yml", FAILS).runbook("asks.yml", ASKS);
    if let Some(url) = storage {
        setup = setup.storage(&url);
    }
    let engine = setup.config(FREE).server(host.sshd.server_yaml("web1")).start();
    (engine, host)
}

fn alert(name: &str, instance: &str) -> Value {
    json!({"version": "4", "alerts": [{
        "status": "firing", "startsAt": "2026-01-01T00:00:00Z",
        "labels": {"alertname": name, "service": "nginx", "severity": "critical", "instance": instance},
        "annotations": {"summary": "nginx is down"}}]})
}

fn run(engine: &Engine, runbook: &str) -> String {
    let body = json!({"server": "web1", "reason": "test", "parameters": {}});
    let answer = engine.post(&format!("/api/v1/runbooks/{runbook}/execute"), &body);
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()["execution_id"].as_str().unwrap().to_owned()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> =
        value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// What the figures have to say after: one alert that ran, the same alert again (held by the cooldown), one that nothing
/// matches, and two runs by hand that failed.
fn figures(engine: &Engine, host: &Host) {
    host.break_service("nginx");
    assert_eq!(engine.deliver(&alert("ServiceDown", "web1:9100")).status, 200);
    let id = engine.wait_execution("restart", LIMIT);
    engine.wait_status(&id, "completed", LIMIT);
    assert_eq!(engine.deliver(&alert("ServiceDownAgain", "web1:9101")).status, 200);
    assert_eq!(engine.deliver(&alert("Unknown", "web1:9102")).status, 200);
    for _ in 0..2 {
        let id = run(engine, "fails");
        engine.wait_status(&id, "failed", LIMIT);
    }
    let funnel = wait_until(
        "all are decided",
        LIMIT,
        || engine.get("/api/v1/stats/funnel"),
        |funnel| funnel["decisions"]["held"] == 1 && funnel["decisions"]["no_match"] == 1,
    );
    assert_eq!((&funnel["alerts"], &funnel["episodes"]), (&json!(3), &json!(3)), "{funnel}");
    assert_eq!(funnel["decisions"], json!({"allowed": 1, "held": 1, "no_match": 1}), "{funnel}");
    assert_eq!(funnel["executions"], json!({"completed": 1, "failed": 2}), "{funnel}");
    let times = &funnel["time_to_remediate"];
    assert_eq!(times["count"], 1, "{funnel}");
    assert!(times["p50_ms"].as_u64() > Some(1_000) && times["p50_ms"] == times["p95_ms"], "{funnel}");

    let of = |path: &str| engine.get(&format!("/api/v1/stats/{path}"));
    let executions = of("executions");
    let rows = executions["items"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["runbook"] == name).unwrap().clone();
    assert_eq!(rows.len(), 3, "{executions}");
    let (restart, fails, asks) = (row("restart"), row("fails"), row("asks"));
    assert_eq!((&restart["total"], &restart["successful"], &restart["failed"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((&fails["total"], &fails["successful"], &fails["failed"]), (&json!(2), &json!(0), &json!(2)));
    for row in [&restart, &fails] {
        for key in ["avg_duration_ms", "p50_duration_ms", "p95_duration_ms"] {
            assert!(row[key].as_i64() > Some(0), "{key}: {row}");
        }
        assert!(row["last_execution"].is_string());
    }
    assert_eq!(
        (&asks["total"], &asks["p50_duration_ms"], &asks["last_execution"]),
        (&json!(0), &Value::Null, &Value::Null)
    );

    let rates = of("success-rates");
    let rate = |runbook: &str| {
        rates["items"].as_array().unwrap().iter().find(|row| row["runbook"] == runbook).unwrap().clone()
    };
    assert_eq!(
        rate("restart"),
        json!({"runbook": "restart", "server": "web1", "total": 1, "successful": 1, "success_rate_pct": 100.0})
    );
    assert_eq!(rate("fails")["success_rate_pct"], 0.0);

    let skips = of("skips");
    assert_eq!((&skips["items"][0]["reason"], &skips["items"][0]["count"]), (&json!("cooldown"), &json!(1)), "{skips}");

    let failures = of("failures");
    assert_eq!(failures["items"].as_array().unwrap().len(), 2, "{failures}");
    assert_eq!(
        (&failures["items"][0]["runbook"], &failures["items"][0]["status"]),
        (&json!("fails"), &json!("failed"))
    );
    assert!(failures["items"][0]["failure_message"].as_str().unwrap().contains("exit code 7"), "{failures}");

    let patterns = of("failure-patterns");
    let pattern = &patterns["items"][0];
    assert_eq!((&pattern["count"], &pattern["servers"]), (&json!(2), &json!(["web1"])), "{patterns}");
    assert!(pattern["signature"].as_str().unwrap().contains("exit code <n>"), "{patterns}");
    assert_eq!(pattern["example_execution_id"], failures["items"][0]["execution_id"]);

    let about = engine.get("/api/v1/runbooks/fails/stats");
    assert_eq!(
        (&about["executions"]["failed"], &about["failure_patterns"][0]["count"]),
        (&json!(2), &json!(2)),
        "{about}"
    );
    assert_eq!(about["success_rates"][0]["total"], 2);
    let about = engine.get("/api/v1/runbooks/restart/stats");
    assert_eq!(
        (&about["skips"][0]["reason"], &about["decisions"]["allowed"]),
        (&json!("cooldown"), &json!(1)),
        "{about}"
    );
    assert_eq!(about["time_to_remediate"]["count"], 1);

    // Of one runbook, and of a time in which nothing was.
    assert_eq!(of("failures?runbook=restart")["items"], json!([]));
    assert_eq!(of("executions?runbook=fails")["items"].as_array().unwrap().len(), 1);
    let later = "2999-01-01T00:00:00Z";
    for path in ["success-rates", "skips", "failures", "failure-patterns"] {
        assert_eq!(of(&format!("{path}?since={later}"))["items"], json!([]), "{path}");
    }
    assert_eq!(of(&format!("executions?since={later}"))["items"][0]["total"], 0);
    let get = |path: &str| http::get(&format!("{}/api/v1/{path}", engine.url), Some(VIEWER_TOKEN)).unwrap().status;
    assert_eq!((get("runbooks/none/stats"), get("stats/skips?until=x"), get("stats/skips?since=x")), (404, 422, 422));
}

/// Field by field what the auditors' documents say.
fn documents(engine: &Engine) {
    let id = engine.wait_execution("restart", LIMIT);
    let audit = engine.get(&format!("/api/v1/executions/{id}/audit"));
    assert_eq!(keys(&audit), ["auditEvents", "incidentId", "playbookId", "runId", "status"]);
    assert_eq!(
        (&audit["runId"], &audit["playbookId"], &audit["status"]),
        (&json!(id), &json!("restart"), &json!("SUCCEEDED"))
    );
    let events = audit["auditEvents"].as_array().unwrap();
    let mut known: Vec<&str> = Vec::new();
    for event in events {
        assert_eq!(
            keys(event),
            [
                "created_at",
                "event_type",
                "id",
                "incident_id",
                "lawbook_version",
                "payload_hash",
                "payload_json",
                "remediation_run_id"
            ]
        );
        assert_eq!(
            (&event["remediation_run_id"], &event["incident_id"]),
            (&json!(id), &audit["incidentId"]),
            "{event}"
        );
        assert_eq!(event["payload_hash"], douse::audit::canonical::payload_hash(&event["payload_json"]).unwrap());
        assert!(!event["lawbook_version"].as_str().unwrap().is_empty());
        known.push(event["event_type"].as_str().unwrap());
    }
    let of = |kind: &str| &events.iter().find(|event| event["event_type"] == kind).unwrap()["payload_json"];
    let order: Vec<&str> = known.iter().copied().filter(|kind| *kind != "DECIDED").collect();
    assert_eq!(
        order,
        ["PLANNED", "STEP_STARTED", "STEP_FINISHED", "STEP_STARTED", "STEP_FINISHED", "STATUS_UPDATED", "COMPLETED"]
    );
    let planned = of("PLANNED");
    for key in ["playbookId", "playbookVersion", "inputsHash", "stepsCount", "steps"] {
        assert!(!planned[key].is_null(), "{key}: {planned}");
    }
    assert_eq!(planned["stepsCount"], 2);
    assert!(
        planned["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| keys(step).starts_with(&["actionType"]) && step["stepId"].is_string())
    );
    for key in ["stepId", "actionType", "idempotencyKey", "inputsHash"] {
        assert!(of("STEP_STARTED")[key].is_string(), "{key}: {}", of("STEP_STARTED"));
    }
    let finished = of("STEP_FINISHED");
    assert_eq!(
        (&finished["status"], keys(&finished["outputSummary"])),
        (&json!("SUCCEEDED"), vec!["hasOutput", "outputHash"])
    );
    for kind in ["STATUS_UPDATED", "COMPLETED"] {
        let ended = of(kind);
        assert_eq!(
            (&ended["status"], &ended["totalSteps"], &ended["successCount"], &ended["failedCount"]),
            (&json!("SUCCEEDED"), &json!(2), &json!(2), &json!(0)),
            "{ended}"
        );
        assert!(ended["durationMs"].is_u64(), "{ended}");
    }

    let export = engine.get(&format!("/api/v1/executions/{id}/export"));
    assert_eq!(keys(&export), ["auditEvents", "exportedAt", "incidentRef", "run", "steps"]);
    assert_eq!(
        keys(&export["run"]),
        [
            "created_at",
            "id",
            "incident_id",
            "inputs_hash",
            "lawbook_version",
            "playbook_id",
            "playbook_version",
            "run_key",
            "status",
            "updated_at"
        ]
    );
    let run = &export["run"];
    assert!(
        run["run_key"].as_str().unwrap().starts_with("main:")
            && run["run_key"].as_str().unwrap().contains(":1:restart:"),
        "{run}"
    );
    assert_eq!(
        (&run["status"], &run["playbook_id"], &run["playbook_version"]),
        (&json!("SUCCEEDED"), &json!("restart"), &json!("1"))
    );
    assert_eq!(run["inputs_hash"], planned["inputsHash"]);
    for step in export["steps"].as_array().unwrap() {
        for key in ["id", "step_id", "action_type", "status", "started_at", "finished_at"] {
            assert!(step[key].is_string(), "{key}: {step}");
        }
    }
    assert_eq!(export["auditEvents"], audit["auditEvents"]);
    let incident = &export["incidentRef"];
    assert_eq!(keys(incident), ["id", "incident_key", "severity", "status", "title"]);
    assert_eq!(
        (&incident["id"], &incident["severity"], &incident["status"], &incident["title"]),
        (&audit["incidentId"], &json!("critical"), &json!("FIRING"), &json!("nginx is down"))
    );
    assert!(run["run_key"].as_str().unwrap().starts_with(incident["incident_key"].as_str().unwrap()), "{export}");

    let failed = engine.wait_execution("fails", LIMIT);
    let audit = engine.get(&format!("/api/v1/executions/{failed}/audit"));
    assert_eq!((&audit["status"], &audit["incidentId"]), (&json!("FAILED"), &Value::Null), "{audit}");
    let events = audit["auditEvents"].as_array().unwrap();
    let finished = &events.iter().find(|event| event["event_type"] == "STEP_FINISHED").unwrap()["payload_json"];
    assert_eq!(finished["status"], "FAILED");
    assert!(finished["errorCode"].is_string() && finished["errorMessage"].is_string(), "{finished}");
    assert_eq!(events.last().unwrap()["event_type"], "FAILED");
}

#[test]
fn after_real_runs_the_figures_are_those_of_the_runs_and_the_documents_are_the_auditors_on_sqlite() {
    let (engine, host) = world(None);
    figures(&engine, &host);
    documents(&engine);
}

#[test]
fn after_real_runs_the_figures_are_those_of_the_runs_and_the_documents_are_the_auditors_on_postgresql() {
    let (engine, host) = world(Some(postgres::database()));
    figures(&engine, &host);
    documents(&engine);
}

/// A client that listens.
struct Listener {
    reader: BufReader<TcpStream>,
}

/// One event of a stream.
#[derive(Debug)]
struct Told {
    id: i64,
    kind: String,
    data: Value,
}

impl Listener {
    fn open(engine: &Engine, topics: &str, last: Option<i64>) -> Self {
        let mut stream = TcpStream::connect(engine.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(
            stream,
            "GET /api/v1/stream?topics={topics} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIEWER_TOKEN}\r\n{last}\r\n"
        )
        .unwrap();
        let mut listener = Self { reader: BufReader::new(stream) };
        assert!(listener.line().starts_with("HTTP/1.1 200"));
        let mut head = String::new();
        loop {
            let line = listener.line();
            if line.is_empty() {
                break;
            }
            head.push_str(&line.to_lowercase());
            head.push('\n');
        }
        assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"), "{head}");
        listener
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("the stream goes on");
        line.trim_end().to_owned()
    }

    /// The next line that holds `text`; lines of the chunked encoding and others are passed over.
    fn until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
            assert!(begun.elapsed() < LIMIT, "`{text}` does not come");
        }
    }

    fn next(&mut self) -> Told {
        loop {
            let id = self.until("id: ");
            let line = self.line();
            let Some(kind) = line.strip_prefix("event: ") else { continue };
            let data = self.until("data: ");
            return Told {
                id: id.strip_prefix("id: ").unwrap().parse().unwrap(),
                kind: kind.to_owned(),
                data: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
            };
        }
    }

    /// Everything up to the first event of this kind.
    fn collect(&mut self, last: &str) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            told.push(self.next());
            if told.last().unwrap().kind == last {
                return told;
            }
        }
    }
}

fn listens(storage: Option<String>) {
    let (engine, _host) = world(storage);
    let mut all = Listener::open(&engine, "executions", None);
    let mut approvals = Listener::open(&engine, "approvals", None);
    all.until(": Douse");
    approvals.until(": Douse");
    let first = run(&engine, "fails");
    let told = all.collect("failed");
    let kinds: Vec<&str> = told
        .iter()
        .map(|told| told.kind.as_str())
        .filter(|kind| *kind != "decided" && *kind != "manual_requested")
        .collect();
    assert_eq!(kinds, ["planned", "step_started", "step_finished", "status_updated", "failed"], "{told:?}");
    assert!(told.iter().all(|told| told.data["execution"]["id"] == first.as_str()), "{told:?}");
    assert!(told.is_sorted_by_key(|told| told.id));
    let end = &told.last().unwrap().data["execution"];
    assert_eq!((&end["status"], &end["runbook"], &end["server"]), (&json!("failed"), &json!("fails"), &json!("web1")));

    let asked = run(&engine, "asks");
    let waiting = approvals.next();
    assert_eq!((waiting.kind.as_str(), &waiting.data["execution"]["id"]), ("planned", &json!(asked)), "{waiting:?}");
    assert_eq!(waiting.data["execution"]["status"], "pending");

    // A client that was away gets what it missed, once, and in order.
    let middle = told[told.len() - 2].id;
    drop(all);
    let mut back = Listener::open(&engine, "executions", Some(middle));
    let mut missed = Vec::new();
    while missed.last().is_none_or(|kind| kind != "planned") {
        // On PostgreSQL the last moment is told again, under the id that the client has already.
        let told = back.next();
        if told.id > middle {
            missed.push(told.kind);
        }
    }
    assert_eq!(missed.first().map(String::as_str), Some("failed"), "{missed:?}");

    // One execution's events only.
    let mut one = Listener::open(&engine, &format!("exec:{asked}"), None);
    one.until(": Douse");
    let other = run(&engine, "fails");
    engine.wait_status(&other, "failed", LIMIT);
    assert_eq!(engine.post(&format!("/api/v1/executions/{asked}/cancel"), &json!({"reason": "no"})).status, 200);
    let heard = one.next();
    assert_eq!(heard.data["execution"]["id"], asked.as_str(), "{heard:?}");
    let heard = approvals.collect("status_updated");
    assert_eq!(heard.last().unwrap().data["execution"]["status"], "cancelled", "{heard:?}");
}

#[test]
fn what_happens_is_heard_as_it_happens_and_resumed_where_it_was_left_on_sqlite() {
    listens(None);
}

#[test]
fn what_happens_is_heard_as_it_happens_and_resumed_where_it_was_left_on_postgresql() {
    listens(Some(postgres::database()));
}

#[test]
fn a_stream_that_has_nothing_to_tell_says_that_it_is_there_and_ends_with_the_engine() {
    let (mut engine, _host) = world(None);
    let mut listener = Listener::open(&engine, "executions,approvals", None);
    let begun = Instant::now();
    listener.until(": heartbeat");
    assert!((Duration::from_secs(14)..Duration::from_secs(20)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let stopped = Instant::now();
    engine.stop();
    let mut rest = String::new();
    let _ended_or_reset = listener.reader.read_to_string(&mut rest);
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
}

#[test]
fn a_stream_of_nothing_known_is_refused() {
    let (engine, _host) = world(None);
    let get = |query: &str, token: Option<&str>| {
        http::get(&format!("{}/api/v1/stream{query}", engine.url), token).unwrap().status
    };
    assert_eq!(get("?topics=executions", None), 401);
    assert_eq!(get("", Some(ADMIN_TOKEN)), 422);
    assert_eq!(get("?topics=alerts", Some(ADMIN_TOKEN)), 422);
    assert_eq!(get("?topics=exec:0198c1d2-0000-7000-8000-000000000000", Some(ADMIN_TOKEN)), 404);
    let none = http::ask(
        "GET",
        &format!("{}/api/v1/stream?topics=executions", engine.url),
        Some(ADMIN_TOKEN),
        None,
        &[("Last-Event-ID", "abc")],
    );
    assert_eq!(none.status, 422);
    wait_for("it is ready", LIMIT, || {
        http::get(&format!("{}/-/ready", engine.url), None).filter(|answer| answer.status == 200)
    });
}
