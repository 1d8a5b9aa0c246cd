//! Triggers: which alerts select which runbook.
//!
//! The runbook parser fills a [`TriggerSpec`] and calls [`Trigger::compile`]; a reload puts all triggers of all
//! runbooks into one [`Index`]; `engine/matching` asks [`Index::select`] once per episode; `douse explain` asks
//! [`explain`] why a trigger did not match. Whether the selected runbook may run is not decided here but by the gates:
//! `min_firing_for`, `min_occurrences` and `cooldown` are only carried.

pub mod spec;

use crate::alert::AlertStatus;
pub use spec::{Occurrences, TriggerSpec};

/// What is wrong with a trigger, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatternError {
    /// The key of the trigger: `alert_name_pattern`, `labels_match`, `matchers`, `timezone` …
    pub key: &'static str,
    /// Which entry of it: the label's or annotation's name, or the number of the matcher from 0.
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
    /// Of `matchers`, `time_window_days`.
    Number(usize),
}

/// A trigger whose patterns are compiled.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// As written, defaults filled in.
    pub spec: TriggerSpec,
}

impl Trigger {
    /// Compiles the patterns of `spec`, or says everything that is wrong with them.
    pub fn compile(spec: TriggerSpec) -> Result<Self, Vec<PatternError>> {
        Ok(Self { spec })
    }

    /// Unique in its runbook.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The alert status it asks for.
    pub fn status(&self) -> AlertStatus {
        self.spec.status
    }
}
