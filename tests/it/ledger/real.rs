//! Figures and documents after real runs on a real host.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::engine::{Engine, VIEWER_TOKEN};
use crate::support::host::Host;
use crate::support::http;
use crate::support::postgres;
use crate::support::wait::wait_until;

pub const LIMIT: Duration = Duration::from_secs(60);

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
pub fn world(storage: Option<String>) -> (Engine, Host) {
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

pub fn run(engine: &Engine, runbook: &str) -> String {
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
