//! Commands that end by themselves: exit codes, output, what the host gets to see.

use std::fs;
use std::time::{Duration, Instant};

use douse::transport::{Ending, Hold, Job, RefusalKind, RemoteAction};

use super::{exit, file, job, run, transport};
use crate::support::sshd::{Sshd, Sudo};

#[tokio::test]
async fn the_recorded_exit_code_is_the_real_one() {
    let sshd = Sshd::start();
    let (transport, server) = (transport(), sshd.server("web1"));
    for (command, code) in
        [("true", 0), ("exit 7", 7), ("exit 255", 255), ("no-such-program", 127), ("(exit 3); true", 0)]
    {
        assert_eq!(exit(&transport, &server, command).await.0, code, "{command}");
    }
    // A shell that waits for another shell can tell its end by a signal only in its own way.
    for (hold, ending) in [(Hold::Claim, Ending::Exited(128 + 11)), (Hold::None, Ending::Signalled("SEGV".into()))] {
        let killed = run(&transport, Job { hold, ..job(&server, "kill -SEGV $$") }).await;
        assert_eq!(killed.ending, ending);
    }
}

#[tokio::test]
async fn stdout_and_stderr_are_kept_apart_and_hold_nothing_of_ours() {
    let sshd = Sshd::start();
    let (transport, server) = (transport(), sshd.server("web1"));
    let (code, stdout, stderr) = exit(&transport, &server, "echo out; echo err >&2; printf '\\303\\050\\n'").await;
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "out\n\u{fffd}(\n", "err\n"));
}

#[tokio::test]
async fn noise_of_login_scripts_is_no_output() {
    let sshd = Sshd::setup().user("noisy", "x", "/bin/bash", Sudo::Nothing).start();
    let home = sshd.dir().join("home-noisy");
    fs::write(home.join(".bashrc"), "echo welcome; printf 'no line end' >&2\n").unwrap();
    let (code, stdout, stderr) = exit(&transport(), &sshd.server_for("web1", "noisy"), "echo out; echo err >&2").await;
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "out\n", "err\n"));
}

#[tokio::test]
async fn each_login_shell_runs_the_same_command() {
    let sshd = Sshd::setup()
        .user("dash", "x", "/bin/dash", Sudo::Nothing)
        .user("bash", "x", "/bin/bash", Sudo::Nothing)
        .user("rbash", "x", "/bin/rbash", Sudo::Nothing)
        .user("nologin", "x", "/usr/sbin/nologin", Sudo::Nothing)
        .start();
    let transport = transport();
    for user in ["dash", "bash"] {
        let mut job = job(&sshd.server_for("web1", user), "printf '%s' \"$V\"; id -un >&2; exit 5");
        job.environment = vec![("V".into(), "a'b\"c $(id) \\ \n\u{e9}".into())];
        let finished = run(&transport, job).await;
        let (stdout, stderr) = (finished.stdout.text(), finished.stderr.text());
        assert_eq!(finished.ending, Ending::Exited(5), "{user}: {stderr}");
        assert_eq!((stdout.as_str(), stderr.as_str()), ("a'b\"c $(id) \\ \n\u{e9}", format!("{user}\n").as_str()));
    }
    for user in ["nologin", "rbash"] {
        let finished = run(&transport, job(&sshd.server_for("web1", user), "echo ran")).await;
        let Ending::NotStarted(refusal) = &finished.ending else { panic!("{user}: {:?}", finished.ending) };
        assert_eq!(refusal.kind, RefusalKind::Shell, "{refusal}");
        assert!(refusal.message.contains("not available") || refusal.message.contains("restricted"), "{refusal}");
    }
}

#[tokio::test]
async fn two_hundred_megabytes_of_output_are_counted_and_cut() {
    let sshd = Sshd::start();
    let mut job = job(&sshd.server("web1"), "echo first; head -c 200000000 /dev/zero; echo last; echo err >&2");
    job.output_bytes_max = 1000;
    let finished = run(&transport(), job).await;
    assert_eq!(finished.ending, Ending::Exited(0));
    assert_eq!(finished.stdout.total, 200_000_000 + 6 + 5);
    assert_eq!(finished.stdout.head.len() + finished.stdout.tail.len(), 1000);
    let text = finished.stdout.text();
    assert!(text.starts_with("first\n") && text.ends_with("last\n") && text.contains("bytes left out"));
    assert_eq!(finished.stderr.text(), "err\n");
}

