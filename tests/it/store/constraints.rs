//! What the schema itself refuses, whatever the program believes.

use diesel::connection::SimpleConnection;
use douse::alert::episode::EpisodeState;
use douse::audit::{EventKind, NewEvent};
use douse::execution::{Origin, Status};
use douse::store::decisions::DecisionRow;
use douse::store::details::DetailsChange;
use douse::store::events::EventRow;
use douse::store::executions::{ExecutionChange, ExecutionRow};
use douse::store::*;
use serde_json::json;

use super::harness::{Fixture, on_both_engines};
use super::samples::{self, now};

async fn raw(fixture: &Fixture, sql: impl Into<String>) -> Result<(), StoreError> {
    let sql = sql.into();
    fixture
        .store
        .write(move |db| {
            match db {
                Db::Sqlite(c) => c.batch_execute(&sql)?,
                Db::Pg(c) => c.batch_execute(&sql)?,
            }
            Ok(())
        })
        .await
}

async fn is_frozen(fixture: &Fixture, sql: &str) {
    let error = raw(fixture, sql).await.expect_err(sql);
    assert!(matches!(error, StoreError::Frozen(_)), "{sql}: {error:?}");
}

on_both_engines! {
    async fn a_final_execution_is_frozen_but_for_its_release(fixture: Fixture) {
        for status in Status::ALL.iter().copied().filter(|status| status.is_final()) {
            let (row, details) = samples::execution_in(status, "web-1", now());
            let id = row.id;
            fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
            for change in [
                ExecutionChange { status: Some(Status::Running), ..Default::default() },
                ExecutionChange { error_message: Some(None), ..Default::default() },
                ExecutionChange { approved_by: Some(Some("me".to_owned())), ..Default::default() },
            ] {
                let result = fixture.store.write(move |db| executions::change(db, id, &[status], &change)).await;
                assert!(matches!(result, Err(StoreError::Frozen(_))), "{status}: {result:?}");
            }
            let change = DetailsChange { output_summary: Some(Some("other".to_owned())), ..Default::default() };
            let result = fixture.store.write(move |db| details::change(db, id, &change)).await;
            assert!(matches!(result, Err(StoreError::Frozen(_))), "{status}: {result:?}");

            let released = fixture.store.write(move |db| {
                let details = DetailsChange {
                    released_by: Some(Some("ops".to_owned())),
                    released_reason: Some(Some("looked at it".to_owned())),
                    ..Default::default()
                };
                let row = ExecutionChange { released_at: Some(Some(now())), ..Default::default() };
                details::change(db, id, &details)?;
                executions::change(db, id, &[status], &row)
            });
            assert!(released.await.unwrap(), "{status}");
        }
    }

    async fn an_unfinished_execution_changes_but_its_plan_never_does(fixture: Fixture) {
        let (row, details) = samples::execution("web-1");
        let id = row.id;
        fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
        for column in
            ["plan_json = '{}'", "plan_hash = 'x'", "parameters = '{}'", "run_key = 'x'", "timeout_secs = 1"]
        {
            is_frozen(&fixture, &format!("UPDATE execution_details SET {column}")).await;
        }
        let change = DetailsChange { connect_tries: Some(1), ..Default::default() };
        fixture.store.write(move |db| details::change(db, id, &change)).await.unwrap();
    }

    async fn a_change_from_another_status_writes_nothing(fixture: Fixture) {
        let (row, details) = samples::execution("web-1");
        let id = row.id;
        fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
        let done = fixture.store.write(move |db| {
            let change = ExecutionChange { status: Some(Status::Rejected), ..Default::default() };
            executions::change(db, id, &[Status::Pending], &change)
        });
        assert!(!done.await.unwrap());
        let row = fixture.store.read(move |db| executions::get(db, id)).await.unwrap();
        assert_eq!(row.status, Status::Approved);
    }

    async fn the_audit_log_is_only_added_to(fixture: Fixture) {
        let event = NewEvent::of(EventKind::Paused, "ops", "pause", "p", json!({"scope": "global"}));
        fixture.store.write(move |db| audit::append(db, &event, "p1", now())).await.unwrap();
        is_frozen(&fixture, "UPDATE audit_events SET actor = 'nobody'").await;
        is_frozen(&fixture, "DELETE FROM audit_events").await;
        raw(&fixture, "INSERT INTO audit_links (position, seq, algorithm, key_id, mac, linked_at) VALUES \
            (1, 1, 'x', 'x', 'x', '2026-03-01T09:30:00.000000Z')").await.unwrap();
        is_frozen(&fixture, "UPDATE audit_links SET mac = 'y'").await;
        is_frozen(&fixture, "DELETE FROM audit_links").await;
        if fixture.store.engine() == "postgres" {
            is_frozen(&fixture, "TRUNCATE audit_events").await;
            is_frozen(&fixture, "TRUNCATE audit_links").await;
        }
        let left = fixture.store.read(|db| audit::list(db, &Default::default(), Page::first())).await.unwrap();
        assert_eq!((left.rows.len(), left.rows[0].actor.as_str()), (1, "ops"));
    }

    async fn events_have_no_gap_no_double_and_no_second_thought(fixture: Fixture) {
        let (row, details) = samples::execution("web-1");
        let id = row.id;
        fixture.store.write(move |db| executions::insert(db, &row, &details)).await.unwrap();
        let add = |last, seq| {
            let kind = "claimed".to_owned();
            let row = EventRow { execution_id: id, seq, at: now(), kind, event_json: Json(json!({})) };
            fixture.store.write(move |db| events::append(db, last, &[row]))
        };
        add(0, 1).await.unwrap();
        add(1, 2).await.unwrap();
        assert!(add(1, 2).await.unwrap_err().is_conflict());
        assert!(add(2, 4).await.unwrap_err().is_conflict());
        is_frozen(&fixture, "UPDATE execution_events SET kind = 'x'").await;
        is_frozen(&fixture, "DELETE FROM execution_events").await;
        assert_eq!(fixture.store.read(move |db| events::load(db, id)).await.unwrap().len(), 2);

        // Retention may take them when the execution is over.
        let done = ExecutionChange { status: Some(Status::Cancelled), ..Default::default() };
        fixture.store.write(move |db| executions::change(db, id, &[Status::Approved], &done)).await.unwrap();
        raw(&fixture, "DELETE FROM execution_events").await.unwrap();
    }

    async fn a_label_set_has_one_open_episode(fixture: Fixture) {
        let add = |row| fixture.store.write(move |db| episodes::insert(db, &row));
        add(samples::episode("f1", 1)).await.unwrap();
        assert!(add(samples::episode("f1", 2)).await.unwrap_err().is_conflict());
        let mut closed = samples::episode("f1", 1);
        closed.state = EpisodeState::Resolved;
        assert!(add(closed.clone()).await.unwrap_err().is_conflict(), "the same number twice");
        closed.number = 2;
        add(closed).await.unwrap();
        add(samples::episode("f2", 1)).await.unwrap();
    }

    async fn an_episode_is_decided_once_for_each_trigger(fixture: Fixture) {
        let episode = samples::episode("f1", 1);
        let (first, again) = (samples::decision(&episode, "fix"), samples::decision(&episode, "fix"));
        let none = || DecisionRow {
            runbook: None,
            trigger_name: None,
            verdict: DecisionVerdict::NoMatch,
            ..samples::decision(&episode, "fix")
        };
        let (other, one_none, two_none) = (samples::decision(&episode, "other"), none(), none());
        let nameless = DecisionRow { verdict: DecisionVerdict::Held, ..none() };
        fixture.store.write(move |db| episodes::insert(db, &episode)).await.unwrap();
        let add = |row| fixture.store.write(move |db| decisions::insert(db, &row));
        add(first).await.unwrap();
        assert!(add(again).await.unwrap_err().is_conflict());
        add(other).await.unwrap();
        add(one_none).await.unwrap();
        assert!(add(two_none).await.unwrap_err().is_conflict());
        assert!(add(nameless).await.is_err(), "held for no runbook");
    }

    async fn an_alert_makes_one_execution_for_each_trigger_and_a_person_as_many_as_wanted(fixture: Fixture) {
        let episode = samples::episode("f1", 1);
        let id = episode.id;
        fixture.store.write(move |db| episodes::insert(db, &episode)).await.unwrap();
        let add = |origin| {
            let (row, details) = samples::execution("web-1");
            let row = ExecutionRow { origin, episode_id: Some(id), trigger_name: Some("down".to_owned()), ..row };
            fixture.store.write(move |db| executions::insert(db, &row, &details))
        };
        add(Origin::Alert).await.unwrap();
        assert!(add(Origin::Alert).await.unwrap_err().is_conflict());
        add(Origin::Manual).await.unwrap();
        add(Origin::Retry).await.unwrap();
        add(Origin::Retry).await.unwrap();
    }

    async fn a_server_runs_one_execution_at_a_time(fixture: Fixture) {
        let add = |server| {
            let (row, details) = samples::execution_in(Status::Running, server, now());
            fixture.store.write(move |db| executions::insert(db, &row, &details))
        };
        add("web-1").await.unwrap();
        assert!(add("web-1").await.unwrap_err().is_conflict());
        add("web-2").await.unwrap();
    }

    async fn unknown_words_and_missing_parents_are_refused(fixture: Fixture) {
        let episode = samples::episode("f1", 1);
        let orphan = samples::decision(&samples::episode("f2", 1), "fix");
        fixture.store.write(move |db| episodes::insert(db, &episode)).await.unwrap();
        let error = raw(&fixture, "UPDATE episodes SET state = 'burning'").await.unwrap_err();
        assert!(matches!(error, StoreError::Defect(_)), "{error:?}");
        let error = fixture.store.write(move |db| decisions::insert(db, &orphan)).await.unwrap_err();
        assert!(matches!(error, StoreError::Defect(_)), "{error:?}");
    }

    async fn a_row_that_is_not_there_is_not_found(fixture: Fixture) {
        let error = fixture.store.read(|db| executions::get(db, douse::id::ExecutionId::new())).await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
    }

    async fn the_audit_log_takes_no_word_that_it_does_not_know(fixture: Fixture) {
        let insert = |word: &str| {
            format!(
                "INSERT INTO audit_events (id, event_type, actor, resource_type, resource_id, created_at, policy_version, \
                 payload_json, payload_hash) VALUES ('{}', '{word}', 'x', 'x', 'x', '2026-03-01T09:30:00.000000Z', 'x', '{{}}', 'x')",
                douse::id::AuditEventId::new()
            )
        };
        let error = raw(&fixture, insert("SOMETHING")).await.unwrap_err();
        assert!(error.to_string().contains("no known word"), "{error}");
        raw(&fixture, insert("PAUSED")).await.unwrap();
    }
}
