//! Ways to log in, and host keys, which come before them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use douse::inventory::{Auth, Server};
use douse::transport::ssh::{Options, SshTransport, scan_keys};
use douse::transport::{Refusal, RefusalKind, Transport};

use super::{exit, options, transport, until};
use crate::support::sshd::{Sshd, Sudo, keygen};

async fn refusal(server: Server) -> Refusal {
    transport().reach(&Arc::new(server)).await.unwrap_err()
}

fn with_key(server: Server, file: &str, dir: &std::path::Path, passphrase_file: Option<&str>) -> Server {
    let passphrase = passphrase_file.map(|file| dir.join(file).into());
    Server { auth: Auth::Key { key: dir.join(file).into(), passphrase, certificate: None }, ..server }
}

#[tokio::test]
async fn a_key_with_and_without_passphrase_logs_in() {
    let sshd = Sshd::start();
    assert_eq!(exit(&transport(), &sshd.server("web1"), "echo in").await, (0, "in\n".into(), String::new()));

    keygen(&sshd.dir().join("locked"), "open sesame");
    fs::copy(sshd.dir().join("locked.pub"), sshd.dir().join("authorized_keys")).unwrap();
    fs::write(sshd.dir().join("pass"), "open sesame\n").unwrap();
    fs::write(sshd.dir().join("wrong"), "close sesame\n").unwrap();
    let locked = |passphrase| with_key(sshd.server("web1"), "locked", sshd.dir(), passphrase);
    assert_eq!(exit(&transport(), &locked(Some("pass")), "echo in").await.0, 0);

    for (server, part) in [
        (locked(None), "has a passphrase"),
        (locked(Some("wrong")), "does not open"),
        (locked(Some("absent")), "the passphrase "),
        (with_key(sshd.server("web1"), "absent", sshd.dir(), None), "No such file"),
        (with_key(sshd.server("web1"), "pass", sshd.dir(), None), "cannot be used"),
    ] {
        let refusal = refusal(server).await;
        assert_eq!(refusal.kind, RefusalKind::Credential, "{refusal}");
        assert!(refusal.message.contains(part), "{refusal}");
        assert!(!refusal.message.contains("sesame"), "{refusal}");
    }
}

#[tokio::test]
async fn an_rsa_key_logs_in_with_sha2() {
    let sshd = Sshd::start();
    let file = sshd.dir().join("rsa");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"]).arg(&file).status();
    assert!(made.unwrap().success());
    fs::copy(sshd.dir().join("rsa.pub"), sshd.dir().join("authorized_keys")).unwrap();
    let server = with_key(sshd.server("web1"), "rsa", sshd.dir(), None);
    assert_eq!(exit(&transport(), &server, "true").await.0, 0);
    assert!(sshd.log().contains("RSA SHA256:"), "logged in by that key");
}

#[tokio::test]
async fn a_key_that_the_host_does_not_know_is_refused_with_what_to_do() {
    let sshd = Sshd::start();
    keygen(&sshd.dir().join("stranger"), "");
    let refusal = refusal(with_key(sshd.server("web1"), "stranger", sshd.dir(), None)).await;
    assert_eq!(refusal.kind, RefusalKind::Authentication);
    assert!(refusal.message.contains("stranger") && refusal.message.contains("the host takes publickey"), "{refusal}");
}

