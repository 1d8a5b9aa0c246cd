//! The harness itself, through the `ssh` program.

use std::process::{Command, Output};

use crate::support::sshd::{Sshd, Sudo};

fn ssh(sshd: &Sshd, user: &str, command: &str) -> Output {
    let known_hosts = sshd.dir().join("known_hosts");
    let (ip, port) = (sshd.address.ip(), sshd.address.port());
    std::fs::write(&known_hosts, format!("[{ip}]:{port} {}\n", sshd.host_key())).unwrap();
    Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"])
        .arg(sshd.key_file())
        .args(["-o", &format!("UserKnownHostsFile={}", known_hosts.display()), "-p", &port.to_string()])
        .args([&format!("{user}@{ip}"), command])
        .output()
        .unwrap()
}

#[test]
fn an_sshd_of_the_harness_runs_commands_in_its_environment() {
    let sshd = Sshd::setup().env("FAKE_HOST", "web 1").start();
    let user = sshd.server("web1").username;
    let output = ssh(&sshd, &user, "echo \"$FAKE_HOST\"; exit 7");
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"web 1\n"[..], Some(7)), "{output:?}");
}

#[test]
fn an_account_of_the_harness_needs_its_password_for_sudo() {
    let sshd = Sshd::setup()
        .user("asks", "se cret", "/bin/dash", Sudo::WithPassword)
        .user("free", "x", "/bin/bash", Sudo::WithoutPassword)
        .start();
    let output = ssh(&sshd, "asks", "id -un; sudo -n id -un; echo 'se cret' | sudo -S -p '' id -un");
    assert_eq!(output.stdout, b"asks\nroot\n", "{output:?}");
    let output = ssh(&sshd, "free", "sudo -n id -un");
    assert_eq!(output.stdout, b"root\n", "{output:?}");
}
