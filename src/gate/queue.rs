//! How long a decision has waited for what only other runs stand in the way of.
//!
//! `max_queue_age` counts that time alone: time under a blackout, a pause, a cooldown or a breaker does not count,
//! because there somebody wanted the wait.

use std::time::Duration;

use super::{Evaluation, Gate, Verdict};
use crate::clock::Timestamp;

/// Whether nothing but the target's lock and rate limits holds it: from now on, time counts.
pub fn is_queued(evaluation: &Evaluation) -> bool {
    matches!(evaluation.outcome, Verdict::Hold(_))
        && evaluation.holds().iter().all(|gate| matches!(gate, Gate::TargetLock | Gate::RateLimit))
}

/// Time in the queue by `now`: what was counted before, and the time since it was last asked if it queued then.
pub fn queued_for(counted: Duration, queued_since: Option<Timestamp>, now: Timestamp) -> Duration {
    counted.saturating_add(queued_since.map_or(Duration::ZERO, |since| now.since(since)))
}
