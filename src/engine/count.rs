//! Counts what the metrics tell of a state: what waits, what is on now. Called when `/metrics` is asked.
//!
//! What happens is counted where it happens. A state that outlives a restart, or that time alone changes, is counted
//! here. Each series that can be foreseen is there from the start, at 0, so that a rate over it misses no first event.

use super::{Engine, gating};
use crate::clock::Timestamp;
use crate::execution::Status;
use crate::gate::blackout::{Blackout, State};
use crate::gate::circuit_breaker::BreakerState;
use crate::store::{StoreError, blackouts, breakers, executions, pauses, sources};
use crate::telemetry::Counts;

impl Engine {
    /// Brings those metrics up to date. If the database does not answer, they stay as they were.
    pub async fn count(&self) -> Result<(), StoreError> {
        let (policy, now) = (self.policy(), self.clock.now());
        let declared_sources = policy.config.sources.iter().map(|source| source.name.as_str());
        let runbooks = policy.runbooks.iter().map(|(name, active)| (name.as_str(), active.runbook.mode.as_str()));
        self.metrics.foresee(declared_sources, runbooks);
        let (pending, paused, made, breakers, sources) = self
            .store
            .read(move |db| {
                Ok((
                    executions::count_in(db, Status::Pending)?,
                    pauses::active(db, now)?.len(),
                    blackouts::enabled(db)?,
                    breakers::list(db)?,
                    sources::list(db)?,
                ))
            })
            .await?;
        let made: Vec<_> = made.iter().map(|row| row.blackout(policy.config.global.timezone)).collect();
        let active = policy.blackouts.iter().chain(&made).filter(|blackout| is_on(blackout, now)).count();
        self.metrics.counted(Counts {
            approvals_pending: pending,
            blackouts_active: i64::try_from(active).unwrap_or(i64::MAX),
            paused: i64::try_from(paused).unwrap_or(i64::MAX),
        });
        for row in breakers {
            // Time half-opens it, and nobody writes that down before the first probe.
            let is_open = gating::breaker_at(&policy, &row, now).state == BreakerState::Open;
            self.metrics.breaker(&row.runbook, is_open);
        }
        for row in sources {
            self.metrics.delivered(&row.name, row.last_delivery_at);
        }
        Ok(())
    }
}

fn is_on(blackout: &Blackout, now: Timestamp) -> bool {
    blackout.is_enabled && matches!(blackout.state(now), State::On { .. })
}
