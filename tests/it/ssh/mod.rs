//! SSH against a real sshd.

mod become_user;
mod demo_host;
mod faults;
mod harness;
mod held;
mod held_place;
mod hostile;
mod hostile_session;
mod jump;
mod kill;
mod login;
mod run;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use douse::id::AttemptId;
use douse::inventory::Server;
use douse::transport::ssh::{Options, SshTransport};
use douse::transport::{Ending, Finished, Hold, Job, Permit, RemoteAction, Transport};
use tokio_util::sync::CancellationToken;

/// The documented bounds, but for the patience between TERM and KILL.
fn options() -> Options {
    Options { kill_grace: Duration::from_secs(2), agent_socket: None, ..Options::default() }
}

fn transport() -> SshTransport {
    SshTransport::new(options(), Arc::new(()))
}

fn job(server: &Server, command: &str) -> Job {
    Job {
        attempt: AttemptId::new(),
        server: Arc::new(server.clone()),
        action: RemoteAction::Command(command.to_owned()),
        environment: Vec::new(),
        workdir: None,
        become_user: None,
        timeout: Duration::from_secs(60),
        output_bytes_max: 1024 * 1024,
        permit: Permit::default(),
        hold: Hold::Claim,
        awaits_reboot: false,
    }
}

/// The same without anything that outlives the connection.
fn unheld(server: &Server, command: &str) -> Job {
    Job { hold: Hold::None, ..job(server, command) }
}

async fn run(transport: &SshTransport, job: Job) -> Finished {
    transport.run(job, CancellationToken::new()).await
}

/// Runs a command and wants it to exit.
async fn exit(transport: &SshTransport, server: &Server, command: &str) -> (i32, String, String) {
    let finished = run(transport, job(server, command)).await;
    match finished.ending {
        Ending::Exited(code) => (code, finished.stdout.text(), finished.stderr.text()),
        other => panic!("{command}: {other:?}: {}", finished.stderr.text()),
    }
}

/// Waits until `is_true`, which is what the test is about; never for luck.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a file that a remote command writes, and reads it.
async fn file(path: &Path) -> String {
    until(&path.display().to_string(), || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))).await;
    fs::read_to_string(path).unwrap()
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}
