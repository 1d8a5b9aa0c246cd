//! Limits while many decide, claim and end at once: two engines share the database, as replicas do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use douse::clock::Clock;
use douse::config::Role;
use douse::engine::acts::ActError;
use douse::engine::dispatch::start_due;
use douse::engine::gating::{self, RunRequest};
use douse::engine::{Engine, acts, matching};
use douse::execution::{Origin, Status};
use douse::gate::circuit_breaker::BreakerState;
use douse::id::EpisodeId;
use douse::store::executions::{ExecutionFilter, ExecutionRow};
use douse::store::{DecisionVerdict, Page, batches, breakers, decisions, executions};
use douse::transport::fake::Answer;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::world::{MINUTE, deliver, firing, noon};
use crate::engine::bench::{Bench, Setup, person};
use crate::store::harness::{Fixture, on_both_engines};

/// Two engines on one database, one runbook and many servers.
pub struct Storm {
    pub bench: Bench,
    pub other: Arc<Engine>,
}

impl Storm {
    /// `guard` of the runbook `fix`; its trigger takes every alert of server `s0`, `s1`, … `servers`.
    pub async fn new(fixture: Fixture, guard: Value, servers: usize) -> Self {
        let mut file = json!({
            "name": "fix", "description": "Puts it right", "mode": "auto", "timeout_seconds": 36_000,
            "guard": {"recently_remediated": "0s", "attempts": {"count": 0, "window": "1h"}, "blast_radius": {"min": 0, "percent": 0}},
            "steps": [{"name": "Fix", "command": "fix it", "timeout_seconds": 36_000}],
            "triggers": [{"name": "down", "alert_name_pattern": "Down"}],
        });
        for (key, value) in guard.as_object().unwrap() {
            file["guard"][key] = value.clone();
        }
        let list: Vec<Value> = (0..servers)
            .map(|number| json!({"name": format!("s{number}"), "hostname": format!("s{number}"), "auth_type": "agent", "group": "pool"}))
            .collect();
        let setup = Setup {
            runbooks: vec![file.to_string()],
            limits: "executions: 0, executions_per_hour: 0".to_owned(),
            servers: json!({ "servers": list }).to_string(),
            clock: Clock::manual(noon()),
            ..Setup::default()
        };
        let bench = Bench::open(fixture, setup).await;
        let other = bench.replica().await;
        Self { bench, other }
    }

    /// An alert of each of these servers begins.
    pub async fn strike(&self, round: &str, servers: std::ops::Range<usize>) -> Vec<EpisodeId> {
        let now = self.bench.engine.clock.now();
        let alert = |number| firing(Self::labels(round, number), now);
        deliver(&self.bench.engine.ingest, servers.map(alert).collect(), now).await
    }

    /// The labels of server `number`'s alert.
    pub fn labels(round: &str, number: usize) -> Map<String, Value> {
        let labels = json!({"alertname": "Down", "instance": format!("s{number}:9100"), "round": round});
        labels.as_object().unwrap().clone()
    }

    pub fn engines(&self) -> [&Arc<Engine>; 2] {
        [&self.bench.engine, &self.other]
    }

    /// Four at each engine decide what is undecided, at once.
    async fn decide(&self) {
        let deciders = self.engines().into_iter().cycle().take(8).map(|engine| matching::decide_waiting(engine));
        for decided in join_all(deciders).await {
            decided.unwrap();
        }
    }

    /// Two at each engine ask again about what is due, at once.
    pub async fn recheck(&self) {
        let asked = self.engines().into_iter().cycle().take(4).map(|engine| gating::recheck_due(engine));
        for asked in join_all(asked).await {
            asked.unwrap();
        }
    }

