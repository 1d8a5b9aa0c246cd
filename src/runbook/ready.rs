//! What a frozen plan becomes right before it is run: holes filled from the steps before, conditions asked, outputs read.
//!
//! The same rules as at planning: an unsafe or missing value is an error, never a guess. Called from `engine/execute`
//! for each step and undo.

mod lost;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::context::{self, PREFIX};
use super::model::OutputSpec;
use super::parameters::text_of;
use super::plan::{Plan, PlanError, PlannedAction, PlannedStep, PlannedUndo, Text};
use super::template::{Context, Form, RenderError, evaluate, names, names_of_condition, render};
use crate::clock::Timestamp;
use crate::execution::StepStatus;
use crate::limits;

use lost::Lost;

/// Whether `plan` was given secret parameters that `known` does not have any more.
pub fn lacks_secrets(plan: &Plan, known: &BTreeMap<String, String>) -> bool {
    !Lost::of(plan, known).is_empty()
}

/// What is known when a step is about to run.
#[derive(Clone, Debug)]
pub struct StepInputs {
    /// `execution.id` in templates.
    pub execution_id: String,
    /// `now` in templates.
    pub now: Timestamp,
    /// Results of the steps before, by step id; also of skipped ones.
    pub steps: BTreeMap<String, StepResult>,
    /// Values of secret parameters, which no plan holds.
    pub secrets: BTreeMap<String, String>,
}

/// `steps.<id>` in templates.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StepResult {
    pub status: StepStatus,
    pub exit_code: Option<i32>,
    /// Lossy text; empty unless the step has `capture_output`, and not there if it is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    pub outputs: BTreeMap<String, Value>,
    /// Why something that it printed is not known any more.
    #[serde(skip)]
    pub unknown: Option<String>,
}

/// A step or an undo with no template left in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    pub action: ReadyAction,
    /// Exported to the command, in order: environment_vars, parameters, outputs of earlier steps, the step's own.
    pub environment: Vec<(String, String)>,
    pub workdir: Option<String>,
}

/// What is to be run; `transport::RemoteAction` has the same shape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadyAction {
    Command(String),
    Argv(Vec<String>),
    Script { text: String, interpreter: Option<String> },
}

/// A declared output that is not in what the step printed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("output `{name}`: {message}")]
pub struct OutputError {
    pub name: String,
    pub message: String,
}

/// Renders a step. An error fails the step with its reason, which leads to rollback.
pub fn step(plan: &Plan, step: &PlannedStep, inputs: &StepInputs) -> Result<Ready, PlanError> {
    Renderer::new(plan, Some(&step.id), inputs)?.ready(plan, &step.action, step)
}

/// Renders the undo of `step`: in the step's environment and folder.
pub fn undo(plan: &Plan, step: &PlannedStep, undo: &PlannedUndo, inputs: &StepInputs) -> Result<Ready, PlanError> {
    Renderer::new(plan, Some(&step.id), inputs)?.ready(plan, &undo.action, step)
}

/// Whether a condition (`when`) holds; none holds always.
pub fn condition(plan: &Plan, step_id: &str, when: Option<&str>, inputs: &StepInputs) -> Result<bool, PlanError> {
    let Some(when) = when else { return Ok(true) };
    let renderer = Renderer::new(plan, Some(step_id), inputs)?;
    renderer.lost.check_names(Some(step_id), &names_of_condition(when))?;
    evaluate(when, &renderer.context).map_err(|error| renderer.explain("when", error))
}

/// The runbook's own outputs, when the run is over.
pub fn results(plan: &Plan, inputs: &StepInputs) -> Result<BTreeMap<String, String>, PlanError> {
    let renderer = Renderer::new(plan, None, inputs)?;
    let result = |(name, template): &(String, String)| {
        renderer.lost.check_template(None, template)?;
        let text = render(template, Form::Plain, &renderer.context);
        let text = text.map_err(|error| renderer.explain(&format!("outputs.{name}"), error))?;
        Ok((name.clone(), text))
    };
    plan.outputs.iter().map(result).collect()
}

