//! Douse: alerts fire, Douse puts them out.
//!
//! # The way of an alert
//!
//! `web/webhook` → `engine/receive` → `engine/matching` (asks [`trigger`]) → `engine/gating` (asks [`gate`]) →
//! `engine/dispatch` → `engine/execute` (asks [`runbook::plan`], [`mod@execution::next`]; uses [`transport`]).

pub mod alert;
pub mod app;
pub mod audit;
pub mod clock;
pub mod execution;
pub mod failpoint;
pub mod gate;
pub mod id;
pub mod inventory;
pub mod limits;
pub mod problem;
pub mod rights;
pub mod runbook;
pub mod transport;
pub mod trigger;

pub mod cli;
pub mod config;
pub mod engine;
pub mod outbound;
pub mod secrets;
pub mod store;
pub mod telemetry;
pub mod web;

mod words;
