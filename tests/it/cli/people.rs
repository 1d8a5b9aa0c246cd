//! What people decide: approvals, the kill switch, blackouts, breakers, runbooks switched off.

use std::time::Duration;

use serde_json::json;

use super::{FREE, RESTART, douse, douse_as, engine_and_host};
use crate::support::engine::{ENGINEER_TOKEN, Engine, OPERATOR_TOKEN, VIEWER_TOKEN};

const LIMIT: Duration = Duration::from_secs(60);

fn asking() -> String {
    RESTART.replace("mode: auto", "mode: auto\nrequires_approval: true\napproval_roles: [admin, engineer]")
}

const RUN: [&str; 7] = ["run", "restart", "--server", "web1", "-p", "service=nginx", "-q"];

#[test]
fn an_approval_is_seen_given_and_refused() {
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", &asking()).config(FREE));
    let id = douse_as(OPERATOR_TOKEN, &engine, &RUN).ends(0).id();
    engine.wait_status(&id, "pending", LIMIT);
    douse(&engine, &["approvals", "list"]).ends(0).says(&[&id, "restart", "web1"]);
    let shown = douse(&engine, &["approvals", "show", &id[..13]]).ends(0);
    shown.says(&[
        "$ systemctl restart nginx",
        "undo $ systemctl stop nginx",
        &format!("approvals approve {id} --plan-hash "),
        "asked by    oli",
    ]);
    douse_as(VIEWER_TOKEN, &engine, &["approvals", "approve", &id]).ends(5);
    douse_as(OPERATOR_TOKEN, &engine, &["approvals", "approve", &id]).ends(5).tells(&["error: "]);
    assert_eq!(host.calls(), Vec::<String>::new());
    douse_as(ENGINEER_TOKEN, &engine, &["approvals", "approve", &id, "-m", "go on"]).ends(0).says(&[&id, "approved"]);
    let done = engine.wait_status(&id, "completed", LIMIT);
    assert_eq!(done["approved_by"], "eve");
    douse(&engine, &["approvals", "approve", &id]).ends(1).tells(&["completed"]);
    assert_eq!(douse(&engine, &["approvals", "list", "-q"]).stdout, "");

    let own = douse(&engine, &RUN).ends(0).id();
    douse(&engine, &["approvals", "approve", &own]).ends(5).tells(&["another person"]);
    douse_as(ENGINEER_TOKEN, &engine, &["approvals", "reject", &own, "-m", "not today"]).ends(0).says(&["rejected"]);
    assert_eq!(engine.execution(&own)["rejection_reason"], "not today");
}

#[test]
fn the_kill_switch_is_thrown_listed_and_released() {
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    douse_as(OPERATOR_TOKEN, &engine, &["pause", "--for", "2h", "-m", "migration"])
        .ends(0)
        .says(&["paused: global until 20"]);
    douse_as(OPERATOR_TOKEN, &engine, &["pause", "--runbook", "restart", "-m", "broken"])
        .ends(0)
        .says(&["paused: runbook restart until `douse resume`"]);
    douse_as(OPERATOR_TOKEN, &engine, &["pause", "--server", "web1", "-m", "moving"]).ends(0);
    douse_as(OPERATOR_TOKEN, &engine, &["pause", "--group", "nothing", "-m", "x"]).ends(1).tells(&["group", "nothing"]);
    douse_as(VIEWER_TOKEN, &engine, &["pause", "--list"]).ends(0).says(&["migration", "broken", "moving", "oli"]);
    douse(&engine, &RUN).ends(13).tells(&["! kill_switch"]);
    douse_as(VIEWER_TOKEN, &engine, &["resume"]).ends(5);
    assert_eq!(douse(&engine, &["resume", "-o", "json"]).ends(0).json().as_array().map(Vec::len), Some(1));
    douse(&engine, &RUN).ends(13).tells(&["! kill_switch", "moving"]);
    douse(&engine, &["resume", "--server", "web1"]).ends(0).says(&["moving"]);
    douse(&engine, &RUN).ends(13).tells(&["! kill_switch", "broken"]);
    douse(&engine, &["resume", "--runbook", "restart"]).ends(0);
    assert_eq!(douse(&engine, &["pause", "--list", "-q"]).stdout, "");
    douse(&engine, &[&RUN[..], &["--wait"]].concat()).ends(0);
    assert_eq!(host.calls().len(), 3);
}

