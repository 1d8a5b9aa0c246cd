//! What an engine takes up that nobody runs, what it forgets, and what a reload leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use douse::config::Role;
use douse::engine::dispatch::start_due;
use douse::engine::people::credentials::GivenCredentials;
use douse::engine::people::servers;
use douse::engine::policy::PolicySource;
use douse::engine::{Engine, Policy, forget, gating, recover, replica};
use douse::execution::{RollbackState, Status};
use douse::inventory::Server;
use douse::inventory::server::Draft;
use douse::store::idempotency::{self, KeyRow};
use douse::store::{AttemptEnding, Json, Page, audit};
use douse::telemetry::Metrics;
use douse::transport::fake::FakeTransport;
use douse::transport::{Boxed, Finished, Job, Refusal, Transport};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, person};
use crate::store::harness::{self, on_both_engines};

const ONE: &str = "name: one
description: One step that may be run twice
mode: auto
steps: [{name: One, command: do one, idempotent: true}]
";

/// Panics at its first command, as a defect would.
struct Defective {
    has_panicked: AtomicBool,
    inner: Arc<FakeTransport>,
}

impl Transport for Defective {
    fn reach<'a>(&'a self, server: &'a Arc<Server>) -> Boxed<'a, Result<(), Refusal>> {
        self.inner.reach(server)
    }

    fn run<'a>(&'a self, job: Job, cancel: CancellationToken) -> Boxed<'a, Finished> {
        assert!(self.has_panicked.swap(true, Ordering::Relaxed), "a defect of the transport");
        self.inner.run(job, cancel)
    }
}

/// Another engine on the bench's database, with this transport.
async fn engine_with(bench: &Bench, transport: Arc<dyn Transport>) -> Arc<Engine> {
    let (policy, clock) = (bench.engine.policy(), bench.engine.clock.clone());
    let config_file = policy.config.path.clone();
    let source = PolicySource { config_file, variables: Vec::new(), listen_addresses: Vec::new() };
    let policy = Policy::enforce(&bench.store, policy.draft(), "test", None, clock.now()).await.unwrap();
    let engine = Engine::new(bench.store.clone(), clock, transport, Arc::new(Metrics::new()), policy, source);
    replica::renew(&engine).await.unwrap();
    engine
}

on_both_engines! {
    async fn a_running_row_that_nobody_runs_is_taken_up_at_the_next_look(fixture: Fixture) {
        let bench = Bench::new(fixture, &[ONE]).await;
        let id = bench.execution("one", "web1", &[]).await;
        // The database went away between the claim and the run: the task has ended.
        assert!(matches!(gating::claim(&bench.engine, id).await.unwrap(), gating::Claimed::Running(..)));
        assert!(bench.engine.in_flight.is_empty());
        assert_eq!(recover::take_up(&bench.engine, &bench.tasks).await.unwrap(), 1);
        let shown = bench.settled(id).await;
        assert_eq!((shown.status(), shown.attempts.len()), (Status::Completed, 1));
        bench.idle(id).await;
        assert_eq!(recover::take_up(&bench.engine, &bench.tasks).await.unwrap(), 0);
    }

    async fn a_reload_that_fails_late_releases_nothing_and_one_that_works_releases_and_tells(fixture: Fixture) {
        let bench = Bench::with_virtual_time(fixture, &[ONE]).await;
        let draft = Draft { name: Some("web9".into()), hostname: Some("10.0.0.19".into()), ..Draft::default() };
        servers::put(&bench.engine, draft, GivenCredentials::default(), None, &person("ann", Role::Admin)).await.unwrap();
        let (now, hour) = (bench.engine.clock.now(), Duration::from_secs(3_600));
        let until = Some(now.plus(hour));
        let id = bench.prepared_as("one", "web1", &[], Some("auto"), |row| row.held_until = until).await;
        let reloads = || async {
            let found = bench.store.read(|db| audit::list(db, &Default::default(), Page::first())).await.unwrap();
            let reloads = found.rows.into_iter().filter(|row| row.event_type.as_str() == "CONFIG_RELOADED");
            reloads.map(|row| row.payload_json.0["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let folder = bench.engine.policy().config.path.parent().unwrap().to_owned();
        let files = |name: &str| {
            let text = format!(
                "servers:\n  - {{name: web1, hostname: a, auth_type: agent}}\n  - {{name: {name}, hostname: b, auth_type: agent}}\n"
            );
            std::fs::write(folder.join("servers.yml"), text).unwrap();
        };
        // The duplicate is only found after the holds were released, in the same transaction.
        files("web9");
        let refused = bench.engine.reload("test").await.unwrap_err();
        assert!(refused.to_string().contains("web9"), "{refused}");
        assert_eq!(bench.shown(id).await.loaded.row.held_until, until);
        assert_eq!(reloads().await, ["FAILED"]);
        files("web8");
        bench.engine.reload("test").await.unwrap();
        assert_eq!(bench.shown(id).await.loaded.row.held_until, Some(now));
        assert_eq!(reloads().await, ["SUCCEEDED", "FAILED"]);
    }

    async fn the_answers_to_requests_with_a_key_are_forgotten_after_a_day(fixture: Fixture) {
        let bench = Bench::with_virtual_time(fixture, &[ONE]).await;
        let row = KeyRow {
            key: "k".to_owned(),
            token: "ops".to_owned(),
            request_hash: "h".to_owned(),
            status: 202,
            location: None,
            body: Json(json!({})),
            created_at: bench.engine.clock.now(),
        };
        bench.store.write(move |db| idempotency::insert(db, &row)).await.unwrap();
        bench.engine.clock.advance(Duration::from_secs(24 * 3_600));
        assert_eq!(forget::forget(&bench.engine).await.unwrap(), 0);
        bench.engine.clock.advance(Duration::from_secs(1));
        assert_eq!(forget::forget(&bench.engine).await.unwrap(), 1);
        assert_eq!(bench.store.read(|db| idempotency::get(db, "k", "ops")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_run_whose_task_panics_is_let_go_and_taken_up_at_the_next_look() {
    let bench = Bench::new(harness::sqlite().await, &[ONE]).await;
    let transport = Defective { has_panicked: AtomicBool::new(false), inner: Arc::clone(&bench.transport) };
    let engine = engine_with(&bench, Arc::new(transport)).await;
    let id = bench.execution("one", "web1", &[]).await;
    assert_eq!(start_due(&engine, &bench.tasks).await.unwrap(), 1);
    bench.until(id, |shown| !shown.attempts.is_empty()).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !engine.in_flight.is_empty() {
        assert!(Instant::now() < deadline, "the task is over, and its slot is not free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.shown(id).await.status(), Status::Running);
    assert_eq!(recover::take_up(&engine, &bench.tasks).await.unwrap(), 1);
    let shown = bench.settled(id).await;
    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Completed, RollbackState::None));
    let endings: Vec<_> = shown.attempts.iter().map(|attempt| attempt.ending).collect();
    assert_eq!(endings, [Some(AttemptEnding::Lost), Some(AttemptEnding::Exited)]);
    assert_eq!(bench.transport.commands(), ["do one"]);
}
