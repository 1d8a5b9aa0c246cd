//! What the gates count.

use std::time::Duration;

use douse::execution::{Origin, RollbackState, Status, Verification};
use douse::id::ExecutionId;
use douse::store::executions::ExecutionRow;
use douse::store::facts::{self, Asking, Scope, Starts};
use douse::store::*;

use super::harness::{Fixture, on_both_engines};
use super::samples::{self, now};

const MINUTE: Duration = Duration::from_secs(60);

async fn add(
    fixture: &Fixture,
    status: Status,
    server: &str,
    minutes_ago: u32,
    edit: fn(&mut ExecutionRow),
) -> ExecutionId {
    let (mut row, details) = samples::execution_in(status, server, now().minus(MINUTE * minutes_ago));
    row.trigger_name = Some("down".to_owned());
    edit(&mut row);
    let id = row.id;
    fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
    id
}

on_both_engines! {
    async fn starts_and_reservations_are_counted_without_the_one_that_asks(fixture: Fixture) {
        let same = |_: &mut ExecutionRow| {};
        add(&fixture, Status::Completed, "web-1", 5, same).await;
        add(&fixture, Status::Failed, "web-2", 90, same).await;
        add(&fixture, Status::Running, "web-2", 90, same).await;
        add(&fixture, Status::Pending, "web-3", 0, same).await;
        add(&fixture, Status::Cancelled, "web-1", 5, |row| row.started_at = None).await;
        add(&fixture, Status::Completed, "web-1", 5, |row| row.runbook = "other".to_owned()).await;
        let asking = add(&fixture, Status::Approved, "web-1", 0, same).await;
        let row = fixture.store.read(move |db| executions::get(db, asking)).await.unwrap();
        let asking = Asking { execution: asking, approved_at: row.approved_at.unwrap() };
        let count = |scope: Scope<'static>, but| {
            let since = now().minus(MINUTE * 60);
            let starts = fixture.store.read(move |db| facts::starts_since(db, scope, since, but));
            async move { starts.await.map(|starts| (starts.started.len(), starts.reserved)).unwrap() }
        };
        assert_eq!(count(Scope::Runbook("fix"), None).await, (1, 2));
        assert_eq!(count(Scope::Runbook("fix"), Some(asking)).await, (1, 1));
        assert_eq!(count(Scope::Server("web-1"), Some(asking)).await, (2, 0));
        assert_eq!(count(Scope::RunbookOnServer("fix", "web-1"), None).await, (1, 1));
        assert_eq!(count(Scope::Global, Some(asking)).await, (2, 1));
    }

    async fn cooldown_counts_starts_and_recently_remediated_counts_completions(fixture: Fixture) {
        let same = |_: &mut ExecutionRow| {};
        let done = add(&fixture, Status::Completed, "web-1", 9, same).await;
        let failed = add(&fixture, Status::Failed, "web-1", 5, same).await;
        add(&fixture, Status::Cancelled, "web-1", 1, |row| row.started_at = None).await;
        add(&fixture, Status::Completed, "web-2", 1, same).await;
        let read = fixture.store.read(move |db| {
            Ok((
                facts::last_start(db, "fix", "down", "web-1", None)?,
                facts::last_start(db, "fix", "down", "web-1", Some(failed))?,
                facts::last_start(db, "fix", "other", "web-1", None)?,
                facts::last_completion(db, "fix", "web-1", None)?,
            ))
        });
        let (start, but, other, completion) = read.await.unwrap();
        assert_eq!(start.map(|(id, _)| id), Some(failed));
        assert_eq!(but.map(|(id, _)| id), Some(done));
        assert_eq!(other, None);
        assert_eq!(completion.map(|(id, _)| id), Some(done));
    }

    async fn fruitless_runs_are_failed_timed_out_or_not_effective_ones(fixture: Fixture) {
        let same = |_: &mut ExecutionRow| {};
        let ineffective = |row: &mut ExecutionRow| row.verification = Verification::Ineffective;
        add(&fixture, Status::Completed, "web-1", 2, same).await;
        let one = add(&fixture, Status::Failed, "web-1", 5, same).await;
        let two = add(&fixture, Status::Timeout, "web-1", 4, same).await;
        let three = add(&fixture, Status::Completed, "web-1", 3, ineffective).await;
        add(&fixture, Status::Cancelled, "web-1", 1, same).await;
        add(&fixture, Status::Failed, "web-1", 1, |row| row.started_at = None).await;
        add(&fixture, Status::Failed, "web-1", 70, same).await;
        add(&fixture, Status::Failed, "web-2", 1, same).await;
        let since = now().minus(MINUTE * 60);
        add(&fixture, Status::Failed, "web-1", 1, |row| row.trigger_name = Some("other".to_owned())).await;
        let read = fixture.store.read(move |db| facts::fruitless_since(db, "fix", "down", "web-1", since, None));
        assert_eq!(read.await.unwrap().iter().map(|end| end.id).collect::<Vec<_>>(), [one, two, three]);
    }

    async fn undoing_by_hand_counts_for_the_blast_radius_only(fixture: Fixture) {
        let undoing = |row: &mut ExecutionRow| row.origin = Origin::Rollback;
        add(&fixture, Status::Completed, "web-1", 3, undoing).await;
        add(&fixture, Status::Failed, "web-1", 2, undoing).await;
        add(&fixture, Status::Approved, "web-1", 0, undoing).await;
        let since = now().minus(MINUTE * 60);
        let read = fixture.store.read(move |db| {
            Ok((
                facts::last_start(db, "fix", "down", "web-1", None)?,
                facts::last_completion(db, "fix", "web-1", None)?,
                facts::starts_since(db, Scope::Global, since, None)?,
                facts::fruitless_since(db, "fix", "down", "web-1", since, None)?,
                facts::targets_since(db, "fix", Some("web"), since, None)?,
            ))
        });
        let (start, completion, starts, fruitless, targets) = read.await.unwrap();
        assert_eq!((start, completion, starts), (None, None, Starts::default()));
        assert!(fruitless.is_empty(), "{fruitless:?}");
        assert_eq!(targets, ["web-1"]);
    }

    async fn a_run_that_was_interrupted_counts_as_nothing_when_it_is_released(fixture: Fixture) {
        let released = |row: &mut ExecutionRow| row.released_at = Some(now());
        add(&fixture, Status::Interrupted, "web-1", 4, |_| {}).await;
        add(&fixture, Status::Failed, "web-1", 3, released).await;
        let stuck = add(&fixture, Status::Failed, "web-1", 2, |row| {
            row.rollback = RollbackState::Stuck;
            row.released_at = Some(now());
        })
        .await;
        let since = now().minus(MINUTE * 60);
        let read = fixture.store.read(move |db| facts::fruitless_since(db, "fix", "down", "web-1", since, None));
        assert_eq!(read.await.unwrap().iter().map(|end| end.id).collect::<Vec<_>>(), [stuck]);
    }

    async fn the_blast_radius_counts_each_server_of_the_group_once(fixture: Fixture) {
        let same = |_: &mut ExecutionRow| {};
        add(&fixture, Status::Completed, "web-2", 5, same).await;
        add(&fixture, Status::Failed, "web-2", 4, same).await;
        add(&fixture, Status::Approved, "web-1", 0, same).await;
        add(&fixture, Status::Completed, "web-3", 20, same).await;
        add(&fixture, Status::Completed, "db-1", 5, |row| row.server_group = Some("db".to_owned())).await;
        add(&fixture, Status::Completed, "lone", 5, |row| row.server_group = None).await;
        let since = now().minus(MINUTE * 10);
        let read = fixture.store.read(move |db| {
            Ok((
                facts::targets_since(db, "fix", Some("web"), since, None)?,
                facts::targets_since(db, "fix", None, since, None)?,
            ))
        });
        let (web, none) = read.await.unwrap();
        assert_eq!(web, ["web-1", "web-2"]);
        assert_eq!(none, ["lone"]);
    }

    async fn held_decisions_come_when_due_or_released(fixture: Fixture) {
        let episode = samples::episode("f1", 1);
        let (mut early, mut later, never) =
            (samples::decision(&episode, "a"), samples::decision(&episode, "b"), samples::decision(&episode, "c"));
        let mut refused = samples::decision(&episode, "d");
        refused.verdict = DecisionVerdict::Refused;
        early.held_until = Some(now().minus(MINUTE));
        later.held_until = Some(now().plus(MINUTE));
        let ids = (early.id, later.id, never.id);
        fixture
            .store
            .write(move |db| {
                episodes::insert(db, &episode)?;
                [early, later, never, refused].iter().try_for_each(|row| decisions::insert(db, row))
            })
            .await
            .unwrap();
        let due = || fixture.store.read(|db| decisions::due(db, now(), 10));
        assert_eq!(due().await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [ids.0]);
        assert_eq!(fixture.store.write(|db| decisions::release_held(db, now())).await.unwrap(), 2);
        assert_eq!(due().await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [ids.0, ids.1, ids.2]);
    }

    async fn pauses_end_by_themselves_or_by_a_person(fixture: Fixture) {
        let pause = |until: Option<_>| pauses::PauseRow {
            id: douse::id::PauseId::new(),
            scope: PauseScope::Global,
            name: String::new(),
            reason: "release".to_owned(),
            created_by: "ops".to_owned(),
            created_at: now(),
            until,
            resumed_at: None,
            resumed_by: None,
        };
        let (over, timed, open) = (pause(Some(now())), pause(Some(now().plus(MINUTE))), pause(None));
        let ids = (timed.id, open.id);
        fixture
            .store
            .write(move |db| [over, timed, open].iter().try_for_each(|row| pauses::insert(db, row)))
            .await
            .unwrap();
        let active = || fixture.store.read(|db| pauses::active(db, now()));
        assert_eq!(active().await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [ids.0, ids.1]);
        assert!(fixture.store.write(move |db| pauses::resume(db, ids.1, "ops", now())).await.unwrap());
        assert!(!fixture.store.write(move |db| pauses::resume(db, ids.1, "ops", now())).await.unwrap());
        assert_eq!(active().await.unwrap().len(), 1);
    }
}