#[tokio::test]
async fn a_password_logs_in_and_a_wrong_one_does_not() {
    let sshd = Sshd::setup()
        .config("PasswordAuthentication yes")
        .user("ops", "cor rect' \"$x", "/bin/sh", Sudo::Nothing)
        .start();
    fs::write(sshd.dir().join("right"), "cor rect' \"$x\n").unwrap();
    fs::write(sshd.dir().join("wrong"), "incorrect\n").unwrap();
    let server = |file: &str| Server {
        auth: Auth::Password { password: sshd.dir().join(file).into() },
        ..sshd.server_for("web1", "ops")
    };
    assert_eq!(exit(&transport(), &server("right"), "id -un").await.1, "ops\n");
    let refusal = refusal(server("wrong")).await;
    assert_eq!(refusal.kind, RefusalKind::Authentication);
    assert!(refusal.message.contains("password") && !refusal.message.contains("incorrect"), "{refusal}");
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_agents_second_key_logs_in() {
    let sshd = Sshd::start();
    let socket = sshd.dir().join("agent");
    let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let _agent = Agent(agent);
    until("the agent listens", || socket.exists()).await;
    let server = Arc::new(Server { auth: Auth::Agent, ..sshd.server("web1") });
    let transport = || SshTransport::new(Options { agent_socket: Some(socket.clone()), ..options() }, Arc::new(()));

    let empty = transport().reach(&server).await.unwrap_err();
    assert!(empty.message.contains("ssh-add"), "{empty}");
    keygen(&sshd.dir().join("other"), "");
    for key in ["other", "user_key"] {
        let added = Command::new("ssh-add").arg("-q").arg(sshd.dir().join(key)).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
    }
    transport().reach(&server).await.unwrap();
    let none = super::transport().reach(&server).await.unwrap_err();
    assert_eq!(none.kind, RefusalKind::Credential);
    assert!(none.message.contains("SSH_AUTH_SOCK"), "{none}");
}

#[tokio::test]
async fn a_host_key_that_is_unknown_or_changed_is_refused_before_any_authentication() {
    let mut sshd = Sshd::start();
    let pinned = sshd.server("web1");
    let unpinned = Server { host_keys: Vec::new(), ..pinned.clone() };
    let unknown = refusal(unpinned).await;
    assert_eq!(unknown.kind, RefusalKind::HostKeyUnknown);
    assert!(unknown.message.contains(&sshd.host_key()), "it says what to pin: {unknown}");
    sshd.change_host_key();
    let changed = refusal(pinned).await;
    assert_eq!(changed.kind, RefusalKind::HostKeyChanged);
    assert!(changed.message.contains(&sshd.host_key()), "{changed}");
    assert!(!changed.kind.is_retryable() && !unknown.kind.is_retryable());

    let log = sshd.log();
    assert!(log.contains("SSH2_MSG_KEXINIT received"), "the host saw us: {log}");
    for sign in ["userauth-request", "Postponed", "Accepted", "Failed", "authenticating user"] {
        assert!(!log.contains(sign), "{sign}: {log}");
    }
    transport().reach(&Arc::new(sshd.server("web1"))).await.unwrap();
    until("the log shows a login", || sshd.log().contains("userauth-request")).await;
}

#[tokio::test]
async fn a_host_known_by_one_of_several_keys_is_asked_for_that_one() {
    let dir = tempfile::tempdir().unwrap();
    let ecdsa = dir.path().join("ecdsa");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ecdsa", "-N", "", "-C", "", "-f"]).arg(&ecdsa).status();
    assert!(made.unwrap().success());
    let sshd = Sshd::setup().config(&format!("HostKey {}", ecdsa.display())).start();
    let line = fs::read_to_string(dir.path().join("ecdsa.pub")).unwrap();
    let server = Server { host_keys: vec![line.trim().to_owned()], ..sshd.server("web1") };
    transport().reach(&Arc::new(server)).await.unwrap();

    let host = sshd.address.ip().to_string();
    let scanned = scan_keys(&host, sshd.address.port(), &options()).await.unwrap();
    let lines: Vec<&str> = scanned.iter().map(|key| key.line.as_str()).collect();
    assert_eq!(lines, [sshd.host_key().as_str(), line.trim()]);
    let print = Command::new("ssh-keygen").arg("-lf").arg(sshd.dir().join("host_key.pub")).output().unwrap();
    assert!(String::from_utf8(print.stdout).unwrap().contains(&scanned[0].fingerprint));
}

#[tokio::test]
async fn a_server_whose_entry_changed_gets_a_new_connection() {
    let sshd = Sshd::start();
    let transport = transport();
    let before = sshd.server("web1");
    transport.reach(&Arc::new(before.clone())).await.unwrap();
    let unpinned = Server { host_keys: Vec::new(), ..before };
    let refusal = transport.reach(&Arc::new(unpinned)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::HostKeyUnknown, "the old connection is not given out");
}

#[tokio::test]
async fn the_time_to_connect_and_errors_are_counted() {
    #[derive(Default)]
    struct Counts(std::sync::Mutex<Vec<String>>);
    impl douse::transport::ssh::Observer for Counts {
        fn connected(&self, took: Duration) {
            assert!(took > Duration::ZERO);
            self.0.lock().unwrap().push("connected".into());
        }
        fn failed(&self, reason: &'static str) {
            self.0.lock().unwrap().push(reason.into());
        }
    }
    let sshd = Sshd::start();
    let counts = Arc::new(Counts::default());
    let transport = SshTransport::new(options(), Arc::clone(&counts) as _);
    assert_eq!(exit(&transport, &sshd.server("web1"), "true").await.0, 0);
    assert_eq!(exit(&transport, &sshd.server("web1"), "true").await.0, 0);
    transport.reach(&Arc::new(Server { host_keys: Vec::new(), ..sshd.server("web1") })).await.unwrap_err();
    assert_eq!(*counts.0.lock().unwrap(), ["connected", "host_key_unknown"]);
}

#[test]
fn scan_keys_prints_what_servers_yml_wants() {
    let sshd = Sshd::start();
    let scan = |arguments: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_douse")).args(["servers", "scan-keys"]).args(arguments).output();
        let output = command.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let host = sshd.address.to_string();
    let (code, stdout, stderr) = scan(&[&host]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(&format!("host_key:\n  - {}  # SHA256:", sshd.host_key())), "{stdout}");
    assert!(stderr.contains("compare the fingerprints"), "{stderr}");
    let indented = stdout.replace('\n', "\n    ");
    let file = format!("servers:\n  - name: web1\n    hostname: 127.0.0.1\n    {indented}");
    let servers = douse::inventory::file::parse("servers.yml", std::path::Path::new("/"), &file).unwrap();
    assert_eq!(servers[0].host_keys, [sshd.host_key()], "it can be pasted");

    let (code, stdout, stderr) = scan(&["--output", "json", &host, "127.0.0.1:1"]);
    assert_eq!(code, Some(1), "one host is not there");
    assert!(stderr.contains("127.0.0.1:1 cannot be reached"), "{stderr}");
    let items: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(items[0]["host_key"][0], sshd.host_key());
}