/// The runbook's outputs that take what a sensitive step printed: their values must not be shown, however they were made
/// of it.
pub fn sensitive_results(plan: &Plan) -> BTreeSet<String> {
    let is_hidden = |path: &str| {
        let mut parts = path.split('.');
        let (root, id, what) = (parts.next(), parts.next(), parts.next());
        root == Some("steps")
            && !matches!(what, Some("status" | "exit_code"))
            && plan.steps.iter().any(|step| step.sensitive && id.is_none_or(|id| id == step.id))
    };
    let takes_hidden = |(_, template): &&(String, String)| names(template).paths.iter().any(|path| is_hidden(path));
    plan.outputs.iter().filter(takes_hidden).map(|(name, _)| name.clone()).collect()
}

/// Reads a step's declared outputs from what it printed. An error fails the step.
pub fn outputs(specs: &BTreeMap<String, OutputSpec>, stdout: &str) -> Result<BTreeMap<String, Value>, OutputError> {
    let read = |(name, spec): (&String, &OutputSpec)| {
        let value = output(spec, stdout).map_err(|message| OutputError { name: name.clone(), message })?;
        let length = text_of(&value).len();
        if length > limits::ENVIRONMENT_VALUE_BYTES_MAX {
            let message = format!("is {length} bytes long; at most {}", limits::ENVIRONMENT_VALUE_BYTES_MAX);
            return Err(OutputError { name: name.clone(), message });
        }
        Ok((name.clone(), value))
    };
    specs.iter().map(read).collect()
}

fn output(spec: &OutputSpec, stdout: &str) -> Result<Value, String> {
    match spec {
        OutputSpec::Text => Ok(stdout.trim().into()),
        OutputSpec::Json { path } => {
            let json: Value =
                serde_json::from_str(stdout).map_err(|error| format!("the output is not JSON: {error}"))?;
            let Some(path) = path else { return Ok(json) };
            let entry = |value: &Value, part: &str| match value {
                Value::Array(items) => part.parse::<usize>().ok().and_then(|number| items.get(number).cloned()),
                value => value.get(part).cloned(),
            };
            let found = path.split('.').try_fold(json, |value, part| entry(&value, part));
            found.ok_or_else(|| format!("the output has no `{path}`"))
        }
        OutputSpec::Regex { pattern } => {
            let regex = limits::regex(pattern).multi_line(true).build();
            let regex = regex.map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
            let found = regex.captures(stdout).and_then(|groups| groups.get(1).or_else(|| groups.get(0)));
            found.map(|text| text.as_str().into()).ok_or_else(|| format!("nothing in the output matches `{pattern}`"))
        }
        OutputSpec::KeyValue { key } => {
            let pairs = stdout.lines().filter_map(|line| line.split_once('='));
            let value =
                pairs.filter(|(name, _)| name.trim() == key).map(|(_, value)| unquoted(value.trim())).next_back();
            value.map(Value::from).ok_or_else(|| format!("the output has no line `{key}=…`"))
        }
    }
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

struct Renderer<'a> {
    context: Context,
    environment: Vec<(String, String)>,
    step: Option<&'a str>,
    inputs: &'a StepInputs,
    is_windows: bool,
    lost: Lost,
}

impl<'a> Renderer<'a> {
    fn new(plan: &Plan, step: Option<&'a str>, inputs: &'a StepInputs) -> Result<Self, PlanError> {
        let mut context = Context::new(&plan.context);
        context.hides_values = !inputs.secrets.is_empty() || plan.steps.iter().any(|step| step.sensitive);
        context.insert("execution", &json!({ "id": inputs.execution_id }));
        context.insert("now", &json!(inputs.now));
        context.insert("steps", &json!(inputs.steps));
        if let Some(Value::Object(params)) = plan.context.get("params") {
            let mut params = params.clone();
            for (name, value) in &inputs.secrets {
                params.insert(name.clone(), Value::String(value.clone()));
            }
            context.insert("params", &Value::Object(params));
        }
        let is_windows = plan.context.pointer("/runbook/target_os").is_some_and(|os| os == "windows");
        let lost = Lost::of(plan, &inputs.secrets);
        let mut renderer = Self { context, environment: Vec::new(), step, inputs, is_windows, lost };
        for (name, text) in &plan.environment {
            if renderer.lost.has_variable(name) {
                continue;
            }
            let value = renderer.text(text, Form::Plain, &format!("environment_vars.{name}"))?;
            context::check_variable(step, name, &value)?;
            if !name.starts_with(PREFIX) {
                renderer.context.insert(name, &Value::String(value.clone()));
            }
            renderer.environment.push((name.clone(), value));
        }
        Ok(renderer)
    }

