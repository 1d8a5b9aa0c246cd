//! Deliveries into the database, on both engines: what is stored, and what a re-delivery changes (nothing).

use douse::alert::episode::EpisodeState;
use douse::clock::Timestamp;
use douse::engine::receive::{Incoming, Ingest, Receipt, Taken};
use douse::id::EpisodeId;
use douse::store::alerts::{AlertFilter, AlertRow};
use douse::store::episodes::{EpisodeFilter, EpisodeRow};
use douse::store::{DecideState, EpisodeRelation, Page, Store, alerts, deliveries, episodes};
use serde_json::{Value, json};

use super::bodies;
use crate::store::harness::on_both_engines;

fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

/// When the genuine bodies were caught: none of their incidents had ended long ago.
fn capture() -> Timestamp {
    "2026-11-21T07:45:00Z".parse().unwrap()
}

pub async fn post(store: &Store, body: &[u8], at: Timestamp) -> Receipt {
    let incoming = Incoming {
        source: "main".to_owned(),
        body: body.to_vec(),
        remote_addr: Some("192.0.2.1".to_owned()),
        content_type: Some("application/json".to_owned()),
    };
    Ingest::start(store.clone()).receive(incoming, at).await.unwrap()
}

/// Everything that a re-delivery must leave as it is: all episodes and all alerts.
async fn state(store: &Store) -> (Vec<EpisodeRow>, Vec<AlertRow>) {
    let read = store.read(|db| {
        let (mut all_episodes, mut all_alerts) = (Vec::new(), Vec::new());
        let mut page = Page { limit: 200, before: None };
        loop {
            let got = episodes::list(db, &EpisodeFilter::default(), page)?;
            all_episodes.extend(got.rows);
            match got.next {
                Some(next) => page.before = Some(next),
                None => break,
            }
        }
        let mut page = Page { limit: 200, before: None };
        loop {
            let got = alerts::list(db, &AlertFilter::default(), page)?;
            all_alerts.extend(got.rows);
            match got.next {
                Some(next) => page.before = Some(next),
                None => return Ok((all_episodes, all_alerts)),
            }
        }
    });
    read.await.unwrap()
}

pub fn webhook(alerts: &[Value]) -> Vec<u8> {
    json!({"version": "4", "status": "firing", "receiver": "r", "groupKey": "{}:{}", "alerts": alerts})
        .to_string()
        .into_bytes()
}

pub fn alert(name: &str, status: &str, starts: &str, ends: &str) -> Value {
    let time =
        |text: &str| if text.is_empty() { "0001-01-01T00:00:00Z".to_owned() } else { format!("2026-11-21T{text}Z") };
    json!({
        "status": status, "labels": {"alertname": name, "severity": "critical", "instance": "web1:9100"},
        "annotations": {}, "startsAt": time(starts), "endsAt": time(ends), "generatorURL": "",
    })
}

fn taken(receipt: &Receipt) -> Vec<Taken> {
    receipt.results.iter().map(|result| result.taken).collect()
}

async fn episode(store: &Store, id: EpisodeId) -> EpisodeRow {
    store.read(move |db| episodes::get(db, id)).await.unwrap()
}

