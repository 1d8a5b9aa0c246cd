//! `douse check`, `douse schema` and `douse plan`, as a person runs them.

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

const SEED: &str = include_str!("../../fixtures/runbooks/seed-001-section-8.yml");

fn douse() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_douse"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
    command
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const CONFIG: &str =
    "storage: {url: \"sqlite://data/douse.db\"}\nrunbooks: {dirs: [books]}\nservers: {files: [servers.yml]}\n";
const SERVERS: &str = "servers:\n  - {name: web1, hostname: 10.0.0.11, auth_type: agent}\n";

#[test]
fn the_runbooks_of_the_repository_pass() {
    douse()
        .args(["check", "runbooks", "--lint-fatal"])
        .assert()
        .code(0)
        .stdout("")
        .stderr(contains("0 errors, 0 warnings"));
}

#[test]
fn errors_end_with_1_and_are_told_with_path_line_and_column() {
    let files = folder(&[("a.yml", &SEED.replace("category:", "catgory:"))]);
    let assert = douse().arg("check").arg(files.path()).assert().code(1);
    assert.stdout(contains("a.yml:3:1: error[E104]: `catgory`").and(contains("hint: did you mean `category`?")));
}

#[test]
fn warnings_end_with_3_only_when_they_are_fatal() {
    let files = folder(&[("a.yml", SEED)]);
    let path = files.path().join("a.yml");
    douse().arg("check").arg(&path).assert().code(0).stdout(contains("warning[W209]"));
    douse().arg("check").arg(&path).arg("--lint-fatal").assert().code(3);
}

#[test]
fn a_configuration_is_checked_with_everything_that_it_names() {
    let good = folder(&[
        ("douse.yml", CONFIG),
        ("servers.yml", SERVERS),
        ("books/a.yml", SEED),
        ("docker-compose.yml", "x: 1\n"),
    ]);
    douse().arg("check").arg(good.path()).assert().code(0).stderr(contains("3 files: 0 errors, 2 warnings"));
    let allowed = format!("{SEED}allowed_servers: [web9]\n");
    let bad = folder(&[
        ("douse.yml", CONFIG),
        ("servers.yml", "servers:\n  - {name: web1, hostnam: x}\n"),
        ("books/a.yml", &allowed),
        ("books/b.yml", SEED),
    ]);
    let assert = douse().arg("check").arg(bad.path()).assert().code(1);
    assert.stdout(contains("servers.yml:2:").and(contains("b.yml:1:7: error[E110]")));
    let unknown = folder(&[("douse.yml", CONFIG), ("servers.yml", SERVERS), ("books/a.yml", &allowed)]);
    douse().arg("check").arg(unknown.path()).assert().code(1).stdout(contains("error[E112]: `web9`"));
    douse().arg("check").arg(unknown.path().join("books")).assert().code(1).stdout(contains("error[E112]: `web9`"));
    let broken = folder(&[("douse.yml", "sorces: []\n")]);
    douse().arg("check").arg(broken.path()).assert().code(1).stdout(contains("douse.yml:1:1"));
}

#[test]
fn programs_get_json_and_sarif() {
    let files = folder(&[("a.yml", SEED)]);
    let output = |format: &str| {
        let output = douse().arg("check").arg(files.path()).arg(format!("--format={format}")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&output("json")).unwrap();
    assert_eq!(json[0]["code"], "W209");
    let sarif: Value = serde_json::from_str(&output("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 2);
    assert!(output("github").starts_with("::warning file="));
}

#[test]
fn nothing_to_check_is_said() {
    let files = folder(&[]);
    douse().arg("check").arg(files.path()).assert().code(4).stderr(contains("douse init"));
    douse().args(["check", "nowhere.yml"]).assert().code(4);
}

#[test]
fn the_schema_is_json_schema() {
    let output = douse().arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "Douse runbook");
    assert!(schema["properties"]["steps"].is_object());
}

#[test]
fn a_plan_is_rendered_without_an_engine() {
    let files = folder(&[("douse.yml", CONFIG), ("servers.yml", SERVERS), ("books/a.yml", SEED)]);
    let plan = |arguments: &[&str]| {
        let mut command = douse();
        command.current_dir(files.path()).arg("plan").args(arguments);
        command.assert()
    };
    let labels =
        ["-l", "alertname=ServiceDown", "-l", "severity=critical", "-l", "type=service", "-l", "instance=web1:9100"];
    let with = |service: &'static str| [&["restart-service"], labels.as_slice(), &["-l", service]].concat();
    plan(&with("service=nginx")).code(0).stdout(
        contains("restart-service on web1 (semi_auto, needs approval)")
            .and(contains("run   sudo systemctl restart nginx"))
            .and(contains("undo  sudo systemctl stop nginx"))
            .and(contains("SERVICE_NAME=nginx")),
    );
    plan(&with("service=nginx; reboot"))
        .code(13)
        .stdout("")
        .stderr(contains("refused: unsafe_value").and(contains("SERVICE_NAME")));
    plan(&["restart-service", "--server", "web9", "-l", "service=x"]).code(4).stderr(contains("web9"));
    plan(&["nope", "--server", "web1"]).code(4).stderr(contains("restart-service"));
    plan(&["restart-service", "--server", "web1"]).code(13).stderr(contains("no alert"));
    let output = plan(&[&with("service=nginx")[..], &["-o", "json"]].concat()).get_output().stdout.clone();
    let json: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((&json["server"], json["plan_hash"].as_str().unwrap().len()), (&"web1".into(), 64));
    assert!(!Path::new(&files.path().join("data")).exists(), "nothing is made");
}

#[test]
fn a_plan_of_a_file_needs_no_configuration() {
    let files = folder(&[(
        "alert.json",
        r#"{"labels": {"alertname": "HostOutOfDiskSpace", "instance": "db7:9100", "mountpoint": "/var"}}"#,
    )]);
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/clean-disk.yml");
    let mut command = douse();
    command.current_dir(files.path()).arg("plan").arg(runbook).args(["-f", "alert.json", "-p", "tmp_days=30"]);
    command.assert().code(0).stdout(
        contains("df --output=pcent,avail /var")
            .and(contains("\"+30\""))
            .and(contains("rendered right before it runs")),
    );
}
