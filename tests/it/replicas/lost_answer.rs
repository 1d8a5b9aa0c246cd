//! The connection ends between a COMMIT and its answer: what was done is not done again.

use std::time::{Duration, Instant};

use douse::clock::Clock;
use douse::config::Role;
use douse::engine::acts::{self, ActError};
use douse::engine::dispatch::start_due;
use douse::engine::receive::{Incoming, ReceiveError, Taken};
use douse::engine::{matching, recover, replica};
use douse::execution::Status;
use douse::store::executions::ExecutionFilter;
use douse::store::{Page, Store, audit, decisions, executions};
use serde_json::json;

use super::proxy::Proxy;
use crate::engine::bench::{Bench, Setup, person};
use crate::gates::world::noon;
use crate::store::harness::Fixture;
use crate::support::postgres;

const TWO: &str = "name: two
description: Two steps
mode: auto
guard: {recently_remediated: 0s}
steps:
  - {id: one, name: One, command: do one}
  - {id: two, name: Two, command: do two}
triggers: [{name: down, alert_name_pattern: Down}]
";

const ASKING: &str = "name: asking
description: Asks first
mode: semi_auto
steps: [{name: One, command: do one}]
";

/// An engine behind a proxy, and a way around it.
struct Place {
    bench: Bench,
    proxy: Proxy,
    direct: Store,
}

async fn place() -> Place {
    let url = tokio::task::spawn_blocking(postgres::database).await.unwrap();
    let proxy = Proxy::before(&url);
    let behind = proxy.url(&url);
    let store = Store::open(&behind).await.unwrap();
    let fixture = Fixture { store, url: behind, _directory: None };
    let setup = Setup {
        runbooks: vec![TWO.to_owned(), ASKING.to_owned()],
        limits: "executions_per_hour: 0".to_owned(),
        clock: Clock::manual(noon()),
        ..Setup::default()
    };
    Place { bench: Bench::open(fixture, setup).await, proxy, direct: Store::open(&url).await.unwrap() }
}

fn delivery() -> Incoming {
    let body = json!({
        "version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "alerts": [{
            "status": "firing", "labels": {"alertname": "Down", "instance": "web1:9100"}, "annotations": {},
            "startsAt": noon(), "endsAt": "0001-01-01T00:00:00Z",
        }],
    });
    Incoming { source: "main".to_owned(), body: body.to_string().into_bytes(), remote_addr: None, content_type: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_whose_delivery_was_stored_without_an_answer_is_one_alert_one_decision_one_execution() {
    let place = place().await;
    let engine = &place.bench.engine;
    place.proxy.lose_answer(1);
    let lost = engine.ingest.receive(delivery(), noon()).await;
    assert!(matches!(lost, Err(ReceiveError::Unavailable(_))), "the sender repeats it: {lost:?}");
    assert_eq!(place.proxy.cuts(), 1);
    let again = engine.ingest.receive(delivery(), noon()).await.unwrap();
    assert_eq!((again.results[0].taken, again.opened.len()), (Taken::Duplicate, 0));
    let episode = again.results[0].episode.unwrap();

    place.proxy.lose_answer(1);
    let error = matching::decide_waiting(engine).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(matching::decide_waiting(engine).await.unwrap(), 0, "it is decided");
    let decided = place.direct.read(move |db| decisions::of_episode(db, episode)).await.unwrap();
    assert!(matches!(decided.as_slice(), [one] if one.execution_id.is_some()), "{decided:#?}");
    let page = Page { before: None, limit: 200 };
    let made = place.direct.read(move |db| executions::list(db, &ExecutionFilter::default(), page)).await.unwrap();
    assert_eq!(made.rows.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_answer_of_a_run_is_lost_each_step_starts_once() {
    let place = place().await;
    let (bench, engine) = (&place.bench, &place.bench.engine);
    let mut lost = 0;
    // A run has some ten writes, and each look for it a read: more than enough to hit each of them.
    for nth in 1..=24 {
        let id = bench.execution("two", "web1", &[]).await;
        let (cuts, calls) = (place.proxy.cuts(), bench.transport.calls().len());
        place.proxy.lose_answer(nth);
        let begun = Instant::now();
        let row = loop {
            // Each look may be the one that is cut off.
            let _looks_again = start_due(engine, &bench.tasks).await;
            let _looks_again = recover::take_up(engine, &bench.tasks).await;
            let row = place.direct.read(move |db| executions::get(db, id)).await.unwrap();
            if row.status.is_final() || row.status == Status::Interrupted {
                break row;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not end: {row:#?}");
            engine.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        lost += place.proxy.cuts() - cuts;
        place.proxy.heal();
        bench.idle(id).await;
        assert_eq!(row.status, Status::Completed, "answer {nth}: {:?}", row.error_message);
        assert_eq!(bench.transport.commands()[calls..], ["do one", "do two"], "answer {nth}");
    }
    assert!(lost > 8, "only {lost} answers were lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_whose_answer_was_lost_counts_once() {
    let place = place().await;
    let (bench, engine) = (&place.bench, &place.bench.engine);
    let id = bench.prepared("asking", "web1", &[], None, "bob").await;
    let ann = person("ann", Role::Admin);
    place.proxy.lose_answer(1);
    let lost = acts::approve(engine, id, &ann, None, None).await.unwrap_err();
    assert!(matches!(&lost, ActError::Store(error) if error.is_retryable()), "{lost:?}");
    let again = acts::approve(engine, id, &ann, None, None).await.unwrap_err();
    assert!(matches!(again, ActError::Conflict(_)), "it was approved: {again:?}");
    let told = place.direct.read(move |db| audit::of_execution(db, id)).await.unwrap();
    assert_eq!(told.iter().filter(|row| row.event_type.as_str() == "APPROVED").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_whose_answer_was_lost_is_one_that_counted() {
    let place = place().await;
    let engine = &place.bench.engine;
    for _ in 0..3 {
        place.proxy.lose_answer(1);
        assert!(replica::renew(engine).await.is_err());
        replica::renew(engine).await.unwrap();
        assert!(engine.replica.tenure().is_valid());
    }
}
