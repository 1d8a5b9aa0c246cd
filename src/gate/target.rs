//! Target: exactly one server of the inventory, on which the runbook may act. Never "all".

use serde_json::json;

use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::inventory::{NotAllowed, Unresolved};

/// What became of looking for the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Facts {
    /// This one, and the runbook may act on it.
    One { server: String },
    /// None, or several.
    Unresolved(Unresolved),
    /// One, but the runbook may not act on it.
    NotAllowed(NotAllowed),
    /// What says where the server's name stands (`target.from`) cannot be rendered.
    Unreadable { problem: String },
}

/// Refuses unless exactly one allowed server is meant.
pub fn ask(facts: &Facts, subject: &Subject, _now: Timestamp) -> GateVerdict {
    let (reason, message, evidence) = match facts {
        Facts::One { server } => {
            return GateVerdict::allow(Gate::Target, format!("the target is {server}"))
                .because(json!({ "server": server }));
        }
        Facts::Unresolved(unresolved) => match unresolved {
            Unresolved::Unknown { value, similar } => {
                (Reason::UnknownTarget, unresolved.to_string(), json!({"sought": value, "similar": similar}))
            }
            Unresolved::Ambiguous { value, candidates } => {
                (Reason::AmbiguousTarget, unresolved.to_string(), json!({"sought": value, "candidates": candidates}))
            }
        },
        Facts::NotAllowed(not_allowed) => {
            let message = format!("`{}` may not act there: {not_allowed}", subject.runbook);
            (Reason::TargetNotAllowed, message, json!({ "server": subject.server }))
        }
        Facts::Unreadable { problem } => {
            (Reason::UnknownTarget, format!("the target cannot be told: {problem}"), json!({ "problem": problem }))
        }
    };
    GateVerdict::object(Gate::Target, Verdict::Refuse, reason, message).because(evidence)
}
