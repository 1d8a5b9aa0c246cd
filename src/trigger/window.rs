//! The time window of a trigger: when, in the operator's own time, it may match.
//!
//! Asked once per episode, for the moment at which its first firing arrived. A moment has exactly one local time, so
//! the hour that daylight saving repeats is inside twice, and the one that it skips never comes.

use chrono::{Datelike, NaiveTime, Timelike, Weekday};
use chrono_tz::Tz;

use crate::clock::Timestamp;

use super::PatternError;
use super::pattern::Flaw;
use super::spec::TriggerSpec;
use super::{Entry, error};

const DAY_SECS: u32 = 24 * 3_600;

/// From `start` (inclusive) to `end` (exclusive), on the days on which it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeWindow {
    start_secs: u32,
    end_secs: u32,
    /// By days from Monday.
    days: [bool; 7],
    timezone: Option<Tz>,
    shown: String,
}

impl TimeWindow {
    /// Whether `at` is inside, in the trigger's zone or else in `default`.
    pub fn contains(&self, at: Timestamp, default: Tz) -> bool {
        let local = at.utc().with_timezone(&self.timezone.unwrap_or(default));
        let secs = local.num_seconds_from_midnight();
        let today = self.starts_on(local.weekday());
        if self.start_secs < self.end_secs {
            return today && (self.start_secs..self.end_secs).contains(&secs);
        }
        (today && secs >= self.start_secs) || (secs < self.end_secs && self.starts_on(local.weekday().pred()))
    }

    /// `at` as the operator reads it: `Tue 23:10 Europe/Berlin`.
    pub fn local(&self, at: Timestamp, default: Tz) -> String {
        let zone = self.timezone.unwrap_or(default);
        format!("{} {}", at.utc().with_timezone(&zone).format("%a %H:%M"), zone.name())
    }

    /// The window as written: `mon-fri 22:00–06:00`.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    fn starts_on(&self, day: Weekday) -> bool {
        self.days[day.num_days_from_monday() as usize]
    }
}

/// The window of `spec`, if it has one; what is wrong with it goes to `errors`.
pub(super) fn compile(spec: &TriggerSpec, errors: &mut Vec<PatternError>) -> Option<TimeWindow> {
    let timezone = spec.timezone.as_deref().and_then(|name| match name.parse::<Tz>() {
        Ok(zone) => Some(zone),
        Err(_) => {
            let flaw =
                Flaw::whole(format!("`{name}` is no time zone"), "use an IANA name, as in `Europe/Berlin` or `UTC`");
            errors.push(error("timezone", None, flaw));
            None
        }
    });
    let mut time = |key: &'static str, text: Option<&str>, absent: u32| match text.map(seconds) {
        None => Some(absent),
        Some(Some(secs)) if secs < DAY_SECS || key == "time_window_end" => Some(secs),
        Some(_) => {
            let message = format!("`{}` is no time of day", text.unwrap_or_default());
            errors.push(error(key, None, Flaw::whole(message, "write it as \"22:00\", in quotes")));
            None
        }
    };
    let start = time("time_window_start", spec.time_window_start.as_deref(), 0);
    let end = time("time_window_end", spec.time_window_end.as_deref(), DAY_SECS);
    let mut days = [spec.time_window_days.is_empty(); 7];
    for (number, text) in spec.time_window_days.iter().enumerate() {
        match range(text) {
            Some(named) => days.iter_mut().zip(named).for_each(|(day, named)| *day |= named),
            None => {
                let flaw = Flaw::whole(format!("`{text}` is no day"), "write `monday`, `mon` or a range as `mon-fri`");
                errors.push(error("time_window_days", Some(Entry::Number(number)), flaw));
            }
        }
    }
    let (start_secs, end_secs) = (start?, end?);
    if spec.time_window_start.is_none() && spec.time_window_end.is_none() && spec.time_window_days.is_empty() {
        return None;
    }
    if start_secs == end_secs {
        let flaw = Flaw::whole("the window ends when it starts", "leave both out for the whole day");
        errors.push(error("time_window_end", None, flaw));
        return None;
    }
    let shown = shown(spec, start_secs, end_secs);
    Some(TimeWindow { start_secs, end_secs, days, timezone, shown })
}

fn shown(spec: &TriggerSpec, start: u32, end: u32) -> String {
    let clock = |secs: u32| format!("{:02}:{:02}", secs / 3_600, secs / 60 % 60);
    let days = spec.time_window_days.join(",");
    format!("{days}{}{}–{}", if days.is_empty() { "" } else { " " }, clock(start), clock(end))
}

fn seconds(text: &str) -> Option<u32> {
    if matches!(text, "24:00" | "24:00:00") {
        return Some(DAY_SECS);
    }
    let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())?;
    Some(time.num_seconds_from_midnight())
}

/// The days that `text` names; a range may run over the end of the week.
fn range(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| name.trim().parse::<Weekday>().ok();
    let (first, last) = match text.split_once([':', '-']) {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    let mut days = [false; 7];
    let mut at = first;
    loop {
        days[at.num_days_from_monday() as usize] = true;
        if at == last {
            return Some(days);
        }
        at = at.succ();
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
