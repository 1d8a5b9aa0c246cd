//! One round: the hosts, the engines, and who kills them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use douse::failpoint::{ALL, ATTEMPT_INTENDED, ATTEMPT_REATTACHED, SHUTDOWN_DRAINING, UNDO_INTENDED, UNDO_REATTACHED};
use oorandom::Rand64;
use tempfile::TempDir;

use crate::support::engine::{Engine, Setup};
use crate::support::program::Program;
use crate::support::sshd::{self, Sshd};

use super::client::History;
use super::{below, check};

/// Servers of the inventory; one sshd plays all of them, and each command names its own.
pub const SERVERS: usize = 4;
/// The variable that arms one of the named points.
const FAILPOINT: &str = "DOUSE_FAILPOINT";
/// A step: name, seconds, exit code, idempotent.
type Step = (&'static str, &'static str, u8, bool);
/// Runbooks and their steps.
pub const KINDS: [(&str, &[Step]); 4] = [
    ("steady", &[("one", "0.05", 0, false), ("two", "0.3", 0, false), ("three", "0", 0, false)]),
    ("slow", &[("one", "1.2", 0, false), ("two", "0", 3, false)]),
    ("broken", &[("one", "0", 0, false), ("two", "0.2", 0, false), ("three", "0.1", 1, false)]),
    ("again", &[("one", "0.2", 0, true), ("two", "0.4", 0, true), ("three", "0", 1, true)]),
];
/// What an engine may claim before its word is doubted; a stopped one is stopped for three of them.
const LEASE: Duration = Duration::from_secs(2);
/// Nothing on a host takes longer: after so long a command that nobody watches has ended.
const LONGEST: Duration = Duration::from_secs(2);
/// Kills go on until so many alerts were accepted.
const ALERTS_MIN: usize = 15;
/// How long everything may take to come to rest once nobody kills any more.
const REST: Duration = Duration::from_secs(150);

const EFFECT: &str = r#"#!/bin/sh
# effect STEP SERVER SECONDS CODE: appends what it does to a log, under a lock
here=$(dirname "$0")
log() { flock "$here/lock" sh -c 'printf "%s\n" "$1" >>"$2"' - "$1" "$here/effects"; }
log "$DOUSE_EXECUTION_ID $DOUSE_ATTEMPT_ID $1 $2 start $(date +%s%N) $$"
[ "$3" = 0 ] || sleep "$3"
log "$DOUSE_EXECUTION_ID $DOUSE_ATTEMPT_ID $1 $2 end $(date +%s%N) $4"
exit "$4"
"#;

/// The hosts and the engines of a round.
pub struct World {
    host: TempDir,
    _sshd: Sshd,
    engines: Vec<Engine>,
    seeds: Vec<u64>,
}