    /// Both engines start what is due, at once, until nothing is; waits for all of it.
    pub async fn run(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let started = join_all(self.engines().map(|engine| start_due(engine, &self.bench.tasks))).await;
            let started: usize = started.into_iter().map(Result::unwrap).sum();
            let is_idle = self.engines().iter().all(|engine| engine.in_flight.is_empty());
            if started == 0 && is_idle {
                return;
            }
            assert!(Instant::now() < deadline, "they do not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All executions, oldest first.
    pub async fn executions(&self) -> Vec<ExecutionRow> {
        let found = self.bench.store.read(|db| {
            let (mut rows, mut page) = (Vec::new(), Page { before: None, limit: 200 });
            loop {
                let found = executions::list(db, &ExecutionFilter::default(), page)?;
                rows.extend(found.rows.into_iter().map(|(row, _)| row));
                match found.next {
                    Some(next) => page.before = Some(next),
                    None => return Ok(rows),
                }
            }
        });
        let mut rows: Vec<ExecutionRow> = found.await.unwrap();
        rows.reverse();
        rows
    }

    async fn in_status(&self, status: Status) -> usize {
        self.executions().await.iter().filter(|row| row.status == status).count()
    }

    pub fn advance(&self, time: Duration) {
        self.bench.engine.clock.advance(time);
    }

    async fn breaker(&self) -> BreakerState {
        let row = self.bench.store.read(|db| breakers::get(db, "fix")).await.unwrap().unwrap();
        gating::breaker_at(&self.bench.engine.policy(), &row, self.bench.engine.clock.now()).state
    }
}

fn by_hand(server: usize) -> RunRequest {
    RunRequest {
        runbook: "fix".to_owned(),
        server: Some(format!("s{server}")),
        parameters: BTreeMap::new(),
        incident: None,
        reason: None,
        by: person("ann", Role::Admin),
        dry_run: false,
        retry_of: None,
        idempotency: None,
    }
}

on_both_engines! {
    async fn of_forty_at_once_a_rate_limit_of_three_starts_three(fixture: Fixture) {
        let storm = Storm::new(fixture, json!({"rate_limit": {"count": 3, "window": "10m"}}), 40).await;
        let episodes = storm.strike("one", 0..20).await;
        // Twenty alerts and twenty people.
        let requests = (20..40).map(|server| {
            let engine = storm.engines()[server % 2];
            let (policy, now) = (engine.policy(), engine.clock.now());
            engine.store.write(move |db| gating::request(db, &policy, &by_hand(server), now))
        });
        let (asked, ()) = tokio::join!(join_all(requests), storm.decide());
        let of_people = asked.into_iter().filter(|answer| answer.as_ref().unwrap().execution.is_some()).count();
        let made = storm.executions().await;
        assert_eq!(made.len(), 3, "{made:#?}");
        assert_eq!(made.iter().filter(|row| row.origin == Origin::Manual).count(), of_people);
        let mut held = 0;
        for episode in episodes {
            let row = storm.bench.store.read(move |db| decisions::find(db, episode, "fix", "down")).await.unwrap().unwrap();
            held += usize::from(row.verdict == DecisionVerdict::Held && row.hold_reason.as_deref() == Some("rate_limited"));
        }
        assert_eq!(held, 20 - (3 - of_people));
        storm.run().await;
        assert_eq!((storm.in_status(Status::Completed).await, storm.executions().await.len()), (3, 3));
        // The window slides: three more, however many ask.
        for round in 2..=4 {
            storm.advance(10 * MINUTE);
            storm.recheck().await;
            storm.run().await;
            storm.recheck().await;
            let made = storm.executions().await;
            assert_eq!(made.len(), 3 * round, "{made:#?}");
            assert!(made.iter().all(|row| row.status == Status::Completed));
        }
    }

    async fn the_blast_radius_is_never_exceeded_without_a_yes(fixture: Fixture) {
        let storm = Storm::new(fixture, json!({"blast_radius": {"min": 3, "percent": 20, "window": "10m"}}), 12).await;
        storm.strike("one", 0..12).await;
        storm.decide().await;
        let made = storm.executions().await;
        let of = |status| made.iter().filter(move |row| row.status == status);
        assert_eq!((of(Status::Approved).count(), of(Status::Pending).count()), (3, 9), "{made:#?}");
        let batches: BTreeSet<_> = of(Status::Pending).map(|row| row.batch_id.unwrap()).collect();
        assert_eq!(batches.len(), 1, "one question for all of them");
        storm.run().await;
        assert_eq!((storm.in_status(Status::Completed).await, storm.in_status(Status::Pending).await), (3, 9));
        // Later ones open a batch of their own when the first is answered; the yes is for what was shown.
        let batch = *batches.first().unwrap();
        let (engine, ann) = (&storm.bench.engine, person("ann", Role::Admin));
        let row = engine.store.read(move |db| batches::get(db, batch)).await.unwrap();
        let shown = acts::shown_hash(&row);
        let mut fewer = row;
        fewer.members_json.0.pop();
        for stale in [None, Some(acts::shown_hash(&fewer))] {
            let refused = acts::approve_batch(engine, batch, &ann, stale, None).await.unwrap_err();
            assert!(matches!(&refused, ActError::Conflict(_)), "{refused:?}");
        }
        assert_eq!(storm.in_status(Status::Pending).await, 9, "a yes to what was not shown approves nothing");
        let answered = acts::approve_batch(engine, batch, &ann, Some(shown), None).await.unwrap();
        assert_eq!((answered.done.len(), answered.left.len()), (9, 0));
        storm.run().await;
        assert_eq!(storm.in_status(Status::Completed).await, 12);
        let touched: BTreeSet<String> = storm.executions().await.into_iter().map(|row| row.server).collect();
        assert_eq!(touched.len(), 12);
    }

    async fn an_episode_and_trigger_have_one_execution_whoever_asks_how_often(fixture: Fixture) {
        let storm = Storm::new(fixture, json!({"rate_limit": {"count": 4, "window": "10m"}}), 10).await;
        let episodes = storm.strike("one", 0..10).await;
        // Told again while it is decided, and then asked about again by everybody.
        let (again, (), ()) = tokio::join!(storm.strike("one", 0..10), storm.decide(), storm.decide());
        assert_eq!(again, episodes);
        let mut ids = Vec::new();
        for episode in &episodes {
            let episode = *episode;
            let rows = storm.bench.store.read(move |db| decisions::of_episode(db, episode)).await.unwrap();
            assert_eq!(rows.len(), 1, "{rows:#?}");
            ids.push(rows[0].id);
        }
        for _ in 0..4 {
            let asked = ids.iter().flat_map(|id| [*id; 3]).zip(storm.engines().into_iter().cycle()).map(|(id, engine)| {
                let (policy, now) = (engine.policy(), engine.clock.now());
                engine.store.write(move |db| gating::decide_again(db, &policy, id, now))
            });
            for asked in join_all(asked).await {
                asked.unwrap();
            }
            storm.run().await;
            storm.advance(10 * MINUTE);
        }
        let made = storm.executions().await;
        let of: BTreeSet<_> = made.iter().map(|row| row.episode_id.unwrap()).collect();
        assert_eq!((made.len(), of), (10, episodes.into_iter().collect()));
        assert!(made.iter().all(|row| row.status == Status::Completed), "{made:#?}");
    }

    async fn one_runs_on_a_target_at_a_time(fixture: Fixture) {
        let storm = Storm::new(fixture, json!({}), 2).await;
        storm.bench.transport.on("fix", [Answer::exit(0).after(Duration::from_millis(30))]);
        for round in 0..6 {
            storm.strike(&format!("round {round}"), 0..2).await;
        }
        storm.decide().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = 0;
        loop {
            // A look that is put off by the lock is put off by ten seconds at most.
            storm.advance(Duration::from_secs(10));
            let started = join_all(storm.engines().into_iter().cycle().take(6).map(|engine| start_due(engine, &storm.bench.tasks))).await;
            assert!(started.iter().all(Result::is_ok), "{started:?}");
            storm.recheck().await;
            let made = storm.executions().await;
            let running: Vec<&str> = made.iter().filter(|row| row.status == Status::Running).map(|row| row.server.as_str()).collect();
            let distinct: BTreeSet<&str> = running.iter().copied().collect();
            assert_eq!(running.len(), distinct.len(), "{running:?}");
            seen = seen.max(running.len());
            if made.iter().filter(|row| row.status == Status::Completed).count() == 12 {
                break;
            }
            assert!(Instant::now() < deadline, "{made:#?}");
        }
        assert!(seen > 0, "nothing was ever seen running");
        // The host saw each once, and never two at a time.
        assert_eq!(storm.bench.transport.commands().len(), 12);
    }

    async fn a_half_open_breaker_lets_one_probe_through_at_a_time(fixture: Fixture) {
        let breaker = json!({"failure_threshold": 1, "success_threshold": 2, "reset_timeout_seconds": 600});
        let storm = Storm::new(fixture, json!({ "circuit_breaker": breaker }), 12).await;
        storm.bench.transport.on("fix", [Answer::exit(1), Answer::exit(1), Answer::exit(0)]);
        storm.strike("first", 0..1).await;
        storm.decide().await;
        storm.run().await;
        assert_eq!((storm.in_status(Status::Failed).await, storm.breaker().await), (1, BreakerState::Open));
        storm.strike("storm", 1..12).await;
        storm.decide().await;
        assert_eq!(storm.executions().await.len(), 1, "it is open");

        // The first probe fails: open again, for as long again.
        storm.advance(10 * MINUTE);
        assert_eq!(storm.breaker().await, BreakerState::HalfOpen);
        storm.recheck().await;
        storm.recheck().await;
        assert_eq!((storm.executions().await.len(), storm.in_status(Status::Approved).await), (2, 1));
        storm.run().await;
        storm.recheck().await;
        assert_eq!((storm.executions().await.len(), storm.breaker().await), (2, BreakerState::Open));

        // Two probes in a row succeed, one after the other: closed, and everybody else may go.
        storm.advance(10 * MINUTE);
        for made in [3, 4] {
            storm.recheck().await;
            storm.recheck().await;
            let found = storm.executions().await;
            assert_eq!((found.len(), found.last().unwrap().breaker_probe), (made, true), "{found:#?}");
            storm.run().await;
        }
        assert_eq!(storm.breaker().await, BreakerState::Closed);
        storm.recheck().await;
        storm.run().await;
        let made = storm.executions().await;
        assert_eq!((made.len(), storm.in_status(Status::Completed).await), (12, 10), "{made:#?}");
    }
}
