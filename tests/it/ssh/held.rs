//! An attempt that outlives its connection: started once, found again, with its real exit code and output.

use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use douse::transport::ssh::{Options, SshTransport};
use douse::transport::{Ending, Finished, Hold, Job, Killed, Transport};
use tokio_util::sync::CancellationToken;

use super::{file, is_alive, job, options, run, transport, until};
use crate::support::sshd::{Setup, Sshd};

/// A host whose `/bin/sh` is `shell`, as far as the exec string goes: sshd's `ForceCommand` starts it instead.
fn host_with(shell: &str) -> Sshd {
    shells(Sshd::setup(), shell).start()
}

fn shells(setup: Setup, shell: &str) -> Setup {
    setup.config(&format!("ForceCommand exec {shell}"))
}

/// They read the script that holds the attempt; what runs the command is `/bin/sh` of this machine.
const SHELLS: [&str; 3] = ["dash", "bash --posix", "busybox sh"];

/// The same attempt, as somebody who comes later asks for it.
pub(super) fn again(job: &Job) -> Job {
    Job { hold: Hold::Attach { age: Duration::ZERO, may_start: true }, ..job.clone() }
}

/// Lets go of a run that is under way, as an engine does that is killed.
pub(super) async fn abandon(job: &Job, when: impl Future<Output = ()>) {
    let transport = transport();
    tokio::select! {
        finished = run(&transport, job.clone()) => panic!("it ended: {:?}", finished.ending),
        () = when => {}
    }
    transport.close().await;
}

fn starts(sshd: &Sshd) -> usize {
    fs::read_to_string(sshd.dir().join("starts")).unwrap_or_default().lines().count()
}

pub(super) fn told(finished: &Finished) -> (Ending, String, String) {
    (finished.ending.clone(), finished.stdout.text(), finished.stderr.text())
}

#[tokio::test]
async fn a_command_that_runs_while_nobody_is_there_is_adopted_and_one_that_ended_is_read() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        let dir = sshd.dir().display();
        let command = format!(
            "echo $$ >> {dir}/starts; echo one; echo two >&2; until [ -e {dir}/go ]; do sleep 0.05; done; echo three; exit 9"
        );
        let job = job(&sshd.server("web1"), &command);
        abandon(&job, async {
            file(&sshd.dir().join("starts")).await;
        })
        .await;
        let adopter = transport();
        let (adopted, ()) = tokio::join!(run(&adopter, again(&job)), async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            fs::write(sshd.dir().join("go"), "").unwrap();
        });
        let expected = (Ending::Exited(9), "one\nthree\n".to_owned(), "two\n".to_owned());
        assert_eq!(told(&adopted), expected, "{shell}");
        assert_eq!(told(&run(&transport(), again(&job)).await), expected, "{shell}: finished while away");
        assert_eq!(starts(&sshd), 1, "{shell}");
    }
}

#[tokio::test]
async fn a_client_that_dies_at_any_moment_leaves_one_start_and_the_real_exit_code() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        for millis in (0..160).step_by(8) {
            let trace = sshd.dir().join(format!("trace-{millis}"));
            let command = format!("echo x >> {}; sleep 0.03; echo done; exit 6", trace.display());
            let job = job(&sshd.server("web1"), &command);
            let dying = transport();
            tokio::select! {
                _ = run(&dying, job.clone()) => {}
                () = tokio::time::sleep(Duration::from_millis(millis)) => {}
            }
            drop(dying);
            let found = run(&transport(), again(&job)).await;
            assert_eq!(told(&found), (Ending::Exited(6), "done\n".into(), String::new()), "{shell}: {millis} ms");
            assert_eq!(fs::read_to_string(trace).unwrap(), "x\n", "{shell}: {millis} ms: started once");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_step_is_made_again_within_the_step() {
    let sshd = Sshd::start();
    let dir = sshd.dir().display();
    let command =
        format!("echo $$ >> {dir}/starts; echo a; until [ -e {dir}/go ]; do sleep 0.05; done; echo b; exit 3");
    let (transport, server) = (transport(), sshd.server("web1"));
    let (finished, ()) = tokio::join!(run(&transport, job(&server, &command)), async {
        for _ in 0..2 {
            file(&sshd.dir().join("starts")).await;
            until("a connection", || !sshd.sessions().is_empty()).await;
            sshd.signal_sessions("KILL");
            until("it was noticed", || sshd.log().matches("Accepted publickey").count() > 1).await;
        }
        fs::write(sshd.dir().join("go"), "").unwrap();
    });
    assert_eq!(told(&finished), (Ending::Exited(3), "a\nb\n".into(), String::new()));
    assert_eq!(starts(&sshd), 1);
}

#[tokio::test]
async fn what_was_never_started_is_started_or_only_said_so() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        let job = job(&sshd.server("web1"), "echo new");
        let query = Job { hold: Hold::Attach { age: Duration::ZERO, may_start: false }, ..job.clone() };
        let asked = run(&transport(), query).await;
        let Ending::NotStarted(refusal) = asked.ending else { panic!("{shell}: {:?}", asked.ending) };
        assert!(refusal.message.contains("never started"), "{refusal}");
        // That was said for good: whoever stood still with it in hand comes too late.
        for late in [again(&job), job] {
            let ended = run(&transport(), late).await;
            assert!(matches!(&ended.ending, Ending::NotStarted(_)), "{shell}: {:?}", ended.ending);
            assert_eq!(ended.stdout.text(), "", "{shell}");
        }
        let job = self::job(&sshd.server("web1"), "echo new");
        assert_eq!(told(&run(&transport(), again(&job)).await), (Ending::Exited(0), "new\n".into(), String::new()));
        // Without a claim it is not known what was before the boot.
        let old = Job {
            hold: Hold::Attach { age: Duration::from_secs(1 << 40), may_start: true },
            ..self::job(&sshd.server("web1"), "echo no")
        };
        let unknown = run(&transport(), old).await;
        assert!(
            matches!(&unknown.ending, Ending::Rebooted(why) if why.contains("anew")),
            "{shell}: {:?}",
            unknown.ending
        );
        assert_eq!(unknown.stdout.text(), "");
    }
}

