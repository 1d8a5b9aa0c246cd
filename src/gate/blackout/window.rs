//! When a blackout is on.
//!
//! Windows given by times of the day follow the wall clock of their zone: one from 02:00 to 03:00 is on in both passes
//! of an hour that autumn repeats, and in spring, when 02:30 does not exist, one that starts then starts where the gap
//! ends. Windows given by cron start when the expression says (in both passes, and at a gap's end) and last for their
//! duration.

use std::time::Duration as StdDuration;

use chrono::{DateTime, Datelike, Days, Duration, NaiveDate, NaiveDateTime, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;

use super::State;
use super::cron::CronSchedule;
use super::zone::{saturating_add, segments, wall};
use crate::clock::Timestamp;

/// The windows of one blackout.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// One window.
    Once { start: Timestamp, end: Timestamp },
    /// A window on chosen days, by the wall clock.
    Recurring(Recurring),
    /// Windows that begin as a cron expression says.
    Cron { expression: Box<CronSchedule>, duration: StdDuration, zone: Tz },
    /// Cannot be read: on.
    Unreadable(String),
}

/// Windows on chosen days.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recurring {
    pub days: DayRule,
    pub start: NaiveTime,
    /// By the wall clock: the end is the start plus this, as a clock on the wall shows it.
    pub length: Duration,
    pub zone: Tz,
    /// No window starts on an earlier day.
    pub from: Option<NaiveDate>,
}

/// On which days windows start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DayRule {
    Daily,
    Weekly(Vec<Weekday>),
    /// Days of the month, 1 to 31. In a shorter month, a day that it lacks is its last one: "the 31st" is meant as the
    /// month's end.
    Monthly(Vec<u32>),
}

impl DayRule {
    fn includes(&self, date: NaiveDate) -> bool {
        match self {
            Self::Daily => true,
            Self::Weekly(days) => days.contains(&date.weekday()),
            Self::Monthly(days) => {
                let last = date.checked_add_days(Days::new(1)).is_none_or(|next| next.month() != date.month());
                days.iter().any(|day| *day == date.day() || (last && *day > date.day()))
            }
        }
    }
}

impl Schedule {
    /// Whether a window is on at `now`; windows that follow each other without a pause are one.
    pub fn state(&self, now: Timestamp) -> State {
        if let Self::Unreadable(_) = self {
            return State::On { until: None };
        }
        let Some(mut until) = self.end_at(now.utc()) else {
            return State::Off;
        };
        // Bounded: a schedule that never pauses is asked again anyway when the last end that was looked at comes.
        for _ in 0..32 {
            match self.end_at(until) {
                Some(later) if later > until => until = later,
                _ => break,
            }
        }
        State::On { until: Some(Timestamp::new(until)) }
    }

    /// The end of the window that is on at `now`.
    fn end_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { start, end } => (start.utc() <= now && now < end.utc()).then(|| end.utc()),
            Self::Recurring(recurring) => recurring.end_at(now),
            Self::Cron { expression, duration, zone } => {
                let duration = Duration::from_std(*duration).unwrap_or(Duration::MAX);
                let earliest = now.checked_sub_signed(duration)?;
                let start = expression.latest_start(*zone, earliest, now)?;
                start.checked_add_signed(duration)
            }
            Self::Unreadable(_) => None,
        }
    }
}

impl Recurring {
    fn end_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let here = wall(self.zone, now);
        // A window that is on began at most its length ago; a day more for changes of the offset.
        let reach = self.length.num_days() + 2;
        (-1..=reach)
            .filter_map(|back| here.date().checked_sub_signed(Duration::days(back)))
            .filter(|date| self.days.includes(*date) && self.from.is_none_or(|from| from <= *date))
            .filter_map(|date| self.window_at(date.and_time(self.start), now))
            .max()
    }

    /// The end of that piece of the window beginning at wall time `start` which is on at `now`. A window has two pieces
    /// when its start or end lies in a repeated hour.
    fn window_at(&self, start: NaiveDateTime, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = saturating_add(start, self.length);
        let margin = Duration::hours(30);
        let pieces =
            segments(self.zone, saturating_add(start, -margin).and_utc(), saturating_add(end, margin).and_utc());
        let mut found: Option<DateTime<Utc>> = None;
        for (index, piece) in pieces.iter().enumerate() {
            let mut from = piece.moment(start).max(piece.start);
            let mut to = piece.moment(end).min(piece.end);
            // The gap before this piece swallowed the whole window: it is on after the gap, for its full length.
            let before = index.checked_sub(1).and_then(|before| pieces.get(before));
            if before.is_some_and(|before| before.wall(before.end) <= start) && end <= piece.wall(piece.start) {
                from = piece.start;
                to = piece.start.checked_add_signed(self.length)?;
            }
            let continues = found.is_some_and(|until| until == from);
            if from < to && ((from <= now && now < to) || continues) {
                found = Some(to);
            }
        }
        found
    }
}
