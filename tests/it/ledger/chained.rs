//! One chain, whoever writes: many at once, several replicas, keys that change, a log that was there before.

use std::sync::Arc;

use douse::audit::key::Keyring;
use douse::audit::{EventKind, NewEvent};
use douse::engine::ledger::seal;
use douse::engine::ledger::verify::verify;
use douse::store::audit::AuditFilter;
use douse::store::{Page, Store, StoreError, audit, audit_links};
use serde_json::json;

use super::world::{KEY, World, keys};
use crate::store::harness::{self, on_both_engines};
use crate::store::samples::now;

fn event(n: usize) -> NewEvent {
    NewEvent::of(EventKind::Resumed, "oli", "pause", n.to_string(), json!({ "n": n }))
}

on_both_engines! {
    async fn many_writers_at_once_make_one_unbroken_chain(fixture: Fixture) {
        let world = World::new(fixture, 1).await;
        let mut writers = Vec::new();
        for w in 0..8 {
            let store = world.fixture.store.clone();
            writers.push(tokio::spawn(async move {
                for n in 0..40 {
                    // Some are taken back: their numbers stay unused.
                    let kept = store.write(move |db| {
                        audit::append(db, &event(w * 1_000 + n), "p1", now())?;
                        if n % 5 == 4 { Err(StoreError::GivenUp("taken back".to_owned())) } else { Ok(()) }
                    });
                    assert_eq!(kept.await.is_ok(), n % 5 != 4);
                }
            }));
        }
        // Places are given meanwhile.
        while writers.iter().any(|writer| !writer.is_finished()) {
            world.seal().await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        world.seal().await;
        let report = world.verify(&[]).await;
        assert!(report.is_valid, "{report:?}");
        assert_eq!((report.chained, report.waiting), (1 + 8 * 32, 0));
    }

    async fn two_that_give_places_at_the_same_time_make_one_chain(fixture: Fixture) {
        let world = World::new(fixture, 1).await;
        world.write(2_000).await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (store, keys) = (world.fixture.store.clone(), Arc::clone(&world.keys));
            tasks.push(tokio::spawn(async move {
                loop {
                    match seal::add(&store, &keys, 0, now()).await {
                        Ok(Some(_)) | Err(StoreError::GivenUp(_)) => {}
                        Ok(None) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let report = world.verify(&[]).await;
        assert_eq!((report.is_valid, report.chained), (true, 2_001), "{report:?}");
    }

    async fn a_log_that_was_there_before_the_key_gets_its_place(fixture: Fixture) {
        let store = fixture.store.clone();
        store
            .write(|db| {
                (0..1_200).try_for_each(|n| audit::append(db, &event(n), "p1", now()).map(drop))
            })
            .await
            .unwrap();
        let world = World::new(fixture, 3).await;
        let report = world.verify(&[]).await;
        assert_eq!((report.is_valid, report.chained, report.waiting), (true, 1_203, 0), "{report:?}");
        // From then on it is guarded like the rest; what is added without the key is not.
        world.unguard().await;
        let adopted = world.link(700).await.unwrap().seq;
        world.sql(format!("UPDATE audit_events SET actor = 'eve' WHERE seq = {adopted}")).await;
        assert_eq!(world.verify(&[]).await.fault.unwrap().seq, Some(adopted));
        world.sql(format!("UPDATE audit_events SET actor = 'oli' WHERE seq = {adopted}")).await;
        store.seal_with(None);
        store.write(|db| audit::append(db, &event(9), "p1", now())).await.unwrap();
        world.seal().await;
        let fault = world.verify(&[]).await.fault.unwrap();
        assert!(fault.message.contains("without the key"), "{fault:?}");
    }

    async fn a_new_key_goes_on_where_the_old_one_ended(fixture: Fixture) {
        let world = World::new(fixture, 10).await;
        let both = Arc::new(Keyring::parse(&format!("{KEY}\n2027:{}\n", "9a".repeat(32))).unwrap());
        seal::begin(&world.fixture.store, Some(Arc::clone(&both)), now()).await.unwrap();
        let world = World { keys: both, ..world };
        world.write(10).await;
        world.seal().await;
        let report = world.verify(&[]).await;
        assert_eq!((report.is_valid, report.chained), (true, 20), "{report:?}");
        assert!(world.link(20).await.unwrap().key_id.starts_with("2027."));
        // Whoever has the old key only can tell up to where.
        let report = verify(&world.fixture.store, &keys(), Vec::new()).await.unwrap();
        assert_eq!(report.fault.unwrap().position, Some(11));
    }

    async fn an_engine_without_the_chains_key_does_not_start(fixture: Fixture) {
        let world = World::new(fixture, 5).await;
        let other = Keyring::parse(&format!("2026:{}", "9a".repeat(32))).unwrap();
        for wrong in [None, Some(Arc::new(other))] {
            let error = seal::begin(&world.fixture.store, wrong, now()).await.unwrap_err();
            assert!(matches!(&error, seal::KeyError::Missing(id) if id.starts_with("2026.")), "{error}");
        }
        seal::begin(&world.fixture.store, Some(keys()), now()).await.unwrap();
    }

    async fn who_takes_all_links_away_does_not_have_the_log_chained_anew(fixture: Fixture) {
        let world = World::new(fixture, 30).await;
        let anchor = world.anchor().await;
        world.unguard().await;
        world.sql("UPDATE audit_events SET actor = 'eve' WHERE seq = 12; DELETE FROM audit_links").await;
        seal::begin(&world.fixture.store, Some(keys()), now()).await.unwrap();
        assert_eq!(world.fixture.store.read(audit_links::head).await.unwrap(), None);
        assert_eq!(world.verify(&[]).await.fault.unwrap().seq, Some(12));
        world.seal().await;
        assert_eq!(world.verify(std::slice::from_ref(&anchor)).await.fault.unwrap().seq, Some(12));
        // Put right again, the same links come to be: a MAC is of nothing but the events and their order.
        world.sql("UPDATE audit_events SET actor = 'ada' WHERE seq = 12; DELETE FROM audit_links").await;
        world.seal().await;
        assert!(world.verify(&[anchor]).await.is_valid);
    }

    async fn a_database_is_looked_at_while_another_process_works_on_it(fixture: Fixture) {
        let world = World::new(fixture, 25).await;
        let looked = Store::inspect(&world.fixture.url).await.unwrap();
        let report = verify(&looked, &world.keys, Vec::new()).await.unwrap();
        assert_eq!((report.is_valid, report.chained), (true, 25), "{report:?}");
        if looked.engine() == "sqlite" {
            let refused = looked.write(|db| audit::append(db, &event(1), "p1", now())).await.unwrap_err();
            assert!(refused.to_string().contains("looked at only"), "{refused}");
        }
        let left = world.fixture.store.read(|db| audit::list(db, &AuditFilter::default(), Page::first())).await.unwrap();
        assert_eq!(left.rows.len(), 25);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_by_looking() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/none.db", folder.path().display());
    let Err(error) = Store::inspect(&url).await else { panic!("there is nothing to look at") };
    assert!(error.to_string().contains("no such file"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(harness::sqlite().await);
}

on_both_engines! {
    async fn what_a_mac_and_a_place_cost_beside_the_event_itself(fixture: Fixture) {
        let store = fixture.store.clone();
        let time = async |keys: Option<Arc<Keyring>>| {
            store.seal_with(keys);
            let began = std::time::Instant::now();
            for _ in 0..10 {
                store.write(|db| (0..50).try_for_each(|n| audit::append(db, &event(n), "p1", now()).map(drop))).await.unwrap();
            }
            began.elapsed().as_secs_f64() / 500.0
        };
        let (mut bare, mut sealed) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            // In turns, so that what else the machine does is the same for both.
            bare.push(time(None).await);
            sealed.push(time(Some(keys())).await);
        }
        let began = std::time::Instant::now();
        let mut after = 0;
        while let Some((last, _)) = seal::add(&fixture.store, &keys(), after, now()).await.unwrap() {
            after = last.seq;
        }
        let link = began.elapsed().as_secs_f64() / 2_500.0;
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let (bare, sealed) = (median(&mut bare), median(&mut sealed));
        println!(
            "{}: an event {:.0} µs, with its MAC {:.0} µs ({:.2} times), its place {:.0} µs more, later",
            fixture.store.engine(), bare * 1e6, sealed * 1e6, sealed / bare, link * 1e6
        );
        assert!(sealed < bare * 4.0, "{sealed} for {bare}");
    }
}
