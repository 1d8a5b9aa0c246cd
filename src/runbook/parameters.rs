//! What a run is given: values from a person, the alert, or the file's defaults, accepted only as declared.
//!
//! Asked before any gate; a refusal is `param_rejected`. A `pattern` only narrows: what a value may do in a command is
//! decided by [`super::template`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::{Parameter, ParameterKind, Runbook};
use super::parse::nearest;
use super::plan::PlanError;
use crate::alert::Alert;
use crate::limits;

/// Larger integers would change in canonical JSON.
const INT_MAX: i64 = 1 << 53;

/// Where values come from.
#[derive(Clone, Copy)]
pub struct ParameterSources<'a> {
    pub alert: Option<&'a Alert>,
    /// What a person gave; text is converted to the declared type.
    pub given: &'a BTreeMap<String, Value>,
    /// Whether the inventory has a server of this name.
    pub is_server: &'a dyn Fn(&str) -> bool,
}

/// The value of each parameter: given, else from its label, else from its annotation, else its default. One that has
/// none of these and is not required is left out.
pub fn resolve(runbook: &Runbook, sources: &ParameterSources<'_>) -> Result<BTreeMap<String, Value>, PlanError> {
    let names = || runbook.parameters.iter().map(|parameter| parameter.name.as_str());
    if let Some(unknown) = sources.given.keys().find(|name| !names().any(|known| known == name.as_str())) {
        let near = nearest(unknown, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let message = format!("runbook `{}` has no parameter `{unknown}`{near}", runbook.name);
        return Err(PlanError::parameter(unknown, message));
    }
    let mut values = BTreeMap::new();
    for parameter in &runbook.parameters {
        let (value, origin) = match value_of(parameter, sources) {
            Some(found) => found,
            None if parameter.required => {
                let message = format!("parameter `{}` is required{}", parameter.name, expectation(parameter, sources));
                return Err(PlanError::parameter(&parameter.name, message));
            }
            None => continue,
        };
        let value = accept(parameter, &value).and_then(|value| known_server(parameter, value, sources));
        let value = value.map_err(|wrong| {
            PlanError::parameter(&parameter.name, format!("parameter `{}` ({origin}) {wrong}", parameter.name))
        })?;
        values.insert(parameter.name.clone(), value);
    }
    Ok(values)
}

/// `value` as `parameter` declares it, or what is wrong with it.
pub fn accept(parameter: &Parameter, value: &Value) -> Result<Value, String> {
    let value = convert(parameter, value)?;
    let size = match &value {
        Value::Number(number) => number.as_f64().unwrap_or_default(),
        Value::String(text) if parameter.kind == ParameterKind::Duration => {
            humantime::parse_duration(text).unwrap_or_default().as_secs_f64()
        }
        Value::String(text) => f64::from(u32::try_from(text.chars().count()).unwrap_or(u32::MAX)),
        Value::Array(items) => f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)),
        _ => 0.0,
    };
    let is_measured = parameter.kind != ParameterKind::Bool;
    let what = match (&value, parameter.kind) {
        (_, ParameterKind::Duration) => "seconds",
        (Value::String(_), _) => "characters",
        (Value::Array(_), _) => "entries",
        _ => "",
    };
    if let Some(min) = parameter.min.filter(|min| is_measured && size < *min) {
        return Err(format!("is too small: {size} {what}, at least {min}"));
    }
    if let Some(max) = parameter.max.filter(|max| is_measured && size > *max) {
        return Err(format!("is too large: {size} {what}, at most {max}"));
    }
    if let Some(pattern) = &parameter.pattern {
        let texts: Vec<String> = match &value {
            Value::Array(items) => items.iter().map(text_of).collect(),
            value => vec![text_of(value)],
        };
        if let Some(text) = texts.iter().find(|text| !pattern.is_match(text)) {
            return Err(format!("is {}, which does not match `{}`", shown(parameter, text), pattern.as_str()));
        }
    }
    Ok(value)
}

