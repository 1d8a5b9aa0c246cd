//! A plan: a runbook rendered for one alert and one target, frozen, with a hash.
//!
//! [`plan`] renders everything that is known. A reference to `steps`, `now`, `execution` or a secret parameter stays a
//! [`Text::Hole`], whose template text is in the hash, and is rendered right before its step by the same rules
//! ([`super::ready`]). Nothing here runs anything; called from `engine/gating` and `douse plan`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::{self, Waiting};
use super::model::{Action, Mode, OnInterrupted, OsType, OutputSpec, Retry, RollbackPolicy, Runbook, Step, Undo};
use super::parameters::text_of;
use super::template::{Context, Form, RenderError, evaluate, names, names_of_condition, render};
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
    /// What the delivery said of the alert's group, in its own names; `None` when there is no alert.
    pub group: Option<&'a Value>,
    pub server: &'a Server,
    /// As [`super::parameters::resolve`] gave them.
    pub parameters: &'a BTreeMap<String, Value>,
    /// Name of the trigger that selected the alert.
    pub trigger: Option<&'a str>,
}

/// Renders `runbook` for `input`. The first thing that cannot be rendered refuses the whole plan.
pub fn plan(runbook: &Runbook, input: &PlanInput<'_>) -> Result<Plan, PlanError> {
    let (context, waiting) = context::at_planning(runbook, input);
    let mut planner =
        Planner { context: Context::new(&context), waiting, is_windows: runbook.target_os == OsType::Windows };
    let environment = planner.environment(runbook, input.parameters)?;
    let steps = runbook.steps.iter().map(|step| planner.step(step)).collect::<Result<_, _>>()?;
    Ok(Plan {
        runbook: runbook.name.clone(),
        runbook_version: input.runbook_version,
        mode: runbook.mode,
        server: input.server.name.clone(),
        timeout_secs: runbook.timeout.as_secs(),
        parameters: context::masked(runbook, input.parameters),
        environment,
        steps,
        rollback: runbook.rollback.clone(),
        on_interrupted: runbook.on_interrupted,
        min_approvals: runbook.approval.min_approvals,
        outputs: runbook.outputs.clone(),
        context,
    })
}

