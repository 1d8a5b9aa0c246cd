//! Why a trigger matches an alert, and why not: computed when somebody asks, never stored.

use chrono_tz::Tz;

use crate::alert::Alert;
use crate::clock::Timestamp;

use super::condition::{Condition, Subject};
use super::{Index, Selectable, Trigger};

/// One condition of a trigger, and how the alert stands to it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Finding {
    /// The trigger's key: `severity_pattern`, `labels_match`, `time_window`, `enabled` …
    pub key: &'static str,
    pub matched: bool,
    /// For people: what was asked, what was found.
    pub message: String,
}

/// What became of one trigger.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Standing {
    /// The alert selects it.
    Selected,
    /// It would match, but another one won: the runbook and trigger, which does not say `continue`.
    Shadowed { runbook: String, trigger: String },
    /// Some condition does not hold.
    NotMatched,
}

/// One trigger with all that can be said about it.
#[derive(Clone, Debug)]
pub struct Explained<'a> {
    pub entry: &'a Selectable,
    pub standing: Standing,
    pub findings: Vec<Finding>,
}

/// Each condition of `trigger`, met or not, in the order of its keys. Windows without a zone are in `timezone`.
pub fn explain(trigger: &Trigger, source: &str, alert: &Alert, at: Timestamp, timezone: Tz) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !trigger.spec.enabled {
        let message = "the trigger is switched off (`enabled: false`)".to_owned();
        findings.push(Finding { key: "enabled", matched: false, message });
    }
    let (wanted, found) = (trigger.spec.status.as_str(), alert.status.as_str());
    findings.push(Finding {
        key: "status",
        matched: wanted == found,
        message: format!("the alert is {found}, the trigger asks for {wanted}"),
    });
    findings.extend(trigger.conditions.iter().map(|condition| finding(condition, source, alert)));
    if let Some(window) = &trigger.window {
        let matched = window.contains(at, timezone);
        let side = if matched { "inside" } else { "outside" };
        let message = format!("{} is {side} the window {}", window.local(at, timezone), window.as_str());
        findings.push(Finding { key: "time_window", matched, message });
    }
    findings
}

/// Every trigger of `index` in the order in which they win.
pub fn explain_all<'a>(index: &'a Index, source: &str, alert: &Alert, at: Timestamp) -> Vec<Explained<'a>> {
    let mut winner: Option<&Selectable> = None;
    let mut explained = Vec::new();
    for entry in index.entries() {
        let findings = explain(&entry.trigger, source, alert, at, index.timezone());
        let standing = match winner {
            _ if !findings.iter().all(|finding| finding.matched) => Standing::NotMatched,
            Some(winner) => {
                Standing::Shadowed { runbook: winner.runbook.clone(), trigger: winner.trigger.name().to_owned() }
            }
            None => {
                winner = Some(entry).filter(|entry| !entry.trigger.spec.continue_matching);
                Standing::Selected
            }
        };
        explained.push(Explained { entry, standing, findings });
    }
    explained
}

fn finding(condition: &Condition, source: &str, alert: &Alert) -> Finding {
    let found = brief(condition.subject.value(source, alert));
    let wanted = brief(&condition.wanted);
    let what = match &condition.subject {
        Subject::Source => "the source".to_owned(),
        Subject::Label(name) => format!("label `{name}`"),
        Subject::Annotation(name) => format!("annotation `{name}`"),
    };
    let asks = if condition.pattern.as_str().is_empty() && !condition.negated {
        "for none".to_owned()
    } else {
        format!("for {wanted}")
    };
    let message = match found.as_str() {
        "" => format!("the alert has no {}, the trigger asks {asks}", what.trim_start_matches("the ")),
        found => format!("{what} is {found}, the trigger asks {asks}"),
    };
    Finding { key: condition.key, matched: condition.matches(source, alert), message }
}

/// A value in backquotes, shortened, control characters escaped: it may come from anyone who can expose a metric.
fn brief(value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    let shown: String = value.chars().take(120).collect();
    let dots = if shown.len() < value.len() { "…" } else { "" };
    format!("`{}{dots}`", shown.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
