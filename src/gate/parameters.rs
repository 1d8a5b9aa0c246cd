//! Parameters: types, patterns, bounds, required ones. `runbook::plan` checks them; this gate says what it found.

use serde_json::json;

use super::phrase::count;
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// What checking the parameters found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Names of the parameters that have a value.
    pub accepted: Vec<String>,
    pub rejected: Vec<Rejected>,
}

/// A parameter that may not be used so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    pub name: String,
    /// A whole sentence: what is wrong and what would be right; never the value of a secret.
    pub problem: String,
}

/// Refuses when one parameter is wrong, and names them all.
pub fn ask(facts: &Facts, _subject: &Subject, _now: Timestamp) -> GateVerdict {
    let gate = Gate::Parameters;
    if facts.rejected.is_empty() {
        let message = match facts.accepted.len() {
            0 => "the runbook takes no parameters".to_owned(),
            accepted => format!("{} accepted", count(accepted, "parameter")),
        };
        return GateVerdict::allow(gate, message).because(json!({ "accepted": facts.accepted }));
    }
    let said = facts.rejected.iter().map(|wrong| wrong.problem.as_str()).collect::<Vec<_>>();
    let rejected =
        facts.rejected.iter().map(|wrong| json!({"name": wrong.name, "problem": wrong.problem})).collect::<Vec<_>>();
    GateVerdict::object(gate, Verdict::Refuse, Reason::ParamRejected, said.join("; "))
        .because(json!({ "rejected": rejected }))
}
