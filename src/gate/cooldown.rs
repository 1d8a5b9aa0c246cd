//! Cooldown: the trigger started a run on this target a moment ago.
//!
//! Counts from executions that started, never from refused ones, and never from an alert's `startsAt`.

use std::time::Duration;

use serde_json::json;

use super::phrase::{ago, moment, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::id::ExecutionId;

/// The last start of (trigger, target).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Zero: none is wanted.
    pub cooldown: Duration,
    pub last_start: Option<(ExecutionId, Timestamp)>,
}

/// Holds until the cooldown is over.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::Cooldown;
    let evidence = json!({
        "cooldown_seconds": facts.cooldown.as_secs(),
        "last_started_at": facts.last_start.map(|(_, at)| at),
        "execution_id": facts.last_start.map(|(id, _)| id),
    });
    if facts.cooldown.is_zero() {
        return GateVerdict::allow(gate, "no cooldown is set");
    }
    let length = span(facts.cooldown);
    let Some((_, started)) = facts.last_start else {
        return GateVerdict::allow(gate, format!("{} has not run yet; its cooldown is {length}", subject.run()))
            .because(evidence);
    };
    let until = started.plus(facts.cooldown);
    let ran = format!("{} ran {}; its cooldown is {length}", subject.run(), ago(started, now));
    if until > now {
        let message = format!("{ran}, so it may run again at {}", moment(until, now));
        GateVerdict::object(gate, Verdict::Hold(Some(until)), Reason::Cooldown, message).because(evidence)
    } else {
        GateVerdict::allow(gate, ran).because(evidence)
    }
}
