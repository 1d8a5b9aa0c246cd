//! A secret in every place where one can stand, a host that prints them all, a step that fails: and then a search of the
//! database's files, the log at DEBUG, the API's answers, the audit log, command lines, environments and what is left on the host.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::support::engine::{ADMIN_TOKEN, OPERATOR_TOKEN, WEBHOOK_TOKEN};
use crate::support::http;
use crate::support::program::Program;
use crate::support::sshd::{Sudo, keygen};
use crate::support::wait::{wait_for, wait_until};

const LOGIN: &str = "canary-login/pa ss\"word-1";
const PASSPHRASE: &str = "canary-passphrase-2";
const PARAMETER: &str = "canary/parameter \"3\" &more";
const PRINTED: &str = "canary-printed-by-a-sensitive-step-4";

const RUNBOOK: &str = r#"
name: leak
description: Prints whatever it can get
mode: auto
parameters: [{name: key, type: secret, required: true}]
steps:
  - {id: plain, name: Plain, command: 'printf "%s\n" "$DOUSE_PARAM_KEY"; printf %s "$DOUSE_PARAM_KEY" | base64 -w0; echo; cat "$HOME/loot"'}
  - {id: split, name: Split, command: 'k=$DOUSE_PARAM_KEY; h=${k%??????}; printf %s "$h"; sleep 0.3; printf "%s\n" "${k#"$h"}"; cat "$HOME/loot" >&2'}
  - {id: root, name: Root, become: true, command: 'id -un; cat ~ops/loot; sleep 2'}
  - {id: quiet, name: Quiet, sensitive: true, command: 'echo CANARY_PRINTED; printf "%s\n" "$DOUSE_PARAM_KEY" >&2; exit 0'}
  - {id: boom, name: Boom, sensitive: true, command: 'echo CANARY_PRINTED; echo "$DOUSE_PARAM_KEY" >&2; cat "$HOME/loot" >&2; exit 3', rollback_command: 'cat "$HOME/loot"; exit 4'}
"#;

/// Every form of a secret that must be nowhere.
fn forms(secret: &str) -> Vec<String> {
    let escaped = serde_json::to_string(secret).unwrap();
    let url: String = secret
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    vec![
        secret.to_owned(),
        escaped[1..escaped.len() - 1].to_owned(),
        url,
        STANDARD.encode(secret).trim_end_matches('=').to_owned(),
        STANDARD.encode(format!("{secret}\n")).trim_end_matches('=').to_owned(),
    ]
}

