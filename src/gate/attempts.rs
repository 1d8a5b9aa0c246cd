//! Attempts: it failed, or did not help, again and again: a loop or a flap that a person should look at.

use std::time::Duration;

use serde_json::json;

use super::phrase::{count, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// Failed, timed out and ineffective runs of (trigger, target).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// How many are too many. Zero: switched off.
    pub limit: u32,
    pub window: Duration,
    /// When the last ones ended.
    pub failed_at: Vec<Timestamp>,
}

/// Asks for a person's yes when as many as the limit ended in the window.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::Attempts;
    if facts.limit == 0 || facts.window.is_zero() {
        return GateVerdict::allow(gate, "switched off");
    }
    let failed = facts.failed_at.iter().filter(|at| at.plus(facts.window) > now).count();
    let window = span(facts.window);
    let evidence = json!({"failed": failed, "limit": facts.limit, "window_seconds": facts.window.as_secs()});
    let run = subject.run();
    let said = format!("{} of {run} failed or did not help in the last {window}", count(failed, "run"));
    if failed >= facts.limit as usize {
        let message = format!("{said}; a person should look before the next one");
        GateVerdict::object(gate, Verdict::Approve, Reason::TooManyAttempts, message).because(evidence)
    } else {
        let message = format!("{said}; {} are too many", facts.limit);
        GateVerdict::allow(gate, message).because(evidence)
    }
}
