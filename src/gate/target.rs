//! Target: exactly one server of the inventory, on which the runbook may act. Never "all".

use serde_json::json;

use super::phrase::list;
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// What became of looking for the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Facts {
    /// This one, and the runbook may act on it.
    One { server: String },
    /// None; `sought` is what was looked for.
    Unknown { sought: String },
    /// Several.
    Ambiguous { sought: String, candidates: Vec<String> },
    /// One, but the runbook may not act on it; `why` ends the sentence "… may not act on web1: ".
    NotAllowed { server: String, why: String },
}

/// Refuses unless exactly one allowed server is meant.
pub fn ask(facts: &Facts, subject: &Subject, _now: Timestamp) -> GateVerdict {
    let gate = Gate::Target;
    match facts {
        Facts::One { server } => {
            GateVerdict::allow(gate, format!("the target is {server}")).because(json!({ "server": server }))
        }
        Facts::Unknown { sought } if sought.is_empty() => {
            let message = "nothing in the alert names a server; set `target: {from: …}` in the runbook to say where its name stands";
            GateVerdict::object(gate, Verdict::Refuse, Reason::UnknownTarget, message)
                .because(json!({ "sought": sought }))
        }
        Facts::Unknown { sought } => {
            let message =
                format!("no server of the inventory is called “{sought}”; add it to servers.yml if it is yours");
            GateVerdict::object(gate, Verdict::Refuse, Reason::UnknownTarget, message)
                .because(json!({ "sought": sought }))
        }
        Facts::Ambiguous { sought, candidates } => {
            let message = format!(
                "“{sought}” could be {} servers ({}), and a run acts on exactly one",
                candidates.len(),
                list(candidates)
            );
            GateVerdict::object(gate, Verdict::Refuse, Reason::AmbiguousTarget, message)
                .because(json!({"sought": sought, "candidates": candidates}))
        }
        Facts::NotAllowed { server, why } => {
            let message = format!("`{}` may not act on {server}: {why}", subject.runbook);
            GateVerdict::object(gate, Verdict::Refuse, Reason::TargetNotAllowed, message)
                .because(json!({"server": server, "why": why}))
        }
    }
}
