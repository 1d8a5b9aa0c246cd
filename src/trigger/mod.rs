//! Triggers: which alerts select which runbook.
//!
//! The runbook parser fills a [`TriggerSpec`] and calls [`Trigger::compile`]; a reload puts all triggers of all
//! runbooks into one [`Index`]; `engine/matching` asks [`Index::select`] once per episode; `douse explain` asks
//! [`fn@explain`] why a trigger did not match. Whether the selected runbook may run is not decided here but by the gates:
//! `min_firing_for`, `min_occurrences` and `cooldown` are only carried.

pub mod spec;

pub mod pattern;

mod glob;
mod matcher;

pub mod window;

mod condition;
mod needle;

pub mod index;

pub mod explain;

use chrono_tz::Tz;

use crate::alert::Alert;
use crate::clock::Timestamp;

use condition::Condition;
pub use explain::{Explained, Finding, Standing, explain, explain_all};
pub use index::Index;
use pattern::Flaw;
pub use pattern::Pattern;
pub use spec::{Occurrences, TriggerSpec};
use window::TimeWindow;

/// What is wrong with a trigger, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatternError {
    /// The key of the trigger: `alert_name_pattern`, `labels_match`, `matchers`, `timezone` …
    pub key: &'static str,
    /// Which entry of it.
    pub entry: Option<Entry>,
    /// Where in the text, in characters from 0; `None` = the text as a whole.
    pub position: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// An entry of a map or a list in a trigger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Of `labels_match`, `annotations_match`.
    Name(String),
    /// Of `matchers`, `time_window_days`; from 0.
    Number(usize),
}

/// A trigger whose patterns are compiled.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// As written, defaults filled in.
    pub spec: TriggerSpec,
    conditions: Vec<Condition>,
    window: Option<TimeWindow>,
}

impl Trigger {
    /// Compiles the patterns of `spec`, or says everything that is wrong with them.
    pub fn compile(spec: TriggerSpec) -> Result<Self, Vec<PatternError>> {
        let mut errors = Vec::new();
        let conditions = condition::compile(&spec, &mut errors);
        let window = window::compile(&spec, &mut errors);
        if errors.is_empty() { Ok(Self { spec, conditions, window }) } else { Err(errors) }
    }

    /// Whether all that the trigger names holds for `alert` of `source` at `at`. Windows without a zone are in `timezone`.
    pub fn matches(&self, source: &str, alert: &Alert, at: Timestamp, timezone: Tz) -> bool {
        self.spec.enabled
            && self.spec.status == alert.status
            && self.conditions.iter().all(|condition| condition.matches(source, alert))
            && self.window.as_ref().is_none_or(|window| window.contains(at, timezone))
    }

    /// Unique in its runbook.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Whether it asks nothing of an alert but its status (and a time): `check` warns.
    pub fn matches_every_alert(&self) -> bool {
        self.conditions.iter().all(|condition| condition.pattern.matches_everything() && !condition.negated)
    }
}

/// A trigger in its place among all.
#[derive(Clone, Debug)]
pub struct Selectable {
    pub runbook: String,
    /// In its runbook, from 0.
    pub position: usize,
    pub trigger: Trigger,
}

impl Selectable {
    /// Lower wins, whatever the order in which files were loaded.
    fn rank(&self) -> (i32, &str, usize) {
        (self.trigger.spec.priority, &self.runbook, self.position)
    }
}

fn error(key: &'static str, entry: Option<Entry>, Flaw { position, message, hint }: Flaw) -> PatternError {
    PatternError { key, entry, position, message, hint }
}
