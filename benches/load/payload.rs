//! Bodies as Alertmanager sent them (`tests/fixtures/payloads`), each time with other alerts in them.

use serde_json::{Value, json};

/// Stands for what differs from body to body; JSON text never holds it unescaped.
const MARK: char = '\u{7f}';

/// A body with gaps.
pub struct Shape {
    parts: Vec<Part>,
    alerts: u64,
}

enum Part {
    Text(String),
    /// Of the alert at that place: a label that no other alert has.
    Uid(u64),
    Fingerprint(u64),
    /// The label `instance` of all.
    Host,
}

impl Shape {
    /// One alert, sent alone.
    pub fn single(alert_name: &str) -> Self {
        Self::new(include_str!("../../tests/fixtures/payloads/05-group-by-all-one-of-50.json"), alert_name)
    }

    /// Fifty alerts of one group.
    pub fn group(alert_name: &str) -> Self {
        Self::new(include_str!("../../tests/fixtures/payloads/03-grouped-50-firing.json"), alert_name)
    }

    fn new(fixture: &str, alert_name: &str) -> Self {
        let mut body: Value = serde_json::from_str(fixture).unwrap();
        let alerts = body["alerts"].as_array_mut().expect("alerts");
        let count = alerts.len();
        let mut instances = Vec::new();
        for (place, alert) in alerts.iter_mut().enumerate() {
            instances.push(alert["labels"]["instance"].as_str().expect("an instance").to_owned());
            alert["labels"]["uid"] = json!(format!("{MARK}u{place}{MARK}"));
            alert["fingerprint"] = json!(format!("{MARK}f{place}{MARK}"));
        }
        let mut text = body.to_string().replace("PrometheusTargetMissing", alert_name);
        for instance in &instances {
            text = text.replace(instance, &format!("{MARK}h{MARK}"));
        }
        let parts = text.split(MARK).enumerate().map(|(number, part)| {
            let place = || part[1..].parse().expect("a place");
            match part.chars().next() {
                // Text and gaps take turns.
                _ if number % 2 == 0 => Part::Text(part.to_owned()),
                Some('u') => Part::Uid(place()),
                Some('f') => Part::Fingerprint(place()),
                _ => Part::Host,
            }
        });
        Self { parts: parts.collect(), alerts: u64::try_from(count).unwrap() }
    }

    /// The body of that number; its alerts are on `host`.
    pub fn body(&self, number: u64, host: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(2_048);
        for part in &self.parts {
            match part {
                Part::Text(text) => body.extend_from_slice(text.as_bytes()),
                Part::Uid(place) => body.extend_from_slice((number * self.alerts + place).to_string().as_bytes()),
                Part::Fingerprint(place) => {
                    body.extend_from_slice(format!("{:016x}", mix(number * self.alerts + place)).as_bytes());
                }
                Part::Host => body.extend_from_slice(format!("{host}:9100").as_bytes()),
            }
        }
        body
    }
}

/// A permutation that looks like a hash, as real fingerprints do (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
