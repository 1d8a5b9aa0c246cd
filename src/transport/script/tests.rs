//! The composed scripts, run by the shells that hosts have.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::announce::{Groups, Stage, Stripper};
use super::*;
use crate::inventory::tests::server;
use crate::transport::Permit;

/// Each has its own parser; together they are `/bin/sh` nearly everywhere.
pub(super) const SHELLS: [&[&str]; 3] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"]];

fn job(action: RemoteAction) -> Job {
    Job {
        attempt: AttemptId::new(),
        server: Arc::new(server("web1", "127.0.0.1", 22)),
        action,
        environment: Vec::new(),
        workdir: None,
        become_user: None,
        timeout: Duration::from_secs(10),
        output_bytes_max: 1024,
        permit: Permit::default(),
        hold: crate::transport::Hold::None,
        awaits_reboot: false,
    }
}

pub(super) fn command(text: &str) -> Job {
    job(RemoteAction::Command(text.into()))
}

struct Ran {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
    has_started: bool,
    groups: Groups,
}

/// Sends `text` to a shell's stdin as the transport does.
fn feed(shell: &[&str], text: &[u8]) -> Output {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shell:?}: {error}; install dash, bash and busybox"));
    // A shell that exits early does not read it all.
    let _ = child.stdin.take().unwrap().write_all(text);
    child.wait_with_output().unwrap()
}

fn run_on(shell: &[&str], job: &Job) -> Ran {
    let script = compose(job, None).unwrap();
    let output = feed(shell, script.text.as_bytes());
    let mut stdout = Stripper::new(job.attempt, script.last_stage);
    let mut stderr = Stripper::new(job.attempt, script.last_stage);
    let out = stdout.push(&output.stdout).into_owned();
    let err = stderr.push(&output.stderr).into_owned();
    assert_eq!(stdout.has_started(), stderr.has_started());
    let err = if stderr.has_started() { String::from_utf8_lossy(&err).into_owned() } else { stderr.noise() };
    Ran {
        code: output.status.code(),
        stdout: out,
        stderr: err,
        has_started: stdout.has_started(),
        groups: stdout.groups(),
    }
}

fn on_all(job: &Job, check: impl Fn(&str, Ran)) {
    SHELLS.iter().for_each(|shell| check(shell[0], run_on(shell, job)));
}

#[test]
fn the_recorded_exit_code_is_the_commands_own() {
    for (text, code) in [
        ("true", 0),
        ("false", 1),
        ("exit 7", 7),
        ("(exit 9)", 9),
        ("no-such-program-here", 127),
        ("/etc/passwd", 126),
        ("false; true", 0),
        ("set -e; false; true", 1),
        ("sh -c 'kill -TERM $$'", 143),
        ("", 0),
        ("-x", 127),
        ("exec false", 1),
        ("return 3 2>/dev/null || exit 3", 3),
    ] {
        on_all(&command(text), |shell, ran| {
            assert_eq!((ran.code, ran.has_started), (Some(code), true), "{shell}: {text}: {}", ran.stderr);
        });
    }
}

#[test]
fn a_broken_command_is_its_own_syntax_error_and_cannot_leave_its_place() {
    for text in ["echo 'open", "}; echo out; {", "if true", "echo $(", "cat <<EOF", "a() {", "}", "echo \"", "\\"] {
        on_all(&command(text), |shell, ran| {
            assert!(ran.has_started, "{shell}: {text}");
            assert!(!ran.stdout.windows(3).any(|w| w == b"out"), "{shell}: {text}: {:?}", ran.stdout);
        });
    }
}

#[test]
fn the_command_sees_nothing_of_the_script() {
    let text = "printf '%s|' \"$#\" \"$@\" \"${douse_pg-unset}\"; cat; read -r x || echo eof";
    on_all(&command(text), |shell, ran| assert_eq!(ran.stdout, b"0|unset|eof\n", "{shell}: {}", ran.stderr));
}

