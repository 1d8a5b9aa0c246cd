//! Where a host keeps an attempt that outlives its connection: whose it is, what is in it, and hosts without such a place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use douse::inventory::Server;
use douse::transport::ssh::{Options, SshTransport};
use douse::transport::{Ending, Job, Killed, RefusalKind, Transport};

use super::held::{abandon, again, told};
use super::{file, is_alive, job, options, run, transport, unheld, until};
use crate::support::sshd::{Sshd, Sudo};

/// Files that lie in the place of a host, by kind.
fn kept(home: &Path) -> Vec<String> {
    let place = fs::read_dir(home.join(".cache/douse"));
    place.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn what_a_host_keeps_is_private_and_removed_once_it_is_not_needed() {
    let sshd = Sshd::start();
    let options = Options { forget_after: Duration::from_millis(50), ..options() };
    let transport = SshTransport::new(options, Arc::new(()));
    let secret = "s3cr3t-value-77ab";
    let mut job = job(&sshd.server("web1"), "sleep 0.2; true");
    job.environment = vec![("TOKEN".into(), secret.into())];
    let server = Arc::clone(&job.server);
    let attempt = job.attempt;
    let running = run(&transport, job);
    let look = async {
        until("a record", || !kept(&sshd.home()).is_empty()).await;
        let mode = fs::metadata(sshd.home().join(".cache/douse")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    };
    let (finished, ()) = tokio::join!(running, look);
    assert_eq!(finished.ending, Ending::Exited(0));
    for name in kept(&sshd.home()) {
        let text = fs::read(sshd.home().join(".cache/douse").join(&name)).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(secret), "{name}");
    }
    let old = sshd.home().join(".cache/douse/left-behind");
    fs::write(&old, "").unwrap();
    assert!(std::process::Command::new("touch").args(["-d", "9 days ago"]).arg(&old).status().unwrap().success());
    transport.forget(&server, attempt);
    until("it is removed", || kept(&sshd.home()).is_empty()).await;
}

#[tokio::test]
async fn what_was_printed_is_the_users_alone_whatever_the_folder_was_before() {
    let sshd = Sshd::start();
    let place = sshd.home().join(".cache/douse");
    fs::create_dir_all(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let transport = transport();
    // Quick ones are read by the shell, others by a process for each stream.
    for command in ["umask 0027; umask; echo warned >&2", "sleep 0.5; umask 0027; umask; head -c 100000 /dev/zero >&2"]
    {
        let finished = run(&transport, job(&sshd.server("web1"), command)).await;
        assert_eq!(finished.ending, Ending::Exited(0), "{command}");
        assert!(finished.stdout.text().contains("0027"), "the command's own umask: {}", finished.stdout.text());
    }
    let finished = run(&transport, job(&sshd.server("web1"), "umask")).await;
    assert!(!finished.stdout.text().contains("0077"), "what is made by commands is not meant");
    let is_printed = |name: &String| name.ends_with(".o0") || name.ends_with(".e0");
    let printed: Vec<String> = kept(&sshd.home()).into_iter().filter(is_printed).collect();
    assert!(printed.len() >= 5, "{printed:?}");
    for name in printed {
        let mode = fs::metadata(place.join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_place_that_another_user_made_is_not_used() {
    let sshd = Sshd::setup().env("HOME", "/nonexistent").user("ops", "x", "/bin/sh", Sudo::Nothing).start();
    let id = 52_000;
    let trap = PathBuf::from(format!("/var/tmp/.douse-{id}"));
    let _ = fs::remove_dir_all(&trap);
    fs::create_dir(&trap).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o777)).unwrap();
    let finished = run(&transport(), job(&sshd.server_for("web1", "ops"), "echo ran")).await;
    let is_empty = fs::read_dir(&trap).unwrap().next().is_none();
    fs::remove_dir_all(&trap).unwrap();
    let _ = fs::remove_dir_all(format!("/tmp/.douse-{id}"));
    assert_eq!(told(&finished), (Ending::Exited(0), "ran\n".into(), String::new()));
    assert!(is_empty, "a stranger's folder was used");
}

/// An sshd whose sessions see this before their shell starts: mounts of a namespace of its own.
fn confined(script: &str) -> Sshd {
    let setup = Sshd::setup().env("HOME", "/mnt");
    setup
        .config(&format!("ForceCommand exec unshare --mount --propagation private sh -c '{script} && exec /bin/sh'"))
        .start()
}

#[tokio::test]
async fn a_host_without_a_place_runs_nothing_and_says_so() {
    let sshd = confined(
        "mount -t tmpfs -o ro none /tmp && mount -t tmpfs -o ro none /var/tmp && mount -t tmpfs -o ro none /mnt",
    );
    let trace = PathBuf::from("/run/douse-test-nowhere");
    let command = format!("echo ran > {}", trace.display());
    let finished = run(&transport(), job(&sshd.server("web1"), &command)).await;
    let Ending::NotStarted(refusal) = &finished.ending else { panic!("{:?}", finished.ending) };
    assert_eq!(refusal.kind, RefusalKind::Nowhere, "{refusal}");
    assert!(!trace.exists(), "nothing is run before it is written down that nothing holds it");
    let plain = run(&transport(), unheld(&sshd.server("web1"), "echo plain; exit 2")).await;
    assert_eq!(told(&plain), (Ending::Exited(2), "plain\n".into(), String::new()));
}

#[tokio::test]
async fn a_disk_that_is_full_holds_nothing_and_one_that_fills_later_costs_only_output() {
    // One page for the folder's files and none to spare.
    let full = confined(
        "mount -t tmpfs -o size=64k none /mnt && { head -c 1m /dev/zero > /mnt/full 2>/dev/null; true; } && \
         mount -t tmpfs -o ro none /tmp && mount -t tmpfs -o ro none /var/tmp",
    );
    let finished = run(&transport(), job(&full.server("web1"), "echo ran")).await;
    assert!(
        matches!(&finished.ending, Ending::NotStarted(refusal) if refusal.kind == RefusalKind::Nowhere),
        "{:?}",
        finished.ending
    );
    let filling = confined("mount -t tmpfs -o size=256k none /mnt");
    let command = "head -c 1000000 /dev/zero > /mnt/full; echo lost; head -c 300000 /dev/zero; exit 4";
    let finished = run(&transport(), job(&filling.server("web1"), command)).await;
    assert_eq!(finished.ending, Ending::Exited(4), "{}", finished.stderr.text());
}

fn asks(sshd: &Sshd, user: &str) -> Server {
    let become_password = (user == "asks").then(|| sshd.dir().join("password").into());
    Server { become_password, ..sshd.server_for("web1", user) }
}

#[tokio::test]
async fn a_command_of_another_user_is_found_again_and_ended() {
    let sshd = Sshd::setup()
        .user("asks", "pass word", "/bin/bash", Sudo::WithPassword)
        .user("free", "x", "/bin/dash", Sudo::WithoutPassword)
        .start();
    fs::write(sshd.dir().join("password"), "pass word").unwrap();
    for user in ["free", "asks"] {
        let _ = fs::remove_file(sshd.dir().join("starts"));
        let dir = sshd.dir().display();
        let command =
            format!("echo $$ >> {dir}/starts; id -un; until [ -e {dir}/go-{user} ]; do sleep 0.05; done; exit 8");
        let job = Job { become_user: Some("root".into()), ..job(&asks(&sshd, user), &command) };
        abandon(&job, async {
            file(&sshd.dir().join("starts")).await;
        })
        .await;
        let late = Job { timeout: Duration::from_secs(1), ..again(&job) };
        let waiting = self::job(&asks(&sshd, user), &command);
        assert_eq!(run(&transport(), late).await.ending, Ending::TimedOut(Killed::Confirmed), "{user}");
        assert!(!is_alive(&file(&sshd.dir().join("starts")).await), "{user}");
        fs::write(sshd.dir().join(format!("go-{user}")), "").unwrap();
        let waiting = Job { become_user: Some("root".into()), ..waiting };
        assert_eq!(
            told(&run(&transport(), waiting.clone()).await),
            (Ending::Exited(8), "root\n".into(), String::new())
        );
        assert_eq!(
            told(&run(&transport(), again(&waiting)).await),
            (Ending::Exited(8), "root\n".into(), String::new())
        );
        let home = sshd.dir().join(format!("home-{user}"));
        for name in kept(&home) {
            let text = fs::read(home.join(".cache/douse").join(&name)).unwrap();
            assert!(!String::from_utf8_lossy(&text).contains("pass word"), "{name}");
        }
    }
}