on_both_engines! {
    async fn genuine_bodies_posted_three_times_change_nothing_after_the_first(fixture: Fixture) {
        let store = &fixture.store;
        let bodies = bodies::all();
        let mut opened = 0;
        for (name, body) in &bodies {
            let receipt = post(store, body, capture()).await;
            assert!(receipt.results.iter().all(|result| result.taken != Taken::Quarantined), "{name}");
            opened += receipt.opened.len();
        }
        assert!(opened > 1_000, "{opened}");
        let before = state(store).await;
        let again = async |at: Timestamp| {
            for (name, body) in bodies.iter().rev().chain(&bodies) {
                let receipt = post(store, body, at).await;
                assert!(receipt.results.iter().all(|result| result.taken == Taken::Duplicate), "{name}");
                assert!(receipt.opened.is_empty() && receipt.ended.is_empty(), "{name}");
            }
        };
        again(capture()).await;
        assert!(state(store).await == before);
        // Hours later it makes ends suspect, and nothing else.
        again(now()).await;
        let (mut later, alerts) = state(store).await;
        assert!(later.iter().any(|row| row.suspect && row.state == EpisodeState::Resolved));
        for row in later.iter_mut().filter(|row| row.suspect) {
            (row.suspect, row.updated_at) = (false, capture());
        }
        assert!((later, alerts) == before);
    }

    async fn shuffled_split_and_merged_bodies_change_nothing(fixture: Fixture) {
        let store = &fixture.store;
        let (_, grouped) = bodies::all().into_iter().find(|(name, _)| name.starts_with("03-grouped")).unwrap();
        let (_, resolved) = bodies::all().into_iter().find(|(name, _)| name.starts_with("08-group")).unwrap();
        post(store, &grouped, now()).await;
        post(store, &resolved, now()).await;
        let before = state(store).await;
        let alerts_of = |body: &[u8]| -> Vec<Value> {
            let body: Value = serde_json::from_slice(body).unwrap();
            body["alerts"].as_array().unwrap().clone()
        };
        let mut merged = alerts_of(&resolved);
        merged.extend(alerts_of(&grouped));
        // A fixed shuffle: 37 and the number of alerts have no common factor.
        let count = merged.len();
        assert_ne!(count % 37, 0);
        let shuffled: Vec<Value> = (0..count).map(|place| merged[place * 37 % count].clone()).collect();
        post(store, &webhook(&shuffled), now()).await;
        post(store, &webhook(&merged), now()).await;
        for part in merged.chunks(7) {
            post(store, &webhook(part), now()).await;
        }
        assert!(state(store).await == before);
    }

    async fn an_incident_is_followed_from_its_first_firing_to_the_next(fixture: Fixture) {
        let store = &fixture.store;
        let first = post(store, &webhook(&[alert("A", "firing", "08:00:00", "")]), now()).await;
        assert_eq!((taken(&first), first.opened.len()), (vec![Taken::Stored], 1));
        let one = episode(store, first.opened[0]).await;
        assert_eq!((one.number, one.state, one.decide_state), (1, EpisodeState::Open, DecideState::Undecided));
        assert_eq!((one.alert_id, one.alert_name.as_str()), (Some(first.results[0].alert), "A"));

        let resolved = post(store, &webhook(&[alert("A", "resolved", "08:00:00", "08:05:00")]), now()).await;
        assert_eq!((resolved.opened.len(), resolved.ended.as_slice()), (0, &[one.id][..]));
        let ended = episode(store, one.id).await;
        assert_eq!((ended.state, ended.ended_at), (EpisodeState::Resolved, Some("2026-11-21T08:05:00Z".parse().unwrap())));

        let next = post(store, &webhook(&[alert("A", "firing", "08:10:00", "")]), now()).await;
        let two = episode(store, next.opened[0]).await;
        assert_eq!((two.number, two.state), (2, EpisodeState::Open));

        let third = post(store, &webhook(&[alert("A", "firing", "08:20:00", "")]), now()).await;
        assert_eq!(third.ended, [two.id]);
        assert_eq!(episode(store, two.id).await.state, EpisodeState::Superseded);
        assert_eq!(episode(store, third.opened[0]).await.number, 3);
    }

    async fn a_whole_history_in_one_body_is_told_apart(fixture: Fixture) {
        let store = &fixture.store;
        let history = [
            alert("A", "firing", "08:00:00", ""),
            alert("A", "resolved", "08:00:00", "08:05:00"),
            alert("A", "firing", "08:10:00", ""),
            alert("A", "firing", "08:20:00", ""),
            alert("A", "firing", "08:20:00", ""),
            alert("B", "resolved", "08:00:00", "08:30:00"),
            alert("B", "firing", "08:00:00", ""),
        ];
        let receipt = post(store, &webhook(&history), now()).await;
        use Taken::{Duplicate, Stored};
        assert_eq!(taken(&receipt), [Stored, Stored, Stored, Stored, Duplicate, Stored, Stored]);
        assert_eq!((receipt.opened.len(), receipt.ended.len()), (3, 2));
        let (rows, stored) = state(store).await;
        let mut numbers: Vec<(String, i32, EpisodeState)> =
            rows.into_iter().map(|row| (row.alert_name, row.number, row.state)).collect();
        numbers.sort();
        let of = |name: &str, number, state| (name.to_owned(), number, state);
        assert_eq!(
            numbers,
            [
                of("A", 1, EpisodeState::Resolved),
                of("A", 2, EpisodeState::Superseded),
                of("A", 3, EpisodeState::Open),
                of("B", 1, EpisodeState::Resolved),
            ]
        );
        let late = stored.iter().find(|row| row.alert_name == "B" && row.position == 6).unwrap();
        assert_eq!(late.episode_relation, EpisodeRelation::Late);
    }

    async fn a_firing_in_the_future_is_one_incident(fixture: Fixture) {
        let store = &fixture.store;
        let future = webhook(&[alert("A", "firing", "23:00:00", "")]);
        let opened: usize = [post(store, &future, now()).await, post(store, &future, now()).await, post(store, &future, now()).await]
            .iter()
            .map(|receipt| receipt.opened.len())
            .sum();
        assert_eq!(opened, 1);
        let (rows, stored) = state(store).await;
        assert_eq!((rows.len(), stored.len()), (1, 1));
    }

    async fn one_bad_alert_among_99_good_ones_is_quarantined(fixture: Fixture) {
        let store = &fixture.store;
        let mut all: Vec<Value> = (0..99).map(|n| alert(&format!("A{n}"), "firing", "08:00:00", "")).collect();
        all.insert(50, json!({"status": "firing", "labels": {"alertname": 7}, "startsAt": "2026-11-21T08:00:00Z"}));
        let receipt = post(store, &webhook(&all), now()).await;
        assert_eq!((receipt.results.len(), receipt.opened.len()), (100, 99));
        let bad = &receipt.results[50];
        assert_eq!((bad.taken, bad.episode), (Taken::Quarantined, None));
        assert!(bad.reason.as_deref().unwrap().contains("label `alertname` is a number"));
        let (delivery, alert) = (receipt.delivery, bad.alert);
        let kept = store.read(move |db| deliveries::quarantined(db, delivery)).await.unwrap();
        assert_eq!((kept.len(), kept[0].id, kept[0].position), (1, alert, 50));
    }

    async fn a_firing_long_after_the_end_makes_the_end_suspect(fixture: Fixture) {
        let store = &fixture.store;
        let firing = webhook(&[alert("A", "firing", "08:00:00", "")]);
        post(store, &firing, now()).await;
        let ended = post(store, &webhook(&[alert("A", "resolved", "08:00:00", "08:05:00")]), now()).await;
        let soon = post(store, &firing, "2026-11-21T08:09:00Z".parse().unwrap()).await;
        assert!(soon.suspect.is_empty() && !episode(store, ended.ended[0]).await.suspect);
        let late = post(store, &firing, "2026-11-21T08:11:00Z".parse().unwrap()).await;
        assert_eq!((late.suspect.len(), late.opened.len(), taken(&late)), (1, 0, vec![Taken::Duplicate]));
        assert!(episode(store, ended.ended[0]).await.suspect);
        let again = post(store, &firing, "2026-11-21T08:12:00Z".parse().unwrap()).await;
        assert!(again.suspect.is_empty(), "suspected once");
    }

    async fn the_raw_body_is_kept_byte_for_byte_each_time(fixture: Fixture) {
        let store = &fixture.store;
        let (_, sent) = bodies::all().into_iter().find(|(name, _)| name.starts_with("20-hostile-unicode")).unwrap();
        let receipts = [post(store, &sent, now()).await, post(store, &sent, now()).await];
        for receipt in receipts {
            let row = store.read(move |db| deliveries::get(db, receipt.delivery)).await.unwrap();
            assert_eq!((row.body.as_slice(), row.alert_count), (sent.as_slice(), 1));
        }
    }

    async fn concurrent_re_deliveries_begin_an_incident_once(fixture: Fixture) {
        let store = &fixture.store;
        let (_, sent) = bodies::all().into_iter().find(|(name, _)| name.starts_with("03-grouped")).unwrap();
        let posts = (0..8).map(|_| post(store, &sent, now()));
        let opened: usize = futures_util::future::join_all(posts).await.iter().map(|receipt| receipt.opened.len()).sum();
        assert_eq!(opened, 50);
    }

    async fn a_thousand_alerts_begin_and_end_with_one_body_each(fixture: Fixture) {
        let store = &fixture.store;
        let all: Vec<Value> = (0..1_000).map(|n| alert(&format!("A{n}"), "firing", "08:00:00", "")).collect();
        assert_eq!(post(store, &webhook(&all), now()).await.opened.len(), 1_000);
        let ends: Vec<Value> = (0..1_000).map(|n| alert(&format!("A{n}"), "resolved", "08:00:00", "08:01:00")).collect();
        assert_eq!(post(store, &webhook(&ends), now()).await.ended.len(), 1_000);
    }
}
