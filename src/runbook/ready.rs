//! What a frozen plan becomes right before it is run: holes filled from the steps before, conditions asked, outputs read.
//!
//! Called from `engine/execute` for each step and undo.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::OutputSpec;
use super::plan::{Plan, PlanError, PlannedStep, PlannedUndo};
use crate::clock::Timestamp;
use crate::execution::StepStatus;

/// What is known when a step is about to run.
#[derive(Clone, Debug)]
pub struct StepInputs {
    /// `execution.id` in templates.
    pub execution_id: String,
    /// `now` in templates.
    pub now: Timestamp,
    /// Results of the steps that ended before, by step id.
    pub steps: BTreeMap<String, StepResult>,
    /// Values of secret parameters, which no plan holds.
    pub secrets: BTreeMap<String, String>,
}

/// `steps.<id>` in templates.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StepResult {
    pub status: StepStatus,
    pub exit_code: Option<i32>,
    /// Lossy text; empty unless the step has `capture_output`.
    pub stdout: String,
    pub stderr: String,
    pub outputs: BTreeMap<String, Value>,
}

/// A step or an undo with no template left in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    pub action: ReadyAction,
    /// Exported to the command, in order: environment_vars, parameters, outputs of earlier steps, the step's own.
    pub environment: Vec<(String, String)>,
    pub workdir: Option<String>,
}

/// What is to be run; `transport::RemoteAction` of the same shape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadyAction {
    Command(String),
    Argv(Vec<String>),
    Script { text: String, interpreter: Option<String> },
}

/// Renders a step. An error fails the step with its reason, which leads to rollback.
pub fn step(plan: &Plan, step: &PlannedStep, inputs: &StepInputs) -> Result<Ready, PlanError> {
    let _ = (plan, inputs);
    Err(PlanError::template(Some(&step.id), String::new(), "steps cannot be rendered yet".to_owned()))
}

/// Renders the undo of `step`.
pub fn undo(plan: &Plan, step: &PlannedStep, undo: &PlannedUndo, inputs: &StepInputs) -> Result<Ready, PlanError> {
    let _ = (plan, undo, inputs);
    Err(PlanError::template(Some(&step.id), String::new(), "undos cannot be rendered yet".to_owned()))
}

/// Whether a condition (`when`) holds; none holds always.
pub fn condition(plan: &Plan, step_id: &str, when: Option<&str>, inputs: &StepInputs) -> Result<bool, PlanError> {
    let _ = (plan, inputs);
    match when {
        None => Ok(true),
        Some(_) => Err(PlanError::template(Some(step_id), "when".into(), "conditions cannot be asked yet".to_owned())),
    }
}

/// Reads a step's declared outputs from what it printed. An error fails the step.
pub fn outputs(specs: &BTreeMap<String, OutputSpec>, stdout: &str) -> Result<BTreeMap<String, Value>, OutputError> {
    let _ = (specs, stdout);
    Ok(BTreeMap::new())
}

/// The runbook's own outputs, when the run is over.
pub fn results(plan: &Plan, inputs: &StepInputs) -> Result<BTreeMap<String, String>, PlanError> {
    let _ = (plan, inputs);
    Ok(BTreeMap::new())
}

/// A declared output that is not in what the step printed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("output `{name}`: {message}")]
pub struct OutputError {
    pub name: String,
    pub message: String,
}
