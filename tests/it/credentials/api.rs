//! Credentials through the API and the command line: written, used, never shown.

use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::cli::douse;
use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN, OPERATOR_TOKEN};
use crate::support::http;
use crate::support::sshd::{Sudo, keygen};

fn put(engine: &Engine, path: &str, body: &Value) -> http::Answer {
    http::ask("PUT", &format!("{}{path}", engine.url), Some(ENGINEER_TOKEN), Some(&body.to_string()), &[])
}

#[test]
fn a_key_with_a_passphrase_a_password_and_sudos_password_log_in() {
    let sshd = Sshd::setup()
        .config("PasswordAuthentication yes")
        .user("ops", "cor rect' \"$x", "/bin/sh", Sudo::WithPassword)
        .start();
    let engine = started(setup());
    keygen(&sshd.dir().join("locked"), "open sesame");
    let public = fs::read_to_string(sshd.dir().join("locked.pub")).unwrap();
    let known = fs::read_to_string(sshd.dir().join("authorized_keys")).unwrap();
    fs::write(sshd.dir().join("authorized_keys"), format!("{known}{public}")).unwrap();
    let locked = fs::read_to_string(sshd.dir().join("locked")).unwrap();

    let mut body = with_key(&sshd, "web1");
    body["username"] = json!("ops");
    body["private_key"] = json!(locked);
    let refused = engine.post("/api/v1/servers", &body);
    assert!(refused.status == 422 && refused.text.contains("give it, too, as `passphrase`"), "{}", refused.text);
    body["passphrase"] = json!("close sesame");
    let refused = engine.post("/api/v1/servers", &body);
    assert!(refused.status == 422 && refused.text.contains("does not open"), "{}", refused.text);
    body["passphrase"] = json!("open sesame");
    let made = engine.post("/api/v1/servers", &body);
    assert_eq!((made.status, &made.json()["stored_secrets"]), (201, &json!(["private_key", "passphrase"])));
    assert_eq!(tested(&engine, "web1"), "success");
    let checks = engine.get("/api/v1/servers/web1")["last_connection_checks"].clone();
    assert_eq!((&checks[0]["part"], &checks[5]["state"]), (&json!("bastion"), &json!("skipped")), "{checks}");

    // Another login, by the route that changes nothing else; the key goes.
    let changed = put(
        &engine,
        "/api/v1/servers/web1/credentials",
        &json!({"password": "cor rect' \"$x", "become_password": "wrong"}),
    );
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["stored_secrets"], json!(["password", "become_password"]));
    let said = tested(&engine, "web1");
    assert!(said.starts_with("sudo: ") && !said.contains("wrong\""), "{said}");
    let changed = put(&engine, "/api/v1/servers/web1/credentials", &json!({"become_password": "cor rect' \"$x"}));
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(tested(&engine, "web1"), "success");
    let shown = engine.get("/api/v1/servers/web1");
    assert_eq!(shown["last_connection_checks"][5], json!({"part": "sudo", "state": "passed", "message": ""}));

    let events = engine.get("/api/v1/audit?event_type=CREDENTIALS_CHANGED")["items"].clone();
    assert_eq!(events[0]["payload"], json!({"server": "web1", "set": ["become_password"], "removed": []}));
    assert_eq!(
        events[1]["payload"],
        json!({"server": "web1", "set": ["password", "become_password"], "removed": ["private_key", "passphrase"]})
    );
    assert_eq!(events[1]["actor"], "eve");
    assert_eq!(engine.get("/api/v1/audit?event_type=SERVER_TESTED")["items"][1]["payload"]["failed"], "sudo");
    let all = engine.get("/api/v1/audit?limit=200").to_string() + &engine.get("/api/v1/servers").to_string();
    for secret in ["sesame", "cor rect", "OPENSSH"] {
        assert!(!all.contains(secret) && !engine.log().contains(secret), "{secret}");
    }
}

