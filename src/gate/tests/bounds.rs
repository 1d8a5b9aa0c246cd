//! The edges of what is counted and timed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::*;
use super::cases::*;
use crate::id::ExecutionId;

#[test]
fn edges_of_the_counting_gates() {
    let at = |seconds_ago: u64| now().minus(Duration::from_secs(seconds_ago));
    let verdict = |change: fn(&mut Facts, Timestamp), when: Timestamp, gate: Gate| {
        let mut facts = harmless();
        change(&mut facts, when);
        evaluate(&facts, now()).of_gate(gate).unwrap().verdict
    };
    // A cooldown of five minutes is over after exactly five minutes.
    let cooldown: fn(&mut Facts, Timestamp) =
        |f, when| f.cooldown.as_mut().unwrap().last_start = Some((ExecutionId::new(), when));
    assert_eq!(verdict(cooldown, at(299), Gate::Cooldown), until("2026-03-03T10:02:01Z"));
    assert_eq!(verdict(cooldown, at(300), Gate::Cooldown), Verdict::Allow);
    // So is the time in which a completed run is left to work.
    let remediated: fn(&mut Facts, Timestamp) =
        |f, when| f.recently_remediated.as_mut().unwrap().last_completion = Some((ExecutionId::new(), when));
    assert_eq!(verdict(remediated, at(299), Gate::RecentlyRemediated), until("2026-03-03T10:02:01Z"));
    assert_eq!(verdict(remediated, at(300), Gate::RecentlyRemediated), Verdict::Allow);
    // A failure counts for exactly an hour.
    let failed: fn(&mut Facts, Timestamp) = |f, when| f.attempts.as_mut().unwrap().failed_at = vec![now(), now(), when];
    assert_eq!(verdict(failed, at(3_599), Gate::Attempts), Verdict::Approve);
    assert_eq!(verdict(failed, at(3_600), Gate::Attempts), Verdict::Allow);
    // An alert that has fired for exactly as long as wanted is old enough, and not yet too old.
    let fired: fn(&mut Facts, Timestamp) = |f, when| {
        *f.too_young.as_mut().unwrap() =
            too_young::Facts { firing_since: when, min_firing_for: MINUTE, min_occurrences: None };
        let firing = f.still_firing.as_mut().unwrap();
        (firing.firing_since, firing.max_alert_age) = (when, Some(MINUTE));
    };
    assert_eq!(verdict(fired, at(59), Gate::TooYoung), until("2026-03-03T10:02:01Z"));
    assert_eq!(verdict(fired, at(60), Gate::TooYoung), Verdict::Allow);
    assert_eq!(verdict(fired, at(60), Gate::StillFiring), Verdict::Allow);
    assert_eq!(verdict(fired, at(61), Gate::StillFiring), Verdict::Refuse);
}

#[test]
fn blast_radius_allows_three_or_a_fifth_rounded_up() {
    // group size, touched before → may one more be touched?
    let cases =
        [(1, 0, true), (5, 2, true), (5, 3, false), (15, 2, true), (15, 3, false), (16, 3, true), (16, 4, false)];
    let cases = cases.into_iter().chain([(100, 19, true), (100, 20, false), (101, 20, true), (101, 21, false)]);
    for (group_size, before, is_allowed) in cases {
        let touched: BTreeSet<String> = (0..before).map(|n| format!("other{n}")).collect();
        let mut facts = harmless();
        let blast_radius = facts.blast_radius.as_mut().unwrap();
        (blast_radius.group_size, blast_radius.touched) = (group_size, touched);
        let expected = if is_allowed { Verdict::Allow } else { Verdict::Approve };
        assert_eq!(evaluate(&facts, now()).outcome, expected, "{before} touched of {group_size}");
        // The same target once more is never one too many.
        facts.blast_radius.as_mut().unwrap().touched.insert("web1".to_owned());
        let again = evaluate(&facts, now()).outcome;
        assert_eq!(again, if before < 3.max(group_size.div_ceil(5)) { Verdict::Allow } else { Verdict::Approve });
    }
}

#[test]
fn zero_switches_a_limit_off() {
    let mut facts = harmless();
    for objection in objections() {
        (objection.apply)(&mut facts);
    }
    facts.cooldown.as_mut().unwrap().cooldown = Duration::ZERO;
    facts.recently_remediated.as_mut().unwrap().window = Duration::ZERO;
    facts.attempts.as_mut().unwrap().limit = 0;
    facts.rate_limit.as_mut().unwrap().limits[0].count = 0;
    facts.circuit_breaker.as_mut().unwrap().spec.failure_threshold = 0;
    facts.blast_radius.as_mut().unwrap().window = Duration::ZERO;
    let evaluation = evaluate(&facts, now());
    for gate in [
        Gate::Cooldown,
        Gate::RecentlyRemediated,
        Gate::Attempts,
        Gate::RateLimit,
        Gate::CircuitBreaker,
        Gate::BlastRadius,
    ] {
        assert_eq!(evaluation.of_gate(gate).unwrap().verdict, Verdict::Allow, "{gate}");
    }
}

#[test]
fn queueing_is_waiting_for_locks_and_rates_alone() {
    let asked = |cases: &[&str]| {
        let mut facts = harmless();
        for objection in objections().into_iter().filter(|objection| cases.contains(&objection.case)) {
            (objection.apply)(&mut facts);
        }
        queue::is_queued(&evaluate(&facts, now()))
    };
    assert!(asked(&["another execution runs there"]));
    assert!(asked(&["two starts in an hour"]));
    assert!(asked(&["another execution runs there", "two starts in an hour", "three failures in an hour"]));
    assert!(!asked(&["another execution runs there", "everything is paused"]));
    assert!(!asked(&["another execution runs there", "one that holds"]));
    assert!(!asked(&["another execution runs there", "ran two minutes ago"]));
    assert!(!asked(&["another execution runs there", "resolved"]));
    assert!(!asked(&[]));
    let since = now().minus(10 * MINUTE);
    assert_eq!(queue::queued_for(5 * MINUTE, Some(since), now()), 15 * MINUTE);
    assert_eq!(queue::queued_for(5 * MINUTE, None, now()), 5 * MINUTE);
}
