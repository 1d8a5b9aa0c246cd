//! Rollback, through the real engine and a real database: every step of every runbook is made to fail.

mod every_step;
mod stuck;
