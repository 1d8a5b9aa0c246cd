//! What a run is given: values from a person, the alert, or the file's defaults, accepted only as declared.
//!
//! Asked before any gate; a refusal is `param_rejected`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::Runbook;
use super::plan::PlanError;
use crate::alert::Alert;

/// Where values come from.
#[derive(Clone, Copy)]
pub struct ParameterSources<'a> {
    pub alert: Option<&'a Alert>,
    /// What a person gave; text is converted to the declared type.
    pub given: &'a BTreeMap<String, Value>,
    /// Whether the inventory has a server of this name.
    pub is_server: &'a dyn Fn(&str) -> bool,
}

/// The value of each parameter: given, else from its label, else from its annotation, else its default.
pub fn resolve(runbook: &Runbook, sources: &ParameterSources<'_>) -> Result<BTreeMap<String, Value>, PlanError> {
    let _ = sources;
    match runbook.parameters.first() {
        None => Ok(BTreeMap::new()),
        Some(first) => Err(PlanError::parameter(&first.name, "parameters cannot be resolved yet".to_owned())),
    }
}
