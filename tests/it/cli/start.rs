//! From an empty folder to a running engine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::{Ran, command, douse_in};
use crate::support::http;
use crate::support::program::Program;
use crate::support::sshd::free_address;

#[test]
fn init_makes_a_folder_that_check_passes_and_serve_starts_on() {
    let folder = tempfile::tempdir().unwrap();
    let made = douse_in(folder.path(), &["init", "site"])
        .ends(0)
        .tells(&["douse check site", "douse serve --config.file=site/douse.yml"]);
    assert_eq!(made.stdout, "");
    let site = folder.path().join("site");
    for token in ["secrets/admin.token", "secrets/webhook.token", "secrets/audit.key"] {
        let mode = fs::metadata(site.join(token)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{token}");
        assert!(fs::read_to_string(site.join(token)).unwrap().trim().len() >= 32);
    }
    douse_in(folder.path(), &["check", "site", "--lint-fatal"]).ends(0).tells(&["0 errors, 0 warnings"]);

    let address = free_address();
    let (config, listen) =
        (format!("--config.file={}", site.join("douse.yml").display()), format!("--web.listen-address={address}"));
    let mut program = Program::start(
        Path::new(env!("CARGO_BIN_EXE_douse")),
        "(it is this package)",
        folder.path(),
        ["serve", &config, &listen],
    );
    let url = format!("http://{address}");
    program.wait_ready(|| http::get(&format!("{url}/-/ready"), None).is_some_and(|answer| answer.status == 200));
    let asked = |arguments: &[&str]| {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--url", &url, "--token-file", "site/secrets/admin.token"]);
        douse_in(folder.path(), &arguments)
    };
    assert_eq!(asked(&["runbooks", "list", "-q"]).ends(0).stdout, "restart-service\n");
    assert_eq!(asked(&["alerts", "list", "-o", "json"]).ends(0).json(), Value::Array(Vec::new()));
    asked(&["healthcheck"]).ends(0);
    // The log of the very first start is chained, with the key that was made for this folder.
    let verified = asked(&["audit", "verify", "-o", "json"]).ends(0).json();
    assert_eq!(verified["is_valid"], true, "{verified}");
    let started = asked(&["audit", "search", "--event-type", "AUDIT_CHAIN_STARTED", "-o", "json"]).ends(0).json();
    assert!(started[0]["key_id"].as_str().unwrap().starts_with("1."), "{started}");
    fs::write(
        folder.path().join("alert.json"),
        r#"{"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-01-01T00:00:00Z"}]}"#,
    )
    .unwrap();
    let token = "site/secrets/webhook.token";
    asked(&["alerts", "send", "-f", "alert.json", "--source-token-file", token]).ends(0).says(&["stored"]);
    assert!(site.join("data/douse.db").is_file(), "paths are relative to the configuration");
    program.stop();
    asked(&["healthcheck"]).ends(6);
}

#[test]
fn init_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("servers.yml"), "mine").unwrap();
    douse_in(folder.path(), &["init"]).ends(1).tells(&["servers.yml", "nothing was written"]);
    assert_eq!(fs::read_to_string(folder.path().join("servers.yml")).unwrap(), "mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_start_that_cannot_be_says_everything_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    douse_in(folder.path(), &["serve"]).ends(1).tells(&["douse.yml"]);
    fs::write(
        folder.path().join("douse.yml"),
        "storage: {url: \"mysql://x\"}\nlimts: {}\nlimits: {executions: many}\n",
    )
    .unwrap();
    douse_in(folder.path(), &["serve"]).ends(1).tells(&["unknown key `limts`", "`limits.executions`"]);
    douse_in(folder.path(), &["serve", "--log.level", "loud=="]).ends(1).tells(&["--log.level"]);
    douse_in(folder.path(), &["serve", "--log.format", "xml"]).ends(2);
}

