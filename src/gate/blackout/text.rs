//! The texts inside of a blackout as it is written: moments, times of the day, days, the seed's `recurrence_pattern`.

use chrono::{DateTime, Duration, NaiveDateTime, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde_json::Value;

use super::zone::moments;

/// A problem of one field, before the blackout's name is added.
pub(super) type Checked<T> = Result<T, (&'static str, String)>;

/// The parts of `recurrence_pattern`.
#[derive(Default)]
pub(super) struct SeedPattern {
    pub(super) weekdays: Vec<Weekday>,
    pub(super) month_days: Vec<u32>,
    pub(super) times: Option<(String, String)>,
    pub(super) cron: Option<String>,
    pub(super) duration: Option<std::time::Duration>,
}

impl SeedPattern {
    pub(super) fn read(pattern: Option<&Value>) -> Checked<Self> {
        const FIELD: &str = "recurrence_pattern";
        let mut read = Self::default();
        let map = match pattern {
            None | Some(Value::Null) => return Ok(read),
            Some(Value::String(expression)) => {
                read.cron = Some(expression.clone());
                return Ok(read);
            }
            Some(Value::Object(map)) => map,
            Some(other) => return Err((FIELD, format!("`{other}` is neither a cron expression nor an object"))),
        };
        let text =
            |value: &Value| value.as_str().map(str::to_owned).ok_or((FIELD, format!("`{value}` should be text")));
        let (mut start, mut end) = (None, None);
        for (key, value) in map {
            match key.as_str() {
                "cron" => read.cron = Some(text(value)?),
                "start" => start = Some(text(value)?),
                "end" => end = Some(text(value)?),
                "duration" => {
                    let said = text(value)?;
                    let parsed = humantime::parse_duration(&said);
                    read.duration = Some(parsed.map_err(|error| (FIELD, format!("`{said}` is no duration: {error}")))?);
                }
                "days" => {
                    for day in value.as_array().ok_or((FIELD, "`days` should be a list".to_owned()))? {
                        match day.as_u64().map(u32::try_from) {
                            Some(Ok(number)) => read.month_days.extend(month_days(&[number])?),
                            Some(Err(_)) => return Err((FIELD, format!("`{day}` is no day"))),
                            None => read.weekdays.extend(weekdays(&[text(day)?])?),
                        }
                    }
                }
                other => {
                    let known = "cron, duration, days, start, end";
                    return Err((FIELD, format!("`{other}` is not known there; there are {known}")));
                }
            }
        }
        read.times = match (start, end) {
            (Some(start), Some(end)) => Some((start, end)),
            (None, None) => None,
            _ => return Err((FIELD, "`start` and `end` belong together".to_owned())),
        };
        Ok(read)
    }
}

/// RFC 3339, or wall time in `zone`; the first of two.
pub(super) fn moment(field: &'static str, text: &str, zone: Tz) -> Checked<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"];
    let local = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    local.and_then(|local| moments(zone, local).first().copied()).ok_or_else(|| {
        (field, format!("`{text}` is no time; write `2026-12-24T18:00:00Z`, or `2026-12-24 18:00` for {}", zone.name()))
    })
}

/// `HH:MM` or `HH:MM:SS` since midnight; `24:00` is the day's end.
pub(super) fn time_of_day(field: &'static str, text: &str) -> Checked<Duration> {
    if text == "24:00" {
        return Ok(Duration::days(1));
    }
    NaiveTime::parse_from_str(text, "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
        .map(|time| time - NaiveTime::MIN)
        .map_err(|_| (field, format!("`{text}` is no time of the day; write it like `\"22:00\"`, in quotes")))
}

pub(super) fn weekdays(names: &[String]) -> Checked<Vec<Weekday>> {
    if names.is_empty() {
        return Err(("days", "`days` is empty; name at least one".to_owned()));
    }
    let day = |name: &String| {
        name.parse::<Weekday>()
            .map_err(|_| ("days", format!("`{name}` is no day of the week; write `monday` or `mon`")))
    };
    names.iter().map(day).collect()
}

pub(super) fn month_days(days: &[u32]) -> Checked<Vec<u32>> {
    if days.is_empty() {
        return Err(("days", "`days` is empty; name at least one".to_owned()));
    }
    let check = |day: &u32| {
        if (1..=31).contains(day) { Ok(*day) } else { Err(("days", format!("`{day}` is no day of a month (1 to 31)"))) }
    };
    days.iter().map(check).collect()
}
