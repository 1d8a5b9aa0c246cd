//! Plan: every command renders, names are defined, values are safe. `runbook::plan` renders; this gate says what it found.

use serde_json::json;

use super::phrase::count;
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// What rendering the runbook gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Facts {
    /// A plan with this hash.
    Rendered { hash: String, steps: usize },
    /// A value could become shell syntax.
    UnsafeValue(Trouble),
    /// A template is wrong or names something that is not there.
    TemplateError(Trouble),
}

/// What could not be rendered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The step's name; `None` for a template outside of the steps.
    pub step: Option<String>,
    /// The variable or template concerned.
    pub name: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Refuses what does not render safely.
pub fn ask(facts: &Facts, _subject: &Subject, _now: Timestamp) -> GateVerdict {
    let gate = Gate::Plan;
    let (reason, trouble) = match facts {
        Facts::Rendered { hash, steps } => {
            let message = format!("{} rendered", count(*steps, "step"));
            return GateVerdict::allow(gate, message).because(json!({"plan_hash": hash, "steps": steps}));
        }
        Facts::UnsafeValue(trouble) => (Reason::UnsafeValue, trouble),
        Facts::TemplateError(trouble) => (Reason::TemplateError, trouble),
    };
    let message = match &trouble.step {
        Some(step) => format!("step “{step}”: {}", trouble.problem),
        None => trouble.problem.clone(),
    };
    GateVerdict::object(gate, Verdict::Refuse, reason, message)
        .because(json!({"step": trouble.step, "name": trouble.name}))
}
