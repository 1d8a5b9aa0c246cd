//! Duplicate: this episode and trigger have their execution already.

use serde_json::json;

use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::execution::Status;
use crate::id::ExecutionId;

/// The execution of origin `alert` for this episode and trigger, other than the one that is asked about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub execution: Option<(ExecutionId, Status)>,
}

/// Refuses a second one, however the first ended.
pub fn ask(facts: &Facts, _subject: &Subject, _now: Timestamp) -> GateVerdict {
    match facts.execution {
        None => GateVerdict::allow(Gate::Duplicate, "this is the first run for this episode of the alert"),
        Some((execution, status)) => {
            let message = format!("execution {execution} was made for this episode of the alert already ({status})");
            GateVerdict::object(Gate::Duplicate, Verdict::Refuse, Reason::Duplicate, message)
                .because(json!({"execution_id": execution, "status": status}))
        }
    }
}
