//! One element of a body's `alerts` into an [`Alert`], or the reason why not.
//!
//! Decides what quarantines an alert; never what happens to its neighbours. Called from `wire`.

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::limits::{ALERT_LABELS_MAX, FINGERPRINT_CHARS_MAX, LABEL_BYTES_MAX};

use super::fingerprint::fingerprint;
use super::wire::{Entry, clean, cut, kind, shown};
use super::{Alert, AlertStatus, Labels};

/// An element of a webhook's `alerts`.
pub(super) fn webhook(position: usize, raw: Value) -> Entry {
    match alert(&raw, webhook_status) {
        Ok(alert) => Entry::Alert { alert: Box::new(alert), seen_at: None, raw },
        Err(reason) => quarantined(position, reason, raw),
    }
}

/// An element of the answer of Alertmanager's API, which lists nothing but what fires.
pub(super) fn api(position: usize, raw: Value) -> Entry {
    let seen = |raw: &Value| match raw {
        Value::Object(fields) => time(fields, "updatedAt"),
        _ => Ok(None),
    };
    match alert(&raw, |_| Ok(AlertStatus::Firing)).and_then(|alert| Ok((alert, seen(&raw)?))) {
        Ok((alert, seen_at)) => Entry::Alert { alert: Box::new(alert), seen_at, raw },
        Err(reason) => quarantined(position, reason, raw),
    }
}

fn quarantined(position: usize, reason: String, raw: Value) -> Entry {
    let sent = raw.get("fingerprint").and_then(Value::as_str).filter(|sent| is_fingerprint(sent));
    let fingerprint = sent.map(str::to_owned);
    Entry::Quarantined { position, reason, raw, fingerprint }
}

fn alert(value: &Value, status: fn(&Map<String, Value>) -> Result<AlertStatus, String>) -> Result<Alert, String> {
    let Value::Object(fields) = value else { return Err(format!("the alert is {}, not an object", kind(value))) };
    let status = status(fields)?;
    let (labels, own_fingerprint) = labels(fields.get("labels"))?;
    let fingerprint = match fields.get("fingerprint") {
        None | Some(Value::Null) => own_fingerprint,
        Some(Value::String(sent)) if sent.is_empty() => own_fingerprint,
        Some(Value::String(sent)) if is_fingerprint(sent) => sent.clone(),
        Some(_) => return Err("`fingerprint` is not a short text of letters and digits".to_owned()),
    };
    let (annotations, annotations_cut) = annotations(fields.get("annotations"))?;
    let starts_at = time(fields, "startsAt")?.ok_or("`startsAt` is missing")?;
    let ends_at = match status {
        AlertStatus::Firing => None,
        AlertStatus::Resolved => time(fields, "endsAt")?.filter(|end| end.utc().year() > 1),
    };
    let (generator_url, _) = cut(fields.get("generatorURL").map(shown).unwrap_or_default());
    Ok(Alert { status, labels, annotations, starts_at, ends_at, generator_url, fingerprint, annotations_cut })
}

fn webhook_status(fields: &Map<String, Value>) -> Result<AlertStatus, String> {
    match fields.get("status") {
        Some(Value::String(status)) if status == AlertStatus::Firing.as_str() => Ok(AlertStatus::Firing),
        Some(Value::String(status)) if status == AlertStatus::Resolved.as_str() => Ok(AlertStatus::Resolved),
        Some(Value::String(other)) => Err(format!("`status` is {:?}, not firing or resolved", brief(other))),
        None | Some(Value::Null) => Err("`status` is missing".to_owned()),
        Some(other) => Err(format!("`status` is {}, not firing or resolved", kind(other))),
    }
}

/// The labels, and the fingerprint of the set as it was sent: Alertmanager hashes a `U+0000` as it is.
fn labels(value: Option<&Value>) -> Result<(Labels, String), String> {
    let map = match value {
        Some(Value::Object(map)) => map,
        None | Some(Value::Null) => return Err("`labels` is missing".to_owned()),
        Some(other) => return Err(format!("`labels` is {}, not an object", kind(other))),
    };
    if map.is_empty() {
        return Err("`labels` is empty: an alert without labels names nothing".to_owned());
    }
    if map.len() > ALERT_LABELS_MAX {
        return Err(format!("it has {} labels, at most {ALERT_LABELS_MAX} are taken", map.len()));
    }
    let mut sent = Labels::new();
    for (name, value) in map {
        let Value::String(value) = value else {
            return Err(format!("label `{}` is {}, not a text", brief(name), kind(value)));
        };
        for (what, text) in [("name", name), ("value", value)] {
            if text.len() > LABEL_BYTES_MAX {
                return Err(format!(
                    "the {what} of label `{}` has {} bytes, at most {LABEL_BYTES_MAX} are taken",
                    brief(name),
                    text.len()
                ));
            }
        }
        sent.insert(name.clone(), value.clone());
    }
    let own_fingerprint = fingerprint(&sent);
    if sent.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        sent = sent.iter().map(|(name, value)| (clean(name), clean(value))).collect();
    }
    Ok((sent, own_fingerprint))
}

fn annotations(value: Option<&Value>) -> Result<(Labels, bool), String> {
    let map = match value {
        None | Some(Value::Null) => return Ok((Labels::new(), false)),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(format!("`annotations` is {}, not an object", kind(other))),
    };
    let mut any_cut = false;
    let mut annotations = Labels::new();
    for (name, value) in map {
        let ((name, name_cut), (value, value_cut)) = (cut(clean(name)), cut(shown(value)));
        any_cut |= name_cut || value_cut;
        annotations.insert(name, value);
    }
    Ok((annotations, any_cut))
}

fn time(fields: &Map<String, Value>, field: &str) -> Result<Option<Timestamp>, String> {
    let text = match fields.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(other) => return Err(format!("`{field}` is {}, not an RFC 3339 time", kind(other))),
    };
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("`{field}` is {:?}, not an RFC 3339 time: {error}", brief(text)))?;
    // By way of microseconds a leap second becomes the second after it, which both databases can keep.
    let time = DateTime::<Utc>::from_timestamp_micros(time.timestamp_micros());
    time.map(|time| Some(Timestamp::new(time))).ok_or_else(|| format!("`{field}` is out of range"))
}

fn is_fingerprint(text: &str) -> bool {
    text.len() <= FINGERPRINT_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The beginning of `text`, for a reason that is shown.
fn brief(text: &str) -> String {
    clean(&text.chars().take(60).collect::<String>())
}
