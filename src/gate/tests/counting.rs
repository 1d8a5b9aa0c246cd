//! Circuit breaker and rate limits against models that keep the whole history.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::circuit_breaker::{self, Breaker, BreakerState, Observed};
use super::super::rate_limit::{Limit, LimitScope};
use super::super::*;
use super::cases::*;
use crate::id::ExecutionId;
use crate::runbook::model::CircuitBreakerSpec;

fn second(number: u64) -> Timestamp {
    now().plus(Duration::from_secs(number))
}

/// Something that happens to a breaker, some seconds after what happened before.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// A run that took `took` seconds ends.
    Ends {
        observed: Observed,
        took: u64,
    },
    ForcedOpen,
    Closed,
    Reset,
    /// Somebody looks.
    Asked,
}

fn happens() -> impl Strategy<Value = (u64, Happens)> {
    let ends = |observed| move |took| Happens::Ends { observed, took };
    let what = prop_oneof![
        6 => (0u64..90).prop_map(ends(Observed::Failure)),
        4 => (0u64..90).prop_map(ends(Observed::Success)),
        1 => Just(Happens::ForcedOpen),
        1 => Just(Happens::Closed),
        1 => Just(Happens::Reset),
        3 => Just(Happens::Asked),
    ];
    (0u64..40, what)
}

/// What the breaker is at `at`, told from the whole history: every rule of the design in one place, without states kept.
fn model(history: &[(Timestamp, Happens)], spec: &CircuitBreakerSpec, at: Timestamp) -> BreakerState {
    let mut open: Option<(Timestamp, bool)> = None;
    let mut changed: Option<Timestamp> = None;
    let (mut failures, mut successes) = (0, 0);
    for (when, what) in history.iter().filter(|(when, _)| *when <= at) {
        let half_open_at = open.filter(|(_, forced)| !forced).map(|(opened, _)| opened.plus(spec.reset_timeout));
        match what {
            Happens::Ends { .. } if changed.is_some_and(|changed| *when <= changed) => {}
            Happens::Ends { observed, took } => match (open, half_open_at) {
                (None, _) if *observed == Observed::Success => failures = 0,
                (None, _) => {
                    failures += 1;
                    if failures >= spec.failure_threshold {
                        (open, changed, successes) = (Some((*when, false)), Some(*when), 0);
                    }
                }
                (Some(_), Some(half_open)) if half_open <= *when => match observed {
                    Observed::Failure => (open, changed, successes) = (Some((*when, false)), Some(*when), 0),
                    Observed::Success if when.minus(Duration::from_secs(*took)) < half_open => {}
                    Observed::Success => {
                        successes += 1;
                        if successes >= spec.success_threshold {
                            (open, changed, failures, successes) = (None, Some(*when), 0, 0);
                        }
                    }
                },
                (Some(_), _) => {}
            },
            Happens::ForcedOpen => (open, changed, successes) = (Some((*when, true)), Some(*when), 0),
            Happens::Closed | Happens::Reset => (open, changed, failures, successes) = (None, Some(*when), 0, 0),
            Happens::Asked => {}
        }
    }
    match open {
        None => BreakerState::Closed,
        Some((opened, false)) if opened.plus(spec.reset_timeout) <= at => BreakerState::HalfOpen,
        Some(_) => BreakerState::Open,
    }
}

