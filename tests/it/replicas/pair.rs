//! Two engines on one database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use douse::clock::Clock;
use douse::config::Role;
use douse::engine::dispatch::start_due;
use douse::engine::{Engine, acts, gating, matching, recover, replica};
use douse::execution::Status;
use douse::id::{EpisodeId, ExecutionId};
use douse::store::changes::{self, Changed};
use douse::store::executions::ExecutionFilter;
use douse::store::{Db, DecisionVerdict, Page, Store, decisions, events, executions, leases};
use douse::transport::fake::{Answer, FakeTransport};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::engine::bench::{Bench, Setup, person};
use crate::gates::world::{deliver, firing, noon};
use crate::store::harness::{Fixture, on_both_engines};

const HOUR: Duration = Duration::from_secs(3_600);
const LIMIT: Duration = Duration::from_secs(30);

const TWO: &str = "name: two
description: Two steps
mode: auto
steps:
  - {id: one, name: One, command: do one, idempotent: true}
  - {id: two, name: Two, command: do two}
";

/// A second engine with a transport of its own, so that it is known who ran what.
struct Other {
    engine: Arc<Engine>,
    transport: Arc<FakeTransport>,
    tasks: TaskTracker,
}

impl Other {
    async fn new(bench: &Bench, lease: Duration) -> Self {
        let transport = Arc::new(FakeTransport::new());
        let engine = bench.replica_over(Arc::clone(&transport), lease).await;
        Self { engine, transport, tasks: TaskTracker::new() }
    }

    async fn take_up(&self) -> usize {
        recover::take_up(&self.engine, &self.tasks).await.unwrap()
    }
}

/// Waits for `is`.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < LIMIT, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The lease of a replica is over, by the database's time.
async fn let_expire(store: &Store, engine: &Engine) {
    let sql =
        format!("UPDATE replicas SET lease_until = '2020-01-01T00:00:00.000000Z' WHERE id = '{}'", engine.replica.id);
    let done = store.write(move |db| {
        match db {
            Db::Sqlite(c) => c.batch_execute(&sql)?,
            Db::Pg(c) => c.batch_execute(&sql)?,
        }
        Ok(())
    });
    done.await.unwrap();
}

async fn events_of(store: &Store, id: ExecutionId) -> usize {
    store.read(move |db| events::load(db, id)).await.unwrap().len()
}

fn alert(server: usize) -> Value {
    let labels = json!({"alertname": "Down", "instance": format!("s{server}:9100")});
    firing(labels.as_object().unwrap().clone(), noon())
}

async fn open(fixture: Fixture, servers: usize) -> Bench {
    let runbook = json!({
        "name": "fix", "description": "Puts it right", "mode": "auto",
        "guard": {"recently_remediated": "0s", "attempts": {"count": 0, "window": "1h"}, "blast_radius": {"min": 0, "percent": 0}},
        "steps": [{"name": "Fix", "command": "fix it"}],
        "triggers": [{"name": "down", "alert_name_pattern": "Down"}],
    });
    let list: Vec<Value> = (0..servers)
        .map(|n| json!({"name": format!("s{n}"), "hostname": format!("s{n}"), "auth_type": "agent"}))
        .collect();
    let setup = Setup {
        runbooks: vec![runbook.to_string()],
        limits: "executions: 0, executions_per_hour: 0".to_owned(),
        servers: json!({ "servers": list }).to_string(),
        clock: Clock::manual(noon()),
        ..Setup::default()
    };
    Bench::open(fixture, setup).await
}

