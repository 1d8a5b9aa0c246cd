//! The webhook's wire format: Alertmanager's version 4 and Grafana's version 1 into a [`Delivery`].
//!
//! Tolerant where a sender may grow (unknown fields stay in the raw body) and strict where meaning is at stake: an
//! alert that cannot be understood is quarantined with its reason, and its neighbours are kept. Labels are never cut
//! or re-typed, for a changed label could match something else. Called from `engine/receive` with the raw bytes.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::limits::{ANNOTATION_BYTES_MAX, WEBHOOK_ALERTS_MAX};
use crate::words::words;

use super::envelope::{Alerts, Envelope};
use super::{Alert, Labels, entry};
use crate::clock::Timestamp;

words! {
    /// Which format a delivery came in.
    Format {
        /// Alertmanager's webhook, version 4.
        AlertmanagerV4 = "alertmanager_v4",
        /// Grafana's webhook, version 1.
        GrafanaV1 = "grafana_v1",
        /// Fetched from `/api/v2/alerts` of the source's Alertmanager, because a webhook was truncated.
        AlertmanagerApi = "alertmanager_api",
    }
}

/// One webhook, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    pub format: Format,
    pub receiver: String,
    /// The body's own word, `firing` if any alert of it fires; each alert has its own status.
    pub status: String,
    /// Names the route and group, not the incident. Stored as sent, never parsed.
    pub group_key: String,
    pub group_labels: Labels,
    pub common_labels: Labels,
    pub common_annotations: Labels,
    pub external_url: String,
    /// Alerts that the sender left out (`max_alerts`).
    pub truncated_alerts: u64,
    /// In the body's order.
    pub entries: Vec<Entry>,
}

impl Delivery {
    /// What the body says of the alerts' group, in Alertmanager's own names.
    pub fn group(&self) -> Value {
        json!({
            "receiver": self.receiver, "status": self.status, "groupKey": self.group_key,
            "groupLabels": self.group_labels, "commonLabels": self.common_labels,
            "commonAnnotations": self.common_annotations, "externalURL": self.external_url,
            "truncatedAlerts": self.truncated_alerts,
        })
    }
}

/// One element of a body's `alerts`.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// Understood.
    Alert {
        alert: Box<Alert>,
        /// When the Alertmanager was last told of it; only its API says.
        seen_at: Option<Timestamp>,
        /// The element as sent, unknown fields included.
        raw: Value,
    },
    /// Kept aside with the reason.
    Quarantined {
        /// From 0, in the body's `alerts`.
        position: usize,
        reason: String,
        raw: Value,
        /// As sent, if there was one that can be shown.
        fingerprint: Option<String>,
    },
}

/// Why a body as a whole cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    /// Answered 400.
    #[error("the body is not JSON: {0}; send Alertmanager's or Grafana's webhook body unchanged")]
    NotJson(String),
    /// Answered 422.
    #[error(
        "field `{field}` {problem}; a body is Alertmanager's version \"4\" or Grafana's version \"1\", without a custom payload template"
    )]
    WrongShape { field: &'static str, problem: String },
    /// Answered 413.
    #[error(
        "the body holds {count} alerts, at most {WEBHOOK_ALERTS_MAX} are taken; set `max_alerts` in the receiver or group by more labels"
    )]
    TooManyAlerts { count: usize },
}

