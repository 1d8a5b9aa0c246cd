//! The crash harness: `kill -9` at any instant, and then a look at everything.
//!
//! A round starts the real engine (or two replicas on one PostgreSQL), real sshd, and a client that posts alerts with ids of
//! its own as Alertmanager would, repeating what was not answered 2xx. Meanwhile the engines are killed at random
//! instants and at the durable boundaries of `douse::failpoint`; of replicas some are stopped for longer than their lease
//! and go on, and their connections to the database are cut. The hosts' commands append what they do to a log that
//! the engine cannot reach. When the faults end, everything has to reach a final state or wait for a person; then
//! [`check`] compares the client's history, the database and the log.
//!
//! `scripts/crash N` runs N rounds on each database, `DOUSE_CRASH_JOBS` at a time; `DOUSE_CRASH_SEED` repeats a round's
//! choices (not its instants to the microsecond: those are the kernel's). A round that fails leaves the engines' folders,
//! the database and the log of effects in a folder that it names.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod check;
mod client;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod support;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use douse::failpoint::ALL;
use oorandom::Rand64;

use crate::support::postgres;
use world::World;

/// Rounds that each run of the tests does; `scripts/crash` asks for more.
const ROUNDS: u64 = 2;
/// How long engines are killed in one round.
const FAULTS: Duration = Duration::from_secs(9);
/// In so many rounds each of the named points has ended an engine.
const ROUNDS_FOR_ALL_POINTS: u64 = 100;

#[test]
fn sqlite_loses_nothing_and_does_nothing_twice() {
    rounds("SQLite", 1, || None);
}

#[test]
fn two_replicas_on_postgresql_lose_nothing_and_do_nothing_twice() {
    rounds("PostgreSQL", 2, || Some(postgres::database()));
}

/// Every fourth round kills at one of the named points above all, each in its turn.
fn focus(seed: u64) -> Option<&'static str> {
    let turn = usize::try_from(seed / 4).unwrap() % ALL.len();
    seed.is_multiple_of(4).then(|| ALL[turn])
}

/// A number below `count`.
fn below(random: &mut Rand64, count: usize) -> usize {
    usize::try_from(random.rand_range(0..u64::try_from(count).unwrap())).unwrap()
}

fn rounds(database: &str, replicas: usize, storage: impl Fn() -> Option<String> + Sync) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if std::env::var("DOUSE_CRASH_DATABASE").is_ok_and(|only| !only.eq_ignore_ascii_case(database)) {
        return;
    }
    let rounds = number("DOUSE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let first = number("DOUSE_CRASH_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) << 8
    });
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..number("DOUSE_CRASH_JOBS").unwrap_or(1) {
            scope.spawn(|| {
                while let Some(round) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|round| *round < rounds) {
                    let seed = first + round;
                    eprintln!("{database}: round {} of {rounds}, DOUSE_CRASH_SEED={seed}", round + 1);
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        let mut random = Rand64::new(u128::from(seed));
                        World::new(&mut random, replicas, storage()).run(&mut random, FAULTS, focus(seed))
                    }));
                    let said = done.unwrap_or_else(|panic| {
                        eprintln!("{database}: FAILED, DOUSE_CRASH_SEED={seed}");
                        next.store(rounds, Ordering::Relaxed);
                        resume_unwind(panic)
                    });
                    eprintln!("{database}: DOUSE_CRASH_SEED={seed}: {said}");
                }
            });
        }
    });
    let ended = std::mem::take(&mut *world::ended_at());
    eprintln!("{database}: ended at the named points: {ended:?}");
    let never: Vec<_> = ALL.iter().filter(|name| !ended.contains_key(*name)).collect();
    assert!(rounds < ROUNDS_FOR_ALL_POINTS || never.is_empty(), "no engine ended at {never:?}: is it still passed?");
}
