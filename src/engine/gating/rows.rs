//! Rows to what the gates know: pauses, breakers.

use crate::clock::Timestamp;
use crate::gate::circuit_breaker::{Breaker, BreakerState};
use crate::gate::kill_switch::{Pause, PauseScope};
use crate::store::breakers::BreakerRow;
use crate::store::pauses::PauseRow;
use crate::store::{self, CircuitState};

/// A use of the kill switch.
pub(super) fn pause(row: PauseRow) -> Pause {
    let scope = match row.scope {
        store::PauseScope::Global => PauseScope::Global,
        store::PauseScope::Runbook => PauseScope::Runbook(row.name),
        store::PauseScope::Group => PauseScope::Group(row.name),
        store::PauseScope::Server => PauseScope::Server(row.name),
    };
    Pause { id: row.id, scope, until: row.until, reason: row.reason, by: row.created_by, since: row.created_at }
}

/// A breaker as the gate knows it. [`Breaker::at`] says what time has made of it.
pub fn breaker(row: &BreakerRow) -> Breaker {
    Breaker {
        state: match row.state {
            CircuitState::Closed => BreakerState::Closed,
            CircuitState::Open => BreakerState::Open,
            CircuitState::HalfOpen => BreakerState::HalfOpen,
        },
        failure_count: u32::try_from(row.failure_count).unwrap_or(0),
        success_count: u32::try_from(row.success_count).unwrap_or(0),
        last_failure_at: row.last_failure_at,
        opened_at: row.opened_at,
        half_open_at: row.half_open_at,
        changed_at: Some(row.changed_at),
        is_forced_open: row.forced_open,
    }
}

/// A breaker as it is stored.
pub(super) fn breaker_row(runbook: &str, breaker: &Breaker, never_changed: Timestamp) -> BreakerRow {
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    BreakerRow {
        runbook: runbook.to_owned(),
        state: match breaker.state {
            BreakerState::Closed => CircuitState::Closed,
            BreakerState::Open => CircuitState::Open,
            BreakerState::HalfOpen => CircuitState::HalfOpen,
        },
        failure_count: count(breaker.failure_count),
        success_count: count(breaker.success_count),
        last_failure_at: breaker.last_failure_at,
        opened_at: breaker.opened_at,
        half_open_at: breaker.half_open_at,
        changed_at: breaker.changed_at.unwrap_or(never_changed),
        changed_by: "engine".to_owned(),
        reason: None,
        forced_open: breaker.is_forced_open,
    }
}
