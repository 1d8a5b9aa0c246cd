//! Recently remediated: the same runbook completed on this target a moment ago, whatever started it.

use std::time::Duration;

use serde_json::json;

use super::phrase::{ago, moment, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::id::ExecutionId;

/// The last completion of (runbook, target).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Zero: switched off.
    pub window: Duration,
    pub last_completion: Option<(ExecutionId, Timestamp)>,
}

/// Holds until the window is over.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::RecentlyRemediated;
    if facts.window.is_zero() {
        return GateVerdict::allow(gate, "switched off");
    }
    let Some((execution, completed)) = facts.last_completion else {
        return GateVerdict::allow(gate, format!("{} has not completed recently", subject.run()));
    };
    let evidence = json!({
        "window_seconds": facts.window.as_secs(),
        "last_completed_at": completed,
        "execution_id": execution,
    });
    let until = completed.plus(facts.window);
    let completed = format!("{} completed {}", subject.run(), ago(completed, now));
    if until > now {
        let message = format!(
            "{completed}, and is given {} to show its effect; it may run again at {}",
            span(facts.window),
            moment(until, now)
        );
        GateVerdict::object(gate, Verdict::Hold(Some(until)), Reason::RecentlyRemediated, message).because(evidence)
    } else {
        GateVerdict::allow(gate, completed).because(evidence)
    }
}
