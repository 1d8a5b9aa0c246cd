//! Everybody at once on PostgreSQL: deliveries, decisions, claims, ends and people take the same turn, so that no two
//! transactions ever wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use douse::config::Role;
use douse::engine::acts::{self, ActError, Person};
use douse::engine::dispatch::start_due;
use douse::engine::people::breakers::{self, BreakerAct};
use douse::engine::people::{blackouts, pauses, servers};
use douse::engine::{gating, matching};
use douse::execution::Status;
use douse::gate::blackout::ServerScope;
use douse::gate::blackout::spec::{BlackoutSpec, DailySpec};
use douse::store::executions::ExecutionRow;
use douse::store::{PauseScope, Store, StoreError, batches};
use douse::transport::fake::Answer;
use serde_json::json;

use super::limits::Storm;
use super::world::{MINUTE, deliver, resolved};
use crate::engine::bench::person;
use crate::store::harness::Fixture;
use crate::support::postgres::Server;

const ROUNDS: usize = 16;
const SERVERS: usize = 8;
const RATE: usize = 30;

/// Nothing may go wrong but that all connections are in use on a slow machine.
fn well<T: Debug>(done: Result<T, StoreError>) {
    if let Err(error) = done {
        assert!(error.to_string().contains("waiting for connection"), "{error}");
    }
}

/// People may come too late; the database may not refuse them.
fn told<T: Debug>(done: Result<T, ActError>) {
    if let Err(ActError::Store(error)) = done {
        well::<T>(Err(error));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_transactions_wait_for_each_other_whatever_happens_at_once() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let store = Store::open(&server.url).await.unwrap();
    let fixture = Fixture { store, url: server.url.clone(), _directory: None };
    let guard = json!({
        "circuit_breaker": {"failure_threshold": 2, "success_threshold": 1, "reset_timeout_seconds": 60},
        "rate_limit": {"count": RATE, "window": "1m"}, "blast_radius": {"min": 6, "percent": 0, "window": "1m"},
    });
    let storm = Storm::new(fixture, guard, SERVERS).await;
    storm.bench.transport.on("fix", (0..400).map(|at| Answer::exit(i32::from(at % 3 == 1))));
    let over = AtomicBool::new(false);
    let world = async {
        tokio::join!(alerts(&storm), people(&storm));
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(
        world,
        decisions(&storm, 0, &over),
        decisions(&storm, 1, &over),
        rechecks(&storm, 0, &over),
        rechecks(&storm, 1, &over),
        dispatch(&storm, &over),
        answers(&storm, &over),
    );
    // What is left over goes on when the storm has passed.
    for _ in 0..4 {
        told(breakers::act(&storm.other, "fix".to_owned(), BreakerAct::Reset, Some("over".to_owned()), &ann()).await);
        storm.advance(MINUTE);
        storm.recheck().await;
        storm.run().await;
    }
    assert!(!server.log().contains("deadlock detected"), "{}", server.log());
    let made = storm.executions().await;
    assert!(made.iter().filter(|row| row.status == Status::Completed).count() > 10, "{:?}", tally(&made));
    assert!(made.iter().any(|row| row.status == Status::Failed), "{:?}", tally(&made));
    let mut of: BTreeMap<_, usize> = BTreeMap::new();
    made.iter().filter_map(|row| row.episode_id).for_each(|episode| *of.entry(episode).or_default() += 1);
    assert!(of.values().all(|count| *count == 1), "{of:?}");
    let mut starts: Vec<_> = made.iter().filter_map(|row| row.started_at).collect();
    starts.sort();
    for (first, last) in starts.iter().zip(starts.iter().skip(RATE)) {
        assert!(last.since(*first) >= MINUTE, "{} starts from {first} to {last}", RATE + 1);
    }
}

fn ann() -> Person {
    person("ann", Role::Admin)
}

fn tally(made: &[ExecutionRow]) -> BTreeMap<&'static str, usize> {
    let mut tally = BTreeMap::new();
    made.iter().for_each(|row| *tally.entry(row.status.as_str()).or_default() += 1);
    tally
}

/// Alerts come, and those of eight rounds ago resolve, while time goes on.
async fn alerts(storm: &Storm) {
    for round in 0..ROUNDS {
        storm.strike(&format!("round {round}"), 0..SERVERS).await;
        storm.advance(Duration::from_secs(7));
        if let Some(before) = round.checked_sub(8) {
            let now = storm.bench.engine.clock.now();
            let over = |number| resolved(Storm::labels(&format!("round {before}"), number), now.minus(MINUTE / 2), now);
            deliver(&storm.bench.engine.ingest, (0..SERVERS).rev().map(over).collect(), now).await;
        }
    }
}

async fn decisions(storm: &Storm, engine: usize, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        well(matching::decide_waiting(storm.engines()[engine]).await);
    }
}

async fn rechecks(storm: &Storm, engine: usize, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        well(gating::recheck_due(storm.engines()[engine]).await);
    }
}

async fn dispatch(storm: &Storm, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        for engine in storm.engines() {
            well(start_due(engine, &storm.bench.tasks).await);
        }
    }
    storm.run().await;
}

/// Everything that people can change, on and off again.
async fn people(storm: &Storm) {
    let ann = ann();
    let why = || Some("storm".to_owned());
    for at in 0..ROUNDS {
        let engine = storm.engines()[at % 2];
        let scope = || pauses::Scope { scope: PauseScope::Server, name: format!("s{}", at % SERVERS) };
        told(pauses::pause(engine, scope(), None, why(), &ann).await);
        told(servers::set_maintenance(engine, format!("s{}", (at + 1) % SERVERS), true, why(), &ann).await);
        let act = if at % 6 == 3 { BreakerAct::Open } else { BreakerAct::Reset };
        told(breakers::act(engine, "fix".to_owned(), act, why(), &ann).await);
        let daily = Some(DailySpec { start: "00:00".to_owned(), end: "24:00".to_owned() });
        let some = ServerScope { names: vec![format!("s{}", (at + 2) % SERVERS)], ..ServerScope::default() };
        let spec = BlackoutSpec { name: format!("freeze {at}"), daily, servers: some, ..BlackoutSpec::default() };
        let made = blackouts::create(engine, spec, &ann).await;
        if let Ok(row) = &made {
            told(blackouts::delete(engine, row.id, &ann).await);
        }
        told(made);
        told(servers::set_maintenance(engine, format!("s{}", (at + 1) % SERVERS), false, why(), &ann).await);
        told(pauses::resume(engine, scope(), &ann).await);
        told(breakers::act(engine, "fix".to_owned(), BreakerAct::Close, why(), &ann).await);
    }
}

/// People answer what waits, and cancel now and then.
async fn answers(storm: &Storm, over: &AtomicBool) {
    let ann = ann();
    for at in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let engine = storm.engines()[at % 2];
        let pending: Vec<_> =
            storm.executions().await.into_iter().filter(|row| row.status == Status::Pending).take(4).collect();
        let batches: BTreeSet<_> = pending.iter().filter_map(|row| row.batch_id).collect();
        for batch in batches {
            let row = engine.store.read(move |db| batches::get(db, batch)).await.unwrap();
            told(acts::approve_batch(engine, batch, &ann, Some(acts::shown_hash(&row)), None).await);
        }
        for row in pending {
            let act = if at % 4 == 0 {
                acts::cancel(engine, row.id, &ann, None).await
            } else {
                acts::approve(engine, row.id, &ann, None, None).await
            };
            told(act);
        }
    }
}