on_both_engines! {
    async fn each_alert_has_one_decision_one_execution_and_one_start(fixture: Fixture) {
        const ALERTS: usize = 30;
        let bench = open(fixture, ALERTS).await;
        let other = Other::new(&bench, HOUR).await;
        for engine in [&bench.engine, &other.engine] {
            replica::look(engine).await.unwrap();
        }
        let episodes: Vec<EpisodeId> = deliver(&bench.engine.ingest, (0..ALERTS).map(alert).collect(), noon()).await;
        let (one, two) = tokio::join!(matching::decide_waiting(&bench.engine), matching::decide_waiting(&other.engine));
        one.unwrap();
        two.unwrap();
        let decided = bench.store.read(move |db| {
            episodes.iter().map(|episode| decisions::of_episode(db, *episode)).collect::<Result<Vec<_>, _>>()
        });
        for rows in decided.await.unwrap() {
            assert!(matches!(rows.as_slice(), [one] if one.execution_id.is_some()), "{rows:#?}");
        }
        // What one made is left to it for a while; by then both are after everything.
        bench.engine.clock.advance(Duration::from_secs(4));
        let all = || async {
            let page = Page { before: None, limit: 200 };
            bench.store.read(move |db| executions::list(db, &ExecutionFilter::default(), page)).await.ok().map(|paged| paged.rows)
        };
        until("all have ended", async || {
            let (one, two) =
                tokio::join!(start_due(&bench.engine, &bench.tasks), start_due(&other.engine, &other.tasks));
            // On a busy machine there may be no connection left; there is at the next look.
            let _looks_again = (one, two);
            all().await.is_some_and(|rows| rows.iter().all(|(row, _)| row.status == Status::Completed))
        })
        .await;
        assert_eq!(all().await.unwrap().len(), ALERTS);
        let mut starts: BTreeMap<String, usize> = BTreeMap::new();
        for call in bench.transport.calls().into_iter().chain(other.transport.calls()) {
            *starts.entry(call.job.server.name.clone()).or_default() += 1;
        }
        assert!(starts.len() == ALERTS && starts.values().all(|count| *count == 1), "{starts:?}");
    }

    async fn what_a_replica_made_is_left_to_it_for_a_moment(fixture: Fixture) {
        let bench = open(fixture, 3).await;
        let other = Other::new(&bench, HOUR).await;
        replica::look(&other.engine).await.unwrap();
        deliver(&bench.engine.ingest, (0..3).map(alert).collect(), noon()).await;
        matching::decide_waiting(&bench.engine).await.unwrap();
        assert_eq!(start_due(&other.engine, &other.tasks).await.unwrap(), 0);
        bench.engine.clock.advance(Duration::from_secs(4));
        assert_eq!(start_due(&other.engine, &other.tasks).await.unwrap(), 3);
        until("they have run", async || other.transport.calls().len() == 3).await;
    }

    async fn what_a_replica_that_was_given_up_ran_is_gone_on_with_once_and_it_writes_nothing_more(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do one", [Answer::exit(0).after(Duration::from_millis(400)), Answer::exit(0)]);
        let other = Other::new(&bench, HOUR).await;
        let id = bench.execution("two", "web1", &[]).await;
        bench.start(id).await;
        until("the first step is under way", async || !bench.transport.calls().is_empty()).await;
        replica::look(&other.engine).await.unwrap();
        assert_eq!(other.take_up().await, 0, "its lease is not over");

        let_expire(&bench.store, &bench.engine).await;
        replica::look(&other.engine).await.unwrap();
        assert_eq!(other.take_up().await, 1);
        assert_eq!(bench.settled(id).await.status(), Status::Completed);
        let events = events_of(&bench.store, id).await;
        // The first engine's step ends now, and with it its run: the write is refused.
        bench.idle(id).await;
        assert_eq!(bench.transport.commands(), ["do one"], "it started nothing any more");
        assert_eq!(other.transport.commands(), ["do one", "do two"]);
        assert_eq!(events_of(&bench.store, id).await, events);
        let lease = bench.store.read(move |db| leases::get(db, id)).await.unwrap();
        assert_eq!((lease.replica_id, lease.fence), (Some(other.engine.replica.id), 3), "claimed, disowned, taken up");
        // It hears of it, comes back with nothing, and can work again.
        replica::renew(&bench.engine).await.unwrap();
        let next = bench.execution("two", "web1", &[]).await;
        assert_eq!(bench.run(next).await.status(), Status::Completed);
    }

    async fn a_replica_that_hears_that_it_was_given_up_lets_go_at_once(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do one", [Answer::endless()]);
        let other = Other::new(&bench, HOUR).await;
        let id = bench.execution("two", "web1", &[]).await;
        bench.start(id).await;
        until("the first step is under way", async || !bench.transport.calls().is_empty()).await;
        let_expire(&bench.store, &bench.engine).await;
        replica::look(&other.engine).await.unwrap();
        replica::renew(&bench.engine).await.unwrap();
        bench.idle(id).await;
        assert_eq!(other.take_up().await, 1);
        assert_eq!(bench.settled(id).await.status(), Status::Completed);
        assert_eq!(recover::take_up(&bench.engine, &bench.tasks).await.unwrap(), 0);
    }

    async fn nothing_starts_on_a_host_while_the_lease_is_in_doubt(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        let slow = Other::new(&bench, Duration::from_millis(900)).await;
        until("its own word is not good any more", async || !slow.engine.replica.tenure().is_valid()).await;
        let id = bench.execution("two", "web1", &[]).await;
        let policy = slow.engine.policy();
        let author = douse::engine::record::Author { policy, ..douse::engine::record::Author::engine(&slow.engine) };
        let claimed = bench.store.write(move |db| {
            let loaded = douse::engine::record::load(db, id)?;
            douse::engine::record::claim(db, loaded, &author).map(|claimed| claimed.is_ok())
        });
        assert!(claimed.await.unwrap(), "nobody has buried it");
        let (engine, cancel) = (Arc::clone(&slow.engine), slow.engine.in_flight.enter(id, "two", "web-1").unwrap());
        slow.tasks.spawn(async move { douse::engine::execute::run(&engine, id, cancel).await });
        bench.until(id, |shown| !shown.attempts.is_empty()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(slow.transport.commands(), Vec::<String>::new(), "the intent is written, and nothing is sent");
        replica::renew(&slow.engine).await.unwrap();
        until("it goes on", async || !slow.transport.commands().is_empty()).await;
    }

    async fn a_replica_that_leaves_gives_back_what_it_holds_at_once(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do one", [Answer::endless()]);
        let other = Other::new(&bench, HOUR).await;
        let id = bench.execution("two", "web1", &[]).await;
        bench.start(id).await;
        until("the first step is under way", async || !bench.transport.calls().is_empty()).await;
        replica::leave(&bench.engine).await.unwrap();
        assert_eq!(other.take_up().await, 1);
        assert_eq!(bench.settled(id).await.status(), Status::Completed);
    }

    async fn one_replica_keeps_house_and_another_follows_when_it_is_gone(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        let other = Other::new(&bench, HOUR).await;
        for _ in 0..2 {
            let (one, two) = tokio::join!(replica::look(&bench.engine), replica::look(&other.engine));
            one.unwrap();
            two.unwrap();
        }
        let keeps = [&bench.engine, &other.engine].map(|engine| engine.replica.keeps_house());
        assert_eq!(keeps.iter().filter(|keeps| **keeps).count(), 1, "{keeps:?}");
        let (first, second) = if keeps[0] { (&bench.engine, &other.engine) } else { (&other.engine, &bench.engine) };
        let_expire(&bench.store, first).await;
        replica::look(second).await.unwrap();
        assert!(second.replica.keeps_house());
        // The first comes back, and is one of those that do not.
        replica::renew(first).await.unwrap();
        replica::look(first).await.unwrap();
        assert!(!first.replica.keeps_house() && second.replica.keeps_house());
    }

    async fn a_cancel_at_one_replica_stops_the_run_at_the_other(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do one", [Answer::endless()]);
        let other = Other::new(&bench, HOUR).await;
        let id = bench.execution("two", "web1", &[]).await;
        bench.start(id).await;
        until("the first step is under way", async || !bench.transport.calls().is_empty()).await;
        acts::cancel(&other.engine, id, &person("ann", Role::Admin), None).await.unwrap();
        assert_eq!(bench.settled(id).await.status(), Status::Cancelled);
        assert_eq!(bench.transport.commands(), ["do one"]);
    }

    async fn what_one_replica_reads_anew_the_other_does_too(fixture: Fixture) {
        let bench = Bench::new(fixture, &[TWO]).await;
        let other = Other::new(&bench, HOUR).await;
        for engine in [&bench.engine, &other.engine] {
            replica::look(engine).await.unwrap();
        }
        let before = other.engine.policy().version.clone();
        bench.reload(&[TWO.to_owned(), TWO.replace("name: two", "name: three")]).await;
        let version = bench.engine.policy().version.clone();
        assert_ne!(version, before);
        replica::renew(&bench.engine).await.unwrap();
        replica::look(&bench.engine).await.unwrap();
        assert_eq!(bench.engine.replica.others().differing.len(), 1, "the other has not followed yet");
        replica::look(&other.engine).await.unwrap();
        assert_eq!(other.engine.policy().version, version);
        // Servers that people made are in the database alone.
        bench.store.write(|db| changes::note(db, Changed::Servers)).await.unwrap();
        let old = Arc::as_ptr(&other.engine.policy());
        replica::look(&other.engine).await.unwrap();
        assert_ne!(Arc::as_ptr(&other.engine.policy()), old);
        replica::renew(&other.engine).await.unwrap();
        replica::look(&bench.engine).await.unwrap();
        assert!(bench.engine.replica.others().differing.is_empty());
    }

    async fn while_the_clock_is_doubted_nothing_runs_by_itself(fixture: Fixture) {
        let bench = open(fixture, 2).await;
        let engine = &bench.engine;
        let decision = async |episode: EpisodeId| {
            bench.store.read(move |db| decisions::of_episode(db, episode)).await.unwrap().remove(0)
        };
        replica::look(engine).await.unwrap();
        engine.clock.advance(Duration::from_secs(60));
        replica::look(engine).await.unwrap();
        assert!(engine.replica.clock_doubt().is_some_and(|doubt| doubt.contains("s ahead")));
        let episode = deliver(&bench.engine.ingest, vec![alert(0)], engine.clock.now()).await[0];
        matching::decide_waiting(engine).await.unwrap();
        let held = decision(episode).await;
        assert_eq!((held.verdict, held.hold_reason.as_deref()), (DecisionVerdict::Held, Some("clock_doubted")));
        // A person says that the time is right.
        engine.reload("ann").await.unwrap();
        replica::look(engine).await.unwrap();
        assert_eq!(engine.replica.clock_doubt(), None);
        gating::recheck_due(engine).await.unwrap();
        assert_eq!(decision(episode).await.verdict, DecisionVerdict::Allowed);
    }
}
