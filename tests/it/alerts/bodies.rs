//! Every body that a real Alertmanager posted, through the pure pipeline: parse, fingerprint, episode.

use std::collections::HashMap;

use douse::alert::AlertStatus;
use douse::alert::episode::{Episode, Outcome, Sighting, observe};
use douse::alert::fingerprint::fingerprint;
use douse::alert::wire::{Delivery, Entry, Format, parse};
use douse::clock::Timestamp;

use crate::support::fixture;

/// Name and bytes of each body, in the order of the names.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut bodies: Vec<(String, Vec<u8>)> = std::fs::read_dir(fixture("payloads"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    bodies.sort();
    assert!(bodies.len() > 40, "only {} bodies found", bodies.len());
    bodies
}

fn understood(name: &str, body: &[u8]) -> Delivery {
    let delivery = parse(body).unwrap_or_else(|error| panic!("{name}: {error}"));
    for entry in &delivery.entries {
        if let Entry::Quarantined { reason, .. } = entry {
            panic!("{name}: {reason}");
        }
    }
    delivery
}

#[derive(Default)]
struct Incidents {
    latest: HashMap<String, Episode>,
}

impl Incidents {
    /// What each alert of the body means.
    fn take(&mut self, delivery: &Delivery, received_at: Timestamp) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for entry in &delivery.entries {
            let Entry::Alert { alert, .. } = entry else { continue };
            let sighting =
                Sighting { status: alert.status, starts_at: alert.starts_at, ends_at: alert.ends_at, seen_at: None };
            let outcome = observe(self.latest.get(&alert.fingerprint), sighting, received_at);
            self.latest.insert(alert.fingerprint.clone(), outcome.episode().clone());
            outcomes.push(outcome);
        }
        outcomes
    }
}

fn begun(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_new_firing()).count()
}

#[test]
fn every_genuine_body_is_understood_in_full() {
    let mut alerts = 0;
    for (name, body) in all() {
        let delivery = understood(&name, &body);
        assert_eq!(delivery.format, Format::AlertmanagerV4, "{name}");
        assert!(!delivery.receiver.is_empty() && delivery.group_key.starts_with("{}"), "{name}");
        let any_firing = delivery
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Alert { alert, .. } if alert.status == AlertStatus::Firing));
        assert_eq!(delivery.status == "firing", any_firing, "{name}");
        alerts += delivery.entries.len();
    }
    assert!(alerts > 1_000, "{alerts}");
}

#[test]
fn every_fingerprint_is_the_one_that_alertmanager_computed() {
    for (name, body) in all() {
        for entry in understood(&name, &body).entries {
            let Entry::Alert { alert, .. } = entry else { continue };
            assert_eq!(fingerprint(&alert.labels), alert.fingerprint, "{name}: {:?}", alert.labels);
        }
    }
}

#[test]
fn a_truncated_body_says_how_many_are_missing() {
    for (name, body) in all() {
        let delivery = understood(&name, &body);
        let expected = if name.starts_with("04-truncated") { 40 } else { 0 };
        assert_eq!(delivery.truncated_alerts, expected, "{name}");
    }
}

#[test]
fn every_body_posted_three_times_begins_each_incident_once() {
    let now = "2026-11-21T09:00:00Z".parse().unwrap();
    for (name, body) in all() {
        let delivery = understood(&name, &body);
        let mut incidents = Incidents::default();
        let first = begun(&incidents.take(&delivery, now));
        let firing = delivery
            .entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Alert { alert, .. } if alert.status == AlertStatus::Firing));
        assert_eq!(first, firing.count(), "{name}");
        for _ in 0..2 {
            assert_eq!(begun(&incidents.take(&delivery, now)), 0, "{name}");
        }
    }
}

#[test]
fn all_bodies_posted_three_times_begin_nothing_after_the_first_time() {
    let now = "2026-11-21T09:00:00Z".parse().unwrap();
    let deliveries: Vec<Delivery> = all().iter().map(|(name, body)| understood(name, body)).collect();
    let mut incidents = Incidents::default();
    let first: usize = deliveries.iter().map(|delivery| begun(&incidents.take(delivery, now))).sum();
    assert!(first > 1_000, "{first}");
    for order in [Vec::from_iter(&deliveries), deliveries.iter().rev().collect()] {
        for delivery in order {
            assert_eq!(begun(&incidents.take(delivery, now)), 0);
        }
    }
}
