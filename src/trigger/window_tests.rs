//! Tests of `window`.

use super::*;

fn window(start: &str, end: &str, days: &[&str], zone: Option<&str>) -> Result<TimeWindow, Vec<PatternError>> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let spec = TriggerSpec {
        time_window_start: some(start),
        time_window_end: some(end),
        time_window_days: days.iter().map(|day| (*day).to_owned()).collect(),
        timezone: zone.map(str::to_owned),
        ..TriggerSpec::named("t")
    };
    let mut errors = Vec::new();
    let window = compile(&spec, &mut errors);
    window.filter(|_| errors.is_empty()).ok_or(errors)
}

fn contains(window: &TimeWindow, at: &str) -> bool {
    window.contains(at.parse().unwrap(), Tz::UTC)
}

#[test]
fn the_start_is_inside_the_end_is_not_and_midnight_is_crossed() {
    // 2026-03-02 is a Monday.
    for (start, end, days, at, expected) in [
        ("09:00", "17:00", &[][..], "2026-03-02T09:00:00Z", true),
        ("09:00", "17:00", &[], "2026-03-02T08:59:59.999Z", false),
        ("09:00", "17:00", &[], "2026-03-02T17:00:00Z", false),
        ("22:00", "06:00", &[], "2026-03-02T22:00:00Z", true),
        ("22:00", "06:00", &[], "2026-03-03T05:59:59Z", true),
        ("22:00", "06:00", &[], "2026-03-03T06:00:00Z", false),
        ("22:00", "06:00", &[], "2026-03-02T21:59:59Z", false),
        ("22:00", "06:00", &["mon"], "2026-03-02T23:00:00Z", true),
        ("22:00", "06:00", &["mon"], "2026-03-03T01:00:00Z", true),
        ("22:00", "06:00", &["mon"], "2026-03-02T01:00:00Z", false),
        ("22:00", "06:00", &["mon"], "2026-03-03T23:00:00Z", false),
        ("", "", &["saturday:sunday"], "2026-03-07T00:00:00Z", true),
        ("", "", &["saturday:sunday"], "2026-03-09T00:00:00Z", false),
        ("", "", &["fri-mon"], "2026-03-09T12:00:00Z", true),
        ("", "", &["fri-mon"], "2026-03-10T12:00:00Z", false),
        ("", "06:00", &[], "2026-03-02T00:00:00Z", true),
        ("18:00", "", &[], "2026-03-02T23:59:59Z", true),
        ("18:00", "24:00", &[], "2026-03-03T00:00:00Z", false),
        ("09:00:30", "09:01", &[], "2026-03-02T09:00:29Z", false),
    ] {
        let window = window(start, end, days, None).unwrap();
        assert_eq!(contains(&window, at), expected, "{} at {at}", window.as_str());
    }
}

#[test]
fn the_zone_of_the_trigger_counts_before_the_configured_one() {
    let own = window("09:00", "10:00", &[], Some("Europe/Berlin")).unwrap();
    assert!(contains(&own, "2026-01-05T08:30:00Z") && !contains(&own, "2026-07-06T08:30:00Z"), "winter and summer");
    let configured = window("09:00", "10:00", &[], None).unwrap();
    assert!(configured.contains("2026-01-05T00:30:00Z".parse().unwrap(), Tz::Asia__Tokyo));
}

#[test]
fn the_hour_that_daylight_saving_repeats_is_inside_twice() {
    let window = window("02:00", "03:00", &[], Some("Europe/Berlin")).unwrap();
    for (at, expected) in [
        ("2026-10-25T00:30:00Z", true),
        ("2026-10-25T01:30:00Z", true),
        ("2026-10-25T02:00:00Z", false),
        ("2026-03-29T00:59:59Z", false),
        ("2026-03-29T01:00:00Z", false),
    ] {
        assert_eq!(contains(&window, at), expected, "{at}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (start, end, days, zone, key, words) in [
        ("25:00", "06:00", &[][..], None, "time_window_start", "`25:00` is no time of day"),
        ("24:00", "06:00", &[], None, "time_window_start", "`24:00`"),
        ("1320", "06:00", &[], None, "time_window_start", "`1320`"),
        ("22:00", "6", &[], None, "time_window_end", "`6`"),
        ("06:00", "06:00", &[], None, "time_window_end", "ends when it starts"),
        ("06:00", "07:00", &["mon", "someday"], None, "time_window_days", "`someday`"),
        ("06:00", "07:00", &[], Some("Berlin"), "timezone", "`Berlin` is no time zone"),
    ] {
        let errors = window(start, end, days, zone).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].key, key);
        assert!(errors[0].message.contains(words), "{errors:?}");
    }
}
