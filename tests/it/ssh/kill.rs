//! Time-out and cancel: the whole process group ends, and the answer says whether that was seen.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use douse::transport::{Ending, Job, Killed, Transport};
use tokio_util::sync::CancellationToken;

use super::{exit, file, is_alive, job, run, transport, unheld};
use crate::support::sshd::{Sshd, Sudo};

/// Three generations, one of which ignores TERM.
fn family(sshd: &Sshd, ignores_term: bool) -> String {
    let trap = if ignores_term { "trap '' TERM; " } else { "" };
    format!(
        "{trap}sh -c 'sh -c \"echo \\$\\$ >> {0}/pids; sleep 300\" & echo $$ >> {0}/pids; wait; sleep 300' & \
         while [ \"$(wc -l < {0}/pids)\" != 2 ]; do sleep 0.05; done; echo $$ >> {0}/pids; echo started; cp {0}/pids {0}/all; wait; sleep 300",
        sshd.dir().display()
    )
}

async fn assert_all_dead(sshd: &Sshd) {
    let pids = file(&sshd.dir().join("all")).await;
    assert_eq!(pids.lines().count(), 3, "{pids}");
    for pid in pids.lines() {
        assert!(!is_alive(pid), "{pid} of {pids}");
    }
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_and_says_that_it_is_confirmed() {
    for ignores_term in [false, true] {
        let sshd = Sshd::start();
        std::fs::write(sshd.dir().join("pids"), "").unwrap();
        let (transport, server) = (transport(), sshd.server("web1"));
        let start = Instant::now();
        let slow = Job { timeout: Duration::from_secs(3), ..job(&server, &family(&sshd, ignores_term)) };
        let finished = run(&transport, slow).await;
        assert_eq!(finished.ending, Ending::TimedOut(Killed::Confirmed), "{}", finished.stderr.text());
        assert_eq!(finished.stdout.text(), "started\n", "output before the end is kept");
        assert_all_dead(&sshd).await;
        // The grace of the tests is 2 s.
        let took = start.elapsed();
        assert_eq!(took > Duration::from_secs(5), ignores_term, "{took:?}");
        assert_eq!(exit(&transport, &server, "echo next").await.1, "next\n");
        assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "the connection lives on");
    }
}

#[tokio::test]
async fn a_cancel_ends_a_command_that_runs_and_one_that_waits_for_a_session() {
    let sshd = Sshd::start();
    std::fs::write(sshd.dir().join("pids"), "").unwrap();
    let (transport, server) = (Arc::new(transport()), sshd.server("web1"));
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let (transport, job, cancel) = (Arc::clone(&transport), job(&server, &family(&sshd, false)), cancel.clone());
        async move { transport.run(job, cancel).await }
    });
    file(&sshd.dir().join("all")).await;
    cancel.cancel();
    assert_eq!(running.await.unwrap().ending, Ending::Cancelled(Killed::Confirmed));
    assert_all_dead(&sshd).await;

    let finished = transport.run(job(&server, &format!("echo x > {}/never", sshd.dir().display())), cancel).await;
    assert_eq!(finished.ending, Ending::Cancelled(Killed::Unsent));
    assert_eq!(exit(&transport, &server, "true").await.0, 0);
    assert!(!sshd.dir().join("never").exists());
}

#[tokio::test]
async fn a_cancel_at_any_moment_of_the_start_leaves_nothing_behind() {
    let sshd = Sshd::start();
    let (transport, server) = (transport(), sshd.server("web1"));
    assert_eq!(exit(&transport, &server, "true").await.0, 0);
    for millis in 0..24_u64 {
        let pid = sshd.dir().join(format!("pid-{millis}"));
        let cancel = CancellationToken::new();
        let command = format!("echo $$ > {}; exec sleep 300", pid.display());
        let after = async {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            cancel.cancel();
        };
        let (finished, ()) = tokio::join!(transport.run(job(&server, &command), cancel.clone()), after);
        let (unsent, confirmed) = (Ending::Cancelled(Killed::Unsent), Ending::Cancelled(Killed::Confirmed));
        assert!([&unsent, &confirmed].contains(&&finished.ending), "{millis} ms: {:?}", finished.ending);
        if finished.ending == unsent {
            assert!(!pid.exists(), "{millis} ms");
        } else if let Ok(pid) = std::fs::read_to_string(&pid) {
            assert!(!is_alive(pid.trim()), "{millis} ms: {pid}");
        }
    }
}

#[tokio::test]
async fn a_command_of_another_user_is_ended_by_sudo() {
    let sshd = Sshd::setup()
        .user("asks", "pass word", "/bin/bash", Sudo::WithPassword)
        .user("free", "x", "/bin/dash", Sudo::WithoutPassword)
        .start();
    std::fs::write(sshd.dir().join("password"), "pass word").unwrap();
    for user in ["free", "asks"] {
        for name in ["pids", "all"] {
            let _ = std::fs::remove_file(sshd.dir().join(name));
        }
        std::fs::write(sshd.dir().join("pids"), "").unwrap();
        let mut server = sshd.server_for("web1", user);
        server.become_password = (user == "asks").then(|| sshd.dir().join("password").into());
        let mut slow = job(&server, &family(&sshd, true));
        slow.become_user = Some("root".into());
        slow.timeout = Duration::from_secs(3);
        let finished = run(&transport(), slow).await;
        assert_eq!(finished.ending, Ending::TimedOut(Killed::Confirmed), "{user}: {}", finished.stderr.text());
        assert_all_dead(&sshd).await;
    }
}

#[tokio::test]
async fn a_kill_that_cannot_be_seen_is_not_confirmed() {
    // The command takes its right to log in away, and the connection allows one session: no second look is possible.
    // (sshd passes its own signal on for users other than root.)
    let sshd = Sshd::setup().config("MaxSessions 1").user("ops", "x", "/bin/sh", Sudo::Nothing).start();
    std::fs::set_permissions(sshd.dir(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let command =
        format!("rm -f {}/authorized_keys; echo $$ > {}/pid; sleep 300", sshd.dir().display(), sshd.dir().display());
    let slow = Job { timeout: Duration::from_secs(1), ..unheld(&sshd.server_for("web1", "ops"), &command) };
    let finished = run(&transport(), slow).await;
    assert_eq!(finished.ending, Ending::TimedOut(Killed::Unconfirmed));
    let pid = file(&sshd.dir().join("pid")).await;
    super::until("sshd's own signal ended it", || !is_alive(&pid)).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_keep_the_hosts_place() {
    let sshd = Sshd::setup().config("MaxSessions 4").start();
    let (transport, server) = (transport(), sshd.server("web1"));
    for n in 0..6 {
        let command = format!("echo x > {}/up-{n}; sleep 0.5", sshd.dir().display());
        let abandoned = run(&transport, job(&server, &command));
        tokio::select! {
            _ = abandoned => panic!("it ended"),
            _ = async { file(&sshd.dir().join(format!("up-{n}"))).await } => {}
        }
    }
    assert_eq!(exit(&transport, &server, "echo in").await.1, "in\n");
}
