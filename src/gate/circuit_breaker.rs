//! Circuit breaker: a runbook that fails again and again is stopped, and let back by single probes.
//!
//! closed → open after `failure_threshold` consecutive failures; open → half-open after `reset_timeout`; half-open,
//! one execution at a time → closed after `success_threshold` successes; half-open → open on any failure. What ended
//! before the last open, close or reset says nothing any more. `engine/gating` stores the state and feeds it outcomes.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::phrase::{count, moment, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::id::ExecutionId;
use crate::runbook::model::CircuitBreakerSpec;
use crate::words::words;

words! {
    /// Where a breaker stands.
    BreakerState {
        /// Normal.
        Closed = "closed",
        /// Nothing starts.
        Open = "open",
        /// One probe at a time.
        HalfOpen = "half_open",
    }
}

/// What a run's end says to the breaker. Cancelled, interrupted and withdrawn runs say nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Observed {
    Success,
    /// Failed, timed out, ineffective or inconclusive.
    Failure,
}

/// One runbook's breaker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Breaker {
    pub state: BreakerState,
    /// Consecutive failures since the last change, while closed.
    pub failure_count: u32,
    /// Successes since it half-opened.
    pub success_count: u32,
    pub last_failure_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub half_open_at: Option<Timestamp>,
    /// Last open, close or reset; outcomes that are not newer do not count. `None`: never changed.
    pub changed_at: Option<Timestamp>,
    /// A person opened it: it stays open until a person closes it.
    pub is_forced_open: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: BreakerState::Closed,
            failure_count: 0,
            success_count: 0,
            last_failure_at: None,
            opened_at: None,
            half_open_at: None,
            changed_at: None,
            is_forced_open: false,
        }
    }
}

impl Breaker {
    /// What it has become by `now`: an open one half-opens when its time is over.
    pub fn at(&self, spec: &CircuitBreakerSpec, now: Timestamp) -> Self {
        match (self.state, self.opened_at) {
            (BreakerState::Open, Some(opened)) if !self.is_forced_open && opened.plus(spec.reset_timeout) <= now => {
                Self {
                    state: BreakerState::HalfOpen,
                    success_count: 0,
                    half_open_at: Some(opened.plus(spec.reset_timeout)),
                    ..self.clone()
                }
            }
            _ => self.clone(),
        }
    }

    /// What it becomes when a run that began at `started` ended at `ended`.
    pub fn observe(&self, observed: Observed, started: Timestamp, ended: Timestamp, spec: &CircuitBreakerSpec) -> Self {
        let mut breaker = self.at(spec, ended);
        if breaker.changed_at.is_some_and(|changed| ended <= changed) {
            return breaker;
        }
        if observed == Observed::Failure {
            breaker.last_failure_at = breaker.last_failure_at.max(Some(ended));
        }
        match (breaker.state, observed) {
            (BreakerState::Closed, Observed::Success) => breaker.failure_count = 0,
            (BreakerState::Closed, Observed::Failure) => {
                breaker.failure_count = breaker.failure_count.saturating_add(1);
                if spec.failure_threshold > 0 && breaker.failure_count >= spec.failure_threshold {
                    return breaker.open(ended);
                }
            }
            (BreakerState::HalfOpen, Observed::Failure) => return breaker.open(ended),
            // A straggler from before it half-opened is no probe.
            (BreakerState::HalfOpen, Observed::Success) if breaker.half_open_at.is_some_and(|at| started < at) => {}
            (BreakerState::HalfOpen, Observed::Success) => {
                breaker.success_count = breaker.success_count.saturating_add(1);
                if breaker.success_count >= spec.success_threshold {
                    return breaker.close(ended);
                }
            }
            (BreakerState::Open, Observed::Success | Observed::Failure) => {}
        }
        breaker
    }

    /// Opened by a person, who wants it to stay so.
    pub fn force_open(&self, now: Timestamp) -> Self {
        Self { is_forced_open: true, ..self.open(now) }
    }

    /// Opened by failures: half-opens when its time is over.
    fn open(&self, now: Timestamp) -> Self {
        Self {
            state: BreakerState::Open,
            success_count: 0,
            opened_at: Some(now),
            half_open_at: None,
            changed_at: Some(now),
            is_forced_open: false,
            ..self.clone()
        }
    }

    /// Closed, by itself or by a person.
    pub fn close(&self, now: Timestamp) -> Self {
        Self { last_failure_at: self.last_failure_at, changed_at: Some(now), ..Self::default() }
    }

    /// As new, by a person: closed, and nothing that ended by `now` counts.
    pub fn reset(now: Timestamp) -> Self {
        Self { changed_at: Some(now), ..Self::default() }
    }
}

/// The breaker, its thresholds, and who would be probing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// A failure threshold of zero switches it off.
    pub spec: CircuitBreakerSpec,
    pub breaker: Breaker,
    /// A running or earlier approved execution of the runbook, other than the one that is asked about.
    pub in_flight: Option<ExecutionId>,
}

/// Holds while it is open, and while it is half-open for all but one.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::CircuitBreaker;
    let Facts { spec, in_flight, .. } = facts;
    let runbook = &subject.runbook;
    if spec.failure_threshold == 0 {
        return GateVerdict::allow(gate, "switched off");
    }
    let breaker = facts.breaker.at(spec, now);
    let mut evidence = json!({
        "state": breaker.state, "failure_count": breaker.failure_count, "failure_threshold": spec.failure_threshold,
        "success_count": breaker.success_count, "success_threshold": spec.success_threshold,
        "opened_at": breaker.opened_at, "last_failure_at": breaker.last_failure_at,
    });
    match (breaker.state, breaker.opened_at, in_flight) {
        (BreakerState::Closed, ..) => {
            let failures = count(breaker.failure_count as usize, "failure");
            let message = format!("closed: {failures} of `{runbook}` in a row, {} open it", spec.failure_threshold);
            GateVerdict::allow(gate, message).because(evidence)
        }
        (BreakerState::Open, opened, _) => {
            let until = opened.filter(|_| !breaker.is_forced_open).map(|opened| opened.plus(spec.reset_timeout));
            let stands = opened.map_or_else(
                || "is open".to_owned(),
                |opened| format!("has been open for {}", span(now.since(opened))),
            );
            let cause = if breaker.is_forced_open {
                "a person opened it, so a person has to close it".to_owned()
            } else {
                format!("{} in a row", count(breaker.failure_count as usize, "failure"))
            };
            let end = until
                .map_or_else(String::new, |until| format!("; a first probe is let through at {}", moment(until, now)));
            let message = format!(
                "the circuit breaker of `{runbook}` {stands} ({cause}){end}; `douse breakers close {runbook}` \
                 closes it now"
            );
            GateVerdict::object(gate, Verdict::Hold(until), Reason::CircuitOpen, message).because(evidence)
        }
        (BreakerState::HalfOpen, _, Some(probe)) => {
            evidence["execution_id"] = json!(probe);
            let message = format!(
                "the circuit breaker of `{runbook}` is half-open after {}, and lets one run through at a time; \
                 execution {probe} is its probe",
                span(spec.reset_timeout)
            );
            GateVerdict::object(gate, Verdict::Hold(None), Reason::CircuitProbing, message).because(evidence)
        }
        (BreakerState::HalfOpen, _, None) => {
            let message = format!(
                "half-open: this run is the probe ({} of {} successes that close it)",
                breaker.success_count, spec.success_threshold
            );
            GateVerdict::allow(gate, message).because(evidence)
        }
    }
}