/// Parses a webhook body.
pub fn parse(body: &[u8]) -> Result<Delivery, WireError> {
    // What is not UTF-8 becomes U+FFFD, as Alertmanager itself does on the way in; some senders write a byte order mark.
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| WireError::NotJson(error.to_string()))?;
    let Some(fields) = envelope.fields else {
        return Err(wrong("version", format!("is missing: the body is {}", envelope.kind)));
    };
    let format = format(fields.get("version"))?;
    let alerts = match envelope.alerts {
        Alerts::Missing => return Err(wrong("alerts", "is missing".to_owned())),
        Alerts::Other(kind) => return Err(wrong("alerts", format!("is {kind}, not a list"))),
        Alerts::TooMany(count) => return Err(WireError::TooManyAlerts { count }),
        Alerts::List(alerts) => alerts,
    };
    Ok(Delivery {
        format,
        receiver: text_field(&fields, "receiver")?,
        status: text_field(&fields, "status")?,
        group_key: text_field(&fields, "groupKey")?,
        group_labels: labels_field(&fields, "groupLabels")?,
        common_labels: labels_field(&fields, "commonLabels")?,
        common_annotations: labels_field(&fields, "commonAnnotations")?,
        external_url: text_field(&fields, "externalURL")?,
        truncated_alerts: truncated(fields.get("truncatedAlerts"))?,
        entries: alerts.into_iter().enumerate().map(|(position, value)| entry::webhook(position, value)).collect(),
    })
}

/// Parses the answer of `GET /api/v2/alerts`: alerts that had not ended when it was given.
pub fn parse_api(body: &[u8]) -> Result<Delivery, WireError> {
    let text = String::from_utf8_lossy(body);
    let alerts: Alerts = serde_json::from_str(&text).map_err(|error| WireError::NotJson(error.to_string()))?;
    let alerts = match alerts {
        Alerts::List(alerts) => alerts,
        Alerts::TooMany(count) => return Err(WireError::TooManyAlerts { count }),
        Alerts::Other(kind) => return Err(wrong("alerts", format!("is {kind}, not a list"))),
        Alerts::Missing => return Err(wrong("alerts", "is missing".to_owned())),
    };
    Ok(Delivery {
        format: Format::AlertmanagerApi,
        receiver: String::new(),
        status: "firing".to_owned(),
        group_key: String::new(),
        group_labels: Labels::new(),
        common_labels: Labels::new(),
        common_annotations: Labels::new(),
        external_url: String::new(),
        truncated_alerts: 0,
        entries: alerts.into_iter().enumerate().map(|(position, value)| entry::api(position, value)).collect(),
    })
}

fn format(version: Option<&Value>) -> Result<Format, WireError> {
    match version {
        Some(Value::String(version)) if version == "4" => Ok(Format::AlertmanagerV4),
        Some(Value::String(version)) if version == "1" => Ok(Format::GrafanaV1),
        None | Some(Value::Null) => Err(wrong("version", "is missing".to_owned())),
        Some(Value::String(version)) => {
            let shown: String = version.chars().take(40).collect();
            Err(wrong("version", format!("is {shown:?}")))
        }
        Some(other) => Err(wrong("version", format!("is {}, not a text", kind(other)))),
    }
}

fn text_field(fields: &Map<String, Value>, field: &'static str) -> Result<String, WireError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(clean(text)),
        Some(other) => Err(wrong(field, format!("is {}, not a text", kind(other)))),
    }
}

fn labels_field(fields: &Map<String, Value>, field: &'static str) -> Result<Labels, WireError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(Labels::new()),
        Some(Value::Object(map)) => Ok(map.iter().map(|(name, value)| (clean(name), shown(value))).collect()),
        Some(other) => Err(wrong(field, format!("is {}, not an object", kind(other)))),
    }
}

fn truncated(value: Option<&Value>) -> Result<u64, WireError> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            value.as_u64().ok_or_else(|| wrong("truncatedAlerts", "is not a whole number from 0".to_owned()))
        }
    }
}

fn wrong(field: &'static str, problem: String) -> WireError {
    WireError::WrongShape { field, problem }
}

/// What a JSON value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Text with `U+0000` replaced: PostgreSQL refuses it, and no label means it.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A value that is only shown, never matched by equality: a text as it is, all else as its JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        other => other.to_string(),
    }
}

/// `text` within [`ANNOTATION_BYTES_MAX`], and whether it was cut.
pub(super) fn cut(mut text: String) -> (String, bool) {
    if text.len() <= ANNOTATION_BYTES_MAX {
        return (text, false);
    }
    let mut end = ANNOTATION_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    (text, true)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
