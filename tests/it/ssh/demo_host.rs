//! The demo's hosts, used as the engine uses them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use douse::cli::demo::sshd::{ClientKey, DemoHost};
use douse::inventory::{Auth, Protocol, Server};
use douse::runbook::model::OsType;
use douse::transport::{Ending, Hold, Job, Killed, RefusalKind, Transport};

use super::{exit, file, is_alive, job, run, transport, until};

struct Place {
    dir: tempfile::TempDir,
    host: DemoHost,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = ClientKey::generate().unwrap();
        key.write(&dir.path().join("key")).unwrap();
        let host = DemoHost::start("web1", dir.path(), &key).await.unwrap();
        Self { dir, host }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn server(&self) -> Server {
        Server {
            name: "web1".into(),
            hostname: self.host.address().ip().to_string(),
            port: self.host.address().port(),
            username: "demo".into(),
            os_type: OsType::Linux,
            auth: Auth::Key { key: self.path().join("key").into(), passphrase: None, certificate: None },
            host_keys: vec![self.host.host_key().to_owned()],
            tags: Vec::new(),
            group: None,
            environment: None,
            is_paused: false,
            protocol: Protocol::Ssh,
            become_password: None,
            bastion: None,
            via: None,
        }
    }
}

#[tokio::test]
async fn a_demo_host_runs_commands_in_its_directory_with_its_own_programs() {
    let place = Place::new().await;
    let (transport, server) = (transport(), place.server());
    let (code, stdout, stderr) = exit(&transport, &server, "pwd; echo \"$HOME\" >&2; cat; exit 6").await;
    let home = format!("{}\n", place.path().display());
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (6, home.as_str(), home.as_str()));

    let bin = place.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("systemctl"), "#!/bin/sh\necho fake $1\n").unwrap();
    let made = std::process::Command::new("chmod").arg("+x").arg(bin.join("systemctl")).status();
    assert!(made.unwrap().success());
    assert_eq!(exit(&transport, &server, "systemctl status").await.1, "fake status\n");

    let (_, stdout, _) = exit(&transport, &server, "head -c 3000000 /dev/zero | tr '\\0' x").await;
    assert!(stdout.contains("bytes left out"), "much output passes");
    for (hold, ending) in [(Hold::Claim, Ending::Exited(128 + 11)), (Hold::None, Ending::Signalled("SEGV".into()))] {
        let killed = run(&transport, Job { hold, ..job(&server, "kill -SEGV $$") }).await;
        assert_eq!(killed.ending, ending);
    }
    let runs = (0..8).map(|n| exit(&transport, &server, ["echo even", "echo odd"][n % 2]));
    assert!(futures_util::future::join_all(runs).await.iter().all(|(code, ..)| *code == 0), "several at once");
}

#[tokio::test]
async fn a_demo_host_takes_only_its_client_and_only_the_shell() {
    let place = Place::new().await;
    let stranger = place.path().join("stranger");
    ClientKey::generate().unwrap().write(&stranger).unwrap();
    let server =
        Server { auth: Auth::Key { key: stranger.into(), passphrase: None, certificate: None }, ..place.server() };
    let refusal = transport().reach(&Arc::new(server)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Authentication);

    let known_hosts = place.path().join("known_hosts");
    let address = place.host.address();
    std::fs::write(&known_hosts, format!("[{}]:{} {}\n", address.ip(), address.port(), place.host.host_key())).unwrap();
    let output = tokio::process::Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"])
        .arg(place.path().join("key"))
        .args(["-o", &format!("UserKnownHostsFile={}", known_hosts.display()), "-p", &address.port().to_string()])
        .args([&format!("demo@{}", address.ip()), "id"])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[tokio::test]
async fn a_command_on_a_demo_host_is_ended_with_its_children() {
    let place = Place::new().await;
    let pids = place.path().join("pids");
    let command =
        "sh -c 'sleep 300 & echo $! > pids.new; echo $$ >> pids.new; wait' & sleep 0.3; mv pids.new pids; wait";
    let slow = Job { timeout: Duration::from_secs(2), ..job(&place.server(), command) };
    let finished = run(&transport(), slow).await;
    assert_eq!(finished.ending, Ending::TimedOut(Killed::Confirmed), "{}", finished.stderr.text());
    assert!(file(&pids).await.lines().all(|pid| !is_alive(pid)));
}

#[tokio::test]
async fn a_demo_host_that_stops_takes_its_commands_with_it() {
    let place = Place::new().await;
    let pid_file = place.path().join("pid");
    let (transport, job) = (transport(), job(&place.server(), "echo $$ > pid; sleep 300"));
    let job = Job { timeout: Duration::from_secs(3), ..job };
    let running = tokio::spawn(async move { run(&transport, job).await });
    let pid = file(&pid_file).await;
    let Place { dir: _dir, host } = place;
    host.stop().await;
    until("the command has ended", || !is_alive(&pid)).await;
    assert!(!matches!(running.await.unwrap().ending, Ending::Exited(0)));
}