#[test]
fn environment_and_folder_are_set_before_the_command() {
    let mut job = command("printf '%s|' \"$A\" \"$B\" \"$PWD\"; sh -c 'printf %s \"$A\"'");
    job.environment =
        vec![("A".into(), "it's $(id) `id` \\ \"\n".into()), ("B".into(), "".into()), ("IFS".into(), ":".into())];
    job.workdir = Some("/usr/lib".into());
    on_all(&job, |shell, ran| {
        let text = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(text, "it's $(id) `id` \\ \"\n||/usr/lib|it's $(id) `id` \\ \"\n", "{shell}: {}", ran.stderr);
        assert!(ran.groups.command.is_some(), "{shell}");
    });
}

#[test]
fn what_goes_wrong_before_the_command_starts_nothing() {
    let missing = Job { workdir: Some("/no/such/folder".into()), ..command("echo ran") };
    let readonly = Job { environment: vec![("UID".into(), "1".into())], ..command("echo ran") };
    on_all(&missing, |shell, ran| {
        assert!(!ran.has_started && ran.code != Some(0), "{shell}");
        assert!(ran.stderr.contains("/no/such/folder"), "{shell}: {}", ran.stderr);
    });
    let ran = run_on(SHELLS[1], &readonly);
    assert!(!ran.has_started && ran.stderr.contains("UID"), "{}", ran.stderr);
}

#[test]
fn argv_is_handed_over_word_by_word() {
    let words = ["printf", "%s|", "a b", "", "it's", "$(id)", "*", "-n", "x\ny", "ü"].map(String::from);
    on_all(&job(RemoteAction::Argv(words.into())), |shell, ran| {
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "a b||it's|$(id)|*|-n|x\ny|ü|", "{shell}: {}", ran.stderr);
    });
    let absent = job(RemoteAction::Argv(vec!["no-such-program-here".into()]));
    on_all(&absent, |shell, ran| assert_eq!((ran.code, ran.has_started), (Some(127), true), "{shell}"));
}

#[test]
fn a_script_runs_under_its_interpreter_with_an_empty_stdin() {
    for (text, interpreter, expected) in [
        ("x=1\ncat\necho \"$x\"\nexit 4", None, "1\n"),
        ("cat\necho \"${BASH_VERSION:+bash} $#\"\nexit 4", Some("bash"), "bash 0\n"),
        ("#!/bin/bash -u\ncat; echo \"${BASH_VERSION:+bash}\"; exit 4", None, "bash\n"),
        ("#!/usr/bin/env -S bash -e\ncat <<'EOF'\nit's $x\nEOF\nexit 4", None, "it's $x\n"),
        ("BEGIN { print \"it's\"; exit 4 }", Some("awk -f"), "it's\n"),
    ] {
        let action = RemoteAction::Script { text: text.into(), interpreter: interpreter.map(Into::into) };
        on_all(&job(action), |shell, ran| {
            let stdout = String::from_utf8_lossy(&ran.stdout);
            assert_eq!((ran.code, stdout.as_ref()), (Some(4), expected), "{shell}: {text}: {}", ran.stderr);
        });
    }
}

#[test]
fn a_script_cut_anywhere_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("ran");
    let job = Job {
        environment: vec![("A".into(), "b\nc".into())],
        ..command(&format!("echo one >> {0}\necho two >> {0}", trace.display()))
    };
    let script = compose(&job, None).unwrap();
    let text = script.text.trim_end().as_bytes();
    for cut in (0..text.len()).step_by(7).chain([text.len() - 1]) {
        let output = feed(SHELLS[cut % 3], &text[..cut]);
        assert!(!trace.exists(), "cut at {cut}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("douse:"), "cut at {cut}");
    }
    feed(SHELLS[0], text);
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "one\ntwo\n", "the whole script runs");
}

