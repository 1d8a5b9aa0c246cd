//! Against an oracle that looks at every minute and knows nothing but what the wall shows: across changes of the clock,
//! month ends and leap days.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::super::*;
use super::{at, blackout};

/// Zones with changes of all kinds: an hour at 01:00 UTC, at local times, half an hour (Lord Howe), at midnight
/// (Santiago, Beirut), a negative "winter" change (Dublin), by faith (Casablanca), none.
const ZONES: [Tz; 10] = [
    chrono_tz::Europe::Berlin,
    chrono_tz::America::New_York,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::America::Santiago,
    chrono_tz::Asia::Beirut,
    chrono_tz::Europe::Dublin,
    chrono_tz::Africa::Casablanca,
    chrono_tz::Pacific::Chatham,
    chrono_tz::Asia::Kolkata,
    chrono_tz::UTC,
];

/// Days around which the clocks of those zones change, months end, and leap days lie.
const DAYS: [(i32, u32, u32); 16] = [
    (2026, 3, 29),
    (2026, 10, 25),
    (2026, 3, 8),
    (2026, 11, 1),
    (2026, 4, 5),
    (2026, 10, 4),
    (2026, 9, 6),
    (2026, 4, 4),
    (2026, 2, 15),
    (2026, 3, 22),
    (2024, 2, 28),
    (2026, 2, 27),
    (2028, 2, 29),
    (2026, 4, 29),
    (2026, 12, 30),
    (2100, 2, 27),
];

/// What the wall showed and showed next, minute by minute, knowing nothing but UTC → wall time.
struct Wall {
    zone: Tz,
}

impl Wall {
    fn at(&self, minute: DateTime<Utc>) -> NaiveDateTime {
        minute.with_timezone(&self.zone).naive_local()
    }

    /// The wall times that the zone jumped over right before `minute`.
    fn gap_before(&self, minute: DateTime<Utc>) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let should = self.at(minute - Duration::minutes(1)) + Duration::minutes(1);
        let is = self.at(minute);
        (is > should).then_some((should, is))
    }
}

/// Whether a window of the day rule is on at a wall time: some window's start ≤ it < that start + length.
fn wall_says(days: &dyn Fn(NaiveDate) -> bool, start: NaiveTime, length: Duration, wall: NaiveDateTime) -> bool {
    (-1..=length.num_days() + 1).any(|back| {
        let date = wall.date() - Duration::days(back);
        let start = date.and_time(start);
        days(date) && start <= wall && wall < start + length
    })
}

/// Windows that a gap swallowed whole are on after it, for their length.
fn swallowed(
    days: &dyn Fn(NaiveDate) -> bool,
    start: NaiveTime,
    length: Duration,
    gap: (NaiveDateTime, NaiveDateTime),
) -> bool {
    (-1..=1).any(|back| {
        let date = gap.0.date() - Duration::days(back);
        let start = date.and_time(start);
        days(date) && gap.0 <= start && start + length <= gap.1
    })
}

fn is_last_of_month(date: NaiveDate) -> bool {
    (date + Duration::days(1)).month() != date.month()
}

