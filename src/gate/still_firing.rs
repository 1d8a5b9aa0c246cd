//! Still firing: the alert has not gone meanwhile, and has not become too old to act on.

use std::time::Duration;

use serde_json::json;

use super::phrase::{moment, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// The episode's state and age.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The trigger acts on firing alerts, and the runbook wants them to fire still.
    pub must_fire: bool,
    /// `None` while it is open.
    pub ended_at: Option<Timestamp>,
    /// The episode's earliest `startsAt`.
    pub firing_since: Timestamp,
    pub max_alert_age: Option<Duration>,
    /// Time that it has waited for locks, rate limits and capacity alone.
    pub queued_for: Duration,
    /// Zero: no bound.
    pub max_queue_age: Duration,
}

/// Refuses what is over, too old, or has waited for too long.
pub fn ask(facts: &Facts, _subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::StillFiring;
    let age = now.since(facts.firing_since);
    let evidence = json!({
        "ended_at": facts.ended_at, "age_seconds": age.as_secs(), "queued_seconds": facts.queued_for.as_secs(),
        "max_alert_age_seconds": facts.max_alert_age.map(|bound| bound.as_secs()),
        "max_queue_age_seconds": facts.max_queue_age.as_secs(),
    });
    let (reason, message) = if let Some(ended) = facts.ended_at.filter(|_| facts.must_fire) {
        (Reason::Resolved, format!("the alert ended at {}, so there is nothing left to do", moment(ended, now)))
    } else if let Some(bound) = facts.max_alert_age.filter(|bound| age > *bound) {
        let message = format!("the alert is {} old; after {} it is too old to act on", span(age), span(bound));
        (Reason::Stale, message)
    } else if !facts.max_queue_age.is_zero() && facts.queued_for >= facts.max_queue_age {
        let message = format!(
            "it waited {} for its target, a rate limit or a free worker; after {} it is too late to act",
            span(facts.queued_for),
            span(facts.max_queue_age)
        );
        (Reason::Stale, message)
    } else {
        let message = match facts.ended_at {
            Some(ended) => format!("the alert ended at {}, which does not matter here", moment(ended, now)),
            None => format!("the alert still fires, for {} now", span(age)),
        };
        return GateVerdict::allow(gate, message).because(evidence);
    };
    GateVerdict::object(gate, Verdict::Refuse, reason, message).because(evidence)
}
