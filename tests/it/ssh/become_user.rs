//! `become`: sudo with and without a password.

use std::fs;

use douse::inventory::Server;
use douse::transport::{Ending, Job, RefusalKind};

use super::{job, run, transport};
use crate::support::sshd::{Sshd, Sudo};

fn host() -> Sshd {
    let sshd = Sshd::setup()
        .user("asks", "s3cr3t w'ord", "/bin/bash", Sudo::WithPassword)
        .user("free", "x", "/bin/dash", Sudo::WithoutPassword)
        .user("poor", "x", "/bin/dash", Sudo::Nothing)
        .start();
    fs::write(sshd.dir().join("right"), "s3cr3t w'ord\n").unwrap();
    fs::write(sshd.dir().join("wrong"), "guess\n").unwrap();
    sshd
}

fn as_root(sshd: &Sshd, user: &str, password_file: Option<&str>, command: &str) -> Job {
    let become_password = password_file.map(|file| sshd.dir().join(file).into());
    let server = Server { become_password, ..sshd.server_for("web1", user) };
    Job {
        become_user: Some("root".into()),
        environment: vec![("V".into(), "it's $(id)".into())],
        ..job(&server, command)
    }
}

#[tokio::test]
async fn a_command_runs_as_another_user_with_its_environment_and_real_exit_code() {
    let sshd = host();
    let transport = transport();
    // The password is given though `free` needs none: the shell must not take it for a command.
    for (user, file) in [("free", None), ("free", Some("right")), ("asks", Some("right"))] {
        let finished = run(&transport, as_root(&sshd, user, file, "id -un; printf '%s\\n' \"$V\"; cat; exit 9")).await;
        let (stdout, stderr) = (finished.stdout.text(), finished.stderr.text());
        assert_eq!(finished.ending, Ending::Exited(9), "{user} {file:?}: {stderr}");
        assert_eq!((stdout.as_str(), stderr.as_str()), ("root\nit's $(id)\n", ""), "{user} {file:?}");
    }
}

#[tokio::test]
async fn when_sudo_refuses_nothing_was_started_and_it_says_why() {
    let sshd = host();
    let transport = transport();
    let trace = sshd.dir().join("ran");
    let command = format!("echo ran > {}", trace.display());
    for (user, file) in [("asks", None), ("asks", Some("wrong")), ("poor", None)] {
        let finished = run(&transport, as_root(&sshd, user, file, &command)).await;
        let Ending::NotStarted(refusal) = &finished.ending else { panic!("{user}: {:?}", finished.ending) };
        assert_eq!(refusal.kind, RefusalKind::Become, "{refusal}");
        assert!(refusal.message.contains("sudo") && !refusal.message.contains("guess"), "{refusal}");
        assert!(!trace.exists());
    }
    let absent = run(&transport, as_root(&sshd, "asks", Some("absent"), &command)).await;
    assert!(matches!(&absent.ending, Ending::NotStarted(r) if r.kind == RefusalKind::Credential), "{absent:?}");
}

#[tokio::test]
async fn the_password_is_in_no_argv_environment_or_file() {
    let sshd = host();
    let look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; \
                grep -rls 's3cr3t w' /tmp/sh-thd* /tmp/.[a-z]* /run 2>/dev/null; true";
    let finished = run(&transport(), as_root(&sshd, "asks", Some("right"), look)).await;
    assert_eq!(finished.ending, Ending::Exited(0));
    let text = finished.stdout.text();
    assert!(text.contains("sudo"), "other processes were seen");
    assert!(!text.contains("s3cr3t w"), "{text}");
}
