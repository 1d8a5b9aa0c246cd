//! A plan: a runbook rendered for one alert and one target, frozen, with a hash.
//!
//! `plan()` renders everything that is known; a reference to `steps` or `now` stays a [`Text::Hole`], whose
//! template text is in the hash, and is rendered right before its step by the same rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{Action, Mode, Retry, RollbackPolicy};

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
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Exported to each command, in order.
    pub environment: Vec<(String, Text)>,
    pub steps: Vec<PlannedStep>,
    pub rollback: RollbackPolicy,
    pub outputs: Vec<(String, String)>,
    /// The template context that holes are rendered with (alert, group, server, params, runbook, trigger, execution).
    pub context: serde_json::Value,
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

impl From<&Action> for &'static str {
    fn from(action: &Action) -> Self {
        match action {
            Action::Command(_) => "command",
            Action::Argv(_) => "argv",
            Action::Script { .. } => "script",
        }
    }
}
