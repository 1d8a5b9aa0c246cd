//! What follows from an attempt, when a step is tried again, and when a host is.
//!
//! Called by `engine/execute` with an attempt's outcome; the answer is stored with it, so that a replay needs no plan.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::limits;
use crate::runbook::model::Retry;
use crate::runbook::plan::{Plan, PlannedStep};

use super::event::{After, Outcome, Place};
use super::state::{State, StepState};

/// What follows from `outcome` of the attempt that is under way at `place`.
pub fn judge(state: &State, plan: &Plan, place: Place, outcome: &Outcome, now: Timestamp) -> After {
    let Some(step) = state.at(place) else { return After::Failed };
    match place {
        Place::Step(index) => match plan.steps.get(index) {
            Some(planned) => judge_step(state, step, planned, outcome, now),
            None => After::Failed,
        },
        Place::Undo(_) => judge_undo(step, outcome, now),
    }
}

fn judge_step(state: &State, step: &StepState, planned: &PlannedStep, outcome: &Outcome, now: Timestamp) -> After {
    let retry = &planned.retry;
    let may_go_on = state.cancelled_by.is_none() && !state.is_timed_out;
    let again = || {
        let has_tries = may_go_on && step.tries.saturating_sub(step.lost) < retry.attempts;
        has_tries.then(|| After::RetryAt(now.plus(delay(retry, step.tries))))
    };
    let any_failure = retry.on_exit_codes.is_empty();
    match outcome {
        Outcome::Exited(code) if planned.expected_exit_codes.contains(code) => After::Completed,
        Outcome::Exited(code) if any_failure || retry.on_exit_codes.contains(code) => again().unwrap_or(After::Failed),
        Outcome::Exited(_) => After::Failed,
        Outcome::Signalled(_) | Outcome::BadOutput { .. } if any_failure => again().unwrap_or(After::Failed),
        Outcome::Signalled(_) | Outcome::BadOutput { .. } => After::Failed,
        // Two copies at once would be worse than none, and undoing what still runs is as blind: only what is known to be
        // dead is tried again or undone.
        Outcome::TimedOut { is_confirmed: false } | Outcome::Cancelled { is_confirmed: false } => After::Interrupted,
        Outcome::TimedOut { is_confirmed: true } if any_failure => again().unwrap_or(After::TimedOut),
        Outcome::TimedOut { is_confirmed: true } => After::TimedOut,
        Outcome::Cancelled { is_confirmed: true } | Outcome::Unsent { is_timeout: false } => After::Cancelled,
        Outcome::Unsent { is_timeout: true } => again().unwrap_or(After::TimedOut),
        Outcome::NotStarted { is_retryable: true, .. } if may_go_on && !state.is_touched() => After::ReachAgain,
        Outcome::NotStarted { is_retryable: true, .. } => again().unwrap_or(After::Failed),
        Outcome::NotStarted { is_retryable: false, .. } => After::Failed,
        Outcome::Rebooted(_) if planned.expect_disconnect => After::Completed,
        Outcome::Lost(_) | Outcome::Rebooted(_)
            if planned.idempotent && may_go_on && step.lost + 1 < limits::LOST_ATTEMPTS_MAX =>
        {
            After::RetryAt(now.plus(delay(retry, step.tries)))
        }
        Outcome::Lost(_) | Outcome::Rebooted(_) => After::Interrupted,
    }
}

/// An undo gets one attempt; only what the host never saw is tried again.
fn judge_undo(undo: &StepState, outcome: &Outcome, now: Timestamp) -> After {
    match outcome {
        Outcome::Exited(0) => After::Completed,
        Outcome::Exited(_) | Outcome::BadOutput { .. } | Outcome::Signalled(_) => After::Failed,
        Outcome::TimedOut { .. } => After::TimedOut,
        Outcome::Cancelled { .. } => After::Cancelled,
        Outcome::NotStarted { is_retryable: true, .. } | Outcome::Unsent { .. }
            if undo.tries < limits::UNDO_REACH_TRIES =>
        {
            After::RetryAt(now.plus(limits::UNDO_REACH_DELAY))
        }
        Outcome::Unsent { .. } => After::TimedOut,
        Outcome::NotStarted { .. } => After::Failed,
        Outcome::Lost(_) | Outcome::Rebooted(_) => After::Interrupted,
    }
}