#[test]
fn blackouts_are_added_checked_and_removed() {
    let (engine, _host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    douse(&engine, &["blackouts", "check"]).ends(0);
    douse(&engine, &["blackouts", "add", "release", "--for", "2h", "--group", "other"])
        .ends(0)
        .says(&["release is on"]);
    douse(&engine, &["blackouts", "check", "-q"]).ends(13).says(&["release"]);
    douse(&engine, &["blackouts", "check", "--at", "+3h"]).ends(0);
    let weekly = [
        "blackouts",
        "add",
        "patching",
        "--daily",
        "22:00-06:00",
        "--days",
        "saturday,sunday",
        "--timezone",
        "Europe/Berlin",
    ];
    douse(&engine, &weekly).ends(0);
    douse(&engine, &["blackouts", "check", "--at", "2026-03-01T01:00:00Z"])
        .ends(13)
        .says(&["patching", "saturday,sunday 22:00-06:00"]);
    douse(&engine, &["blackouts", "add", "backup", "--cron", "30 3 * * *", "--lasting", "45m", "--server", "web1"])
        .ends(0);
    let once = [
        "blackouts",
        "add",
        "move",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-02T00:00:00Z",
        "--effect",
        "refuse",
    ];
    douse(&engine, &once).ends(0).says(&["move is off"]);
    douse(&engine, &weekly).ends(1).tells(&["patching"]);
    douse(&engine, &["blackouts", "add", "x", "--daily", "25:00-26:00"]).ends(1).tells(&["25:00"]);
    douse(&engine, &["blackouts", "add", "x", "--daily", "noon"]).ends(2).tells(&["22:00-06:00"]);
    let file = engine.folder().join("window.yml");
    std::fs::write(&file, "name: from-file\nmonthly: {days: [1], start: \"00:00\", end: \"01:00\"}\n").unwrap();
    douse(&engine, &["blackouts", "add", "-f", "window.yml"]).ends(0).says(&["from-file is"]);
    let names = douse(&engine, &["blackouts", "list", "-q"]).stdout;
    assert_eq!(names, "backup\nfrom-file\nmove\npatching\nrelease\n");
    douse(&engine, &["blackouts", "rm", "release"]).ends(0);
    douse(&engine, &["blackouts", "rm", "release"]).ends(4);
    douse_as(OPERATOR_TOKEN, &engine, &["blackouts", "rm", "move"]).ends(5);
}

#[test]
fn breakers_are_opened_closed_and_reset() {
    let (engine, _host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    douse(&engine, &["breakers", "list"]).ends(0).says(&["restart", "closed"]);
    douse(&engine, &["breakers", "open", "restart", "-m", "it does harm"]).ends(0).says(&["restart open"]);
    douse(&engine, &["breakers", "list", "-o", "wide"]).says(&["open", "ada", "it does harm"]);
    douse(&engine, &RUN).ends(13).tells(&["! circuit_breaker"]);
    douse(&engine, &["breakers", "close", "restart", "-m", "mended"]).ends(0).says(&["restart closed"]);
    douse(&engine, &["breakers", "reset", "restart", "-m", "anew"]).ends(0).says(&["restart closed"]);
    douse_as(ENGINEER_TOKEN, &engine, &["breakers", "open", "restart", "-m", "x"]).ends(5);
    douse(&engine, &[&RUN[..], &["--wait"]].concat()).ends(0);
}

#[test]
fn a_runbook_is_looked_at_switched_off_and_on() {
    let (engine, _host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    douse(&engine, &["runbooks", "show", "restart"]).ends(0).says(&["Restart a service", "systemctl restart", "down"]);
    let exported = douse(&engine, &["runbooks", "export", "restart"]).ends(0).stdout;
    assert!(exported.contains("name: restart") && exported.contains("rollback_command"), "{exported}");
    douse(&engine, &["runbooks", "disable", "restart", "-m", "broken"]).ends(0).says(&["restart disabled"]);
    douse(&engine, &RUN).ends(13).tells(&["! runbook_status"]);
    douse_as(OPERATOR_TOKEN, &engine, &["runbooks", "enable", "restart"]).ends(5);
    douse_as(ENGINEER_TOKEN, &engine, &["runbooks", "enable", "restart"]).ends(0).says(&["restart active"]);

    std::fs::write(engine.folder().join("runbooks/restart.yml"), RESTART.replace("is-active", "status")).unwrap();
    assert_eq!(engine.post("/-/reload", &json!({})).status, 200);
    assert_eq!(douse(&engine, &["runbooks", "history", "restart", "-q"]).stdout, "2\n1\n");
    douse(&engine, &["runbooks", "diff", "restart"]).ends(0).says(&["-", "is-active", "+"]);
    douse(&engine, &["runbooks", "diff", "restart", "9"]).ends(4);
}

#[test]
fn a_legal_hold_is_set_listed_and_released() {
    let engine = Engine::setup().runbook("restart.yml", RESTART).start();
    let set = ["holds", "set", "--runbook", "restart", "-m", "case 7"];
    douse_as(ENGINEER_TOKEN, &engine, &set).ends(5);
    douse(&engine, &["holds", "set", "--runbook", "restrat", "-m", "case 7"]).ends(1).tells(&["restrat"]);
    douse(&engine, &["holds", "set", "-m", "case 7"]).ends(2);
    douse(&engine, &["holds", "set", "--all", "--runbook", "restart", "-m", "case 7"]).ends(2);
    let id = douse(&engine, &[&set[..], &["-q"]].concat()).ends(0).id();
    douse(&engine, &["holds", "list"]).ends(0).says(&[&id, "runbook", "restart", "case 7", "ada"]);
    let all = douse(&engine, &["holds", "set", "--all", "-m", "the whole case"]).ends(0);
    assert!(all.stdout.starts_with("kept: all ("), "{}", all.stdout);
    douse(&engine, &["holds", "release", &id]).ends(0).says(&["no longer kept: runbook restart"]);
    douse(&engine, &["holds", "release", &id]).ends(1).tells(&["released before"]);
    assert_eq!(douse(&engine, &["holds", "list", "-q"]).stdout.lines().count(), 1);
    let listed = douse(&engine, &["holds", "list", "--all", "-o", "json"]).ends(0).json();
    let released: Vec<bool> = listed.as_array().unwrap().iter().map(|hold| !hold["released_at"].is_null()).collect();
    assert_eq!(released, [false, true], "the newest first: {listed}");
    douse(&engine, &["holds", "release", "0198c1d2-0000-7000-8000-000000000000"]).ends(4);
}
