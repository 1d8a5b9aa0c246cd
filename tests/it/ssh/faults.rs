//! What goes wrong between here and the host.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use douse::inventory::Server;
use douse::transport::probe::probe;
use douse::transport::ssh::{Options, SshTransport};
use douse::transport::{Ending, RefusalKind, Transport};

use super::{exit, file, is_alive, job, options, run, transport, unheld, until};
use crate::support::sshd::{Sshd, Sudo, free_address};

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable_and_may_be_tried_again() {
    let sshd = Sshd::start();
    let nowhere = free_address();
    for (hostname, port) in [(nowhere.ip().to_string(), nowhere.port()), ("no-such-host.invalid".into(), 22)] {
        let server = Arc::new(Server { hostname, port, ..sshd.server("web1") });
        let refusal = transport().reach(&server).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Unreachable, "{refusal}");
        assert!(refusal.kind.is_retryable());
    }
}

#[tokio::test]
async fn a_frozen_sshd_is_given_up_after_the_connect_time_and_nothing_starts() {
    let sshd = Sshd::start();
    sshd.signal_listener("STOP");
    let transport = SshTransport::new(Options { connect_timeout: Duration::from_secs(1), ..options() }, Arc::new(()));
    let start = Instant::now();
    let finished = run(&transport, job(&sshd.server("web1"), "echo ran")).await;
    sshd.signal_listener("CONT");
    assert!(start.elapsed() < Duration::from_secs(5));
    let Ending::NotStarted(refusal) = finished.ending else { panic!("{:?}", finished.ending) };
    assert_eq!(refusal.kind, RefusalKind::Unreachable);
    assert!(refusal.message.contains("no SSH banner"), "{refusal}");
}

/// Logs in half-way, `count` times, so that an sshd with `MaxStartups COUNT` takes no other.
fn occupy(sshd: &Sshd, count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    while silent.len() < count {
        let mut stream = TcpStream::connect(sshd.address).unwrap();
        let mut banner = [0; 4];
        if stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-" {
            silent.push(stream);
        }
    }
    silent
}

#[tokio::test]
async fn handshakes_dropped_for_max_startups_are_tried_again_and_the_command_runs_once() {
    let sshd = Sshd::setup().config("MaxStartups 3:100:3").start();
    let silent = occupy(&sshd, 3);
    let drops = || sshd.log().matches("drop connection").count();
    let before = drops();
    let trace = sshd.dir().join("trace");
    let run = tokio::spawn({
        let (job, transport) = (job(&sshd.server("web1"), &format!("echo ran >> {}", trace.display())), transport());
        async move { run(&transport, job).await }
    });
    until("our handshake was dropped, twice", || drops() >= before + 2).await;
    drop(silent);
    assert_eq!(run.await.unwrap().ending, Ending::Exited(0));
    assert_eq!(file(&trace).await, "ran\n");
}

#[tokio::test]
async fn a_handshake_that_is_always_dropped_is_given_up() {
    let sshd = Sshd::setup().config("MaxStartups 1:100:1").start();
    let _silent = occupy(&sshd, 1);
    let transport = SshTransport::new(Options { handshake_tries: 2, ..options() }, Arc::new(()));
    let refusal = transport.reach(&Arc::new(sshd.server("web1"))).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Handshake);
    assert!(refusal.message.contains("2 times") && refusal.message.contains("MaxStartups"), "{refusal}");
}

#[tokio::test]
async fn a_connection_that_dies_under_a_command_that_nothing_holds_is_lost_and_never_success() {
    let sshd = Sshd::start();
    let (transport, server) = (transport(), sshd.server("web1"));
    let pid_file = sshd.dir().join("pid");
    let command = format!("echo partial; echo $$ > {}; sleep 300", pid_file.display());
    let (finished, pid) = tokio::join!(run(&transport, unheld(&server, &command)), async {
        let pid = file(&pid_file).await;
        sshd.signal_sessions("KILL");
        pid
    });
    let Ending::Lost(reason) = &finished.ending else { panic!("{:?}", finished.ending) };
    assert!(reason.contains("web1"), "{reason}");
    assert_eq!(finished.stdout.text(), "partial\n");
    assert!(is_alive(&pid), "the command runs on: that is why it is not `failed`");
    crate::support::sshd::kill("KILL", pid.trim().parse().unwrap());
    assert_eq!(exit(&transport, &server, "echo again").await.1, "again\n", "the next one connects anew");
}

