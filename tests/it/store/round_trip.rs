//! What is stored is read back equal, on both engines.

use douse::alert::{Alert, AlertStatus};
use douse::audit::canonical::payload_hash;
use douse::audit::{EventKind, NewEvent};
use douse::clock::Timestamp;
use douse::id::*;
use douse::runbook::model::{Mode, RunbookStatus};
use douse::store::alerts::{AlertFilter, AlertRow, Stored};
use douse::store::attempts::{AttemptEnd, AttemptRow, OutputRow};
use douse::store::blackouts::BlackoutRow;
use douse::store::runbooks::Loaded;
use douse::store::servers::ServerRow;
use douse::store::*;
use serde_json::{Value, json};
use steps::StepRow;

use super::harness::on_both_engines;
use super::samples::{self, now};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

on_both_engines! {
    async fn a_delivery_with_its_episode_and_alert(fixture: Fixture) {
        let (delivery, episode) = (samples::delivery(), samples::episode("f1", 1));
        let mut alert = samples::alert(&delivery, &episode);
        alert.labels_json = samples::labels(&[("a.b", "ünï → 🚒"), ("quote", "\"'\\\n"), ("empty", "")]);
        alert.raw_alert_json = Json(json!({"n": 9_007_199_254_740_993_i64, "f": 0.1, "deep": {"x": [null, true, {}]}}));
        let rows = (delivery.clone(), episode.clone(), alert.clone());
        fixture
            .store
            .write(move |db| {
                ingest::insert_deliveries(db, std::slice::from_ref(&rows.0))?;
                episodes::insert(db, &rows.1)?;
                alerts::insert(db, &rows.2)
            })
            .await
            .unwrap();
        let (ids, store) = ((delivery.id, episode.id, alert.id), &fixture.store);
        assert_eq!(store.read(move |db| deliveries::get(db, ids.0)).await.unwrap(), delivery);
        assert_eq!(store.read(move |db| episodes::get(db, ids.1)).await.unwrap(), episode);
        assert_eq!(store.read(move |db| alerts::get(db, ids.2)).await.unwrap(), alert);
    }

    async fn times_keep_their_microseconds_and_their_order(fixture: Fixture) {
        let times = [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00Z",
            "1999-12-31T23:59:59.999999Z",
            "2026-11-21T10:00:00Z",
            "2026-11-21T10:00:00.000001Z",
            "2026-11-21T11:00:00.5+01:00",
            "9999-12-31T23:59:59.999999Z",
        ]
        .map(time);
        for (n, at) in (1..).zip(times) {
            let mut row = samples::episode("f1", n);
            row.state = douse::alert::episode::EpisodeState::Resolved;
            (row.earliest_starts_at, row.latest_starts_at, row.ended_at) = (at, at, Some(at));
            let id = row.id;
            fixture.store.write(move |db| episodes::insert(db, &row)).await.unwrap();
            let read = fixture.store.read(move |db| episodes::get(db, id)).await.unwrap();
            assert_eq!((read.earliest_starts_at, read.ended_at), (at, Some(at)));
        }
        for (n, since) in times.into_iter().enumerate() {
            let count = fixture.store.read(move |db| episodes::occurrences(db, "main", "f1", since)).await.unwrap();
            assert_eq!(usize::try_from(count).unwrap(), times.len() - n, "since {since}");
        }
    }

    async fn a_time_beyond_the_year_9999_is_kept_as_its_end(fixture: Fixture) {
        let far = now().plus(std::time::Duration::MAX);
        let mut row = samples::episode("f1", 1);
        row.latest_starts_at = far;
        row.last_seen_firing = now().minus(std::time::Duration::MAX);
        let id = row.id;
        fixture.store.write(move |db| episodes::insert(db, &row)).await.unwrap();
        let read = fixture.store.read(move |db| episodes::get(db, id)).await.unwrap();
        assert_eq!(read.latest_starts_at, time("9999-12-31T23:59:59.999999Z"));
        assert_eq!(read.last_seen_firing, time("0001-01-01T00:00:00Z"));
    }

    async fn a_nul_becomes_the_replacement_character(fixture: Fixture) {
        let (delivery, mut episode) = (samples::delivery(), samples::episode("f1", 1));
        episode.instance = "a\0b".to_owned();
        let mut alert = samples::alert(&delivery, &episode);
        alert.job = "\0".to_owned();
        alert.labels_json = samples::labels(&[("x", "a\0b"), ("literal", "\\u0000")]);
        let id = alert.id;
        let event = NewEvent::of(EventKind::Paused, "ops", "pause", "p", json!({"reason": "a\0b"}));
        fixture
            .store
            .write(move |db| {
                ingest::insert_deliveries(db, std::slice::from_ref(&delivery))?;
                episodes::insert(db, &episode)?;
                alerts::insert(db, &alert)?;
                audit::append(db, &event, "p1", now())
            })
            .await
            .unwrap();
        let read = fixture.store.read(move |db| alerts::get(db, id)).await.unwrap();
        assert_eq!(read.job, "\u{FFFD}");
        assert_eq!((read.labels_json["x"].as_str(), read.labels_json["literal"].as_str()), ("a\u{FFFD}b", "\\u0000"));
        let log = fixture.store.read(|db| audit::list(db, &Default::default(), Page::first())).await.unwrap();
        let event = &log.rows[0];
        assert_eq!(event.payload_json.0, json!({"reason": "a\u{FFFD}b"}));
        assert_eq!(event.payload_hash, payload_hash(&event.payload_json).unwrap(), "the hash is of what is kept");
    }

    async fn the_same_alert_delivered_again_is_found(fixture: Fixture) {
        let (delivery, again, episode) = (samples::delivery(), samples::delivery(), samples::episode("f1", 1));
        let said = |status, ends_at, text: &str| Alert {
            status,
            labels: [("alertname".to_owned(), "Down".to_owned())].into(),
            annotations: [("summary".to_owned(), text.to_owned())].into(),
            starts_at: episode.earliest_starts_at,
            ends_at,
            generator_url: String::new(),
            fingerprint: "f1".to_owned(),
            annotations_cut: false,
        };
        let end = Some(episode.earliest_starts_at);
        let bodies = [
            said(AlertStatus::Firing, None, "one"),
            said(AlertStatus::Firing, None, "two"),
            said(AlertStatus::Resolved, None, "one"),
            said(AlertStatus::Resolved, end, "one"),
        ];
        let row = |delivery, alert: &Alert| AlertRow {
            status: alert.status,
            ends_at: alert.ends_at,
            identity_hash: alerts::identity_hash(alert),
            ..samples::alert(delivery, &episode)
        };
        let first: Vec<AlertRow> = bodies.iter().map(|alert| row(&delivery, alert)).collect();
        let second: Vec<AlertRow> = bodies.iter().map(|alert| row(&again, alert)).collect();
        let ids: Vec<AlertId> = first.iter().map(|row| row.id).collect();
        let results = fixture.store.write({
            let episode = episode.clone();
            move |db| {
                ingest::insert_deliveries(db, &[delivery, again])?;
                episodes::insert(db, &episode)?;
                first.iter().chain(&second).map(|row| alerts::insert(db, row)).collect::<Result<Vec<_>, _>>()
            }
        });
        let new = ids.iter().map(|_| Stored::New);
        let expected: Vec<Stored> = new.chain(ids.iter().copied().map(Stored::Duplicate)).collect();
        assert_eq!(results.await.unwrap(), expected);
    }

    async fn an_execution_with_all_that_belongs_to_it(fixture: Fixture) {
        use douse::execution::{Phase, StepStatus};
        let (row, details) = samples::execution("web-1");
        let step = |phase, order| StepRow {
            id: StepRunId::new(),
            execution_id: row.id,
            phase,
            step_order: order,
            step_id: "restart".to_owned(),
            name: "Restart".to_owned(),
            status: StepStatus::Running,
            sensitive: false,
            retry_attempt: 0,
            exit_code: None,
            started_at: Some(now()),
            completed_at: None,
            duration_ms: None,
            error_code: None,
            error_message: None,
        };
        let steps = [step(Phase::Rollback, 1), step(Phase::Main, 2), step(Phase::Rollback, 2), step(Phase::Main, 1)];
        let attempt = AttemptRow {
            id: AttemptId::new(),
            step_run_id: steps[3].id,
            execution_id: row.id,
            number: 1,
            started_at: now(),
            finished_at: None,
            ending: None,
            exit_code: None,
            signal: None,
            kill_confirmed: None,
            error_message: None,
            hold: AttemptHold::Held,
        };
        let output = |stream, head: &str| OutputRow {
            attempt_id: attempt.id,
            stream,
            head: head.to_owned(),
            tail: String::new(),
            total_bytes: 5_000_000_000,
            truncated: true,
            sha256: "44".to_owned(),
        };
        let outputs = [output(Stream::Stdout, "out\0put"), output(Stream::Stderr, "")];
        let again =
            StepRow { id: StepRunId::new(), status: StepStatus::Completed, exit_code: Some(0), ..steps[3].clone() };
        let (stored, written) = ((row.clone(), details.clone()), (steps.clone(), attempt.clone()));
        let kept = fixture.store.write(move |db| {
            executions::insert(db, &stored.0, &stored.1)?;
            for step in &written.0 {
                assert_eq!(steps::upsert(db, step)?, step.id);
            }
            attempts::insert(db, &written.1)?;
            for output in &outputs {
                attempts::insert_output(db, output)?;
            }
            let end = AttemptEnd {
                ending: AttemptEnding::TimedOut,
                exit_code: None,
                signal: None,
                kill_confirmed: Some(true),
                error_message: Some("60 s are over".to_owned()),
            };
            assert!(attempts::finish(db, written.1.id, &end, now())?);
            assert!(!attempts::finish(db, written.1.id, &end, now())?, "a known end stays");
            steps::upsert(db, &again)
        });
        assert_eq!(kept.await.unwrap(), steps[3].id, "the step keeps its id");
        let id = row.id;
        let read = fixture.store.read(move |db| {
            let whole = executions::get_whole(db, id)?;
            Ok((whole, steps::of_execution(db, id)?, attempts::of_execution(db, id)?, attempts::outputs_of(db, id)?))
        });
        let (whole, steps_read, attempts_read, outputs_read) = read.await.unwrap();
        assert_eq!(whole, (row, details));
        let order: Vec<(Phase, i32)> = steps_read.iter().map(|step| (step.phase, step.step_order)).collect();
        assert_eq!(order, [(Phase::Main, 1), (Phase::Main, 2), (Phase::Rollback, 2), (Phase::Rollback, 1)]);
        assert_eq!((steps_read[0].status, steps_read[0].exit_code), (StepStatus::Completed, Some(0)));
        assert_eq!((attempts_read[0].ending, attempts_read[0].kill_confirmed), (Some(AttemptEnding::TimedOut), Some(true)));
        assert_eq!((outputs_read[0].stream, outputs_read[0].head.as_str()), (Stream::Stdout, "out\u{FFFD}put"));
        assert_eq!((outputs_read.len(), outputs_read[1].total_bytes), (2, 5_000_000_000));
    }

    async fn a_runbook_gets_a_version_for_each_content_and_keeps_its_override(fixture: Fixture) {
        let load = |content: &str| {
            let loaded = Loaded {
                name: "fix".to_owned(),
                content_hash: content.to_owned(),
                yaml_content: format!("name: fix # {content}"),
                path: "runbooks/fix.yml".to_owned(),
                category: "web".to_owned(),
                mode: Mode::Auto,
                status: RunbookStatus::Active,
                created_by: "files".to_owned(),
            };
            fixture.store.write(move |db| runbooks::record(db, &loaded, "loaded", now()))
        };
        let one = load("a").await.unwrap();
        assert_eq!((one.version, one.is_new), (1, true));
        assert_eq!(load("a").await.unwrap().version, 1);
        let ruled = fixture.store.write(|db| {
            runbooks::set_override(db, "fix", Some(RunbookOverride::Disabled), "ops", Some("noisy"), now())
        });
        assert!(ruled.await.unwrap());
        assert_eq!(load("b").await.unwrap().version, 2);
        let back = load("a").await.unwrap();
        assert_eq!((back.id, back.version, back.is_new), (one.id, 1, false));
        let row = fixture.store.read(|db| runbooks::by_name(db, "fix")).await.unwrap().unwrap();
        assert_eq!((row.current_version, row.status_override), (1, Some(RunbookOverride::Disabled)));
        let versions = fixture.store.read(move |db| runbooks::versions(db, one.id)).await.unwrap();
        assert_eq!(versions.iter().map(|row| row.version).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(fixture.store.write(|db| runbooks::mark_absent_but(db, &[], now())).await.unwrap(), 1);
    }

    async fn a_servers_maintenance_survives_a_reload_and_its_name_cannot_be_taken_twice(fixture: Fixture) {
        let store = &fixture.store;
        store.write(|db| servers::declare(db, &["a", "b"], now())).await.unwrap();
        assert!(store.write(|db| servers::set_paused(db, "a", Some(true), "ops", None, now())).await.unwrap());
        store.write(|db| servers::declare(db, &["a"], now())).await.unwrap();
        let rows = store.read(servers::list).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].name.as_str(), rows[0].paused_override), ("a", Some(true)));
        let half = ServerRow { origin: ServerOrigin::Api, ..ServerRow::declared("c", now()) };
        assert!(store.write(move |db| servers::insert(db, &half)).await.is_err(), "an API server needs an address");
        let whole = ServerRow {
            origin: ServerOrigin::Api,
            hostname: Some("10.0.0.3".to_owned()),
            port: Some(22),
            username: Some("douse".to_owned()),
            os_type: Some(douse::runbook::model::OsType::Linux),
            auth_type: Some(AuthType::Agent),
            host_keys: Json(vec!["ssh-ed25519 AAAA".to_owned()]),
            ..ServerRow::declared("c", now())
        };
        let copy = whole.clone();
        store.write(move |db| servers::insert(db, &copy)).await.unwrap();
        assert_eq!(store.read(|db| servers::by_name(db, "c")).await.unwrap(), Some(whole));
        assert!(store.write(|db| servers::declare(db, &["a", "c"], now())).await.unwrap_err().is_conflict());
    }

    async fn settings_blackouts_breakers_and_keys(fixture: Fixture) {
        let store = &fixture.store;
        store.write(|db| system_config::put(db, "mode", &json!("observe"), "ops", now())).await.unwrap();
        store.write(|db| system_config::put(db, "mode", &json!({"a": [1]}), "ops", now())).await.unwrap();
        assert_eq!(store.read(|db| system_config::get(db, "mode")).await.unwrap(), Some(json!({"a": [1]})));

        let window = BlackoutRow {
            id: BlackoutId::new(),
            name: "patching".to_owned(),
            description: String::new(),
            start_time: None,
            end_time: None,
            recurrence: Recurrence::Cron,
            recurrence_pattern: Json(Value::Null),
            cron: Some("0 2 * * sun".to_owned()),
            duration_secs: Some(7_200),
            timezone: "Europe/Berlin".to_owned(),
            effect: BlackoutEffect::Hold,
            affected_servers: Json(json!({"tags": ["web"]})),
            affected_runbooks: Json(json!({})),
            enabled: true,
            created_by: "ops".to_owned(),
            created_at: now(),
            updated_at: now(),
        };
        let backwards = BlackoutRow {
            id: BlackoutId::new(),
            name: "backwards".to_owned(),
            start_time: Some(now()),
            end_time: Some(now().minus(std::time::Duration::from_secs(1))),
            ..window.clone()
        };
        let copy = window.clone();
        store.write(move |db| blackouts::insert(db, &copy)).await.unwrap();
        assert!(store.write(move |db| blackouts::insert(db, &backwards)).await.is_err());
        assert_eq!(store.read(blackouts::enabled).await.unwrap(), [window]);

        let mut breaker = breakers::BreakerRow::closed("fix", now());
        for state in [CircuitState::Open, CircuitState::HalfOpen] {
            breaker.state = state;
            breaker.opened_at = (state == CircuitState::Open).then(now);
            let copy = breaker.clone();
            store.write(move |db| breakers::put(db, &copy)).await.unwrap();
            assert_eq!(store.read(|db| breakers::get(db, "fix")).await.unwrap(), Some(breaker.clone()));
        }

        let key = idempotency::KeyRow {
            key: "k".to_owned(),
            token: "ops".to_owned(),
            request_hash: "h".to_owned(),
            status: 202,
            location: None,
            body: Json(json!({"id": "x"})),
            created_at: now(),
        };
        let (one, two, made) = (key.clone(), key.clone(), key.created_at);
        store.write(move |db| idempotency::insert(db, &one)).await.unwrap();
        assert!(store.write(move |db| idempotency::insert(db, &two)).await.unwrap_err().is_conflict());
        assert_eq!(store.read(|db| idempotency::get(db, "k", "ops")).await.unwrap(), Some(key));
        assert_eq!(store.read(|db| idempotency::get(db, "k", "other")).await.unwrap(), None);
        assert_eq!(store.write(move |db| idempotency::prune(db, made)).await.unwrap(), 0);
        let after = made.plus(std::time::Duration::from_secs(1));
        assert_eq!(store.write(move |db| idempotency::prune(db, after)).await.unwrap(), 1);
    }

    async fn pages_walk_through_all_rows_once_newest_first(fixture: Fixture) {
        let (delivery, episode) = (samples::delivery(), samples::episode("f1", 1));
        let rows: Vec<AlertRow> = (0..7)
            .map(|n| AlertRow { identity_hash: n.to_string(), position: n, ..samples::alert(&delivery, &episode) })
            .collect();
        let mut expected: Vec<AlertId> = rows.iter().map(|row| row.id).collect();
        expected.reverse();
        fixture
            .store
            .write(move |db| {
                ingest::insert_deliveries(db, std::slice::from_ref(&delivery))?;
                episodes::insert(db, &episode)?;
                rows.iter().try_for_each(|row| alerts::insert(db, row).map(drop))
            })
            .await
            .unwrap();
        for limit in [1, 2, 3, 7, 200] {
            let mut seen = Vec::new();
            let mut page = Page { limit, before: None };
            loop {
                let filter = AlertFilter { alert_name: Some("Down".to_owned()), ..AlertFilter::default() };
                let found = fixture.store.read(move |db| alerts::list(db, &filter, page)).await.unwrap();
                assert!(found.rows.len() <= limit as usize);
                seen.extend(found.rows.iter().map(|row| row.id));
                let Some(next) = found.next else { break };
                page.before = Some(next);
            }
            assert_eq!(seen, expected, "pages of {limit}");
        }
    }
}