    fn ready(mut self, plan: &Plan, action: &PlannedAction, step: &PlannedStep) -> Result<Ready, PlanError> {
        self.environment.push((format!("{PREFIX}EXECUTION_ID"), self.inputs.execution_id.clone()));
        for (id, result) in &self.inputs.steps {
            for (name, value) in &result.outputs {
                self.environment.push((context::output_variable(id, name), text_of(value)));
            }
        }
        for (name, text) in &step.environment {
            let value = self.text(text, Form::Plain, &format!("env.{name}"))?;
            context::check_variable(self.step, name, &value)?;
            self.environment.push((name.clone(), value));
        }
        let workdir = step.workdir.as_ref().map(|text| self.text(text, Form::Plain, "workdir")).transpose()?;
        let shell = if self.is_windows { Form::PowerShell } else { Form::Shell };
        let action = match action {
            PlannedAction::Command(text) => ReadyAction::Command(self.text(text, shell, "command")?),
            PlannedAction::Argv(words) => {
                let words = words.iter().map(|text| self.text(text, Form::Plain, "argv"));
                ReadyAction::Argv(words.collect::<Result<_, _>>()?)
            }
            PlannedAction::Script { text, interpreter } => {
                let form = interpreter.as_deref().map_or(shell, |interpreter| Form::of_interpreter(Some(interpreter)));
                ReadyAction::Script { text: self.text(text, form, "script")?, interpreter: interpreter.clone() }
            }
        };
        self.lost.check_action(self.step, &action)?;
        self.check_unknown(plan, &action)?;
        Ok(Ready { action, environment: self.environment, workdir })
    }

    /// A command must not read a variable that would have an output in it which is not known any more: the shell would
    /// take it for empty.
    fn check_unknown(&self, plan: &Plan, action: &ReadyAction) -> Result<(), PlanError> {
        let texts: Vec<&str> = match action {
            ReadyAction::Command(text) | ReadyAction::Script { text, .. } => vec![text],
            ReadyAction::Argv(words) => words.iter().map(String::as_str).collect(),
        };
        for earlier in &plan.steps {
            let result = self.inputs.steps.get(&earlier.id);
            let Some(why) = result.and_then(|result| result.unknown.as_ref()) else { continue };
            for name in earlier.outputs.keys() {
                let variable = context::output_variable(&earlier.id, name);
                if texts.iter().any(|text| text.contains(&variable)) {
                    let message = format!("`{variable}`: {}", unknown(&earlier.id, why));
                    return Err(PlanError::template(self.step, variable, message));
                }
            }
        }
        Ok(())
    }

    /// What is wrong in `key`, and why what an earlier step printed is missing.
    fn explain(&self, key: &str, mut error: RenderError) -> PlanError {
        let id = error.name.strip_prefix("steps.").and_then(|path| path.split('.').next());
        let why = id.and_then(|id| Some((id, self.inputs.steps.get(id)?.unknown.as_ref()?)));
        if let (Some((id, why)), false) = (why, error.is_unsafe) {
            error.message = format!("`{}`: {}", error.name, unknown(id, why));
        }
        PlanError::of(self.step, key, error)
    }

    fn text(&self, text: &Text, form: Form, key: &str) -> Result<String, PlanError> {
        match text {
            Text::Known(text) => Ok(text.clone()),
            Text::Hole(template) => {
                self.lost.check_template(self.step, template)?;
                render(template, form, &self.context).map_err(|error| self.explain(key, error))
            }
        }
    }
}

fn unknown(id: &str, why: &str) -> String {
    format!("what step `{id}` printed is not known after a restart or in a rollback by hand: {why}")
}
