//! Alerts: genuine bodies, real rules, and what must not be taken.

mod bodies;
mod naive;
mod receive;
mod rules;
mod together;
mod webhook;
