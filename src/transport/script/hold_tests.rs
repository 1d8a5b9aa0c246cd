//! `hold.sh`, run by the shells that hosts have: what is cut runs nothing, and what is claimed runs once.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::hold::{Mode, compose, forget};
use super::tests::{SHELLS, command};
use crate::transport::Job;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

fn spawn(shell: &[&str], home: &Path, text: &[u8]) -> Child {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shell:?}: {error}; install dash, bash and busybox"));
    // A shell that exits early does not read it all.
    let _ = child.stdin.take().unwrap().write_all(text);
    child
}

/// Runs a script whose caller says nothing more.
fn feed(shell: &[&str], home: &Path, text: &[u8]) -> Output {
    spawn(shell, home, text).wait_with_output().unwrap()
}

fn script(job: &Job, mode: Mode) -> Vec<u8> {
    compose(job, mode, BOOT, None).unwrap().text.as_bytes().to_vec()
}

fn said(output: &Output, word: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).contains(word)
}

const ATTACH: Mode = Mode::Attach { age: Duration::ZERO, may_start: true };

#[test]
fn a_script_that_is_cut_anywhere_runs_nothing_and_claims_nothing() {
    let home = tempfile::tempdir().unwrap();
    let trace = home.path().join("ran");
    let job = command(&format!("echo one >> {0}\necho two >> {0}", trace.display()));
    let text = script(&job, Mode::Start);
    let whole = text.trim_ascii_end();
    for cut in (0..whole.len()).step_by(41).chain([whole.len() - 1]) {
        let output = feed(SHELLS[cut % 3], home.path(), &whole[..cut]);
        assert!(!trace.exists(), "cut at {cut}: {output:?}");
        assert!(!said(&output, "douse:"), "cut at {cut}: {output:?}");
        assert!(!home.path().join(".cache").exists(), "cut at {cut}");
    }
    assert!(said(&feed(SHELLS[0], home.path(), whole), ":end:exit:0:1:"));
    assert_eq!(fs::read_to_string(&trace).unwrap(), "one\ntwo\n");
}

#[test]
fn of_many_that_start_the_same_attempt_one_does() {
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        let trace = home.path().join("ran");
        let job = command(&format!("echo x >> {}; exit 5", trace.display()));
        let texts = [script(&job, Mode::Start), script(&job, ATTACH)];
        let children: Vec<Child> = (0..8).map(|n| spawn(shell, home.path(), &texts[n % 2])).collect();
        let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        assert_eq!(fs::read_to_string(&trace).unwrap(), "x\n", "{shell:?}");
        assert!(outputs.iter().any(|output| said(output, ":end:exit:5:1:")), "{shell:?}: {outputs:?}");
        // Whoever comes later reads the same.
        assert!(said(&feed(shell, home.path(), &texts[1]), ":end:exit:5:1:"), "{shell:?}");
        assert_eq!(fs::read_to_string(&trace).unwrap(), "x\n", "{shell:?}");
    }
}

#[test]
fn a_claim_whose_maker_died_before_the_start_is_started_once_or_never() {
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(".cache/douse");
        fs::create_dir_all(&place).unwrap();
        let trace = home.path().join("ran");
        let boot = fs::read_to_string(BOOT).unwrap();
        // Process 1 did not begin at 0.
        for record in [String::new(), format!("claim {} 1 0\n", boot.trim())] {
            let job = command(&format!("echo x >> {}", trace.display()));
            fs::write(place.join(job.attempt.to_string()), &record).unwrap();
            assert!(said(&feed(shell, home.path(), &script(&job, ATTACH)), ":end:exit:0:1:"), "{shell:?} {record}");
            assert!(said(&feed(shell, home.path(), &script(&job, ATTACH)), ":end:exit:0:1:"), "{shell:?} {record}");
            assert_eq!(fs::read_to_string(&trace).unwrap(), "x\n", "{shell:?} {record}");
            fs::remove_file(&trace).unwrap();

            let job = command(&format!("echo x >> {}", trace.display()));
            fs::write(place.join(job.attempt.to_string()), &record).unwrap();
            assert!(said(&feed(shell, home.path(), &script(&job, Mode::Stop)), ":end:void:"), "{shell:?} {record}");
            assert!(said(&feed(shell, home.path(), &script(&job, ATTACH)), ":end:void:"), "{shell:?} {record}");
            assert!(!trace.exists(), "{shell:?} {record}");
        }
    }
}

#[test]
fn what_is_forgotten_is_gone_and_the_rest_stays() {
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        let jobs = [command("echo a"), command("echo b")];
        for job in &jobs {
            assert!(said(&feed(shell, home.path(), &script(job, Mode::Start)), ":end:exit:0:1:"), "{shell:?}");
        }
        feed(shell, home.path(), forget(&[jobs[0].attempt]).unwrap().text.as_bytes());
        let place = home.path().join(".cache/douse");
        assert!(!place.join(jobs[0].attempt.to_string()).exists(), "{shell:?}");
        assert!(place.join(jobs[1].attempt.to_string()).exists(), "{shell:?}");
        assert!(said(&feed(shell, home.path(), &script(&jobs[1], ATTACH)), "\nb\n"), "{shell:?}");
    }
}