/// The wait after the `tries`-th try (from 1): the delay times the backoff for each try before, at most `max_delay`.
pub fn delay(retry: &Retry, tries: u32) -> Duration {
    let mut millis = retry.delay.as_millis();
    let max = retry.max_delay.as_millis();
    for _ in 1..tries {
        if millis >= max {
            break;
        }
        millis = millis.saturating_mul(u128::from(retry.backoff_milli)) / 1000;
    }
    Duration::from_millis(u64::try_from(millis.min(max)).unwrap_or(u64::MAX))
}

/// How often, and for how long, a host is tried to be reached before the first step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Tries after the first; 0 = as many as fit into `max_queue_age`.
    pub max_retries: u32,
    /// Fixed wait; without, 1, 2, 4 … minutes.
    pub retry_delay: Option<Duration>,
    /// Counted from the first try in vain: a long wait for other things takes nothing from it.
    pub max_queue_age: Duration,
}

impl Reach {
    /// When to try again after `tries` tries in vain (the one just made included), or `None` to give up.
    pub fn again(&self, tries: u32, first_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.max_retries > 0 && tries > self.max_retries {
            return None;
        }
        let minutes = 1_u64 << tries.saturating_sub(1).min(10);
        let backoff = Duration::from_secs(60 * minutes).min(limits::REACH_DELAY_MAX);
        let retry_at = now.plus(self.retry_delay.unwrap_or(backoff));
        (retry_at.since(first_at) <= self.max_queue_age).then_some(retry_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(delay: u64, backoff_milli: u32, max_delay: u64) -> Retry {
        Retry {
            attempts: 9,
            delay: Duration::from_secs(delay),
            backoff_milli,
            max_delay: Duration::from_secs(max_delay),
            on_exit_codes: Vec::new(),
        }
    }

    #[test]
    fn delays_grow_by_the_backoff_up_to_the_longest() {
        for (retry, expected) in [
            (retry(5, 1000, 60), [5, 5, 5, 5, 5]),
            (retry(5, 2000, 60), [5, 10, 20, 40, 60]),
            (retry(4, 1500, 9), [4, 6, 9, 9, 9]),
            (retry(0, 2000, 60), [0, 0, 0, 0, 0]),
            (retry(90, 2000, 60), [60, 60, 60, 60, 60]),
        ] {
            let delays: Vec<u64> = (1..=5).map(|tries| delay(&retry, tries).as_secs()).collect();
            assert_eq!(delays, expected, "{retry:?}");
        }
    }

    #[test]
    fn a_delay_never_overflows() {
        let huge = Retry { backoff_milli: u32::MAX, max_delay: Duration::MAX, ..retry(u64::MAX / 2000, 0, 0) };
        assert!(delay(&huge, u32::MAX) >= delay(&huge, 1));
    }

    #[test]
    fn a_host_is_tried_again_after_one_two_four_minutes_until_the_queue_age() {
        let born: Timestamp = "2026-03-03T10:00:00Z".parse().unwrap();
        let reach = Reach { max_retries: 0, retry_delay: None, max_queue_age: Duration::from_secs(1_800) };
        let mut now = born;
        let mut waits = Vec::new();
        for tries in 1.. {
            let Some(at) = reach.again(tries, born, now) else { break };
            waits.push(at.since(now).as_secs() / 60);
            now = at;
        }
        assert_eq!(waits, [1, 2, 4, 8, 15]);
    }

    #[test]
    fn a_runbooks_own_retries_and_delay_bound_the_tries() {
        let born: Timestamp = "2026-03-03T10:00:00Z".parse().unwrap();
        let reach = Reach {
            max_retries: 2,
            retry_delay: Some(Duration::from_secs(7)),
            max_queue_age: Duration::from_secs(3_600),
        };
        assert_eq!(reach.again(1, born, born), Some(born.plus(Duration::from_secs(7))));
        assert_eq!(reach.again(2, born, born), Some(born.plus(Duration::from_secs(7))));
        assert_eq!(reach.again(3, born, born), None);
    }
}
