//! What an alert is: parsing Alertmanager's webhook, fingerprints, episodes.
//!
//! Pure: no clock, no I/O. Called from `engine/receive`.

pub mod wire;

mod entry;
mod envelope;

pub mod fingerprint;

pub mod episode;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::words::words;

/// Label or annotation names and values, sorted by name. A missing label is the empty string, as in Prometheus.
pub type Labels = BTreeMap<String, String>;

words! {
    /// Whether an alert burns or is over, as its sender said.
    AlertStatus {
        /// It burns.
        Firing = "firing",
        /// It is over.
        Resolved = "resolved",
    }
}

/// One label set with a status, as one delivery told it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// Firing or resolved: this alert's own, not its body's.
    pub status: AlertStatus,
    /// All labels, never cut.
    pub labels: Labels,
    /// All annotations; cut to `limits::ANNOTATION_BYTES_MAX` each.
    pub annotations: Labels,
    /// When the episode began, by the sender; may lie in the future.
    pub starts_at: Timestamp,
    /// When it ended; `None` while it fires (Alertmanager's year 1).
    pub ends_at: Option<Timestamp>,
    /// Link to the expression; may be empty.
    pub generator_url: String,
    /// Alertmanager's identity of the label set: 16 hex digits, recomputed when the body has none.
    pub fingerprint: String,
    /// Some annotation was longer than allowed.
    pub annotations_cut: bool,
}

impl Alert {
    /// The value of label `name`, or the empty string.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Label `alertname`.
    pub fn name(&self) -> &str {
        self.label("alertname")
    }

    /// Label `severity`.
    pub fn severity(&self) -> &str {
        self.label("severity")
    }

    /// Label `instance`.
    pub fn instance(&self) -> &str {
        self.label("instance")
    }

    /// Label `job`.
    pub fn job(&self) -> &str {
        self.label("job")
    }
}
