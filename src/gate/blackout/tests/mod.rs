//! When blackouts are on, what they cover, and what is said about those that are written wrong.

mod oracle;

use serde_json::{Value, json};

use super::*;

fn blackout(mut spec: Value) -> Blackout {
    spec["name"] = json!("window");
    let spec: BlackoutSpec = serde_json::from_value(spec).unwrap();
    spec.parse(chrono_tz::UTC).unwrap()
}

fn problem(mut spec: Value) -> String {
    spec["name"] = json!("window");
    match serde_json::from_value::<BlackoutSpec>(spec) {
        Ok(spec) => spec.parse(chrono_tz::UTC).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn is_on(blackout: &Blackout, text: &str) -> bool {
    blackout.state(at(text)) != State::Off
}

/// The end of the window that is on then.
fn end(blackout: &Blackout, text: &str) -> Option<Timestamp> {
    match blackout.state(at(text)) {
        State::On { until } => until,
        State::Off => None,
    }
}

#[test]
fn both_passes_of_the_repeated_hour_count() {
    // Berlin, 25 October 2026: 03:00 CEST is 02:00 CET again.
    let nightly = blackout(json!({"timezone": "Europe/Berlin", "daily": {"start": "02:15", "end": "02:45"}}));
    for (time, expected) in [
        ("2026-10-25T00:14:59Z", false),
        ("2026-10-25T00:15:00Z", true),
        ("2026-10-25T00:44:59Z", true),
        ("2026-10-25T00:45:00Z", false),
        ("2026-10-25T01:14:59Z", false),
        ("2026-10-25T01:15:00Z", true),
        ("2026-10-25T01:45:00Z", false),
    ] {
        assert_eq!(is_on(&nightly, time), expected, "{time}");
    }
    assert_eq!(end(&nightly, "2026-10-25T00:20:00Z"), Some(at("2026-10-25T00:45:00Z")));
    assert_eq!(end(&nightly, "2026-10-25T01:20:00Z"), Some(at("2026-10-25T01:45:00Z")));
}

#[test]
fn a_window_that_starts_in_the_gap_counts() {
    // Berlin, 29 March 2026: after 01:59 CET comes 03:00 CEST (01:00 UTC).
    let from_gap = blackout(json!({"timezone": "Europe/Berlin", "daily": {"start": "02:30", "end": "04:00"}}));
    assert!(!is_on(&from_gap, "2026-03-29T00:59:59Z"));
    assert!(is_on(&from_gap, "2026-03-29T01:00:00Z"));
    assert_eq!(end(&from_gap, "2026-03-29T01:00:00Z"), Some(at("2026-03-29T02:00:00Z")));
    let in_gap = blackout(json!({"timezone": "Europe/Berlin", "daily": {"start": "02:10", "end": "02:40"}}));
    assert!(is_on(&in_gap, "2026-03-29T01:00:00Z"));
    assert_eq!(end(&in_gap, "2026-03-29T01:00:00Z"), Some(at("2026-03-29T01:30:00Z")));
    let cron = json!({"expression": "30 2 * * *", "duration": "1h"});
    let cron = blackout(json!({"timezone": "Europe/Berlin", "cron": cron}));
    assert!(!is_on(&cron, "2026-03-29T00:59:59Z"));
    assert_eq!(end(&cron, "2026-03-29T01:00:00Z"), Some(at("2026-03-29T02:00:00Z")));
}

#[test]
fn the_thirty_first_is_the_end_of_a_shorter_month_and_leap_days_are_days() {
    let month_end = blackout(json!({"monthly": {"days": [31], "start": "22:00", "end": "02:00"}}));
    for (time, expected) in [
        ("2026-01-31T23:00:00Z", true),
        ("2026-02-01T01:59:00Z", true),
        ("2026-02-01T02:00:00Z", false),
        ("2026-02-28T22:00:00Z", true),
        ("2028-02-28T22:00:00Z", false),
        ("2028-02-29T22:00:00Z", true),
        ("2028-03-01T01:00:00Z", true),
        ("2026-04-29T23:00:00Z", false),
        ("2026-04-30T23:00:00Z", true),
        ("2100-02-28T23:00:00Z", true),
    ] {
        assert_eq!(is_on(&month_end, time), expected, "{time}");
    }
    let leap = blackout(json!({"cron": {"expression": "0 12 29 2 *", "duration": "1h"}}));
    assert!(is_on(&leap, "2028-02-29T12:30:00Z"));
    assert!(!is_on(&leap, "2027-03-01T12:30:00Z"));
    assert!(is_on(&leap, "2096-02-29T12:59:59Z"));
}

#[test]
fn the_example_of_the_configuration_means_sunday_two_to_four_in_berlin() {
    let spec: BlackoutSpec = serde_json::from_value(json!({
        "name": "Sunday patching", "weekly": {"days": ["sunday"], "start": "02:00", "end": "04:00"},
        "timezone": "Europe/Berlin", "servers": {"tags": ["web"]},
    }))
    .unwrap();
    let blackout = spec.parse(chrono_tz::UTC).unwrap();
    assert!(!is_on(&blackout, "2026-07-04T23:59:59Z"));
    assert!(is_on(&blackout, "2026-07-05T00:00:00Z"));
    assert_eq!(end(&blackout, "2026-07-05T00:30:00Z"), Some(at("2026-07-05T02:00:00Z")));
    let target = |tags: &[&str]| Target {
        server: "a".to_owned(),
        group: None,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    assert!(blackout.covers("restart", "", &target(&["web", "eu"])));
    assert!(!blackout.covers("restart", "", &target(&["db"])));
}

#[test]
fn windows_that_follow_each_other_are_one() {
    let days = json!({"start": "00:00", "end": "24:00", "days": ["sat", "sun"]});
    let weekend = blackout(json!({ "weekly": days }));
    assert_eq!(end(&weekend, "2026-07-04T00:00:00Z"), Some(at("2026-07-06T00:00:00Z")));
    assert!(!is_on(&weekend, "2026-07-06T00:00:00Z"));
    // A window over midnight ends on the next day.
    let nights = blackout(json!({"weekly": {"days": ["fri"], "start": "22:00", "end": "06:00"}}));
    assert_eq!(end(&nights, "2026-07-04T05:00:00Z"), Some(at("2026-07-04T06:00:00Z")));
    assert!(!is_on(&nights, "2026-07-03T05:00:00Z"));
}

#[test]
fn cron_counts_weekdays_as_people_do() {
    let on = |weekday: &str, day: u32| {
        let expression = format!("0 12 * * {weekday}");
        let blackout = blackout(json!({"cron": {"expression": expression, "duration": "1h"}}));
        // 5 July 2026 is a Sunday.
        is_on(&blackout, &format!("2026-07-{:02}T12:30:00Z", 5 + day))
    };
    let cases: &[(&str, &[u32])] = &[
        ("0", &[0]),
        ("7", &[0]),
        ("1", &[1]),
        ("SUN", &[0]),
        ("monday", &[1]),
        ("1-5", &[1, 2, 3, 4, 5]),
        ("5-7", &[5, 6, 0]),
        ("6-1", &[6, 0, 1]),
        ("fri-mon", &[5, 6, 0, 1]),
        ("*/2", &[0, 2, 4, 6]),
        ("1/2", &[1, 3, 5]),
        ("1,3,7", &[1, 3, 0]),
        ("*", &[0, 1, 2, 3, 4, 5, 6]),
        ("?", &[0, 1, 2, 3, 4, 5, 6]),
    ];
    for (weekday, days) in cases {
        for day in 0..7 {
            assert_eq!(on(weekday, day), days.contains(&day), "`{weekday}`, day {day}");
        }
    }
    // Six fields begin with seconds.
    let seconds = blackout(json!({"cron": {"expression": "30 0 12 * * *", "duration": "10s"}}));
    assert!(!is_on(&seconds, "2026-07-05T12:00:29Z"));
    assert!(is_on(&seconds, "2026-07-05T12:00:30Z"));
    assert!(is_on(&seconds, "2026-07-05T12:00:39.999999Z"));
    assert!(!is_on(&seconds, "2026-07-05T12:00:40Z"));
}

#[test]
fn the_seeds_fields_mean_what_they_say() {
    let first = json!({"start_time": "2026-07-03T22:00:00Z", "end_time": "2026-07-04T02:00:00Z"});
    let with = |more: Value| {
        let mut spec = first.clone();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        blackout(spec)
    };
    let cases = [
        (json!({}), "2026-07-03T23:00:00Z", true),
        (json!({}), "2026-07-10T23:00:00Z", false),
        (json!({"recurrence": "none"}), "2026-07-04T01:59:59Z", true),
        (json!({"recurrence": "daily"}), "2026-07-08T23:00:00Z", true),
        // Never before the first one.
        (json!({"recurrence": "daily"}), "2026-07-02T23:00:00Z", false),
        (json!({"recurrence": "weekly"}), "2026-07-10T23:00:00Z", true),
        (json!({"recurrence": "weekly"}), "2026-07-08T23:00:00Z", false),
        (json!({"recurrence": "weekly", "recurrence_pattern": {"days": ["mon", "wed"]}}), "2026-07-08T23:00:00Z", true),
        (json!({"recurrence": "monthly"}), "2026-08-03T23:00:00Z", true),
        (json!({"recurrence": "monthly", "recurrence_pattern": {"days": [15]}}), "2026-08-15T23:00:00Z", true),
        (
            json!({"recurrence": "daily", "recurrence_pattern": {"start": "08:00", "end": "09:00"}}),
            "2026-07-08T08:30:00Z",
            true,
        ),
        (json!({"recurrence_pattern": "0 5 * * *"}), "2026-07-08T08:59:59Z", true),
        (
            json!({"recurrence": "cron", "recurrence_pattern": {"cron": "0 5 * * *", "duration": "1h"}}),
            "2026-07-08T08:30:00Z",
            false,
        ),
        (json!({"recurrence": "daily", "enabled": false}), "2026-07-08T23:00:00Z", false),
    ];
    for (more, time, expected) in cases {
        assert_eq!(is_on(&with(more.clone()), time), expected, "{more} at {time}");
    }
    // A list of the seed's names, groups, tags, categories.
    let scoped = with(json!({"affected_servers": ["web"], "affected_runbooks": ["database"]}));
    let target =
        |group: Option<&str>| Target { server: "a".to_owned(), group: group.map(str::to_owned), tags: Vec::new() };
    assert!(scoped.covers("vacuum", "database", &target(Some("web"))));
    assert!(!scoped.covers("vacuum", "network", &target(Some("web"))));
    assert!(!scoped.covers("vacuum", "database", &target(None)));
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let cases = [
        (json!({}), "does not say when"),
        (
            json!({"daily": {"start": "1:00", "end": "2:00"}, "once": {"start": "x", "end": "y"}}),
            "several ways (once, daily)",
        ),
        (
            json!({"timezone": "Mars/Base", "daily": {"start": "01:00", "end": "02:00"}}),
            "`Mars/Base` is no IANA time zone",
        ),
        (json!({"daily": {"start": "25:00", "end": "02:00"}}), "`25:00` is no time of the day"),
        (json!({"daily": {"start": "02:00", "end": "02:00"}}), "for a whole day write"),
        (json!({"weekly": {"days": ["someday"], "start": "01:00", "end": "02:00"}}), "`someday` is no day of the week"),
        (json!({"weekly": {"days": [], "start": "01:00", "end": "02:00"}}), "`days` is empty"),
        (json!({"monthly": {"days": [32], "start": "01:00", "end": "02:00"}}), "`32` is no day of a month"),
        (json!({"once": {"start": "2026-07-03T22:00:00Z", "end": "2026-07-03T22:00:00Z"}}), "is not after its start"),
        (json!({"once": {"start": "tomorrow", "end": "2026-07-03T22:00:00Z"}}), "`tomorrow` is no time"),
        (json!({"cron": {"expression": "0 2 1 * 1", "duration": "1h"}}), "make one of them `*`"),
        (json!({"cron": {"expression": "0 2 * *", "duration": "1h"}}), "has 4 fields"),
        (json!({"cron": {"expression": "0 2 * * 8", "duration": "1h"}}), "`8` is no day of the week"),
        (json!({"cron": {"expression": "0 2 31 2 *", "duration": "1h"}}), "never happens"),
        (json!({"cron": {"expression": "61 2 * * *", "duration": "1h"}}), "is no cron expression"),
        (json!({"cron": {"expression": "0 2 * * *", "duration": "soon"}}), "`soon` is no duration"),
        (json!({"cron": {"expression": "0 2 * * *", "duration": "0s"}}), "at least a second"),
        (json!({"start_time": "2026-07-03T22:00:00Z"}), "`end_time` is missing"),
        (json!({"recurrence": "weekly"}), "lacks `days`"),
        (json!({"recurrence": "daily", "recurrence_pattern": {"hours": 3}}), "`hours` is not known there"),
        (json!({"servers": {"tag": ["web"]}, "daily": {"start": "01:00", "end": "02:00"}}), "unknown field `tag`"),
        (json!({"effect": "pause", "daily": {"start": "01:00", "end": "02:00"}}), "unknown variant `pause`"),
        (json!({"daly": {}}), "unknown field `daly`"),
    ];
    for (spec, expected) in cases {
        let said = problem(spec.clone());
        assert!(said.contains(expected), "{spec}\nexpected: {expected}\nsaid: {said}");
    }
}

#[test]
fn one_that_cannot_be_read_is_on_for_everything_and_without_end() {
    let spec =
        BlackoutSpec { name: "old".to_owned(), timezone: Some("Mars/Base".to_owned()), ..BlackoutSpec::default() };
    let blackout = spec.parse_or_unreadable(chrono_tz::UTC);
    assert_eq!(blackout.state(at("2026-07-05T12:00:00Z")), State::On { until: None });
    let target = Target { server: "a".to_owned(), group: None, tags: Vec::new() };
    assert!(blackout.covers("anything", "", &target));
}

#[test]
fn a_spec_is_written_as_it_was_read() {
    let spec: BlackoutSpec = serde_json::from_value(json!({
        "name": "x", "cron": {"expression": "0 2 * * 0", "duration": "2h"}, "servers": ["web"], "effect": "refuse",
    }))
    .unwrap();
    let again: BlackoutSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(again, spec);
}
