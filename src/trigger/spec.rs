//! A trigger as its author wrote it, before its patterns are compiled.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alert::AlertStatus;

/// Where a trigger stands when it names no priority; lower comes first.
pub const PRIORITY_DEFAULT: i32 = 100;

/// A trigger's keys. An absent pattern asks for nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TriggerSpec {
    /// Unique in its runbook.
    pub name: String,
    /// Lower first.
    pub priority: i32,
    /// On label `alertname`.
    pub alert_name_pattern: Option<String>,
    /// On label `severity`.
    pub severity_pattern: Option<String>,
    /// On the name of the source.
    pub source_pattern: Option<String>,
    /// On label `instance`, port and all.
    pub instance_pattern: Option<String>,
    /// On label `job`.
    pub job_pattern: Option<String>,
    /// Label → pattern.
    pub labels_match: BTreeMap<String, String>,
    /// Annotation → pattern.
    pub annotations_match: BTreeMap<String, String>,
    /// Alertmanager's syntax, one or several in each text: `severity=~"warn.*"`, `{job="node", env!="test"}`.
    pub matchers: Vec<String>,
    /// Which alerts: `firing` unless the author says otherwise.
    pub status: AlertStatus,
    /// `HH:MM` or `HH:MM:SS`, inclusive; absent = midnight.
    pub time_window_start: Option<String>,
    /// `HH:MM` or `HH:MM:SS`, exclusive; before the start = the next day; absent or `24:00` = midnight.
    pub time_window_end: Option<String>,
    /// Days on which the window starts: `monday`, `mon`, `mon-fri`, `saturday:sunday`; empty = every day.
    pub time_window_days: Vec<String>,
    /// IANA name; absent = the configured zone.
    pub timezone: Option<String>,
    /// A trigger that is switched off never matches.
    pub enabled: bool,
    /// The trigger's cooldown on one target; `None` = the runbook's.
    pub cooldown: Option<Duration>,
    /// `continue`: when it matches, the next ones may match too.
    pub continue_matching: bool,
    /// A gate: the alert must have fired for so long.
    pub min_firing_for: Option<Duration>,
    /// A gate: so many episodes of the fingerprint.
    pub min_occurrences: Option<Occurrences>,
}

impl TriggerSpec {
    /// A trigger that asks for nothing but a firing alert.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            priority: PRIORITY_DEFAULT,
            alert_name_pattern: None,
            severity_pattern: None,
            source_pattern: None,
            instance_pattern: None,
            job_pattern: None,
            labels_match: BTreeMap::new(),
            annotations_match: BTreeMap::new(),
            matchers: Vec::new(),
            status: AlertStatus::Firing,
            time_window_start: None,
            time_window_end: None,
            time_window_days: Vec::new(),
            timezone: None,
            enabled: true,
            cooldown: None,
            continue_matching: false,
            min_firing_for: None,
            min_occurrences: None,
        }
    }
}

/// `count` episodes of a fingerprint `within` a time, the present one included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Occurrences {
    pub count: u32,
    pub within: Duration,
}
