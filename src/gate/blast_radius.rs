//! Blast radius: how many servers of a group one runbook touches in a short time without a person's yes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::phrase::span;
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// The bound, and what was touched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub min: u32,
    pub percent: u32,
    pub window: Duration,
    /// Servers in the target's group.
    pub group_size: u32,
    /// Targets of the group on which this runbook started in the window, or will (approved and running), without the
    /// run that is asked about.
    pub touched: BTreeSet<String>,
}

impl Facts {
    /// max(`min`, `percent` % of the group, rounded up).
    pub fn allowed(&self) -> u32 {
        let share = (u64::from(self.group_size) * u64::from(self.percent)).div_ceil(100);
        self.min.max(u32::try_from(share).unwrap_or(u32::MAX))
    }

    fn is_off(&self) -> bool {
        self.window.is_zero() || (self.min == 0 && self.percent == 0)
    }
}

/// Asks for a person's yes when this target would be one too many; a target that was touched already adds nothing.
pub fn ask(facts: &Facts, subject: &Subject, _now: Timestamp) -> GateVerdict {
    let gate = Gate::BlastRadius;
    if facts.is_off() {
        return GateVerdict::allow(gate, "switched off");
    }
    let allowed = facts.allowed();
    let mut targets: BTreeSet<&str> = facts.touched.iter().map(String::as_str).collect();
    targets.extend(subject.server.as_deref());
    let group = subject.group.as_deref().map_or("servers without a group".to_owned(), |name| format!("group {name}"));
    let (size, window) = (facts.group_size, span(facts.window));
    let evidence = json!({
        "group": subject.group, "group_size": size, "allowed": allowed, "touched": facts.touched,
        "window_seconds": facts.window.as_secs(),
    });
    let message = format!(
        "with this run, `{}` touches {} of {size} in {group} within {window}; at most {allowed} may be touched without a person's yes",
        subject.runbook,
        targets.len(),
    );
    if targets.len() > allowed as usize {
        GateVerdict::object(gate, Verdict::Approve, Reason::BlastRadius, message).because(evidence)
    } else {
        GateVerdict::allow(gate, message).because(evidence)
    }
}
