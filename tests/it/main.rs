//! The one integration binary: a module per subject, real programs, real databases.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod alerts;
mod api;
mod architecture;
mod cli;
mod credentials;
mod deployment;
mod documentation;
mod engine;
mod gates;
mod identity;
mod ledger;
mod replicas;
mod robust;
mod rollback;
mod runbooks;
mod scenarios;
mod ssh;
mod store;
mod support;
mod web;