#[test]
fn the_configuration_of_the_compose_file_passes_with_what_its_setup_makes() {
    let folder = tempfile::tempdir().unwrap();
    let (bin, secrets) = (folder.path().join("bin"), folder.path().join("secrets"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&secrets).unwrap();
    // The container's users are not this machine's, and only root may give files away.
    fs::write(bin.join("chown"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(bin.join("chown"), fs::Permissions::from_mode(0o755)).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/compose");
    let mut setup = std::process::Command::new("sh");
    setup.arg(example.join("target/setup")).arg(&secrets);
    setup.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    assert!(
        setup.status().unwrap().success(),
        "openssl and ssh-keygen are needed: apt-get install openssl openssh-client"
    );

    let shipped = fs::read_to_string(example.join("douse.yml")).unwrap();
    for inside in ["/secrets/", "/etc/douse/runbooks"] {
        assert!(shipped.contains(inside), "{inside}");
    }
    let outside = shipped
        .replace("/secrets/", &format!("{}/", secrets.display()))
        .replace("/etc/douse/runbooks", &example.join("runbooks").display().to_string());
    fs::write(folder.path().join("douse.yml"), outside).unwrap();
    douse_in(folder.path(), &["check", ".", "--lint-fatal"]).ends(0).tells(&["3 files: 0 errors, 0 warnings"]);
}

#[test]
fn a_schema_and_completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let schema = douse_in(folder.path(), &["schema"]).ends(0).json();
    assert!(schema["$schema"].is_string() && schema.pointer("/properties/steps").is_some(), "{schema}");
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef douse"),
        ("fish", "complete -c douse"),
        ("elvish", "edit:completion"),
    ] {
        douse_in(folder.path(), &["completions", shell]).ends(0).says(&[sign, "approvals", "scan-keys", "maintenance"]);
    }
    douse_in(folder.path(), &["completions", "cmd.exe"]).ends(2);
    let script = command(&["completions", "bash"]).output().unwrap();
    let checked =
        std::process::Command::new("bash").args(["-n", "/dev/stdin"]).stdin(std::process::Stdio::piped()).spawn();
    let mut checked = checked.unwrap();
    std::io::Write::write_all(&mut checked.stdin.take().unwrap(), &script.stdout).unwrap();
    assert!(checked.wait().unwrap().success(), "bash takes the script");
}

#[test]
fn explain_asks_a_folder_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    douse_in(folder.path(), &["init", "site"]).ends(0);
    let site = folder.path().join("site");
    fs::write(site.join("servers.yml"), "servers:\n  - {name: web1, hostname: 127.0.0.1, auth_type: agent}\n").unwrap();
    let asked = |arguments: &[&str]| -> Ran {
        let mut all = vec!["explain", "--config-dir", "site"];
        all.extend(arguments);
        douse_in(folder.path(), &all)
    };
    let runbook = fs::read_to_string(site.join("runbooks/restart-service.yml")).unwrap();
    fs::write(site.join("runbooks/restart-service.yml"), runbook.replace("mode: semi_auto", "mode: auto")).unwrap();
    asked(&["alertname=Nothing"]).ends(13).says(&["No trigger matches", "restart-service"]).tells(&["files alone"]);
    let labels = [
        "alertname=ServiceDown",
        "severity=critical",
        "instance=web1:9100",
        "service=nginx",
        "type=service",
        "job=node",
    ];
    asked(&labels).ends(0).says(&["restart-service", "kill_switch", "cooldown", "target_lock", "allow"]);
    let unknown: Vec<&str> =
        labels.iter().map(|label| if label.starts_with("instance") { "instance=db9:9100" } else { label }).collect();
    asked(&unknown).ends(13).says(&["db9"]);
    let json = asked(&[&labels[..], &["-o", "json"]].concat()).ends(0).json();
    assert!(json["triggers"].as_array().is_some_and(|triggers| !triggers.is_empty()));

    fs::write(folder.path().join("alert.json"), r#"{"labels": {"alertname": "Nothing"}}"#).unwrap();
    asked(&["-f", "alert.json"]).ends(13);
    asked(&["0198c1d2-0000-7000-8000-000000000000"]).ends(2).tells(&["NAME=VALUE"]);
    douse_in(folder.path(), &["explain", "--config-dir", "nowhere", "alertname=A"])
        .ends(4)
        .tells(&["nowhere: there is no such file"]);
    fs::write(site.join("servers.yml"), "servers: [{nam: web1}]\n").unwrap();
    asked(&["alertname=A"]).ends(1).tells(&["servers.yml", "nam"]);
    assert!(!site.join("data").exists(), "nothing is written into the folder");
}