/// What the runbook's `target.from` names for this alert, or label `instance` as it is: `Inventory::resolve` finds the
/// server.
pub fn target(
    runbook: &Runbook,
    alert: Option<&Alert>,
    parameters: &BTreeMap<String, Value>,
) -> Result<String, PlanError> {
    let Some(template) = &runbook.target.from else {
        return match alert.map(Alert::instance).filter(|instance| !instance.is_empty()) {
            Some(instance) => Ok(instance.to_owned()),
            None => Err(PlanError::template(
                None,
                "alert.labels.instance".into(),
                "the alert has no label `instance`; set `target.from` in the runbook".into(),
            )),
        };
    };
    let context = Context::new(&context::at_targeting(runbook, alert, parameters));
    render(template, Form::Plain, &context).map_err(|error| PlanError::of(None, "target.from", error))
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
    #[serde(default = "OnInterrupted::careful", skip_serializing_if = "OnInterrupted::is_careful")]
    pub on_interrupted: OnInterrupted,
    /// So many different people have to say yes, if any has to; frozen, so that a later edit cannot lower it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub min_approvals: u32,
    /// Name → template, rendered when the run is over.
    pub outputs: Vec<(String, String)>,
    /// The template context that holes are rendered with (alert, group, server, params, runbook, trigger).
    pub context: Value,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_one(count: &u32) -> bool {
    *count == 1
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expect_disconnect: bool,
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

impl PlannedAction {
    /// The audit seed's `actionType`.
    pub const fn exported(&self) -> &'static str {
        match self {
            Self::Command(_) => "COMMAND",
            Self::Argv(_) => "ARGV",
            Self::Script { .. } => "SCRIPT",
        }
    }
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

    /// What could not be rendered, and in which key.
    pub(super) fn of(step: Option<&str>, key: &str, error: RenderError) -> Self {
        let reason = if error.is_unsafe { PlanReason::UnsafeValue } else { PlanReason::TemplateError };
        Self {
            reason,
            step: step.map(str::to_owned),
            name: error.name,
            message: format!("in `{key}`: {}", error.message),
        }
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

struct Planner {
    context: Context,
    waiting: Waiting,
    is_windows: bool,
}

impl Planner {
    /// The file's environment_vars, each a name for what follows, then the parameters.
    fn environment(
        &mut self,
        runbook: &Runbook,
        parameters: &BTreeMap<String, Value>,
    ) -> Result<Vec<(String, Text)>, PlanError> {
        let mut environment = Vec::new();
        for (name, template) in &runbook.environment_vars {
            let text = self.plain(None, "environment_vars", name, template)?;
            match &text {
                Text::Known(value) => self.context.insert(name, &Value::String(value.clone())),
                Text::Hole(_) => self.waiting.add(name),
            }
            environment.push((name.clone(), text));
        }
        for (name, value) in parameters {
            let text = match self.waiting.is_secret(name) {
                true => Text::Hole(format!("{{{{ params.{name} }}}}")),
                false => Text::Known(text_of(value)),
            };
            environment.push((context::parameter_variable(name), text));
        }
        Ok(environment)
    }

    fn step(&self, step: &Step) -> Result<PlannedStep, PlanError> {
        // A step whose condition is known to be false never runs: it may use names that only exist when it holds.
        let never_runs = self.is_never(&step.id, step.when.as_deref())?;
        let environment = step.env.iter().map(|(name, template)| {
            let text = match never_runs {
                true => Text::Hole(template.clone()),
                false => self.plain(Some(&step.id), "env", name, template)?,
            };
            Ok((name.clone(), text))
        });
        let workdir = step.workdir.as_ref().map(|template| match never_runs {
            true => Ok(Text::Hole(template.clone())),
            false => self.plain(Some(&step.id), "workdir", "workdir", template),
        });
        Ok(PlannedStep {
            id: step.id.clone(),
            name: step.name.clone(),
            order: step.order,
            action: self.action(&step.id, "", &step.action, never_runs)?,
            when: step.when.clone(),
            expected_exit_codes: step.expected_exit_codes.clone(),
            timeout_secs: step.timeout.as_secs().max(1),
            continue_on_failure: step.continue_on_failure,
            retry: step.retry.clone(),
            capture_output: step.capture_output,
            sensitive: step.sensitive,
            idempotent: step.idempotent,
            expect_disconnect: step.expect_disconnect,
            become_user: step.become_user.clone(),
            environment: environment.collect::<Result<_, PlanError>>()?,
            workdir: workdir.transpose()?,
            outputs: step.outputs.clone(),
            output_bytes_max: step.output_bytes_max,
            undo: step.undo.as_ref().map(|undo| self.undo(&step.id, undo, never_runs)).transpose()?,
        })
    }

    fn undo(&self, step: &str, undo: &Undo, never_runs: bool) -> Result<PlannedUndo, PlanError> {
        let never_runs = never_runs || self.is_never(step, undo.when.as_deref())?;
        Ok(PlannedUndo {
            action: self.action(step, "rollback ", &undo.action, never_runs)?,
            when: undo.when.clone(),
            become_user: undo.become_user.clone(),
            timeout_secs: undo.timeout.as_secs().max(1),
        })
    }

    fn action(&self, step: &str, prefix: &str, action: &Action, never_runs: bool) -> Result<PlannedAction, PlanError> {
        let text = |key: &str, form: Form, template: &String| match never_runs {
            true => Ok(Text::Hole(template.clone())),
            false => {
                self.text(template, form).map_err(|error| PlanError::of(Some(step), &format!("{prefix}{key}"), error))
            }
        };
        let shell = if self.is_windows { Form::PowerShell } else { Form::Shell };
        Ok(match action {
            Action::Command(template) => PlannedAction::Command(text("command", shell, template)?),
            Action::Argv(templates) => {
                let words = templates.iter().map(|template| text("argv", Form::Plain, template));
                PlannedAction::Argv(words.collect::<Result<_, _>>()?)
            }
            Action::Script { text: template, interpreter } => {
                let form = interpreter.as_deref().map_or(shell, |interpreter| Form::of_interpreter(Some(interpreter)));
                PlannedAction::Script { text: text("script", form, template)?, interpreter: interpreter.clone() }
            }
        })
    }

    fn plain(&self, step: Option<&str>, key: &str, name: &str, template: &str) -> Result<Text, PlanError> {
        let text =
            self.text(template, Form::Plain).map_err(|error| PlanError::of(step, &format!("{key}.{name}"), error))?;
        match &text {
            Text::Known(value) => context::check_variable(step, name, value)?,
            Text::Hole(_) => {}
        }
        Ok(text)
    }

    fn text(&self, template: &str, form: Form) -> Result<Text, RenderError> {
        match self.waiting.concerns(&names(template)) {
            true => Ok(Text::Hole(template.to_owned())),
            false => render(template, form, &self.context).map(Text::Known),
        }
    }

    fn is_never(&self, step: &str, when: Option<&str>) -> Result<bool, PlanError> {
        match when {
            Some(when) if !self.waiting.concerns(&names_of_condition(when)) => {
                let holds = evaluate(when, &self.context).map_err(|error| PlanError::of(Some(step), "when", error))?;
                Ok(!holds)
            }
            _ => Ok(false),
        }
    }
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
