//! `douse run`: by hand, through all gates, to each of its ends.

use std::process::Stdio;
use std::time::Duration;

use super::{FREE, RESTART, Ran, command, douse, douse_as, engine_and_host};
use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN, Engine, VIEWER_TOKEN};
use crate::support::http;
use crate::support::wait::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// `RESTART` under another name, with something changed.
fn variant(name: &str, changes: &[(&str, &str)]) -> (String, String) {
    let mut text = RESTART.replace("name: restart\n", &format!("name: {name}\n"));
    text.truncate(text.find("triggers:").unwrap());
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    (format!("{name}.yml"), text)
}

fn run(engine: &Engine, runbook: &str, more: &[&str]) -> Ran {
    let arguments =
        [&["run", runbook, "--server", "web1", "-p", "service=nginx", "--reason", "test"][..], more].concat();
    douse(engine, &arguments)
}

#[test]
fn a_run_is_followed_to_its_end_and_its_record_is_read() {
    // Long enough to be seen.
    let restart = RESTART.replace("'systemctl is-active", "'sleep 1.5; systemctl is-active");
    let setup = Engine::setup().runbook("restart.yml", &restart).config(FREE);
    let (engine, host) = engine_and_host(setup);
    host.break_service("nginx");
    let ran = run(&engine, "restart", &["--follow"]).ends(0).says(&["completed", "Restart", "runbook      restart"]);
    let ran = ran.tells(&["execution ", "restart on web1: running", "completed  Verify", "restart on web1: completed"]);
    let told: Vec<usize> = ["Look", "Restart", "Verify"].iter().map(|step| ran.stderr.find(step).unwrap()).collect();
    assert!(told.is_sorted(), "{}", ran.stderr);
    assert_eq!(host.calls(), ["status nginx", "restart nginx", "is-active nginx"]);

    let id = douse(&engine, &["executions", "list", "-q"]).id();
    assert!(ran.stdout.contains(&id));
    let shown = douse(&engine, &["executions", "show", &id[..13], "-o", "json"]).ends(0).json();
    assert_eq!(
        (&shown["id"], &shown["status"], &shown["created_by"]),
        (&id.as_str().into(), &"completed".into(), &"ada".into())
    );
    douse(&engine, &["executions", "logs", &id])
        .ends(0)
        .says(&["nginx.service - failed", "active"])
        .tells(&["== main 1: Look"]);
    let document = douse(&engine, &["executions", "export", &id]).ends(0).json();
    assert!(document.is_object() && document.to_string().contains("SUCCEEDED"), "{document}");
    let listed = douse(
        &engine,
        &["executions", "list", "--status", "completed", "--runbook", "restart", "--server", "web1", "-o", "json"],
    );
    assert_eq!(listed.json()[0]["id"], id.as_str());
    assert_eq!(douse(&engine, &["executions", "list", "--status", "failed", "-q"]).stdout, "");

    let again = douse(&engine, &["executions", "retry", &id, "-m", "once more", "-q"]).ends(0).id();
    assert_ne!(again, id);
    engine.wait_status(&again, "completed", LIMIT);
    let undone = douse(&engine, &["executions", "rollback", &id, "-m", "take it back", "-q"]).ends(0).id();
    engine.wait_status(&undone, "completed", LIMIT);
    assert_eq!(host.calls().last().map(String::as_str), Some("stop nginx"));
}

#[test]
fn waiting_prints_the_record_and_not_waiting_the_id() {
    let (engine, _host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART).config(FREE));
    let waited = run(&engine, "restart", &["--wait", "-o", "json"]).ends(0);
    assert_eq!((&waited.json()["status"], waited.stderr.as_str()), (&"completed".into(), ""));
    let key = ["--idempotency-key", "once"];
    let (first, second) = (run(&engine, "restart", &key).ends(0).id(), run(&engine, "restart", &key).ends(0).id());
    assert_eq!(first, second, "the same key starts one run");
    engine.wait_status(&first, "completed", LIMIT);
    assert_eq!(engine.executions().len(), 2);
    run(&engine, "restart", &["--idempotency-key", "once", "-m", "changed"]).ends(2);
    let other = ["run", "restart", "--server", "web1", "-p", "service=other", "--idempotency-key", "once"];
    douse(&engine, &other).ends(1).tells(&["Idempotency-Key"]);
}

#[test]
fn a_dry_run_shows_every_gate_and_starts_nothing() {
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    run(&engine, "restart", &["--dry-run"]).ends(0).says(&["allowed", "kill_switch", "circuit_breaker", "target_lock"]);
    douse(&engine, &["pause", "-m", "test"]).ends(0);
    run(&engine, "restart", &["--dry-run"]).ends(13).says(&["held", "! kill_switch"]);
    assert_eq!((engine.executions().len(), host.calls().len()), (0, 0));
}

