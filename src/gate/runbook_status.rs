//! Runbook status: may this runbook run at all?

use serde_json::json;

use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::runbook::model::RunbookStatus;

/// What the file and the operators say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The file's word; `None` when no file has this runbook, or this trigger of it, any more.
    pub file: Option<RunbookStatus>,
    /// An operator's word, which survives a reload of the file.
    pub operator: Option<RunbookStatus>,
}

/// Refuses unless both say `active`: the stricter of the two wins.
pub fn ask(facts: &Facts, subject: &Subject, _now: Timestamp) -> GateVerdict {
    let gate = Gate::RunbookStatus;
    let runbook = &subject.runbook;
    let evidence = json!({"file": facts.file, "operator": facts.operator});
    let Some(file) = facts.file else {
        let message = match &subject.trigger {
            Some(trigger) => format!("no file has runbook `{runbook}` with a trigger `{trigger}` any more"),
            None => format!("no file has a runbook `{runbook}`"),
        };
        return GateVerdict::object(gate, Verdict::Refuse, Reason::RunbookGone, message).because(evidence);
    };
    let (reason, message) = match (file, facts.operator) {
        (_, Some(RunbookStatus::Disabled)) => {
            let message =
                format!("an operator disabled `{runbook}`; `douse runbooks enable {runbook}` allows it again");
            (Reason::RunbookDisabled, message)
        }
        (RunbookStatus::Disabled, _) => {
            let message = format!("`{runbook}` is disabled; `status: active` in its file lets it run");
            (Reason::RunbookDisabled, message)
        }
        (RunbookStatus::Draft, _) | (_, Some(RunbookStatus::Draft)) => {
            (Reason::RunbookDraft, format!("`{runbook}` is a draft; `status: active` in its file lets it run"))
        }
        (RunbookStatus::Active, Some(RunbookStatus::Active) | None) => {
            return GateVerdict::allow(gate, format!("`{runbook}` is active")).because(evidence);
        }
    };
    GateVerdict::object(gate, Verdict::Refuse, reason, message).because(evidence)
}