fn find(what: &str, bytes: &[u8], canaries: &[String]) {
    let found = canaries.iter().find(|canary| bytes.windows(canary.len()).any(|window| window == canary.as_bytes()));
    assert!(found.is_none(), "{what} holds {found:?}: {}", {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let at = found.and_then(|canary| text.find(canary.as_str())).unwrap_or(0);
        text.chars().skip(text[..at].chars().count().saturating_sub(300)).take(700).collect::<String>()
    });
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn secrets_are_found_nowhere_even_where_a_host_prints_them_and_a_sensitive_step_fails() {
    let bastion = Sshd::start();
    let sshd =
        Sshd::setup().config("PasswordAuthentication yes").user("ops", LOGIN, "/bin/bash", Sudo::WithPassword).start();
    let home = sshd.dir().join("home-ops");
    let mut loot = String::new();
    for line in forms(LOGIN).iter().chain(&forms(PASSPHRASE)) {
        loot.push_str(&format!("it is {line} indeed\n"));
    }
    loot.push_str("db_password: some-other-secret-5\nAuthorization: Bearer abcDEF0123456789\nhttps://h/?access_token=query-secret-6\n");
    fs::write(home.join("loot"), loot).unwrap();

    // The engine at DEBUG, russh's own words included.
    let mut engine = setup().runbook("leak.yml", &RUNBOOK.replace("CANARY_PRINTED", PRINTED)).write();
    write_keys(&engine, &key("a", "0a"));
    let config = format!("--config.file={}", engine.config_file().display());
    let douse = Path::new(env!("CARGO_BIN_EXE_douse"));
    let program = Program::start_with(
        douse,
        "(it is this package)",
        engine.folder(),
        ["serve", &config, "--log.level", "debug", "--log.format", "json"],
        &[],
    );
    engine.adopt(program);
    let ready = format!("{}/-/ready", engine.url);
    wait_for("the engine is ready", Duration::from_secs(60), || {
        http::get(&ready, None).filter(|answer| answer.status == 200)
    });

    keygen(&bastion.dir().join("locked"), PASSPHRASE);
    fs::copy(bastion.dir().join("locked.pub"), bastion.dir().join("authorized_keys")).unwrap();
    let private_key = fs::read_to_string(bastion.dir().join("locked")).unwrap();
    let mut body = with_key(&bastion, "gw");
    body["private_key"] = json!(private_key);
    body["passphrase"] = json!(PASSPHRASE);
    assert_eq!(engine.post("/api/v1/servers", &body).status, 201);
    let server = sshd.server("web1");
    let body = json!({"name": "web1", "hostname": server.hostname, "port": server.port, "username": "ops",
        "password": LOGIN, "become_password": LOGIN, "bastion": "gw", "host_keys": server.host_keys});
    assert_eq!(engine.post("/api/v1/servers", &body).status, 201);
    assert_eq!(tested(&engine, "web1"), "success");

    let mut canaries: Vec<String> =
        [LOGIN, PASSPHRASE, PARAMETER, PRINTED].iter().flat_map(|secret| forms(secret)).collect();
    canaries.extend(private_key.lines().filter(|line| !line.starts_with('-') && line.len() > 30).map(str::to_owned));
    canaries.extend(["0a".repeat(32), ADMIN_TOKEN.to_owned(), OPERATOR_TOKEN.to_owned(), WEBHOOK_TOKEN.to_owned()]);
    let shapes = ["some-other-secret-5", "abcDEF0123456789", "query-secret-6"].map(str::to_owned);

    let asked = engine.post(
        "/api/v1/runbooks/leak/execute",
        &json!({"server": "web1", "parameters": {"key": PARAMETER}, "reason": "canary"}),
    );
    assert_eq!(asked.status, 202, "{}", asked.text);
    let id = engine.wait_execution("leak", Duration::from_secs(30));
    // While the step that became root runs: nobody's arguments and no other's environment hold a password.
    wait_for("the step of root runs", Duration::from_secs(60), || {
        let execution = engine.execution(&id);
        let steps = execution["steps"].as_array().unwrap().clone();
        steps.iter().any(|step| step["name"] == "Root" && step["status"] == "running").then_some(())
    });
    let passwords: Vec<String> = forms(LOGIN).into_iter().chain(forms(PASSPHRASE)).collect();
    let me = std::process::id().to_string();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.chars().all(|c| c.is_ascii_digit()) || name == me {
            continue;
        }
        for file in ["cmdline", "environ"] {
            if let Ok(bytes) = fs::read(entry.path().join(file)) {
                find(&format!("/proc/{name}/{file}"), &bytes, &passwords);
            }
        }
    }
    let pid = engine.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // A process that cannot be dumped belongs to root in /proc, whoever runs it; only its own parameters are in sight.
    assert!(fs::read_to_string(format!("/proc/{pid}/status")).is_ok());

    let ended =
        wait_until("the run fails", Duration::from_secs(60), || engine.execution(&id), |now| now["status"] == "failed");
    assert_eq!(
        ended["steps"].as_array().unwrap().iter().filter(|step| step["status"] == "completed").count(),
        4,
        "{ended}"
    );
    // A wrong password and what it says.
    let wrong = json!({"password": "canary-wrong-7-password"});
    let url = format!("{}/api/v1/servers/web1/credentials", engine.url);
    assert_eq!(http::ask("PUT", &url, Some(ADMIN_TOKEN), Some(&wrong.to_string()), &[]).status, 200);
    assert!(tested(&engine, "web1").starts_with("authentication: "));
    canaries.push("canary-wrong-7-password".to_owned());

    for path in [
        format!("executions/{id}"),
        format!("executions/{id}/steps"),
        format!("executions/{id}/output"),
        format!("executions/{id}/audit"),
        format!("executions/{id}/export"),
        "executions".to_owned(),
        "decisions".to_owned(),
        "servers".to_owned(),
        "servers/web1".to_owned(),
        "servers/gw".to_owned(),
        "keys".to_owned(),
        "config".to_owned(),
        "audit?limit=200".to_owned(),
        "runbooks/leak".to_owned(),
    ] {
        let answer = http::get(&format!("{}/api/v1/{path}", engine.url), Some(ADMIN_TOKEN)).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        // The runbook itself is the engineer's own text.
        let looked_for: Vec<String> =
            canaries.iter().filter(|canary| path != "runbooks/leak" || **canary != PRINTED).cloned().collect();
        find(&path, answer.text.as_bytes(), &looked_for);
        find(&path, answer.text.as_bytes(), &shapes);
    }
    let output = engine.get(&format!("/api/v1/executions/{id}/output")).to_string();
    assert!(output.contains("<secret>") && output.contains("indeed"), "it was printed, and masked: {output}");
    find("the log", engine.log().as_bytes(), &canaries);
    find("the log", engine.log().as_bytes(), &shapes);
    assert!(engine.log().contains("\"level\":\"DEBUG\""), "the log is at DEBUG");
    // What the host kept of the attempts goes soon after their outcome is stored.
    let deadline = Instant::now() + Duration::from_secs(90);
    let left = || -> Vec<PathBuf> {
        let kept = files(&home.join(".cache")).into_iter().chain(files(&sshd.dir().join("home-root")));
        let holds = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            canaries.iter().any(|canary| bytes.windows(canary.len()).any(|window| window == canary.as_bytes()))
        };
        kept.filter(holds).collect()
    };
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "left on the host: {:?}", left());
        std::thread::sleep(Duration::from_millis(200));
    }
    // With the write-ahead log as it is, before a stop moves it into the database.
    engine.kill();
    let stored = files(&engine.folder().join("data"));
    assert!(stored.iter().any(|file| file.extension().is_some_and(|extension| extension == "db-wal")), "{stored:?}");
    for file in stored {
        // The runbook's own text is stored, too.
        let looked_for: Vec<String> = canaries.iter().filter(|canary| **canary != PRINTED).cloned().collect();
        let bytes = fs::read(&file).unwrap();
        find(&file.display().to_string(), &bytes, &looked_for);
        find(&file.display().to_string(), &bytes, &shapes);
    }
}
