//! `hold.sh`, run by the shells that hosts have: what is cut runs nothing, and what is claimed runs once.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::hold::{self, Mode, compose, forget};
use super::tests::{SHELLS, command};
use crate::transport::Job;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A shell that leads a group, as sshd starts it, or that is one of its parent's.
fn shell_of(shell: &[&str], home: &Path, leads: bool) -> Child {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).env("HOME", home);
    if leads {
        command.process_group(0);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{shell:?}: {error}; install dash, bash and busybox"))
}

fn spawn(shell: &[&str], home: &Path, text: &[u8]) -> Child {
    let mut child = shell_of(shell, home, true);
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
fn a_stop_between_making_the_file_and_writing_into_it_decides_for_both() {
    let parts = hold::SAY_START.split_once("set +C\n").unwrap();
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(".cache/douse");
        fs::create_dir_all(&place).unwrap();
        let boot = fs::read_to_string(BOOT).unwrap();
        for is_stopped_between in [true, false] {
            let job = command("true");
            let file = place.join(job.attempt.to_string());
            fs::write(&file, format!("claim {} {} 0\n", boot.trim(), std::process::id())).unwrap();
            let half = |text: &str| {
                let head = format!("douse_f={} douse_l='4711 1 {}'\n", file.display(), std::process::id());
                feed(shell, home.path(), format!("{head}{text}\nset +C; echo it runs\n").as_bytes())
            };
            let stop = || feed(shell, home.path(), &script(&job, Mode::Stop));
            assert!(said(&half(parts.0), "it runs"), "{shell:?}");
            assert_eq!(fs::read(file.with_extension("s")).unwrap(), b"", "{shell:?}");
            if is_stopped_between {
                assert!(said(&stop(), ":end:void:"), "{shell:?}");
            }
            let ran = half(parts.1);
            assert_eq!(said(&ran, "it runs"), !is_stopped_between, "{shell:?}: {ran:?}");
            let word = if is_stopped_between { ":end:void:" } else { ":end:groups:4711:" };
            assert!(said(&stop(), word), "{shell:?}");
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

#[test]
fn a_command_that_asks_for_its_process_has_one_of_its_own() {
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        let kill = command("kill -9 $$");
        assert!(said(&feed(shell, home.path(), &script(&kill, Mode::Start)), ":end:exit:137:1:"), "{shell:?}");
        assert!(said(&feed(shell, home.path(), &script(&kill, ATTACH)), ":end:exit:137:1:"), "{shell:?}");
    }
}

#[test]
fn a_shell_that_leads_no_group_starts_one_for_the_command() {
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        let job = command("read -r line </proc/self/stat; echo here; exit 4");
        let mut child = shell_of(shell, home.path(), false);
        child.stdin.take().unwrap().write_all(&script(&job, Mode::Start)).unwrap();
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        assert!(said(&output, "\nhere\n") && said(&output, ":end:exit:4:1:"), "{shell:?}: {output:?}");
        let start = fs::read_to_string(home.path().join(format!(".cache/douse/{}.s", job.attempt))).unwrap();
        let group: u32 = start.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(![pid, std::process::id()].contains(&group), "{shell:?}: {start}");
    }
}

#[test]
fn what_waits_in_the_pipes_because_a_connection_stands_still_is_taken_by_the_next_one() {
    for shell in SHELLS {
        let home = tempfile::tempdir().unwrap();
        // More than a pipe holds.
        let command = command(&format!("i=0; while [ $i -lt 3000 ]; do echo {}; i=$((i+1)); done", "x".repeat(99)));
        let job = Job { output_bytes_max: 1 << 20, ..command };
        let mut still = shell_of(shell, home.path(), true);
        // It is never closed, and nothing is said on it.
        let mut stdin = still.stdin.take().unwrap();
        stdin.write_all(&script(&job, Mode::Start)).unwrap();
        let start = home.path().join(format!(".cache/douse/{}.s", job.attempt));
        while !start.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut found = shell_of(shell, home.path(), true);
        let mut words = found.stdin.take().unwrap();
        words.write_all(&script(&job, ATTACH)).unwrap();
        let asks = std::thread::spawn(move || {
            while words.write_all(b"news\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let output = found.wait_with_output().unwrap();
        assert!(said(&output, ":end:exit:0:1:"), "{shell:?}: {}", output.stdout.len());
        assert!(output.stdout.len() > 300_000, "{shell:?}: {}", output.stdout.len());
        asks.join().unwrap();
        drop(stdin);
        still.wait_with_output().unwrap();
    }
}

#[test]
fn what_a_command_leaves_behind_hides_nothing_that_it_printed_itself() {
    for shell in SHELLS {
        for text in ["printf begun", "printf 'one\\ntwo'", "seq 1 30; printf end", "sleep 0.05; printf begun"] {
            let home = tempfile::tempdir().unwrap();
            let job = command(&format!("sleep 5 & {text}"));
            let mut child = shell_of(shell, home.path(), true);
            let mut words = child.stdin.take().unwrap();
            words.write_all(&script(&job, Mode::Start)).unwrap();
            let asks = std::thread::spawn(move || {
                for word in ["news\n", "news\n", "now\n"] {
                    std::thread::sleep(Duration::from_millis(200));
                    let _ = words.write_all(word.as_bytes());
                }
                words
            });
            let output = child.wait_with_output().unwrap();
            drop(asks.join().unwrap());
            let own = Command::new("dash").arg("-c").arg(text).output().unwrap().stdout;
            let expected = format!("{}\ndouse:", String::from_utf8(own).unwrap());
            assert!(said(&output, &expected) && said(&output, ":end:exit:0:1:"), "{shell:?} {text}: {output:?}");
        }
    }
}
