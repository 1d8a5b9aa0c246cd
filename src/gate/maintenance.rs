//! Maintenance: somebody works on the server, so a run needs a person's yes.

use serde_json::json;

use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// The server's flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub server: String,
    /// By its file, or by an operator.
    pub is_paused: bool,
}

/// Asks for a person's yes while the flag is set.
pub fn ask(facts: &Facts, _subject: &Subject, _now: Timestamp) -> GateVerdict {
    let server = &facts.server;
    let evidence = json!({"server": server, "is_paused": facts.is_paused});
    if facts.is_paused {
        let message = format!(
            "{server} is under maintenance, so a person must agree; `douse servers maintenance off {server}` ends it"
        );
        GateVerdict::object(Gate::Maintenance, Verdict::Approve, Reason::Maintenance, message).because(evidence)
    } else {
        GateVerdict::allow(Gate::Maintenance, format!("{server} is not under maintenance")).because(evidence)
    }
}
