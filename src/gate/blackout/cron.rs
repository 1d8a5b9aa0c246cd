//! Cron expressions as people know them, on top of the `cron` crate.
//!
//! The crate wants six fields, counts weekdays from 1 = Sunday, combines day-of-month and day-of-week by "and", and
//! knows nothing of gaps. Here: five or six fields, weekdays from 0 or 7 = Sunday, both day fields at once are an
//! error (cron daemons disagree about what they mean), and a start in a gap happens when the gap ends.

use std::str::FromStr;

use chrono::{DateTime, Duration, NaiveDateTime, Utc, Weekday};
use chrono_tz::Tz;

use super::zone::{Segment, saturating_add, segments};

/// Moments by the wall clock.
#[derive(Clone, Debug)]
pub struct CronSchedule {
    source: String,
    schedule: cron::Schedule,
}

impl CronSchedule {
    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The latest start in `(earliest, now]`.
    pub fn latest_start(&self, zone: Tz, earliest: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // From a day before, so that a gap at the very beginning is seen with the segment before it; to the first
        // moment after `now`, because segments do not hold their end.
        let from = saturating_add(earliest.naive_utc(), -Duration::days(1)).and_utc();
        let to = saturating_add(now.naive_utc(), Duration::microseconds(1)).and_utc();
        let pieces = segments(zone, from, to);
        for (index, piece) in pieces.iter().enumerate().rev() {
            if let Some(start) = self.latest_in(piece) {
                return (start > earliest).then_some(start);
            }
            let before = index.checked_sub(1).and_then(|before| pieces.get(before))?;
            // What the gap swallowed happens at its end.
            let gap = (before.wall(before.end), piece.wall(piece.start));
            if self.latest_before(gap.1).is_some_and(|wall| gap.0 <= wall) {
                return (piece.start > earliest).then_some(piece.start);
            }
        }
        None
    }

    fn latest_in(&self, piece: &Segment) -> Option<DateTime<Utc>> {
        let start = piece.moment(self.latest_before(piece.wall(piece.end))?);
        (start >= piece.start).then_some(start)
    }

    /// The latest wall time before `wall` that the expression names.
    fn latest_before(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.schedule.after(&wall.and_utc()).next_back().map(|found| found.naive_utc())
    }
}

impl FromStr for CronSchedule {
    type Err = String;

    fn from_str(source: &str) -> Result<Self, String> {
        let fields: Vec<&str> = source.split_whitespace().collect();
        let (seconds, fields) = match fields.as_slice() {
            [minute, hour, day, month, weekday] => ("0", [*minute, *hour, *day, *month, *weekday]),
            [second, minute, hour, day, month, weekday] => (*second, [*minute, *hour, *day, *month, *weekday]),
            _ => {
                return Err(format!(
                    "“{source}” has {} fields; write minute, hour, day of month, month, day of week, like `0 2 * * 0` \
                     (with seconds before them if you want)",
                    fields.len()
                ));
            }
        };
        let [minute, hour, day, month, weekday] = fields;
        let is_any = |field: &str| field == "*" || field == "?";
        if !is_any(day) && !is_any(weekday) {
            return Err(format!(
                "“{source}” names days of the month (`{day}`) and of the week (`{weekday}`), and cron daemons disagree \
                 about what both together mean; make one of them `*`, or write two blackouts"
            ));
        }
        let weekday = weekday_names(weekday).map_err(|problem| format!("“{source}”: {problem}"))?;
        let text = format!("{seconds} {minute} {hour} {day} {month} {weekday}");
        let schedule = cron::Schedule::from_str(&text)
            .map_err(|error| format!("“{source}” is no cron expression: {}", error.to_string().trim()))?;
        if schedule.after(&DateTime::UNIX_EPOCH).next().is_none() {
            return Err(format!("“{source}” never happens"));
        }
        Ok(Self { source: source.to_owned(), schedule })
    }
}

const NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Numbers to names, because 1 is Monday to everybody but the crate; ranges are spelled out, so that `5-7` and `6-1`
/// (which wrap the crate's week) work.
fn weekday_names(field: &str) -> Result<String, String> {
    if field == "*" || field == "?" {
        return Ok(field.to_owned());
    }
    let mut days: Vec<usize> = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, 1),
            Some((range, step)) => {
                let step = step.parse::<usize>().ok().filter(|step| *step > 0);
                (range, step.ok_or_else(|| format!("`{part}` has a step that is no number above zero"))?)
            }
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if range == "*" => (0, 6),
            // `1/2` means "from Monday on, every second day".
            None if part.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        // Sunday is 0 where a range begins, and 7 where one ends.
        let (first, last) = match (first, last) {
            (7, 7) => (0, 0),
            (7, last) => (0, last),
            other => other,
        };
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).step_by(step).map(|day| day % 7));
    }
    days.sort_unstable();
    days.dedup();
    Ok(days.iter().filter_map(|day| NAMES.get(*day).copied()).collect::<Vec<_>>().join(","))
}

fn weekday(text: &str) -> Result<usize, String> {
    if let Ok(number) = text.parse::<usize>() {
        return if number <= 7 {
            Ok(number)
        } else {
            Err(format!("`{text}` is no day of the week (0 or 7 is Sunday)"))
        };
    }
    let day = text.parse::<Weekday>().map_err(|_| format!("`{text}` is no day of the week (SUN to SAT, or 0 to 7)"))?;
    Ok(day.num_days_from_sunday() as usize)
}