#[tokio::test]
async fn a_reboot_under_a_command_is_told_from_its_end() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        let boot = sshd.dir().join("boot_id");
        fs::write(&boot, "one\n").unwrap();
        let transport = || {
            let options = Options { boot_id: boot.display().to_string(), ..options() };
            SshTransport::new(options, Arc::new(()))
        };
        let command = format!("echo $$ >> {}/starts; sleep 300", sshd.dir().display());
        let job = job(&sshd.server("web1"), &command);
        let dying = transport();
        tokio::select! {
            _ = run(&dying, job.clone()) => {}
            _ = async { file(&sshd.dir().join("starts")).await } => {}
        }
        drop(dying);
        fs::write(&boot, "two\n").unwrap();
        let found = run(&transport(), again(&job)).await;
        assert!(matches!(&found.ending, Ending::Rebooted(_)), "{shell}: {:?}", found.ending);
        let pid = file(&sshd.dir().join("starts")).await;
        crate::support::sshd::kill("KILL", pid.trim().parse().unwrap());
    }
}

#[tokio::test]
async fn a_step_that_reboots_its_host_ends_well_on_a_new_boot() {
    let mut sshd = Sshd::start();
    let boot = sshd.dir().join("boot_id");
    fs::write(&boot, "one\n").unwrap();
    let options = Options { boot_id: boot.display().to_string(), ..options() };
    let transport = SshTransport::new(options, Arc::new(()));
    let job = Job {
        awaits_reboot: true,
        ..job(&sshd.server("web1"), &format!("echo going; echo x >> {}/starts; exit 0", sshd.dir().display()))
    };
    let running = tokio::spawn(async move { run(&transport, job).await });
    file(&sshd.dir().join("starts")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!running.is_finished(), "the command's own end is not the host's");
    sshd.stop();
    fs::write(&boot, "two\n").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    sshd.boot();
    let finished = running.await.unwrap();
    assert!(matches!(&finished.ending, Ending::Rebooted(_)), "{:?}", finished.ending);
    assert_eq!(starts(&sshd), 1);
}

#[tokio::test]
async fn a_reboot_that_does_not_come_is_a_timeout_and_a_command_that_fails_is_its_exit_code() {
    let sshd = Sshd::start();
    let job = |command: &str| Job {
        awaits_reboot: true,
        timeout: Duration::from_secs(2),
        ..job(&sshd.server("web1"), command)
    };
    assert_eq!(run(&transport(), job("true")).await.ending, Ending::TimedOut(Killed::Confirmed));
    assert_eq!(run(&transport(), job("exit 5")).await.ending, Ending::Exited(5));
}