#[tokio::test]
async fn a_script_larger_than_the_window_arrives_whole() {
    let sshd = Sshd::start();
    let mut job = job(&sshd.server("web1"), "printf %s \"$BIG\" | wc -c");
    // A variable has at most 128 KiB on Linux; the text of a script has no such limit.
    job.environment = vec![("BIG".into(), "x'".repeat(50_000))];
    job.action = RemoteAction::Script {
        text: format!("true '{}'\nprintf %s \"$BIG\" | wc -c", "y".repeat(5_000_000)),
        interpreter: None,
    };
    let finished = run(&transport(), job).await;
    assert_eq!((finished.ending, finished.stdout.text().trim()), (Ending::Exited(0), "100000"));
}

#[tokio::test]
async fn a_background_child_does_not_hold_the_step() {
    let sshd = Sshd::start();
    let start = Instant::now();
    let (code, stdout, _) = exit(&transport(), &sshd.server("web1"), "sleep 30 & echo $!").await;
    assert_eq!(code, 0);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(super::is_alive(&stdout), "what the command left behind is its own");
    crate::support::sshd::kill("KILL", stdout.trim().parse().unwrap());
}

#[tokio::test]
async fn neither_values_nor_commands_appear_in_any_argv() {
    let sshd = Sshd::start();
    let secret = "s3cr3t-value-8b1f";
    let seen = sshd.dir().join("cmdlines");
    let ready = sshd.dir().join("ready");
    let (transport, mut job) = (
        transport(),
        job(
            &sshd.server("web1"),
            &format!(
                "# marker-of-the-command\necho up > {}; for n in 1 2 3; do cat /proc/[0-9]*/cmdline | tr '\\0' ' '; done > {}; echo >> {}",
                ready.display(),
                seen.display(),
                seen.display()
            ),
        ),
    );
    job.environment = vec![("TOKEN".into(), secret.into())];
    let finished = run(&transport, job).await;
    assert_eq!(finished.ending, Ending::Exited(0), "{}", finished.stderr.text());
    let cmdlines = file(&seen).await;
    assert!(cmdlines.contains("/bin/sh"), "other processes were seen: {cmdlines}");
    for text in [secret, "marker-of-the-command"] {
        assert!(!cmdlines.contains(text), "{cmdlines}");
    }
}

#[tokio::test]
async fn at_most_four_sessions_run_on_a_host_at_once_on_one_connection() {
    let sshd = Sshd::start();
    let transport = transport();
    // Each waits until four run, so that a slow machine cannot hide that more would.
    let command = format!(
        "cd {} && : > run.$$ && n=0; while [ $(ls run.* | wc -l) -lt 4 ] && [ ! -e four ] && [ $n -lt 100 ]; \
         do sleep 0.1; n=$((n+1)); done; ls run.* | wc -l; : > four; sleep 0.3; rm run.$$",
        sshd.dir().display()
    );
    let server = sshd.server("web1");
    let runs = (0..12).map(|_| exit(&transport, &server, &command));
    let counts: Vec<u32> = futures_util::future::join_all(runs)
        .await
        .iter()
        .map(|(_, stdout, _)| stdout.trim().parse().unwrap())
        .collect();
    assert_eq!(counts.iter().max(), Some(&4), "{counts:?}");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn an_invalid_job_never_reaches_the_host() {
    let sshd = Sshd::start();
    let invalid = Job { action: RemoteAction::Command("echo \0".into()), ..job(&sshd.server("web1"), "") };
    let Ending::NotStarted(refusal) = run(&transport(), invalid).await.ending else { panic!("it started") };
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    assert!(!sshd.log().contains("Accepted"));
}
