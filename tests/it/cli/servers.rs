//! `douse servers` against a real sshd.

use super::{RESTART, douse, douse_as, douse_in, engine_and_host};
use crate::support::engine::{Engine, OPERATOR_TOKEN, VIEWER_TOKEN};
use crate::support::sshd::free_address;

#[test]
fn a_server_is_listed_tested_and_put_under_maintenance() {
    let dead = format!(
        "{{name: dead, hostname: 127.0.0.1, port: {}, username: douse, password_file: servers.yml, host_key: {KEY}}}",
        free_address().port()
    );
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART).server(dead));
    let address = host.sshd.address;
    douse_as(VIEWER_TOKEN, &engine, &["servers", "list"]).ends(0).says(&[
        "web1",
        "dead",
        "file",
        &address.port().to_string(),
    ]);
    douse(&engine, &["servers", "test", "web1"]).ends(0).says(&[
        "web1 success",
        "host_key       passed",
        "sudo           passed",
    ]);
    douse(&engine, &["servers", "test", "dead"]).ends(1).says(&[
        "dead failed: connection: ",
        "refused",
        "shell          skipped",
    ]);
    assert!(host.sshd.log().contains("Accepted publickey"), "it has logged in");
    let tested = douse(&engine, &["servers", "show", "web1", "-o", "json"]).json();
    assert_eq!(tested["last_connection_status"], "success");
    douse_as(VIEWER_TOKEN, &engine, &["servers", "test", "web1"]).ends(5);

    douse_as(OPERATOR_TOKEN, &engine, &["servers", "maintenance", "on", "web1", "-m", "new disk"])
        .ends(0)
        .says(&["maintenance  true"]);
    douse(&engine, &["servers", "list", "-o", "json"]).ends(0).says(&["\"is_paused\": true"]);
    let run = ["run", "restart", "--server", "web1", "-p", "service=nginx", "--dry-run"];
    douse(&engine, &run).ends(0).says(&["approval", "! maintenance"]);
    douse(&engine, &["servers", "maintenance", "off", "web1"]).ends(0).says(&["maintenance  false"]);
    douse(&engine, &run).ends(0).says(&["allowed"]);
    assert_eq!(host.calls(), Vec::<String>::new());
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMJhfvlHzB8xxNgGLkhTy9ZAhQyTAdsVNyDOBVmHgVQ3";

#[test]
fn the_keys_of_hosts_are_scanned_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let sshd = crate::support::sshd::Sshd::start();
    let address = sshd.address.to_string();
    let dead = free_address().to_string();
    let scanned = douse_in(folder.path(), &["servers", "scan-keys", &address]).ends(0);
    let yaml = sshd.server_yaml("web1");
    let key = scanned.stdout.split_whitespace().find(|word| word.starts_with("AAAA")).expect("a key").to_owned();
    assert!(yaml.contains(&key), "the key is the host's own: {}\n{yaml}", scanned.stdout);
    scanned.says(&["SHA256:"]).tells(&["compare the fingerprints"]);
    let json = douse_in(folder.path(), &["servers", "scan-keys", &address, "-o", "json"]).ends(0).json();
    assert!(json.to_string().contains(&key));
    let both = douse_in(folder.path(), &["servers", "scan-keys", &dead, &address]);
    assert!(both.stdout.contains(&key), "one that is dead does not hide the other");
    both.ends(1).tells(&[&dead]);
}

#[test]
fn a_server_is_added_used_and_removed() {
    let (engine, host) = engine_and_host(Engine::setup().runbook("restart.yml", RESTART));
    let port = host.sshd.address.port().to_string();
    let add = [
        "servers",
        "add",
        "web2",
        "--hostname",
        "10.0.0.9",
        "--port",
        &port,
        "--username",
        "douse",
        "--host-key",
        KEY,
        "--tag",
        "web",
        "--group",
        "web",
    ];
    douse(&engine, &add).ends(0).says(&["name         web2", "from         api"]);
    douse(&engine, &add).ends(1).tells(&["web2"]);
    douse_as(OPERATOR_TOKEN, &engine, &add).ends(5);
    douse(&engine, &["servers", "add", "web3", "--username", "x", "--host-key", "nonsense"])
        .ends(1)
        .tells(&["`nonsense` is not a host key", "scan-keys"]);
    assert_eq!(douse(&engine, &["servers", "list", "-q"]).stdout, "web1\nweb2\n");
    douse(&engine, &["servers", "rm", "web1"]).ends(1).tells(&["file"]);
    douse(&engine, &["servers", "rm", "web2"]).ends(0);
    assert_eq!(douse(&engine, &["servers", "list", "-q"]).stdout, "web1\n");
}