#[tokio::test]
async fn an_adopted_command_is_ended_with_its_group() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        let command =
            format!("echo up; sleep 300 & echo $! > {0}/child; echo $$ >> {0}/starts; wait", sshd.dir().display());
        let job = job(&sshd.server("web1"), &command);
        abandon(&job, async {
            file(&sshd.dir().join("starts")).await;
        })
        .await;
        let late = Job { timeout: Duration::from_secs(1), ..again(&job) };
        let finished = run(&transport(), late).await;
        assert_eq!(finished.ending, Ending::TimedOut(Killed::Confirmed), "{shell}");
        assert_eq!(finished.stdout.text(), "up\n", "{shell}");
        for name in ["starts", "child"] {
            assert!(!is_alive(&file(&sshd.dir().join(name)).await), "{shell}: {name}");
        }
        // A cancel of what was never started makes sure that it never is.
        let never = self::job(&sshd.server("web1"), "echo never");
        let cancel = CancellationToken::new();
        cancel.cancel();
        let transport = transport();
        let ended = transport.run(again(&never), cancel).await.ending;
        assert!(matches!(ended, Ending::Cancelled(Killed::Unsent) | Ending::Exited(0)), "{shell}: {ended:?}");
        let after = run(&transport, again(&never)).await.ending;
        assert_eq!(matches!(ended, Ending::Exited(0)), after == Ending::Exited(0), "{shell}: {after:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_away_is_tried_until_the_time_is_over_and_then_nothing_is_confirmed() {
    let mut sshd = Sshd::start();
    let job = job(&sshd.server("web1"), &format!("echo $$ >> {}/starts; sleep 300", sshd.dir().display()));
    abandon(&job, async {
        file(&sshd.dir().join("starts")).await;
    })
    .await;
    // Its children are killed with it; the command is in a session of its own.
    let pid = file(&sshd.dir().join("starts")).await;
    sshd.stop();
    let late = Job { timeout: Duration::from_secs(2), ..again(&job) };
    assert_eq!(run(&transport(), late).await.ending, Ending::TimedOut(Killed::Unconfirmed));
    crate::support::sshd::kill("KILL", pid.trim().parse().unwrap());
}

#[tokio::test]
async fn whoever_waited_for_the_command_was_killed_so_its_end_is_unknown() {
    let sshd = Sshd::start();
    let job = job(&sshd.server("web1"), &format!("echo $$ >> {}/starts; sleep 300", sshd.dir().display()));
    abandon(&job, async {
        file(&sshd.dir().join("starts")).await;
    })
    .await;
    let record = sshd.home().join(".cache/douse").join(job.attempt.to_string());
    let text = fs::read_to_string(record).unwrap();
    let waits = text.lines().find_map(|line| line.strip_prefix("claim ")).unwrap();
    crate::support::sshd::kill("KILL", waits.split(' ').nth(1).unwrap().parse().unwrap());
    let found = run(&transport(), again(&job)).await;
    assert!(matches!(&found.ending, Ending::Lost(why) if why.contains("killed")), "{:?}", found.ending);
    let pid = file(&sshd.dir().join("starts")).await;
    assert!(is_alive(&pid));
    crate::support::sshd::kill("KILL", pid.trim().parse().unwrap());
}

#[tokio::test]
async fn endless_output_fills_no_disk_and_does_not_wait_for_a_reader() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        let command = format!("echo $$ >> {}/starts; echo first; exec yes", sshd.dir().display());
        let job = Job { output_bytes_max: 1000, ..job(&sshd.server("web1"), &command) };
        abandon(&job, async {
            file(&sshd.dir().join("starts")).await;
        })
        .await;
        let place = sshd.home().join(".cache/douse");
        let size = || fs::read_dir(&place).unwrap().flatten().map(|f| f.metadata().map_or(0, |m| m.len())).sum::<u64>();
        // It goes on: parts are replaced by later ones.
        let part = |n: u32| place.join(format!("{}.o{n}", job.attempt)).exists();
        until("later parts", || (4..4000).any(part)).await;
        assert!(size() < 12 * 1024 * 1024, "{shell}: {}", size());
        let late = Job { timeout: Duration::from_secs(1), ..again(&job) };
        let finished = run(&transport(), late).await;
        assert_eq!(finished.ending, Ending::TimedOut(Killed::Confirmed), "{shell}");
        assert!(finished.stdout.text().starts_with("first\ny\ny\n"), "{shell}");
        assert_eq!(finished.stdout.head.len() + finished.stdout.tail.len(), 1000, "{shell}");
    }
}

#[tokio::test]
async fn binary_output_arrives_byte_by_byte() {
    for shell in SHELLS {
        let sshd = host_with(shell);
        let source = sshd.dir().join("bytes");
        let bytes: Vec<u8> =
            (0..400_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
        fs::write(&source, &bytes).unwrap();
        let command = format!("cat {0}; cat {0} >&2", source.display());
        let finished = run(&transport(), job(&sshd.server("web1"), &command)).await;
        assert_eq!(finished.ending, Ending::Exited(0), "{shell}");
        for captured in [finished.stdout, finished.stderr] {
            assert!([captured.head, captured.tail].concat() == bytes, "{shell}");
        }
    }
}