#[test]
fn a_gate_that_objects_is_13_and_every_gate_is_told() {
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    douse(&engine, &["pause", "--server", "web1", "-m", "new disk"]).ends(0);
    let ran = run(&engine, "restart", &[]).ends(13).tells(&["! kill_switch", "new disk", "  plan", "error: "]);
    assert_eq!(ran.stdout, "");
    let ran = douse(&engine, &["run", "restart", "--server", "web1", "-p", "service=nginx;reboot"]).ends(13);
    ran.tells(&["! parameters", "service"]);
    douse(&engine, &["run", "restart", "--server", "web9", "-p", "service=nginx"])
        .ends(13)
        .tells(&["! target", "web9"]);
    assert_eq!((engine.executions().len(), host.calls().len()), (0, 0));
}

#[test]
fn each_end_of_a_run_has_its_exit_code() {
    let (slow_name, slow) = variant(
        "slow",
        &[("command: 'systemctl is-active {{ params.service }}'", "command: sleep 60, timeout_seconds: 1")],
    );
    let (fails_name, fails) = variant("fails", &[("systemctl is-active {{ params.service }}", "exit 7")]);
    let (stuck_name, stuck) = variant(
        "stuck",
        &[("systemctl is-active {{ params.service }}", "exit 7"), ("systemctl stop {{ params.service }}", "exit 9")],
    );
    let setup = Engine::setup()
        .runbook(&slow_name, &slow)
        .runbook(&fails_name, &fails)
        .runbook(&stuck_name, &stuck)
        .config(FREE);
    let (engine, host) = engine_and_host(setup);
    run(&engine, "fails", &["--follow"]).ends(10).says(&["failed"]).tells(&["failed     Verify", "undo Restart"]);
    assert_eq!(host.service("nginx"), "inactive", "it was undone");
    run(&engine, "slow", &["--wait", "-q"]).ends(14);
    let stuck = run(&engine, "stuck", &["--wait", "-q"]).ends(11).id();
    douse(&engine, &["executions", "list"]).ends(0).says(&["failed (rollback stuck)"]);
    run(&engine, "fails", &[]).ends(13).tells(&["! target_lock"]);
    douse(&engine, &["executions", "release", &stuck, "-m", "looked at it"]).ends(0);
    run(&engine, "fails", &["--wait"]).ends(10);

    let text = || http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).expect("an answer").text;
    let text = wait_until("nothing is in flight", LIMIT, text, |text| text.contains("douse_executions_in_flight 0\n"));
    for series in [
        "douse_executions_total{runbook=\"fails\",status=\"failed\",mode=\"auto\"} 2\n",
        "douse_executions_total{runbook=\"slow\",status=\"timeout\",mode=\"auto\"} 1\n",
        "douse_rollbacks_total{runbook=\"stuck\",result=\"stuck\"} 1\n",
        "douse_execution_duration_seconds_count 4\n",
    ] {
        assert!(text.contains(series), "{series} is missing in\n{text}");
    }
}

#[test]
fn a_cancelled_run_is_15_and_a_rejected_one_12() {
    let (name, slow) = variant("slow", &[("systemctl is-active {{ params.service }}", "sleep 60")]);
    let (ask_name, ask) =
        variant("ask", &[("mode: auto", "mode: auto\nrequires_approval: true\napproval_roles: [engineer]")]);
    let (engine, _host) = engine_and_host(Engine::setup().runbook(&name, &slow).runbook(&ask_name, &ask).config(FREE));
    let start = |runbook: &str| {
        let arguments = ["run", runbook, "--server", "web1", "-p", "service=nginx", "--follow"];
        let mut started = command(&arguments);
        started
            .env("DOUSE_URL", &engine.url)
            .env("DOUSE_TOKEN", ADMIN_TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        (arguments.join(" "), started.spawn().unwrap())
    };
    let (what, child) = start("slow");
    let id = wait_for("the slow step runs", LIMIT, || {
        let running = engine.executions().into_iter().find(|execution| execution["status"] == "running")?;
        let id = running["id"].as_str()?.to_owned();
        let steps = engine.execution(&id)["steps"].clone();
        steps.as_array()?.iter().any(|step| step["name"] == "Verify" && step["status"] == "running").then_some(id)
    });
    douse(&engine, &["executions", "cancel", &id, "-m", "enough"]).ends(0);
    Ran::of(what, &child.wait_with_output().unwrap()).ends(15).tells(&["slow on web1: cancelled"]);
    douse(&engine, &["executions", "cancel", &id]).ends(1).tells(&["cancelled"]);

    let (what, child) = start("ask");
    let id = engine.wait_execution("ask", LIMIT);
    douse_as(ENGINEER_TOKEN, &engine, &["approvals", "reject", &id, "-m", "not now"]).ends(0);
    Ran::of(what, &child.wait_with_output().unwrap()).ends(12).tells(&[
        "ask on web1: pending",
        "approvals list",
        "rejected",
    ]);
}