#[test]
fn a_certificate_logs_in_where_the_bare_key_does_not() {
    let sshd = Sshd::start();
    let dir = sshd.dir();
    keygen(&dir.join("ca"), "");
    keygen(&dir.join("certified"), "");
    let server = sshd.server("web1");
    let sign = |serial: &str, validity: &str, key: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-s"]).arg(dir.join("ca")).args(["-I", "douse", "-z", serial, "-n", &server.username]);
        let made = command.args(["-V", validity]).arg(dir.join(key)).status().unwrap();
        assert!(made.success());
        fs::read_to_string(dir.join(key.replace(".pub", "-cert.pub"))).unwrap()
    };
    // Trusted is the authority, and no key by itself.
    let authority = fs::read_to_string(dir.join("ca.pub")).unwrap();
    fs::write(dir.join("authorized_keys"), format!("cert-authority {authority}")).unwrap();
    let engine = started(setup());
    let key = fs::read_to_string(dir.join("certified")).unwrap();
    let mut body = with_key(&sshd, "web1");
    body["private_key"] = json!(key);
    assert_eq!(engine.post("/api/v1/servers", &body).status, 201);
    let said = tested(&engine, "web1");
    assert!(said.starts_with("authentication: "), "the bare key is refused: {said}");

    let expired = sign("1", "20200101:20200201", "certified.pub");
    let credentials = "/api/v1/servers/web1/credentials";
    let refused = put(&engine, credentials, &json!({"certificate": expired}));
    assert!(refused.status == 422 && refused.text.contains("expired"), "{}", refused.text);
    keygen(&dir.join("other"), "");
    let others = sign("2", "-1m:+1h", "other.pub");
    assert_eq!(put(&engine, credentials, &json!({"certificate": others})).status, 200);
    let said = tested(&engine, "web1");
    assert!(said.contains("it certifies another key"), "{said}");
    let good = sign("3", "-1m:+1h", "certified.pub");
    let changed = put(&engine, credentials, &json!({"certificate": good}));
    assert_eq!((changed.status, &changed.json()["has_certificate"]), (200, &json!(true)), "{}", changed.text);
    assert_eq!(tested(&engine, "web1"), "success");
    assert!(sshd.log().contains("ED25519-CERT"), "logged in by the certificate");
    let nonsense = put(&engine, credentials, &json!({"certificate": "ssh-ed25519 AAAA"}));
    assert!(nonsense.status == 422 && nonsense.text.contains("-cert.pub"), "{}", nonsense.text);
}

#[test]
fn whoever_changes_the_host_key_does_not_get_the_password_sent() {
    let (mine, theirs) = (Sshd::start(), Sshd::start());
    let engine = started(setup());
    let (server, other) = (mine.server("web1"), theirs.server("web1"));
    let body = json!({"name": "web1", "hostname": server.hostname, "port": server.port, "username": "ops",
        "password": "hunter2-of-web1", "become_password": "sudo-of-web1", "host_keys": server.host_keys});
    assert_eq!(engine.post("/api/v1/servers", &body).status, 201);
    let moved = json!({"name": "web1", "hostname": other.hostname, "port": other.port, "username": "ops",
        "host_keys": [server.host_keys[0], other.host_keys[0]]});
    let refused = put(&engine, "/api/v1/servers/web1", &moved);
    assert!(refused.status == 422 && refused.text.contains("`password` has to be given again"), "{}", refused.text);
    // Where it is known, and without another key, it may move: the pinned key decides who gets the password.
    let moved_only = json!({"name": "web1", "hostname": other.hostname, "port": other.port, "username": "ops",
        "host_keys": server.host_keys});
    let changed = put(&engine, "/api/v1/servers/web1", &moved_only);
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["stored_secrets"], json!(["password", "become_password"]), "kept without being named");
    let said = tested(&engine, "web1");
    assert!(said.starts_with("host_key: ") && !theirs.log().contains("userauth-request"), "{said}");
    let mut given = moved;
    given["password"] = json!("another-one");
    let refused = put(&engine, "/api/v1/servers/web1", &given);
    assert!(refused.text.contains("`become_password` has to be given again"), "{}", refused.text);
    given["become_password"] = Value::Null;
    let changed = put(&engine, "/api/v1/servers/web1", &given);
    assert_eq!((changed.status, &changed.json()["stored_secrets"]), (200, &json!(["password"])), "{}", changed.text);
}

