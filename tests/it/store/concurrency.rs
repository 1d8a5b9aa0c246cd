//! Many at once: nothing is locked out, nothing is claimed twice, nothing is counted twice.

use std::sync::mpsc;
use std::time::Duration;

use douse::execution::Status;
use douse::store::details::DetailsChange;
use douse::store::executions::{ExecutionChange, ExecutionRow};
use douse::store::facts::Scope;
use douse::store::target_locks::Claim;
use douse::store::*;
use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::harness::{self, Fixture, on_both_engines};
use super::samples::{self, now};

async fn add(fixture: &Fixture, server: &str) -> ExecutionRow {
    let (row, details) = samples::execution(server);
    let added = row.clone();
    fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
    added
}

on_both_engines! {
    async fn many_writers_that_read_first_all_get_their_turn(fixture: Fixture) {
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let store = fixture.store.clone();
            tasks.spawn(async move {
                for _ in 0..20 {
                    store
                        .write(|db| {
                            lock_ingest(db, "main")?;
                            sources::list(db)?;
                            sources::seen(db, "main", 1, now())
                        })
                        .await
                        .unwrap();
                }
            });
        }
        // Readers go on meanwhile.
        while !tasks.is_empty() {
            fixture.store.read(sources::list).await.unwrap();
            while tasks.try_join_next().is_some_and(|done| done.is_ok()) {}
        }
        assert_eq!(fixture.store.read(sources::list).await.unwrap()[0].deliveries, 320);
    }

    async fn an_approval_stands_after_every_other_whatever_the_clocks_say(fixture: Fixture) {
        let last = now();
        let (mut row, details) = samples::execution("web-1");
        row.approved_at = Some(last);
        fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
        let (before, after) = (last.minus(Duration::from_secs(50)), last.plus(Duration::from_secs(1)));
        let times = fixture.store.write(move |db| {
            [before, last, after].into_iter().map(|at| executions::approval_time(db, at)).collect::<Result<Vec<_>, _>>()
        });
        let next = last.plus(Duration::from_micros(1));
        assert_eq!(times.await.unwrap(), [next, next, after]);
    }

    async fn eight_claimers_take_each_execution_exactly_once(fixture: Fixture) {
        let mut rows = Vec::new();
        for n in 0..40 {
            rows.push(add(&fixture, &format!("web-{n}")).await);
        }
        let mut tasks = JoinSet::new();
        for claimer in 0..8 {
            let (store, rows) = (fixture.store.clone(), rows.clone());
            tasks.spawn(async move {
                let mut taken = Vec::new();
                for row in rows {
                    let by = format!("engine-{claimer}");
                    let claim = store.write(move |db| target_locks::claim(db, &row, &by, now())).await.unwrap();
                    if let Claim::Taken(row) = claim {
                        taken.push(row.id);
                    }
                }
                taken
            });
        }
        let mut taken = tasks.join_all().await.concat();
        taken.sort();
        assert_eq!(taken, rows.iter().map(|row| row.id).collect::<Vec<_>>());
        assert_eq!(fixture.store.read(target_locks::list).await.unwrap().len(), 40);
        assert_eq!(fixture.store.read(|db| executions::count_in(db, Status::Running)).await.unwrap(), 40);
    }

    async fn of_many_executions_for_one_server_one_runs(fixture: Fixture) {
        let mut rows = Vec::new();
        for _ in 0..8 {
            rows.push(add(&fixture, "web-1").await);
        }
        let mut tasks = JoinSet::new();
        for row in rows {
            let store = fixture.store.clone();
            tasks.spawn(async move { store.write(move |db| target_locks::claim(db, &row, "engine", now())).await.unwrap() });
        }
        let (taken, refused): (Vec<_>, Vec<_>) =
            tasks.join_all().await.into_iter().partition(|claim| matches!(claim, Claim::Taken(_)));
        let [Claim::Taken(row)] = &*taken else { panic!("taken by {taken:?}") };
        let winner = row.id;
        assert_eq!((row.status, row.started_at.is_some()), (Status::Running, true));
        assert_eq!(refused, vec![Claim::Busy(winner); 7]);

        // Over and given back, another may have it.
        let over = ExecutionChange { status: Some(Status::Cancelled), ..Default::default() };
        let freed = fixture.store.write(move |db| {
            Ok((executions::change(db, winner, &[Status::Running], &over)?, target_locks::free(db, winner)?))
        });
        assert_eq!(freed.await.unwrap(), (true, true));
        let due = fixture.store.read(|db| executions::due(db, "fix", now(), 100)).await.unwrap();
        assert!(due.len() == 7 && due.iter().all(|row| row.id != winner));
        let other = due[0].id;
        let claim = fixture.store.write(move |db| {
            let other = executions::get(db, other)?;
            target_locks::claim(db, &other, "engine", now())
        });
        assert!(matches!(claim.await.unwrap(), Claim::Taken(row) if row.id == other));
    }

    async fn a_limit_is_exact_when_deciders_take_turns(fixture: Fixture) {
        const LIMIT: usize = 5;
        let mut tasks = JoinSet::new();
        for n in 0..24 {
            let store = fixture.store.clone();
            tasks.spawn(async move {
                let decided = store.write(move |db| {
                    lock_decisions(db)?;
                    let since = now().minus(Duration::from_secs(3_600));
                    let starts = facts::starts_since(db, Scope::Runbook("fix"), since, None)?;
                    if starts.started.len() + starts.reserved >= LIMIT {
                        return Ok(false);
                    }
                    let (row, details) = samples::execution(&format!("web-{n}"));
                    executions::insert(db, &row, &details)?;
                    Ok(true)
                });
                decided.await.unwrap()
            });
        }
        let allowed = tasks.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(allowed, LIMIT);
    }

    async fn a_dropped_caller_does_not_leave_half_a_write(fixture: Fixture) {
        for n in 0..20 {
            let (row, details) = samples::execution("web-1");
            let id = row.id;
            let store = fixture.store.clone();
            let task = tokio::spawn(async move {
                store
                    .write(move |db| {
                        executions::insert(db, &row, &details)?;
                        let note = DetailsChange { claimed_by: Some(Some("me".to_owned())), ..Default::default() };
                        details::change(db, id, &note)
                    })
                    .await
            });
            tokio::time::sleep(Duration::from_micros(n * 100)).await;
            task.abort();
            // A later write waits for the aborted one, if that began.
            fixture.store.write(|db| sources::seen(db, "main", 1, now())).await.unwrap();
            let found = fixture.store.read(move |db| executions::get_whole(db, id)).await;
            if let Ok((_, details)) = found {
                assert_eq!(details.claimed_by.as_deref(), Some("me"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_for_sqlite_each_get_their_own_answer() {
    let fixture = harness::sqlite().await;
    let store = &fixture.store;
    let (started, has_started) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let first = store.write(move |db| {
        started.send(()).unwrap();
        gate.recv().unwrap();
        sources::seen(db, "first", 1, now())
    });
    let mut first = Box::pin(first);
    assert!((&mut first).now_or_never().is_none());
    tokio::task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();

    let mut waiting = Vec::new();
    for n in 0..10 {
        let mut write = Box::pin(store.write(move |db| {
            sources::seen(db, &format!("write {n}"), 1, now())?;
            match n {
                3 => Err(StoreError::GivenUp("on purpose".to_owned())),
                5 => panic!("on purpose"),
                _ => Ok(()),
            }
        }));
        assert!((&mut write).now_or_never().is_none(), "the writer is busy");
        waiting.push(write);
    }
    open.send(()).unwrap();
    first.await.unwrap();
    let mut results = Vec::new();
    for write in waiting {
        results.push(write.await);
    }
    assert!(matches!(results[3], Err(StoreError::GivenUp(_))), "{:?}", results[3]);
    assert!(matches!(results[5], Err(StoreError::Defect(_))), "{:?}", results[5]);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 8);
    let names: Vec<String> = store.read(sources::list).await.unwrap().into_iter().map(|row| row.name).collect();
    let expected = (0..10).filter(|n| ![3, 5].contains(n)).map(|n| format!("write {n}"));
    assert_eq!(names, ["first".to_owned()].into_iter().chain(expected).collect::<Vec<_>>());
}
