//! What is old enough goes, and nothing else: not what runs, not what a hold keeps, and the audit chain stays whole.

use std::fs;
use std::time::Duration;

use douse::alert::episode::EpisodeState;
use douse::audit::verify::Base;
use douse::clock::{Clock, Timestamp};
use douse::config::Retention;
use douse::engine::policy::{Draft, PolicySource};
use douse::engine::retention::{Pruned, prune};
use douse::execution::{Origin, Status};
use douse::id::{ExecutionId, HoldId};
use douse::store::audit::AuditFilter;
use douse::store::holds::{self, HoldRow};
use douse::store::{
    Backup, HoldScope, Page, Store, StoreError, alerts, audit, audit_links, decisions, deliveries, episodes,
    executions, ingest, retention,
};

use super::world::{World, keys};
use crate::store::harness::on_both_engines;
use crate::store::samples::{self, now};
use douse::audit::{EventKind, NewEvent};
use douse::engine::ledger::verify::{verify, verify_after};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const ALL: Retention = Retention { executions: Some(DAY), output: Some(DAY), audit: Some(DAY) };

const HEAD: &str = "apiVersion: douse/v1\nkind: Runbook\nname: restart\ndescription: Restart it\ncategory: service\n\
    owner: platform\nmode: auto\nsteps:\n  - {name: a, command: 'true'}\n";

/// So late that all that is written now is older than a day.
fn later() -> Timestamp {
    Clock::System.now().plus(2 * DAY)
}

async fn put(store: &Store, status: Status, server: &str) -> ExecutionId {
    let (row, details) = samples::execution_in(status, server, now());
    let id = row.id;
    store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
    store
        .write(move |db| {
            let event = NewEvent::of_execution(EventKind::Planned, id, None, json!({ "n": 1 }));
            audit::append(db, &event, "p1", now())
        })
        .await
        .unwrap();
    id
}

#[test]
fn executions_are_kept_as_long_as_a_gate_looks_back_whatever_the_retention_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("runbooks")).unwrap();
    let kept = |runbook: &str, executions: &str| {
        fs::write(folder.path().join("runbooks/restart.yml"), format!("{HEAD}{runbook}")).unwrap();
        let config = json!({
            "storage": {"url": "sqlite://douse.db", "retention": {"executions": executions}},
            "limits": {"attempts": {"count": 3, "window": "36h"}},
            "runbooks": {"dirs": ["runbooks"]},
        });
        let config_file = folder.path().join("douse.yml");
        fs::write(&config_file, config.to_string()).unwrap();
        let source = PolicySource { config_file, variables: Vec::new(), listen_addresses: Vec::new() };
        Draft::read(&source).unwrap_or_else(|problems| panic!("{problems:?}")).kept_for()
    };
    assert_eq!(kept("", "1d").executions, Some(Duration::from_secs(36 * 3_600)), "the longest of the limits");
    assert_eq!(kept("", "9d").executions, Some(9 * DAY));
    assert_eq!(kept("", "0s").executions, None, "for ever");
    let calm = "triggers:\n  - {name: t, alert_name_pattern: A, cooldown_seconds: 1728000}\n";
    assert_eq!(kept(calm, "9d").executions, Some(20 * DAY));
    let guarded = "guard:\n  rate_limit: {count: 2, window: 30d, scope: server}\n";
    assert_eq!(kept(guarded, "9d").executions, Some(30 * DAY));
}

async fn is_there(store: &Store, id: ExecutionId) -> bool {
    match store.read(move |db| executions::get(db, id)).await {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_not_found(), "{error}");
            false
        }
    }
}

async fn hold(store: &Store, scope: HoldScope, name: &str) -> HoldId {
    let row = HoldRow {
        id: HoldId::new(),
        scope,
        name: name.to_owned(),
        reason: "a case".to_owned(),
        created_by: "ada".to_owned(),
        created_at: now(),
        released_at: None,
        released_by: None,
    };
    let id = row.id;
    store.write(move |db| holds::insert(db, &row)).await.unwrap();
    id
}

async fn pruned(store: &Store, when: Timestamp) -> Pruned {
    prune(store, ALL, "p1", when).await.unwrap()
}

