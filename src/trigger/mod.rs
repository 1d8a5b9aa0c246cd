//! Triggers: patterns, their index, and which of them select an alert.

/// A trigger, compiled.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub name: String,
}
