//! The names that templates see, when each is known, and what is exported to commands.
//!
//! Known at planning: `alert`, `group`, `server`, `params`, `runbook`, `trigger`, and `environment_vars`. Waiting for the
//! run: `steps`, `now`, `execution`, secret parameters, and each variable made of those.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::model::{ParameterKind, Runbook};
use super::plan::{PlanError, PlanInput};
use super::template::Names;
use crate::alert::Alert;
use crate::inventory::Server;
use crate::limits;

/// Names of the context that no environment variable may take.
pub(crate) const RESERVED: [&str; 11] =
    ["alert", "group", "server", "params", "secrets", "steps", "result", "runbook", "trigger", "execution", "now"];
/// Begins each variable that Douse itself exports.
pub(crate) const PREFIX: &str = "DOUSE_";
/// What a secret looks like in a stored plan.
const MASK: &str = "********";

/// Keys of `alert` in templates.
pub(crate) const ALERT: [&str; 11] = [
    "name",
    "severity",
    "instance",
    "job",
    "status",
    "labels",
    "annotations",
    "starts_at",
    "ends_at",
    "fingerprint",
    "generator_url",
];
/// Keys of `server`.
pub(crate) const SERVER: [&str; 8] =
    ["name", "hostname", "port", "username", "os_type", "tags", "group", "environment"];
/// Keys of `runbook`.
pub(crate) const RUNBOOK: [&str; 9] =
    ["name", "target_os", "version", "description", "category", "mode", "risk", "owner", "tags"];
/// Keys of `group`.
pub(crate) const GROUP: [&str; 5] = ["labels", "common_labels", "common_annotations", "receiver", "key"];
/// The same in a delivery's own names.
const GROUP_DELIVERED: [&str; 5] = ["groupLabels", "commonLabels", "commonAnnotations", "receiver", "groupKey"];
/// Keys of `steps.<id>`.
pub(crate) const STEP: [&str; 5] = ["status", "exit_code", "stdout", "stderr", "outputs"];

/// Names whose values come with the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    roots: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Waiting {
    /// Another name that waits.
    pub(super) fn add(&mut self, name: &str) {
        self.roots.insert(name.to_owned());
    }

    /// Whether parameter `name` is secret.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        self.secrets.contains(name)
    }

    /// Whether a template with these names cannot be rendered yet.
    pub(super) fn concerns(&self, names: &Names) -> bool {
        if names.roots.iter().any(|root| self.roots.contains(root)) {
            return true;
        }
        // `params` as a whole, or an entry that is only known when it is rendered, may be a secret one.
        !self.secrets.is_empty()
            && names.paths.iter().filter_map(|path| path.strip_prefix("params")).any(|rest| {
                let name = rest.trim_start_matches('.').split('.').next().unwrap_or_default();
                name.is_empty() || self.secrets.contains(name)
            })
    }
}

/// Everything known at planning, as it is stored with the plan, and what is not.
pub(super) fn at_planning(runbook: &Runbook, input: &PlanInput<'_>) -> (Value, Waiting) {
    let mut context = at_targeting(runbook, input.alert, input.parameters);
    if let Value::Object(names) = &mut context {
        if let Some(delivered) = input.group {
            names.insert("group".to_owned(), group(delivered));
        }
        names.insert("server".to_owned(), server(input.server));
        names.insert("trigger".to_owned(), json!({ "name": input.trigger }));
        if let Some(Value::Object(runbook)) = names.get_mut("runbook") {
            runbook.insert("version".to_owned(), input.runbook_version.into());
        }
    }
    let secrets = secret_names(runbook).map(str::to_owned).collect();
    let roots = ["steps", "now", "execution", "result"].map(str::to_owned).into();
    (context, Waiting { roots, secrets })
}

/// What is known before the server is.
pub(super) fn at_targeting(runbook: &Runbook, alert: Option<&Alert>, parameters: &BTreeMap<String, Value>) -> Value {
    let mut context = json!({
        "params": open(runbook, parameters),
        "runbook": {
            "name": runbook.name, "target_os": runbook.target_os, "description": runbook.description, "category": runbook.category, "mode": runbook.mode,
            "risk": runbook.risk, "owner": runbook.owner, "tags": runbook.tags,
        },
    });
    if let (Value::Object(names), Some(alert)) = (&mut context, alert) {
        names.insert("alert".to_owned(), self::alert(alert));
    }
    context
}

/// Parameters with secret values masked.
pub(super) fn masked(runbook: &Runbook, parameters: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut masked = parameters.clone();
    for name in secret_names(runbook) {
        if let Some(value) = masked.get_mut(name) {
            *value = MASK.into();
        }
    }
    masked
}

/// Parameters without the secret ones: their values come with the run, or not at all.
fn open(runbook: &Runbook, parameters: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut open = parameters.clone();
    for name in secret_names(runbook) {
        open.remove(name);
    }
    open
}

/// The variable that parameter `name` is exported as.
pub(super) fn parameter_variable(name: &str) -> String {
    format!("{PREFIX}PARAM_{}", name.to_uppercase())
}

/// The variable that output `name` of step `id` is exported as.
pub(super) fn output_variable(id: &str, name: &str) -> String {
    format!("{PREFIX}OUTPUT_{}_{}", id.to_uppercase(), name.to_uppercase())
}

/// Whether a value can be exported at all.
pub(super) fn check_variable(step: Option<&str>, name: &str, value: &str) -> Result<(), PlanError> {
    if value.len() > limits::ENVIRONMENT_VALUE_BYTES_MAX {
        let max = limits::ENVIRONMENT_VALUE_BYTES_MAX;
        let message = format!("variable `{name}` is {} bytes long; at most {max} can be exported", value.len());
        return Err(PlanError::template(step, name.to_owned(), message));
    }
    if value.contains('\0') {
        let message = format!("variable `{name}` contains a NUL character, which no variable can hold");
        return Err(PlanError::template(step, name.to_owned(), message));
    }
    Ok(())
}

/// `group` as templates see it, from what a delivery said of its group; each key is there, said or not.
pub(super) fn group(delivered: &Value) -> Value {
    let said = |name: &str| match (delivered.get(name), name) {
        (Some(value), _) => value.clone(),
        (None, "receiver" | "groupKey") => Value::from(""),
        (None, _) => json!({}),
    };
    let keys = GROUP.iter().zip(GROUP_DELIVERED);
    Value::Object(keys.map(|(key, name)| ((*key).to_owned(), said(name))).collect())
}

fn secret_names(runbook: &Runbook) -> impl Iterator<Item = &str> {
    let secrets = runbook.parameters.iter().filter(|parameter| parameter.kind == ParameterKind::Secret);
    secrets.map(|parameter| parameter.name.as_str())
}

fn alert(alert: &Alert) -> Value {
    json!({
        "name": alert.name(), "severity": alert.severity(), "instance": alert.instance(), "job": alert.job(),
        "status": alert.status.as_str(), "labels": alert.labels, "annotations": alert.annotations,
        "starts_at": alert.starts_at, "ends_at": alert.ends_at, "fingerprint": alert.fingerprint,
        "generator_url": alert.generator_url,
    })
}

fn server(server: &Server) -> Value {
    json!({
        "name": server.name, "hostname": server.hostname, "port": server.port, "username": server.username,
        "os_type": server.os_type, "tags": server.tags, "group": server.group, "environment": server.environment,
    })
}