#[test]
fn what_is_wrong_with_a_secret_is_told_without_it() {
    let engine = started(setup());
    for (body, part) in [
        (json!({"password": 471_147_114}), "must be a text"),
        (json!({"password": ["canary-a"]}), "must be a text"),
        (json!({"password": ""}), "1 to"),
        (json!({"password": "canary-b\nsecond"}), "one line"),
        (json!({"private_key": "canary-c"}), "cannot be used"),
        (json!({"pasword": "canary-d"}), "unknown field"),
    ] {
        let mut whole = json!({"name": "web1", "hostname": "10.0.0.1"});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let refused = engine.post("/api/v1/servers", &whole);
        assert!(refused.status == 422 && refused.text.contains(part), "{body}: {}", refused.text);
        assert!(!refused.text.contains("canary") && !refused.text.contains("471147"), "{}", refused.text);
    }
    let add = |token: &str| {
        let body = json!({"name": "web1", "hostname": "10.0.0.1", "password": "p4ssword"}).to_string();
        http::ask("POST", &format!("{}/api/v1/servers", engine.url), Some(token), Some(&body), &[]).status
    };
    assert_eq!((add(OPERATOR_TOKEN), add(ADMIN_TOKEN)), (403, 201));
    let path = format!("{}/api/v1/servers/web1/credentials", engine.url);
    assert_eq!(http::ask("DELETE", &path, Some(OPERATOR_TOKEN), None, &[]).status, 403);
    let gone = http::ask("DELETE", &path, Some(ENGINEER_TOKEN), None, &[]);
    assert_eq!(gone.status, 422, "a server that logs in by password cannot do without: {}", gone.text);
    assert_eq!(http::ask("GET", &path, Some(ADMIN_TOKEN), None, &[]).status, 404, "there is no way to read them");
    assert_eq!(http::ask("GET", &format!("{}/api/v1/keys", engine.url), Some(ENGINEER_TOKEN), None, &[]).status, 403);
}

#[test]
fn windows_servers_are_kept_for_the_transport_to_come() {
    let engine = started(setup());
    let body = json!({"name": "win1", "hostname": "10.0.0.7", "protocol": "winrm", "username": "svc-douse",
        "password": "windows-password", "domain": "CORP", "winrm_transport": "kerberos", "winrm_cert_validation": false});
    let made = engine.post("/api/v1/servers", &body);
    assert_eq!(made.status, 201, "{}", made.text);
    let shown = engine.get("/api/v1/servers/win1");
    for (key, value) in [
        ("protocol", json!("winrm")),
        ("os_type", json!("windows")),
        ("port", json!(5986)),
        ("domain", json!("CORP")),
        ("winrm_transport", json!("kerberos")),
        ("winrm_use_ssl", json!(true)),
        ("winrm_cert_validation", json!(false)),
        ("stored_secrets", json!(["password"])),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    let said = tested(&engine, "win1");
    assert!(said.contains("speaks winrm, which nothing can be run over yet"), "{said}");
    let wrong = json!({"name": "win2", "hostname": "h", "winrm_transport": "kerberos"});
    assert!(engine.post("/api/v1/servers", &wrong).text.contains("is for `protocol: winrm`"));
}

#[test]
fn the_command_line_sends_secrets_from_files_and_never_as_arguments() {
    let sshd = Sshd::start();
    let engine = started(setup());
    let server = sshd.server("web1");
    let (port, key_file) = (server.port.to_string(), sshd.key_file().display().to_string());
    let add = [
        "servers",
        "add",
        "web1",
        "--hostname",
        &server.hostname,
        "--port",
        &port,
        "--username",
        &server.username,
        "--host-key",
        &server.host_keys[0],
        "--private-key",
        &key_file,
    ];
    douse(&engine, &add).ends(0).says(&["stored", "private_key"]);
    douse(&engine, &["servers", "test", "web1"]).ends(0).says(&["web1 success"]);
    fs::write(engine.folder().join("pw"), "sudo-password-4711\n").unwrap();
    let changed = douse(&engine, &["servers", "credentials", "web1", "--become-password-from", "pw"]);
    let changed = changed.ends(0).says(&["private_key", "become_password"]);
    assert!(!changed.stdout.contains("4711"));
    douse(&engine, &["servers", "credentials", "web1", "--remove", "become_password"]).ends(0);
    assert_eq!(engine.get("/api/v1/servers/web1")["stored_secrets"], json!(["private_key"]));
    douse(&engine, &["servers", "credentials", "web1", "--remove", "nonsense"]).ends(1).tells(&["nonsense"]);
    douse(&engine, &["keys", "list"]).ends(0).says(&["a.", "yes"]);
    douse(&engine, &["servers", "rm", "web1"]).ends(0);
    let keys = douse(&engine, &["keys", "list", "-o", "json"]).ends(0).json();
    assert_eq!(keys[0]["servers"], 0, "the secrets went with their server");
}