proptest! {
    #[test]
    fn the_breaker_is_where_its_history_says(
        events in vec(happens(), 1..60),
        failure_threshold in 1u32..5,
        success_threshold in 1u32..4,
        reset in 1u64..120,
    ) {
        let reset_timeout = Duration::from_secs(reset);
        let spec = CircuitBreakerSpec { failure_threshold, success_threshold, reset_timeout };
        let mut breaker = Breaker::default();
        let mut history = Vec::new();
        let mut clock = 0;
        for (later, what) in events {
            clock += later;
            let at = second(clock);
            history.push((at, what));
            breaker = match what {
                Happens::Ends { observed, took } => {
                    breaker.observe(observed, at.minus(Duration::from_secs(took)), at, &spec)
                }
                Happens::ForcedOpen => breaker.force_open(at),
                Happens::Closed => breaker.close(at),
                Happens::Reset => Breaker::reset(at),
                // Looking may or may not be written back: it makes no difference.
                Happens::Asked => breaker.at(&spec, at),
            };
            prop_assert_eq!(breaker.at(&spec, at).state, model(&history, &spec, at), "{:?}", history);
            let much_later = second(clock + 200);
            prop_assert_eq!(breaker.at(&spec, much_later).state, model(&history, &spec, much_later));
        }
    }

    /// Whoever asks whenever it likes, no window of the length ever holds more starts than the limit; and when a hold
    /// names a moment, there is room exactly then.
    #[test]
    fn a_rate_limit_is_never_exceeded_and_its_moment_is_exact(
        asks in vec(0u64..30, 1..80),
        count in 1u32..6,
        window in 1u64..90,
    ) {
        let window = Duration::from_secs(window);
        let mut limit = Limit { scope: LimitScope::Runbook, count, window, starts: Vec::new(), reserved: 0 };
        let mut clock = 0;
        for later in asks {
            clock += later;
            let at = second(clock);
            match limit.full_until(at) {
                None => limit.starts.push(at),
                Some(until) => {
                    let until = until.unwrap();
                    prop_assert!(until > at);
                    prop_assert_eq!(limit.full_until(until), None);
                    prop_assert!(limit.full_until(until.minus(Duration::from_micros(1))).is_some());
                }
            }
        }
        for start in &limit.starts {
            let in_window = limit.starts.iter().filter(|other| *other >= start && **other < start.plus(window)).count();
            prop_assert!(in_window <= count as usize, "{in_window} starts within {window:?} of {start}");
        }
    }

    /// Starts and reservations together never exceed the limit, and the newest starts alone tell the same moment.
    #[test]
    fn reservations_use_a_rate_limit_up(
        ages in vec(0u64..120, 0..12),
        reserved in 0u32..6,
        count in 1u32..6,
    ) {
        let window = Duration::from_secs(60);
        let mut starts: Vec<Timestamp> = ages.iter().map(|age| now().minus(Duration::from_secs(*age))).collect();
        let used = ages.iter().filter(|age| **age < 60).count() + reserved as usize;
        let limit = Limit { scope: LimitScope::Global, count, window, starts: starts.clone(), reserved };
        prop_assert_eq!(limit.full_until(now()).is_some(), used >= count as usize);
        starts.sort_unstable_by(|one, other| other.cmp(one));
        starts.truncate(count as usize);
        let newest = Limit { starts, ..limit.clone() };
        prop_assert_eq!(newest.full_until(now()), limit.full_until(now()));
    }
}

#[test]
fn only_what_is_newer_than_the_last_change_moves_a_breaker() {
    let spec =
        CircuitBreakerSpec { failure_threshold: 2, success_threshold: 1, reset_timeout: Duration::from_secs(60) };
    let fail = |breaker: &Breaker, at: u64| breaker.observe(Observed::Failure, second(0), second(at), &spec);
    let reset = Breaker::reset(second(10));
    let stale = fail(&fail(&fail(&reset, 8), 9), 10);
    assert_eq!((stale.state, stale.failure_count), (BreakerState::Closed, 0));
    let open = fail(&fail(&stale, 11), 12);
    assert_eq!((open.state, open.opened_at), (BreakerState::Open, Some(second(12))));
    // One that opened because of failures half-opens by itself; its probe's failure opens it anew, from then on.
    assert_eq!(open.at(&spec, second(71)).state, BreakerState::Open);
    let again = fail(&open, 80);
    assert_eq!((again.state, again.opened_at), (BreakerState::Open, Some(second(80))));
    assert_eq!(again.at(&spec, second(139)).state, BreakerState::Open);
    assert_eq!(again.at(&spec, second(140)).state, BreakerState::HalfOpen);
    // A run from before it half-opened is no probe.
    let straggler = again.observe(Observed::Success, second(139), second(150), &spec);
    assert_eq!(straggler.state, BreakerState::HalfOpen);
    let closed = again.observe(Observed::Success, second(141), second(150), &spec);
    assert_eq!((closed.state, closed.failure_count), (BreakerState::Closed, 0));
}

#[test]
fn a_half_open_breaker_lets_exactly_one_through() {
    let spec = breaker_spec();
    let breaker = Breaker { state: BreakerState::Open, opened_at: Some(now().minus(HOUR)), ..Breaker::default() };
    let mut facts = harmless();
    facts.circuit_breaker = Ok(circuit_breaker::Facts { spec, breaker: breaker.clone(), in_flight: None });
    assert_eq!(evaluate(&facts, now()).outcome, Verdict::Allow);
    let in_flight = Some(ExecutionId::new());
    facts.circuit_breaker = Ok(circuit_breaker::Facts { spec, breaker, in_flight });
    assert_eq!(evaluate(&facts, now()).outcome, Verdict::Hold(None));
}