on_both_engines! {
    async fn what_is_over_and_old_goes_and_what_runs_stays(fixture: Fixture) {
        let store = &fixture.store;
        let over = put(store, Status::Completed, "web1").await;
        let failed = put(store, Status::Failed, "web2").await;
        let running = put(store, Status::Running, "web3").await;
        let waiting = put(store, Status::Pending, "web4").await;
        assert_eq!(pruned(store, now()).await, Pruned::default(), "nothing is old");
        let found = pruned(store, later()).await;
        assert_eq!(found.executions, 2, "{found:?}");
        for (id, stays) in [(over, false), (failed, false), (running, true), (waiting, true)] {
            assert_eq!(is_there(store, id).await, stays);
        }
        // Events of what runs stay, and with them all that came after.
        let left = store.read(|db| audit::oldest(db, &AuditFilter::default(), 0, 100)).await.unwrap();
        assert!(left.iter().any(|row| row.execution_id == Some(running)), "{left:?}");
        assert!(!left.iter().any(|row| row.execution_id == Some(over)), "{left:?}");
        let again = pruned(store, later()).await;
        assert_eq!((again.executions, again.audit), (0, 0), "{again:?}");
    }

    async fn a_hold_keeps_what_it_names_and_its_audit_until_it_is_released(fixture: Fixture) {
        let world = World::new(fixture, 1).await;
        let store = &world.fixture.store;
        let held = put(store, Status::Completed, "web1").await;
        let other = put(store, Status::Completed, "web2").await;
        world.write(20).await;
        world.seal().await;
        let by_id = hold(store, HoldScope::Execution, &held.to_string()).await;
        let found = pruned(store, later()).await;
        assert_eq!(found.executions, 1, "{found:?}");
        assert!(is_there(store, held).await && !is_there(store, other).await);
        assert_eq!(found.audit, 1, "only what came before the held execution's events");
        store.write(move |db| holds::release(db, by_id, "ada", now())).await.unwrap();
        for (scope, name) in [(HoldScope::All, ""), (HoldScope::Server, "web1")] {
            let id = hold(store, scope, name).await;
            assert_eq!(pruned(store, later()).await, Pruned::default(), "{scope}");
            store.write(move |db| holds::release(db, id, "ada", now())).await.unwrap();
        }
        let found = pruned(store, later()).await;
        assert_eq!(found.executions, 1, "{found:?}");
        assert!(found.audit > 15, "{found:?}");
    }

    async fn a_chain_whose_beginning_was_taken_away_is_whole_and_still_guarded(fixture: Fixture) {
        let world = World::new(fixture, 300).await;
        let anchor = world.anchor().await;
        let old = later();
        let found = pruned(&world.fixture.store, old).await;
        assert_eq!(found.audit, 299, "the chain goes on from its last link: {found:?}");
        world.seal().await;
        let report = world.verify(std::slice::from_ref(&anchor)).await;
        assert!(report.is_valid, "{report:?}");
        assert_eq!(report.pruned, 299);
        // A walk that began before the retention came goes on behind what was taken away.
        let begun_before = verify_after(&world.fixture.store, &world.keys, Base::default(), vec![anchor.clone()]);
        let report = begun_before.await.unwrap();
        assert_eq!((report.is_valid, report.pruned), (true, 299), "{report:?}");
        world.write(50).await;
        world.seal().await;
        assert!(world.verify(std::slice::from_ref(&anchor)).await.is_valid);
        // Again, later: what told of the first time goes as well.
        let found = pruned(&world.fixture.store, later().plus(DAY)).await;
        assert!(found.audit >= 50, "{found:?}");
        world.seal().await;
        let report = world.verify(&[anchor]).await;
        assert!(report.is_valid, "{report:?}");
        // By other hands the same is found.
        world.write(50).await;
        world.seal().await;
        world.unguard().await;
        let first = world.fixture.store.read(audit_links::first).await.unwrap().unwrap().position;
        world
            .sql(format!(
                "DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_links WHERE position < {0}); \
                 DELETE FROM audit_links WHERE position < {0}",
                first + 20
            ))
            .await;
        let fault = world.verify(&[]).await.fault.expect("nobody told of this");
        assert_eq!(fault.kind.as_str(), "cut", "{fault:?}");
    }

    async fn nobody_takes_audit_events_away_but_the_retention(fixture: Fixture) {
        let world = World::new(fixture, 10).await;
        for sql in ["DELETE FROM audit_events WHERE seq = 3", "DELETE FROM audit_links WHERE position = 3"] {
            let refused = world.fixture.store.write(move |db| {
                use diesel::connection::SimpleConnection;
                match db {
                    douse::store::Db::Sqlite(c) => c.batch_execute(sql)?,
                    douse::store::Db::Pg(c) => c.batch_execute(sql)?,
                }
                Ok(())
            });
            let refused = refused.await.unwrap_err();
            assert!(matches!(refused, StoreError::Frozen(_)), "{sql}: {refused}");
        }
    }

    async fn episodes_that_are_needed_keep_no_others(fixture: Fixture) {
        let store = &fixture.store;
        let delivery = samples::delivery();
        let [mut used, mut free] = [samples::episode("f1", 1), samples::episode("f2", 1)];
        used.state = EpisodeState::Resolved;
        free.state = EpisodeState::Resolved;
        let (one, two) = (samples::alert(&delivery, &used), samples::alert(&delivery, &free));
        let (mut run, details) = samples::execution_in(Status::Running, "web1", now());
        run.alert_id = Some(one.id);
        let (used_id, free_id) = (used.id, free.id);
        store
            .write(move |db| {
                ingest::insert_deliveries(db, std::slice::from_ref(&delivery))?;
                episodes::insert(db, &used)?;
                episodes::insert(db, &free)?;
                alerts::insert(db, &one)?;
                alerts::insert(db, &two)?;
                executions::insert(db, &run, &details)
            })
            .await
            .unwrap();
        // One at a time: the one that has to stay does not stand in the way.
        let taken = store.write(|db| retention::episodes(db, later(), 1)).await.unwrap();
        assert_eq!(taken, 1);
        assert!(store.read(move |db| episodes::get(db, used_id)).await.is_ok());
        assert!(store.read(move |db| episodes::get(db, free_id)).await.unwrap_err().is_not_found());
    }

    async fn a_hold_on_a_runbook_keeps_its_decisions_and_what_the_log_tells_of_it(fixture: Fixture) {
        let store = &fixture.store;
        let (mut episode, gone) = (samples::episode("f1", 1), put(store, Status::Completed, "web1").await);
        episode.state = EpisodeState::Resolved;
        let decision = samples::decision(&episode, "fix");
        let id = episode.id;
        let records = Retention { audit: None, ..ALL };
        assert_eq!(prune(store, records, "p1", later()).await.unwrap().executions, 1);
        store
            .write(move |db| {
                episodes::insert(db, &episode)?;
                decisions::insert(db, &decision)
            })
            .await
            .unwrap();
        let held = hold(store, HoldScope::Runbook, "fix").await;
        assert_eq!(pruned(store, later()).await, Pruned::default());
        assert!(store.read(move |db| episodes::get(db, id)).await.is_ok());
        let filter = AuditFilter { execution: Some(gone), ..AuditFilter::default() };
        let events = store.read(move |db| audit::oldest(db, &filter, 0, 10)).await.unwrap();
        assert_eq!(events.len(), 1, "whose run it was can only be read there");
        store.write(move |db| holds::release(db, held, "ada", now())).await.unwrap();
        let found = pruned(store, later()).await;
        assert_eq!((found.episodes, found.audit), (1, 1), "{found:?}");
    }

    async fn what_a_rollback_undoes_stays_until_that_is_over(fixture: Fixture) {
        let store = &fixture.store;
        let original = put(store, Status::Completed, "web1").await;
        let (mut row, mut details) = samples::execution_in(Status::Approved, "web2", now());
        row.origin = Origin::Rollback;
        details.rollback_of = Some(original);
        store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
        assert_eq!(pruned(store, later()).await.executions, 0);
        assert!(is_there(store, original).await);
    }

    async fn alerts_and_deliveries_go_with_what_was_made_from_them(fixture: Fixture) {
        let store = &fixture.store;
        let (delivery, mut episode) = (samples::delivery(), samples::episode("f1", 1));
        episode.state = EpisodeState::Resolved;
        let open = samples::episode("f2", 1);
        let (ended, still) = (samples::alert(&delivery, &episode), samples::alert(&delivery, &open));
        let ids = (delivery.id, episode.id, open.id);
        store
            .write(move |db| {
                ingest::insert_deliveries(db, std::slice::from_ref(&delivery))?;
                episodes::insert(db, &episode)?;
                episodes::insert(db, &open)?;
                alerts::insert(db, &ended)?;
                alerts::insert(db, &still)?;
                Ok(())
            })
            .await
            .unwrap();
        let found = pruned(store, later()).await;
        assert_eq!((found.episodes, found.deliveries), (1, 0), "one alert of the delivery still burns: {found:?}");
        assert!(store.read(move |db| episodes::get(db, ids.1)).await.unwrap_err().is_not_found());
        assert!(store.read(move |db| episodes::get(db, ids.2)).await.is_ok());
        assert!(store.read(move |db| deliveries::get(db, ids.0)).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_is_set_while_records_are_taken_away_waits_and_keeps_the_rest() {
    #[derive(diesel::QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let fixture = crate::store::harness::postgres().await;
    let store = &fixture.store;
    let gone = put(store, Status::Completed, "web1").await;
    let stays = put(store, Status::Completed, "web2").await;
    let (taken, is_taken) = tokio::sync::oneshot::channel();
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let other = store.clone();
    let pruning = tokio::spawn(async move {
        let pruned = other.write(move |db| {
            let count = retention::executions(db, later(), 1)?;
            taken.send(count).unwrap();
            waits.recv_timeout(Duration::from_secs(9)).unwrap();
            Ok(())
        });
        pruned.await.unwrap();
    });
    assert_eq!(is_taken.await.unwrap(), 1);
    let other = store.clone();
    let holding = tokio::spawn(async move { hold(&other, HoldScope::All, "").await });
    let begun = std::time::Instant::now();
    loop {
        let sql = "SELECT COUNT(*) AS count FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waiting = store.read(move |db| {
            use diesel::RunQueryDsl;
            let douse::store::Db::Pg(c) = db else { unreachable!() };
            Ok(diesel::sql_query(sql).get_result::<Waiting>(c)?.count)
        });
        if waiting.await.unwrap() > 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(8) && !holding.is_finished(), "the hold does not wait");
        tokio::task::yield_now().await;
    }
    go_on.send(()).unwrap();
    pruning.await.unwrap();
    holding.await.unwrap();
    assert!(!is_there(store, gone).await && is_there(store, stays).await);
    assert_eq!(pruned(store, later()).await, Pruned::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_made_while_others_write_opens_and_its_audit_verifies() {
    let world = World::new(crate::store::harness::sqlite().await, 200).await;
    let anchor = world.anchor().await;
    let store = world.fixture.store.clone();
    let writing = tokio::spawn(async move {
        let mut n = 0;
        loop {
            let event = NewEvent::of(EventKind::Paused, "ada", "pause", n.to_string(), json!({ "n": n }));
            store.write(move |db| audit::append(db, &event, "p1", now())).await.unwrap();
            n += 1;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    for n in 0..3 {
        world.seal().await;
        let file = folder.path().join(format!("copy-{n}.db"));
        assert_eq!(Store::back_up(&world.fixture.url, &file).await.unwrap(), Backup::Written);
        let copy = Store::inspect(&format!("sqlite://{}", file.display())).await.unwrap();
        let report = verify(&copy, &keys(), vec![anchor.clone()]).await.unwrap();
        assert!(report.is_valid && report.chained >= 200, "{report:?}");
        drop(copy);
        // As an engine opens it after a restore.
        let restored = Store::open(&format!("sqlite://{}", file.display())).await.unwrap();
        let rows = restored.read(|db| audit::list(db, &AuditFilter::default(), Page::first())).await.unwrap();
        assert_eq!(rows.rows.len(), 50);
    }
    writing.abort();
}
