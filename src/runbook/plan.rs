//! A plan: a runbook rendered for one alert and one target, frozen, with a hash.
//!
//! [`plan`] renders everything that is known. A reference to `steps`, `now`, `execution` or a secret parameter stays a
//! [`Text::Hole`], whose template text is in the hash, and is rendered right before its step by the same rules
//! ([`super::ready`]). Nothing here runs anything; called from `engine/gating` and `douse plan`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Action, Mode, OutputSpec, Retry, RollbackPolicy, Runbook};
use crate::alert::Alert;
use crate::inventory::Server;
use crate::words::words;

/// What a runbook is rendered for.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The database's number of this content.
    pub runbook_version: i32,
    /// `None` for a manual run without an alert: then no template may name `alert`.
    pub alert: Option<&'a Alert>,
    /// The delivery's group (`labels`, `common_labels`, `common_annotations`, `receiver`, `key`); null when there is none.
    pub group: &'a Value,
    pub server: &'a Server,
    /// As [`super::parameters::resolve`] gave them.
    pub parameters: &'a BTreeMap<String, Value>,
    /// Name of the trigger that selected the alert.
    pub trigger: Option<&'a str>,
}

/// Renders `runbook` for `input`. The first thing that cannot be rendered refuses the whole plan.
pub fn plan(runbook: &Runbook, input: &PlanInput<'_>) -> Result<Plan, PlanError> {
    let _ = (runbook, input);
    Err(PlanError::template(None, String::new(), "plans cannot be rendered yet".to_owned()))
}

/// SHA-256, hex, over the plan as canonical JSON: what an approval approves. The execution's id is not in a plan.
pub fn plan_hash(plan: &Plan) -> Result<String, serde_json::Error> {
    crate::audit::canonical::payload_hash(&serde_json::to_value(plan)?)
}

/// What will be run, where, and how it will be undone. Stored as JSON with its execution.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub runbook: String,
    pub runbook_version: i32,
    pub mode: Mode,
    /// Name of the server.
    pub server: String,
    pub timeout_secs: u64,
    /// Values of `parameters`, secrets masked.
    pub parameters: BTreeMap<String, Value>,
    /// Exported to each command, in order.
    pub environment: Vec<(String, Text)>,
    pub steps: Vec<PlannedStep>,
    pub rollback: RollbackPolicy,
    /// Name → template, rendered when the run is over.
    pub outputs: Vec<(String, String)>,
    /// The template context that holes are rendered with (alert, group, server, params, runbook, trigger).
    pub context: Value,
}

/// One step, rendered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlannedStep {
    pub id: String,
    pub name: String,
    pub order: u32,
    pub action: PlannedAction,
    pub when: Option<String>,
    pub expected_exit_codes: Vec<i32>,
    pub timeout_secs: u64,
    pub continue_on_failure: bool,
    pub retry: Retry,
    pub capture_output: bool,
    pub sensitive: bool,
    pub idempotent: bool,
    pub become_user: Option<String>,
    pub environment: Vec<(String, Text)>,
    pub workdir: Option<Text>,
    pub outputs: BTreeMap<String, OutputSpec>,
    pub output_bytes_max: usize,
    pub undo: Option<PlannedUndo>,
}

/// The reverse action of a step, rendered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlannedUndo {
    pub action: PlannedAction,
    pub when: Option<String>,
    pub become_user: Option<String>,
    pub timeout_secs: u64,
}

/// What a step or undo does, rendered as far as it is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    Command(Text),
    Argv(Vec<Text>),
    Script { text: Text, interpreter: Option<String> },
}

/// Text that is known, or a template that waits for an earlier step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// Rendered.
    Known(String),
    /// Template source.
    Hole(String),
}

words! {
    /// Why something could not be rendered; the words of decisions.
    PlanReason {
        /// A value could become shell syntax.
        UnsafeValue = "unsafe_value",
        /// A name is undefined, or the template is wrong.
        TemplateError = "template_error",
        /// A parameter is missing or not as declared.
        ParamRejected = "param_rejected",
    }
}

/// A runbook that cannot be rendered for this alert and target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlanError {
    pub reason: PlanReason,
    /// Id of the step; `None` when it is about a parameter, the environment or the target.
    pub step: Option<String>,
    /// The variable, parameter or key that it is about; never a secret's value.
    pub name: String,
    /// What, where, and what to do.
    pub message: String,
}

impl PlanError {
    /// A value could become shell syntax.
    pub fn unsafe_value(step: Option<&str>, name: String, message: String) -> Self {
        Self { reason: PlanReason::UnsafeValue, step: step.map(str::to_owned), name, message }
    }

    /// A template cannot be rendered.
    pub fn template(step: Option<&str>, name: String, message: String) -> Self {
        Self { reason: PlanReason::TemplateError, step: step.map(str::to_owned), name, message }
    }

    /// A parameter is missing or not as declared.
    pub fn parameter(name: &str, message: String) -> Self {
        Self { reason: PlanReason::ParamRejected, step: None, name: name.to_owned(), message }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "step `{step}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for PlanError {}

impl From<&Action> for &'static str {
    fn from(action: &Action) -> Self {
        match action {
            Action::Command(_) => "command",
            Action::Argv(_) => "argv",
            Action::Script { .. } => "script",
        }
    }
}