/// A value as text: what is exported and what a pattern is matched against.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<String>>().join("\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn value_of(parameter: &Parameter, sources: &ParameterSources<'_>) -> Option<(Value, String)> {
    if let Some(value) = sources.given.get(&parameter.name).filter(|value| !value.is_null()) {
        return Some((value.clone(), "given".to_owned()));
    }
    if let (Some(label), Some(alert)) = (&parameter.from_label, sources.alert)
        && let Some(text) = alert.labels.get(label).filter(|text| !text.is_empty())
    {
        return Some((Value::String(text.clone()), format!("from label `{label}`")));
    }
    if let (Some(name), Some(alert)) = (&parameter.from_annotation, sources.alert)
        && let Some(text) = alert.annotations.get(name).filter(|text| !text.is_empty())
    {
        return Some((Value::String(text.clone()), format!("from annotation `{name}`")));
    }
    parameter.default.clone().map(|value| (value, "default".to_owned()))
}

fn expectation(parameter: &Parameter, sources: &ParameterSources<'_>) -> String {
    match (&parameter.from_label, &parameter.from_annotation) {
        (Some(label), _) if sources.alert.is_some() => format!(", and the alert has no label `{label}`; give it"),
        (_, Some(name)) if sources.alert.is_some() => format!(", and the alert has no annotation `{name}`; give it"),
        _ => "; give it".to_owned(),
    }
}

fn known_server(parameter: &Parameter, value: Value, sources: &ParameterSources<'_>) -> Result<Value, String> {
    match &value {
        Value::String(name) if parameter.kind == ParameterKind::Server && !(sources.is_server)(name) => {
            Err(format!("is `{name}`, which is no server of the inventory"))
        }
        _ => Ok(value),
    }
}

fn convert(parameter: &Parameter, value: &Value) -> Result<Value, String> {
    let wrong = |wanted: &str| Err(format!("is {}, which is not {wanted}", shown(parameter, &text_of(value))));
    match parameter.kind {
        ParameterKind::String | ParameterKind::Secret | ParameterKind::Server => match value {
            Value::String(text) => bounded(text).map(Value::String),
            Value::Number(_) | Value::Bool(_) => Ok(Value::String(text_of(value))),
            _ => wrong("a text"),
        },
        ParameterKind::Int => {
            let number = match value {
                Value::Number(number) => number.as_i64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            match number {
                Some(number) if number.abs() <= INT_MAX => Ok(number.into()),
                Some(_) => wrong("between -2^53 and 2^53"),
                None => wrong("a whole number"),
            }
        }
        ParameterKind::Float => {
            let number = match value {
                Value::Number(number) => number.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            number.and_then(serde_json::Number::from_f64).map_or_else(|| wrong("a number"), |number| Ok(number.into()))
        }
        ParameterKind::Bool => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::String(text) if text == "true" => Ok(true.into()),
            Value::String(text) if text == "false" => Ok(false.into()),
            _ => wrong("`true` or `false`"),
        },
        ParameterKind::Duration => match value {
            Value::String(text) if humantime::parse_duration(text).is_ok() => Ok(value.clone()),
            _ => wrong("a duration like `90s` or `5m`"),
        },
        ParameterKind::Enum => {
            let text = text_of(value);
            match parameter.options.contains(&text) {
                true => Ok(text.into()),
                false => wrong(&format!("one of {}", parameter.options.join(", "))),
            }
        }
        ParameterKind::List => list(value).map_or_else(|| wrong("a list of texts"), |items| items.map(Value::Array)),
    }
}

/// A list, or a text with commas.
fn list(value: &Value) -> Option<Result<Vec<Value>, String>> {
    let items: Vec<String> = match value {
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object() && !item.is_null()) => {
            items.iter().map(text_of).collect()
        }
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
        _ => return None,
    };
    if items.len() > limits::PARAMETER_LIST_MAX {
        return Some(Err(format!("has {} entries; at most {} are taken", items.len(), limits::PARAMETER_LIST_MAX)));
    }
    Some(items.iter().map(|item| bounded(item).map(Value::String)).collect())
}

fn bounded(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("contains a NUL character".to_owned());
    }
    if text.len() > limits::PARAMETER_BYTES_MAX {
        return Err(format!("is {} bytes long; at most {} are taken", text.len(), limits::PARAMETER_BYTES_MAX));
    }
    Ok(text.to_owned())
}

fn shown(parameter: &Parameter, text: &str) -> String {
    match parameter.kind {
        ParameterKind::Secret => "a value (not shown)".to_owned(),
        _ => format!("`{}`", text.chars().take(80).flat_map(char::escape_debug).collect::<String>()),
    }
}
