//! Too young: the alert has not fired for long enough, or not often enough.

use std::time::Duration;

use serde_json::json;

use super::phrase::{count, moment, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// How long and how often it fired, and how long and often it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The episode's earliest `startsAt`.
    pub firing_since: Timestamp,
    pub min_firing_for: Duration,
    pub min_occurrences: Option<Occurrences>,
}

/// Episodes of the fingerprint, this one included; not deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Occurrences {
    pub wanted: u32,
    pub within: Duration,
    pub seen: u32,
}

/// Holds until it has fired for long enough; refuses when it has not fired often enough, because only a new episode
/// can change that.
pub fn ask(facts: &Facts, _subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::TooYoung;
    let mature = facts.firing_since.plus(facts.min_firing_for);
    let mut evidence = json!({
        "firing_since": facts.firing_since, "min_firing_for_seconds": facts.min_firing_for.as_secs(),
    });
    if let Some(Occurrences { wanted, within, seen }) = facts.min_occurrences {
        evidence["occurrences"] = json!({"wanted": wanted, "seen": seen, "within_seconds": within.as_secs()});
        if seen < wanted {
            let message = format!(
                "the alert fired {} in the last {}; the trigger wants at least {wanted}",
                count(seen as usize, "time"),
                span(within)
            );
            return GateVerdict::object(gate, Verdict::Refuse, Reason::TooFew, message).because(evidence);
        }
    }
    if !facts.min_firing_for.is_zero() && mature > now {
        let message = format!(
            "the alert has fired for {}; the trigger waits for {}, which is at {}",
            span(now.since(facts.firing_since)),
            span(facts.min_firing_for),
            moment(mature, now)
        );
        return GateVerdict::object(gate, Verdict::Hold(Some(mature)), Reason::TooYoung, message).because(evidence);
    }
    let message = format!("the alert has fired for {}", span(now.since(facts.firing_since)));
    GateVerdict::allow(gate, message).because(evidence)
}