#[tokio::test]
async fn a_host_that_freezes_under_a_command_is_noticed_by_keepalives() {
    let sshd = Sshd::start();
    let options = Options { keepalive_interval: Duration::from_secs(1), keepalive_max: 2, ..options() };
    let transport = SshTransport::new(options, Arc::new(()));
    let pid_file = sshd.dir().join("pid");
    let command = format!("echo $$ > {}; sleep 300", pid_file.display());
    let start = Instant::now();
    let (finished, pid) = tokio::join!(run(&transport, unheld(&sshd.server("web1"), &command)), async {
        let pid = file(&pid_file).await;
        sshd.signal_sessions("STOP");
        pid
    });
    assert!(matches!(&finished.ending, Ending::Lost(reason) if reason.contains("Keepalive")), "{:?}", finished.ending);
    assert!(start.elapsed() < Duration::from_secs(20));
    sshd.signal_sessions("CONT");
    crate::support::sshd::kill("KILL", pid.trim().parse().unwrap());
}

#[tokio::test]
async fn a_session_that_ends_without_an_exit_status_is_lost() {
    let sshd = Sshd::start();
    // The session's shell kills the sshd that serves it.
    let finished = run(&transport(), unheld(&sshd.server("web1"), "echo x; kill -KILL $PPID; sleep 300")).await;
    assert!(matches!(&finished.ending, Ending::Lost(_)), "{:?}", finished.ending);
}

#[tokio::test]
async fn a_session_that_the_host_refuses_is_opened_on_another_connection() {
    let sshd = Sshd::setup().config("MaxSessions 1").start();
    let (transport, server) = (transport(), sshd.server("web1"));
    let command = format!("echo x >> {}/trace; sleep 0.3; echo done", sshd.dir().display());
    let runs = (0..3).map(|_| exit(&transport, &server, &command));
    for (code, stdout, _) in futures_util::future::join_all(runs).await {
        assert_eq!((code, stdout.as_str()), (0, "done\n"));
    }
    assert_eq!(std::fs::read_to_string(sshd.dir().join("trace")).unwrap(), "x\nx\nx\n", "each ran once");
}

#[tokio::test]
async fn a_pooled_connection_that_died_in_silence_is_replaced() {
    let mut sshd = Sshd::start();
    let (transport, server) = (transport(), sshd.server("web1"));
    assert_eq!(exit(&transport, &server, "true").await.0, 0);
    sshd.boot();
    assert_eq!(exit(&transport, &server, "echo on").await.1, "on\n");
    sshd.boot();
    transport.reach(&Arc::new(server.clone())).await.unwrap();
}

#[tokio::test]
async fn an_unused_connection_is_closed_and_so_is_everything_at_the_end() {
    let sshd = Sshd::start();
    let options = Options { idle_expiry: Duration::from_millis(300), ..options() };
    let transport = SshTransport::new(options, Arc::new(()));
    assert_eq!(exit(&transport, &sshd.server("web1"), "true").await.0, 0);
    until("the idle connection is closed", || sshd.sessions().is_empty()).await;
    assert_eq!(exit(&transport, &sshd.server("web1"), "sleep 1; echo late").await.1, "late\n", "a used one is not");
    transport.close().await;
    until("all connections are closed", || sshd.sessions().is_empty()).await;
    let refusal = transport.reach(&Arc::new(sshd.server("web1"))).await.unwrap_err();
    assert!(refusal.message.contains("stopping"), "{refusal}");
}

#[tokio::test]
async fn a_probe_names_the_part_that_fails() {
    let mut sshd = Sshd::setup().user("poor", "x", "/bin/sh", Sudo::Nothing).start();
    let probe = |server: Server| async move { probe(&transport(), &Arc::new(server)).await };
    let well = probe(sshd.server_for("web1", "poor")).await;
    assert!(well.is_success(), "{well:?}");
    assert!(well.summary().contains("would be refused") && well.summary().contains("sudo"), "{}", well.summary());
    let stranger = probe(Server { username: "nobody-here".into(), ..sshd.server("web1") }).await;
    assert!(stranger.summary().starts_with("authentication: "), "{}", stranger.summary());
    let server = sshd.server("web1");
    sshd.change_host_key();
    assert!(probe(server.clone()).await.summary().starts_with("host_key: "));
    sshd.stop();
    assert!(probe(server).await.summary().starts_with("connection: "));
}
