//! Runbooks: the file, what it means, and a plan made of it.
//!
//! Pure. `parse` turns YAML into a [`model::Runbook`] with spans, `check` finds every problem at once, `template`
//! renders safely, `plan` renders a runbook for one alert and one target. Called from `engine/matching`,
//! `engine/gating`, `engine/execute` and the command line.

pub mod check;
pub mod model;
pub mod parse;
pub mod plan;
pub mod template;
