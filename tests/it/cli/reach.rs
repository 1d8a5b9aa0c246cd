//! What goes wrong before a command does its work, and how a script learns of it.

use super::{command, douse, douse_as, douse_in};
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN};
use crate::support::sshd::free_address;

const NOWHERE: &str = "0198c1d2-0000-7000-8000-000000000000";

#[test]
fn an_engine_that_is_not_there_is_6() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", free_address());
    for arguments in [&["executions", "list"][..], &["pause", "-m", "test"], &["healthcheck"], &["run", "restart"]] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--url", &url]);
        let ran = douse_in(folder.path(), &arguments).ends(6).tells(&["error: cannot reach Douse at", &url, "hint:"]);
        assert_eq!(ran.stdout, "");
    }
    douse_in(folder.path(), &["executions", "list", "--url", "not an address"]).ends(2).tells(&["--url"]);
}

#[test]
fn no_credential_a_wrong_one_and_too_few_rights_are_5() {
    let engine = Engine::setup().start();
    for token in ["", "wrong-token"] {
        let ran = douse_as(token, &engine, &["executions", "list"]).ends(5).tells(&["error: ", "--token-file"]);
        assert_eq!(ran.stdout, "");
    }
    for arguments in [&["pause", "-m", "test"][..], &["breakers", "open", "restart", "-m", "test"]] {
        douse_as(VIEWER_TOKEN, &engine, arguments).ends(5).tells(&["error: "]);
    }
    douse_as(VIEWER_TOKEN, &engine, &["executions", "list"]).ends(0);
}

#[test]
fn a_token_comes_from_a_file_before_the_environment() {
    let engine = Engine::setup().start();
    std::fs::write(engine.folder().join("token"), format!("{ADMIN_TOKEN}\n")).unwrap();
    douse_as("wrong-token", &engine, &["executions", "list", "--token-file", "token"]).ends(0);
    douse(&engine, &["executions", "list", "--token-file", "missing"]).ends(1).tells(&["--token-file: missing"]);
}

#[test]
fn what_does_not_exist_is_4() {
    let engine = Engine::setup().start();
    for arguments in [
        &["executions", "show", NOWHERE][..],
        &["executions", "show", "not-an-id"],
        &["executions", "logs", NOWHERE],
        &["executions", "export", NOWHERE],
        &["executions", "cancel", NOWHERE],
        &["executions", "retry", NOWHERE],
        &["executions", "rollback", NOWHERE],
        &["executions", "release", NOWHERE, "-m", "looked at it"],
        &["approvals", "show", NOWHERE],
        &["approvals", "approve", NOWHERE],
        &["approvals", "reject", NOWHERE, "-m", "no"],
        &["alerts", "show", NOWHERE],
        &["alerts", "replay", NOWHERE],
        &["explain", NOWHERE],
        &["run", "nothing", "--server", "web1"],
        &["runbooks", "show", "nothing"],
        &["runbooks", "history", "nothing"],
        &["runbooks", "export", "nothing"],
        &["runbooks", "disable", "nothing"],
        &["servers", "show", "nothing"],
        &["servers", "test", "nothing"],
        &["servers", "maintenance", "on", "nothing"],
        &["servers", "rm", "nothing"],
        &["blackouts", "rm", "nothing"],
        &["breakers", "open", "nothing", "-m", "why"],
    ] {
        let ran = douse(&engine, arguments).ends(4).tells(&["error: "]);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["exectuions"],
        &["executions"],
        &["executions", "show"],
        &["executions", "release", NOWHERE],
        &["executions", "list", "--limit", "many"],
        &["executions", "list", "-o", "xml"],
        &["approvals", "reject", NOWHERE],
        &["pause"],
        &["pause", "-m", "x", "--for", "2 fortnights"],
        &["pause", "-m", "x", "--server", "a", "--group", "b"],
        &["run", "restart", "-p", "novalue"],
        &["run", "restart", "--follow", "--dry-run"],
        &["explain"],
        &["explain", "--at", "noon", "alertname=A"],
        &["breakers", "open", "restart"],
        &["blackouts", "add", "release"],
        &["servers", "maintenance", "maybe", "web1"],
        &["serve", "--storage.path", "a", "--storage.url", "b"],
        &["check", "--format", "prose"],
    ] {
        let ran = douse_in(folder.path(), arguments).ends(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_filter_is_told_with_what_may_be_asked() {
    let engine = Engine::setup().start();
    douse(&engine, &["executions", "list", "--status", "finished"]).ends(1).tells(&["finished", "completed"]);
    douse(&engine, &["alerts", "list", "--status", "burning"]).ends(1).tells(&["status=burning", "firing"]);
}

#[test]
fn every_command_has_help_and_the_version_is_told() {
    let help = String::from_utf8(command(&["--help"]).output().unwrap().stdout).unwrap();
    for name in [
        "serve",
        "init",
        "check",
        "explain",
        "plan",
        "run",
        "approvals",
        "executions",
        "alerts",
        "runbooks",
        "servers",
        "blackouts",
        "breakers",
        "audit",
        "holds",
        "db",
        "pause",
        "resume",
        "demo",
        "schema",
        "completions",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(name)), "{name} is missing in\n{help}");
        assert!(command(&[name, "--help"]).output().unwrap().status.success(), "{name} --help");
    }
    let version = String::from_utf8(command(&["--version"]).output().unwrap().stdout).unwrap();
    assert_eq!(version.trim(), format!("douse {}", env!("CARGO_PKG_VERSION")));
}