impl World {
    /// `replicas` engines on `storage`, or one on SQLite.
    pub fn new(random: &mut Rand64, replicas: usize, storage: Option<String>) -> Self {
        let host = TempDir::with_prefix("douse-crash-").unwrap();
        fs::set_permissions(host.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let effect = host.path().join("effect");
        fs::write(&effect, EFFECT).unwrap();
        fs::set_permissions(&effect, fs::Permissions::from_mode(0o755)).unwrap();
        let sshd = Sshd::start();
        let engines = (0..replicas).map(|_| {
            let setup = (0..SERVERS).fold(Engine::setup().lease(&format!("{}s", LEASE.as_secs())), |setup, n| {
                setup.server(sshd.server_yaml(&format!("web{n}")))
            });
            let setup = KINDS.iter().fold(setup, |setup, (name, _)| {
                setup.runbook(&format!("{name}.yml"), &runbook(name, &effect.display().to_string()))
            });
            let setup = setup.config(
                "limits: {recently_remediated: 0s, attempts: {count: 0, window: 1h}, executions_per_hour: 0, \
                 blast_radius: {min: 0, percent: 0, window: 10m}}",
            );
            storage.iter().fold(setup, |setup, url| Setup::storage(setup, url)).write()
        });
        let engines = engines.collect();
        let seeds = (0..=replicas).map(|_| random.rand_u64()).collect();
        Self { host, _sshd: sshd, engines, seeds }
    }

    /// Kills for `faults`, most often at `focus` if there is one, lets everything come to rest, and checks. Answers what happened, in words.
    pub fn run(mut self, random: &mut Rand64, faults: Duration, focus: Option<&'static str>) -> String {
        let history = History::default();
        let urls: Vec<String> = self.engines.iter().map(|engine| engine.url.clone()).collect();
        let (are_faults_over, kills) = (AtomicBool::new(false), AtomicU32::new(0));
        let is_over = || are_faults_over.load(Ordering::Relaxed);
        let mut other = || Rand64::new(u128::from(random.rand_u64()));
        let (mut client, mut people, mut cutter) = (other(), other(), other());
        let url = self.engines[0].storage();
        // Of replicas one is stopped at a time: with all of them nothing would happen.
        let turn = (self.engines.len() > 1).then(|| Mutex::new(()));
        std::thread::scope(|scope| {
            for (engine, seed) in self.engines.iter_mut().zip(&self.seeds) {
                let (seed, turn, kills, is_over, history) = (*seed, &turn, &kills, &is_over, &history);
                let has_begun = || history.accepted() > 0;
                scope.spawn(move || {
                    torment(engine, Rand64::new(u128::from(seed)), turn.as_ref(), is_over, &has_begun, kills, focus);
                });
            }
            let (history, urls, is_over) = (&history, &urls, &is_over);
            scope.spawn(move || history.post(&mut client, urls, is_over));
            scope.spawn(move || {
                while !is_over() {
                    // The other one of two, if this one is down.
                    let _ = urls.iter().find_map(|url| history.attend(url, Some(&mut people)));
                    std::thread::sleep(Duration::from_millis(150));
                }
            });
            if turn.is_some() {
                let database = &url;
                scope.spawn(move || {
                    while !is_over() {
                        std::thread::sleep(Duration::from_millis(cutter.rand_range(1_000..5_000)));
                        cut(database);
                    }
                });
            }
            let begun = Instant::now();
            // A machine that is busy has to get somewhere, too.
            let is_enough = || history.accepted() >= ALERTS_MIN || begun.elapsed() > 8 * faults;
            while begun.elapsed() < faults || !is_enough() {
                std::thread::sleep(Duration::from_millis(50));
            }
            are_faults_over.store(true, Ordering::Relaxed);
        });
        let rested = self.rest(&history);
        for engine in &mut self.engines {
            engine.stop();
        }
        for engine in &self.engines {
            let log = engine.log();
            // Two who write one execution at once is no defect: the second reads it again. Ending over it is.
            for defect in ["deadlock detected", "error: such a row exists", "panicked at", "refused a query of ours"] {
                assert!(!log.contains(defect), "an engine said `{defect}`: {log}");
            }
        }
        let effects = fs::read_to_string(self.host.path().join("effects")).unwrap_or_default();
        let made = history.made.lock().unwrap();
        let said = check::all(&url, &made, &effects);
        format!("{} kills, {said}, at rest after {:.1} s", kills.load(Ordering::Relaxed), rested.as_secs_f32())
    }

    /// Until nothing moves any more. People free what waits for them, once what was left on a host has ended.
    fn rest(&mut self, history: &History) -> Duration {
        for engine in &mut self.engines {
            engine.start();
        }
        let begun = Instant::now();
        std::thread::sleep(LONGEST);
        let mut quiet = 0;
        loop {
            let url = &self.engines[0].url;
            let unsettled = history.attend(url, None).expect("the engine answers");
            let waiting = self.engines[0].get("/api/v1/decisions?verdict=held&limit=1");
            let undecided = self.engines[0].get("/api/v1/episodes?limit=200");
            let is_undecided = |episode: &serde_json::Value| episode["decide_state"] == "undecided";
            let held = waiting["items"].as_array().unwrap().len();
            let undecided =
                undecided["items"].as_array().unwrap().iter().filter(|episode| is_undecided(episode)).count();
            quiet = if unsettled + held + undecided == 0 { quiet + 1 } else { 0 };
            if quiet == 3 {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < REST,
                "not at rest after {REST:?}: {unsettled} executions, {held} held decisions, {undecided} undecided episodes"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for World {
    /// Keeps what a failed round leaves.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let kept = TempDir::with_prefix("douse-crash-failed-").unwrap().keep();
        let copy = |from: PathBuf, to: &str| {
            let _ = Command::new("cp").arg("-r").arg(from).arg(kept.join(to)).status();
        };
        copy(self.host.path().join("effects"), "effects");
        for (number, engine) in self.engines.iter().enumerate() {
            copy(engine.folder().to_owned(), &format!("engine{number}"));
        }
        let url = self.engines[0].storage();
        if url.starts_with("postgres") {
            let _ = Command::new("pg_dump").arg("-d").arg(&url).arg("-f").arg(kept.join("database.sql")).status();
        }
        eprintln!("what is left of the round: {}", kept.display());
    }
}

/// Starts an engine, and kills it: after a while, or at a boundary of its own.
fn torment(
    engine: &Engine,
    mut random: Rand64,
    turn: Option<&Mutex<()>>,
    is_over: &(impl Fn() -> bool + ?Sized),
    has_begun: &(impl Fn() -> bool + ?Sized),
    kills: &AtomicU32,
    focus: Option<&'static str>,
) {
    while !is_over() {
        let failpoint = failpoint(&mut random, focus);
        let armed: Vec<_> =
            failpoint.iter().map(|(name, count)| (FAILPOINT.to_owned(), format!("{name}:{count}"))).collect();
        let mut program = engine.spawn_with(&armed);
        // Longer each time, or a machine that is busy would never get an engine to its first answer.
        let patience = if has_begun() { 25 } else { 250 } * u64::from(kills.load(Ordering::Relaxed));
        let is_about = |(name, _)| focus.is_some_and(|focus| name == focus || Some(name) == leading_to(focus));
        let until_it_is_passed = if failpoint.is_some_and(is_about) { 5_000 } else { 0 };
        let lives = Duration::from_millis(250 + random.rand_range(0..2_500) + patience + until_it_is_passed);
        let begun = Instant::now();
        while begun.elapsed() < lives && !is_over() && !program.has_ended() {
            std::thread::sleep(Duration::from_millis(2));
        }
        if is_over() {
            break;
        }
        kills.fetch_add(1, Ordering::Relaxed);
        match random.rand_range(0..8) {
            0 if !program.has_ended() => drain(&program, &mut random),
            _ if failpoint.is_some_and(|(name, _)| name == SHUTDOWN_DRAINING) => drain(&program, &mut random),
            1 if !program.has_ended() => {
                if let Some(Ok(_turn)) = turn.map(Mutex::try_lock) {
                    pause(&program, is_over);
                }
            }
            _ => {}
        }
        if let Some((name, _)) = failpoint.filter(|_| has_aborted(&mut program)) {
            *ended_at().entry(name).or_default() += 1;
        }
        program.kill();
        std::thread::sleep(Duration::from_millis(random.rand_range(0..200)));
    }
}

/// A named point ends its engine in this way.
fn has_aborted(program: &mut Program) -> bool {
    const SIGABRT: i32 = 6;
    program.ended().is_some_and(|status| status.signal() == Some(SIGABRT))
}

/// A SIGTERM, and the kill before it is done.
fn drain(program: &Program, random: &mut Rand64) {
    sshd::kill("TERM", program.pid());
    std::thread::sleep(Duration::from_millis(random.rand_range(0..400)));
}

/// Stands still until everybody has given it up, then goes on as if nothing had been.
fn pause(program: &Program, is_over: &(impl Fn() -> bool + ?Sized)) {
    sshd::kill("STOP", program.pid());
    let begun = Instant::now();
    while begun.elapsed() < 3 * LEASE && !is_over() {
        std::thread::sleep(Duration::from_millis(20));
    }
    sshd::kill("CONT", program.pid());
    std::thread::sleep(Duration::from_millis(700));
}

/// Ends all connections to the database, whatever they are about.
fn cut(url: &str) {
    let ended = Command::new("psql")
        .args(["-X", "-q", "-t", "-d", url, "-c"])
        .arg("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .output()
        .expect("psql is not installed: apt-get install postgresql");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Nothing, or in a build that has them, one of the named points and the pass at which it ends the engine.
fn failpoint(random: &mut Rand64, focus: Option<&'static str>) -> Option<(&'static str, u64)> {
    let (at, count) = (below(random, 2 * ALL.len()), 1 + random.rand_range(0..4));
    let point = match focus {
        Some(focus) if at % 4 == 1 => Some((leading_to(focus).unwrap_or(focus), 1)),
        Some(focus) if at % 4 > 1 => Some((focus, 1)),
        _ => ALL.get(at).map(|name| (*name, count)),
    };
    point.filter(|_| cfg!(feature = "failpoints"))
}

/// Where an engine has to end for another to come to `point`.
fn leading_to(point: &str) -> Option<&'static str> {
    match point {
        ATTEMPT_REATTACHED => Some(ATTEMPT_INTENDED),
        UNDO_REATTACHED => Some(UNDO_INTENDED),
        _ => None,
    }
}

/// How often an engine ended at which point, in all rounds so far.
pub fn ended_at() -> MutexGuard<'static, BTreeMap<&'static str, u32>> {
    static ENDED: Mutex<BTreeMap<&'static str, u32>> = Mutex::new(BTreeMap::new());
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runbook(name: &str, effect: &str) -> String {
    let (_, steps) = KINDS.iter().find(|(kind, _)| *kind == name).unwrap();
    let steps: String = steps
        .iter()
        .map(|(step, seconds, code, idempotent)| {
            format!(
                "  - {{name: {step}, id: {step}, idempotent: {idempotent}, timeout_seconds: 20, \
                 command: \"{effect} {step} {{{{ server.name }}}} {seconds} {code}\", \
                 rollback_command: \"{effect} undo-{step} {{{{ server.name }}}} 0 0\"}}\n"
            )
        })
        .collect();
    format!(
        "name: {name}\ndescription: For the crash harness\nmode: auto\n\
         guard: {{circuit_breaker: {{failure_threshold: 1000}}, rate_limit: {{count: 100000, window: 1h}}, max_queue_age: 1d}}\n\
         steps:\n{steps}triggers:\n  - {{name: fires, alert_name_pattern: {name}, cooldown_seconds: 0}}\n"
    )
}

impl Engine {
    /// URL of its database, for who looks into it when it is down.
    fn storage(&self) -> String {
        let config = fs::read_to_string(self.config_file()).unwrap();
        let url = config.split("storage: {url: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let path = |path: &str| -> PathBuf { self.folder().join(path) };
        url.strip_prefix("sqlite://")
            .map_or_else(|| url.to_owned(), |file| format!("sqlite://{}", path(file).display()))
    }
}
