//! Target lock: another execution holds the target.

use serde_json::json;

use super::phrase::{ago, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::id::ExecutionId;

/// Who holds the target, other than the execution that is asked about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub holder: Option<Holder>,
}

/// The execution that holds a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    pub execution: ExecutionId,
    pub runbook: String,
    pub since: Timestamp,
    /// Only a person frees it: its rollback is stuck, or it was interrupted.
    pub needs_release: bool,
}

/// Holds until the lock is freed, whenever that is.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let server = subject.server.as_deref().unwrap_or("the target");
    let Some(holder) = &facts.holder else {
        return GateVerdict::allow(Gate::TargetLock, format!("{server} is free"));
    };
    let Holder { execution, runbook, since, needs_release } = holder;
    let message = if *needs_release {
        format!(
            "{server} is quarantined: `{runbook}`, which took it {}, could not be ended or undone cleanly; look at the \
             server, then `douse executions release {execution}` frees it",
            ago(*since, now)
        )
    } else {
        format!(
            "{server} is busy: `{runbook}` has been running on it for {} (execution {execution})",
            span(now.since(*since))
        )
    };
    GateVerdict::object(Gate::TargetLock, Verdict::Hold(None), Reason::ResourceBusy, message)
        .because(json!({"execution_id": execution, "runbook": runbook, "since": since, "needs_release": needs_release}))
}