fn clock(minutes: u32) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Daily, weekly and monthly windows, each minute of four days.
    #[test]
    fn windows_by_the_wall_clock_are_on_in_the_minutes_that_the_wall_shows(
        zone in select(&ZONES[..]),
        day in select(&DAYS[..]),
        start in 0u32..96,
        end in 0u32..96,
        rule in 0u8..3,
        weekdays in subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=4),
        month_days in subsequence((1u32..=31).collect::<Vec<_>>(), 1..=12),
    ) {
        prop_assume!(start != end);
        // Quarters of an hour reach into every gap and every repeated hour.
        let (start, end) = (start * 15, end * 15);
        let length = Duration::minutes(i64::from(if end > start { end - start } else { end + 1_440 - start }));
        let times = json!({"start": clock(start), "end": clock(end)});
        let mut spec = json!({"timezone": zone.name()});
        let (key, days): (&str, Box<dyn Fn(NaiveDate) -> bool>) = match rule {
            0 => ("daily", Box::new(|_| true)),
            1 => {
                let weekdays = weekdays.clone();
                ("weekly", Box::new(move |date| weekdays.contains(&date.weekday().to_string().to_lowercase().as_str())))
            }
            _ => {
                let month_days = month_days.clone();
                ("monthly", Box::new(move |date| {
                    month_days.contains(&date.day())
                        || (is_last_of_month(date) && month_days.iter().any(|day| *day > date.day()))
                }))
            }
        };
        spec[key] = times;
        match rule {
            0 => {}
            1 => spec[key]["days"] = json!(weekdays),
            _ => spec[key]["days"] = json!(month_days),
        }
        let blackout = blackout(spec);
        let wall = Wall { zone };
        let start = NaiveTime::MIN + Duration::minutes(i64::from(start));

        let mut minute = Utc.with_ymd_and_hms(day.0, day.1, day.2, 0, 0, 0).unwrap() - Duration::days(2);
        let mut swallowed_until: Option<DateTime<Utc>> = None;
        let mut promised: Option<DateTime<Utc>> = None;
        for _ in 0..4 * 1_440 {
            if let Some(gap) = wall.gap_before(minute)
                && swallowed(&*days, start, length, gap)
            {
                swallowed_until = Some(minute + length);
            }
            let expected = wall_says(&*days, start, length, wall.at(minute))
                || swallowed_until.is_some_and(|until| minute < until);
            let state = blackout.state(Timestamp::new(minute));
            prop_assert_eq!(state != State::Off, expected, "{} at {} = {}", zone, minute, wall.at(minute));
            // The promised end is kept: on until then, and not on then (unless more windows follow than are looked at).
            if let Some(end) = promised {
                if minute < end {
                    prop_assert!(expected, "promised to be on until {end}, off at {minute}");
                } else if minute == end && end - (minute - Duration::days(4)) < Duration::days(20) {
                    prop_assert!(!expected || length >= Duration::hours(23), "promised to end at {end}, still on");
                }
            }
            promised = match state {
                State::On { until } => until.map(Timestamp::utc),
                State::Off => None,
            };
            minute += Duration::minutes(1);
        }
    }

    /// Cron windows, each minute of three days: on when one of the last `duration` minutes was a start, where a start is
    /// a minute that the wall shows (in both passes), or the first one after a gap that swallowed it.
    #[test]
    fn cron_windows_are_on_for_their_duration_after_each_start(
        zone in select(&ZONES[..]),
        day in select(&DAYS[..]),
        minutes in subsequence(vec![0u32, 7, 15, 30, 45, 59], 1..=3),
        hours in subsequence((0u32..24).collect::<Vec<_>>(), 1..=6),
        weekday in proptest::option::of(0u32..=7),
        month_day in proptest::option::of(select(vec![1u32, 28, 29, 30, 31])),
        duration in select(vec![1i64, 20, 59, 60, 61, 90, 240, 1_500]),
    ) {
        let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let (month_day, weekday) = if weekday.is_some() { (None, weekday) } else { (month_day, None) };
        let any = |value: Option<u32>| value.map_or("*".to_owned(), |value| value.to_string());
        let expression = format!("{} {} {} * {}", list(&minutes), list(&hours), any(month_day), any(weekday));
        let blackout = blackout(json!({
            "timezone": zone.name(), "cron": {"expression": expression, "duration": format!("{duration}m")},
        }));
        let names = |wall: NaiveDateTime| {
            minutes.contains(&wall.minute())
                && hours.contains(&wall.hour())
                && month_day.is_none_or(|day| day == wall.day())
                && weekday.is_none_or(|day| day % 7 == wall.weekday().num_days_from_sunday())
        };
        let wall = Wall { zone };
        let mut minute = Utc.with_ymd_and_hms(day.0, day.1, day.2, 0, 0, 0).unwrap() - Duration::days(3);
        let mut until: Option<DateTime<Utc>> = None;
        for number in 0..5 * 1_440 {
            let gap = wall.gap_before(minute);
            let in_gap = gap.is_some_and(|(from, to)| {
                std::iter::successors(Some(from), |wall| Some(*wall + Duration::minutes(1)))
                    .take_while(|wall| *wall < to)
                    .any(names)
            });
            if names(wall.at(minute)) || in_gap {
                until = Some(minute + Duration::minutes(duration));
            }
            // The first two days only tell which windows are on.
            if number >= 2 * 1_440 {
                let expected = until.is_some_and(|until| minute < until);
                let state = blackout.state(Timestamp::new(minute));
                prop_assert_eq!(state != State::Off, expected, "{} {} at {} = {}", expression, zone, minute, wall.at(minute));
            }
            minute += Duration::minutes(1);
        }
    }

    /// Text that nobody meant as a blackout is refused or read, and never ends the program.
    #[test]
    fn no_text_breaks_the_reader(expression in "[0-9*/,?LW# a-zA-Z-]{0,24}", time in ".{0,8}", zone in ".{0,12}") {
        let spec = |when: Value, zone: &str| {
            let mut spec = json!({"name": "x", "timezone": zone});
            spec.as_object_mut().unwrap().extend(when.as_object().unwrap().clone());
            serde_json::from_value::<BlackoutSpec>(spec).unwrap().parse(chrono_tz::UTC)
        };
        let parsed = [
            spec(json!({"cron": {"expression": &expression, "duration": "1h"}}), "UTC"),
            spec(json!({"daily": {"start": &time, "end": "04:00"}}), "UTC"),
            spec(json!({"once": {"start": &time, "end": &expression}}), "UTC"),
            spec(json!({"daily": {"start": "02:00", "end": "04:00"}}), &zone),
        ];
        for blackout in parsed.into_iter().flatten() {
            blackout.state(at("2026-03-29T01:30:00Z"));
        }
    }
}
