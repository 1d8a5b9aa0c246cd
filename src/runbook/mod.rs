//! Runbooks: the file, what it means, and a plan made of it.
//!
//! Pure. [`parse`] turns YAML into a [`model::Runbook`] with spans, [`check`] finds every problem at once, [`template`]
//! renders safely, [`parameters`] accepts what a run is given, [`plan`] renders a runbook for one alert and one target,
//! [`ready`] renders what had to wait for an earlier step. Called from `engine/matching`, `engine/gating`,
//! `engine/execute` and the command line.

pub mod check;
mod context;
pub mod model;
pub mod parameters;
pub mod parse;
pub mod plan;
pub mod ready;
mod sites;
pub mod template;

#[cfg(test)]
mod tests;