#[test]
fn what_no_shell_can_hold_is_refused() {
    let with = |name: &str, value: &str| Job { environment: vec![(name.into(), value.into())], ..command("true") };
    let argv = |words: &[&str]| job(RemoteAction::Argv(words.iter().map(|&w| w.to_owned()).collect()));
    let as_user = |user: &str| Job { become_user: Some(user.into()), ..command("true") };
    for (job, part) in [
        (command("a\0b"), "the command contains a NUL"),
        (with("A", "\0"), "variable `A` contains a NUL"),
        (with("A B", ""), "`A B` is not a name"),
        (with("1A", ""), "`1A` is not a name"),
        (with("A=$(id)", ""), "is not a name"),
        (argv(&[]), "cannot be run"),
        (argv(&["-x"]), "cannot be run"),
        (as_user("-i"), "not a user"),
        (as_user(""), "not a user"),
    ] {
        let error = compose(&job, None).err().expect("refused").to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(compose(&as_user("root"), Some("a\nb")).is_err());
}

#[test]
fn announcements_are_taken_out_of_a_stream_however_it_is_cut() {
    let attempt = AttemptId::new();
    let stream = format!(
        "motd\nlecture douse:{attempt}:login:12\nnoise\ndouse:{attempt}:become:\
                          345\nout\ndouse:{attempt}:become:9\n"
    );
    for size in 1..stream.len() {
        let mut stripper = Stripper::new(attempt, Stage::Become);
        let output: Vec<u8> =
            stream.as_bytes().chunks(size).flat_map(|chunk| stripper.push(chunk).into_owned()).collect();
        assert_eq!(String::from_utf8(output).unwrap(), format!("out\ndouse:{attempt}:become:9\n"), "chunks of {size}");
        assert_eq!(stripper.groups(), Groups { login: Some(12), command: Some(345) });
        assert_eq!(stripper.noise(), "motd\nlecture noise");
    }
}

#[test]
fn a_group_that_would_hit_everyone_is_never_taken() {
    let attempt = AttemptId::new();
    for group in ["", "0", "1", "99999999999999999999"] {
        let mut stripper = Stripper::new(attempt, Stage::Login);
        stripper.push(format!("douse:{attempt}:login:{group}\n").as_bytes());
        assert!(stripper.has_started());
        assert_eq!(stripper.groups().command, None, "{group}");
    }
}

/// A process group of three generations, and its number.
fn group(ignores_term: bool) -> (std::process::Child, u32) {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::CommandExt as _;
    let trap = if ignores_term { "trap '' TERM; " } else { "" };
    let mut child = Command::new("sh")
        .args(["-c", &format!("{trap}(sleep 300 & wait; sleep 300) & echo up; wait; sleep 300")])
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let id = child.id();
    (child, id)
}

#[test]
fn the_kill_script_ends_a_group_and_sees_that_it_is_gone() {
    for shell in SHELLS {
        for (ignores_term, is_stopped) in [(false, false), (true, false), (false, true)] {
            let (mut child, group) = group(ignores_term);
            if is_stopped {
                assert!(Command::new("sh").args(["-c", &format!("kill -STOP -{group}")]).status().unwrap().success());
            }
            let script = kill::compose(group, Duration::from_millis(500), None, None).unwrap();
            // The group's leader is our child: a zombie until it is waited for, which must not count.
            let output = feed(shell, script.text.as_bytes());
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && stdout.ends_with("\ngone\n"), "{shell:?}: {output:?}");
            child.wait().unwrap();
            // Nothing is left to kill: it says so at once.
            let output = feed(shell, script.text.as_bytes());
            assert!(output.status.success(), "{shell:?}: {output:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariant: a value is a value, whatever bytes it holds.
    #[test]
    fn values_never_become_syntax(value in any::<String>(), hostile in "['\"$`\\\\\n(){};&|<>*?~#! a]{0,30}", shell in 0_usize..3) {
        for value in [value.replace('\0', ""), hostile] {
            let mut job = job(RemoteAction::Argv(vec!["printf".into(), "%s|%s".into(), value.clone(), "end".into()]));
            let ran = run_on(SHELLS[shell], &job);
            prop_assert_eq!(ran.stdout, format!("{value}|end").into_bytes());
            job.environment = vec![("V".into(), value.clone())];
            job.action = RemoteAction::Command("printf '%s|end' \"$V\"".into());
            let ran = run_on(SHELLS[shell], &job);
            prop_assert_eq!(ran.stdout, format!("{value}|end").into_bytes());
        }
    }
}
