//! Mode: does it run by itself, ask first, wait for a person to start it, or only look?

use serde_json::json;

use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::execution::Origin;
use crate::runbook::model::Mode;

/// What the configuration, the runbook and its trigger say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// `global.mode: observe`: nothing runs at all.
    pub is_observing: bool,
    pub runbook: Mode,
    /// `requires_approval`, or a risk that asks for it.
    pub requires_approval: bool,
}

/// Refuses `observe` (and `manual`, for what is not a person), asks for a yes where the runbook wants one.
///
/// A person's run is let through `manual` and `semi_auto` by [`super::evaluate`](super::evaluate()), which records it.
pub fn ask(facts: &Facts, subject: &Subject, _now: Timestamp) -> GateVerdict {
    let gate = Gate::Mode;
    let runbook = &subject.runbook;
    let evidence = json!({
        "global": if facts.is_observing { "observe" } else { "enforce" },
        "mode": facts.runbook,
        "requires_approval": facts.requires_approval,
        "semi_auto_only": facts.runbook == Mode::SemiAuto && !facts.requires_approval,
    });
    let refuse = |reason, message: String| GateVerdict::object(gate, Verdict::Refuse, reason, message);
    let approve = |message: String| GateVerdict::object(gate, Verdict::Approve, Reason::ApprovalRequired, message);
    let answer = match facts.runbook {
        _ if facts.is_observing => refuse(
            Reason::Observed,
            "Douse only observes (`global: {mode: observe}`): it decides and records, and runs nothing".to_owned(),
        ),
        // A person asked to undo what ran before; nobody starts the runbook.
        _ if subject.origin == Origin::Rollback => {
            GateVerdict::allow(gate, format!("undoing a run of `{runbook}`, because a person asked for it"))
        }
        Mode::Observe => refuse(
            Reason::Observed,
            format!("`{runbook}` only observes (`mode: observe`): this is recorded, and nothing is run"),
        ),
        // Said first: whoever starts it, this one needs a second person's yes.
        Mode::Auto | Mode::SemiAuto | Mode::Manual
            if facts.requires_approval && (facts.runbook != Mode::Manual || subject.is_by_person()) =>
        {
            approve(format!("`{runbook}` requires an approval: a person must agree to each run"))
        }
        Mode::Manual => refuse(
            Reason::ManualOnly,
            format!("`{runbook}` is started by a person only (`mode: manual`); `douse run {runbook}` starts it"),
        ),
        Mode::SemiAuto => approve(format!("`{runbook}` asks before it runs (`mode: semi_auto`)")),
        Mode::Auto => GateVerdict::allow(gate, format!("`{runbook}` runs by itself (`mode: auto`)")),
    };
    answer.because(evidence)
}
