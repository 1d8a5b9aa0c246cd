//! What a person writes to describe a blackout, in `douse.yml` and to the API, and what it means.
//!
//! Exactly one way of saying when: `once`, `daily`, `weekly`, `monthly`, `cron`, or the fields of the seed's table
//! (`start_time`, `end_time`, `recurrence`, `recurrence_pattern`).

use std::str::FromStr;

use chrono::{Datelike, Duration, NaiveDateTime};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cron::CronSchedule;
use super::scope::{RunbookScope, ServerScope};
use super::text::{Checked, SeedPattern, moment, month_days, time_of_day, weekdays};
use super::window::{DayRule, Recurring, Schedule};
use super::zone::{saturating_add, wall};
use super::{Blackout, Effect, LENGTH_MAX};
use crate::clock::Timestamp;
use crate::words::words;

/// A blackout as it is written.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlackoutSpec {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Default: `hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// IANA name; default: the configured zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<OnceSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<DailySpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<WeeklySpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<MonthlySpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<CronSpec>,
    /// The seed's way: the window, or the first of a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence_pattern: Option<Value>,
    #[serde(default, alias = "affected_servers")]
    pub servers: ServerScope,
    #[serde(default, alias = "affected_runbooks")]
    pub runbooks: RunbookScope,
}

words! {
    /// How a blackout of the seed's table repeats.
    Recurrence {
        None = "none",
        Daily = "daily",
        Weekly = "weekly",
        Monthly = "monthly",
        Cron = "cron",
    }
}

/// From one moment to another: RFC 3339, or local time as `2026-12-24 18:00`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnceSpec {
    pub start: String,
    pub end: String,
}

/// Each day; over midnight when the end is before the start; `00:00` to `24:00` is the whole day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailySpec {
    pub start: String,
    pub end: String,
}

/// On these days of the week; over midnight the end lies on the next day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeeklySpec {
    pub days: Vec<String>,
    pub start: String,
    pub end: String,
}

/// On these days of the month; in a shorter month, a day that it lacks is its last one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthlySpec {
    pub days: Vec<u32>,
    pub start: String,
    pub end: String,
}

/// Whenever the expression says, for this long.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CronSpec {
    /// Five fields, or six with seconds first.
    #[serde(alias = "schedule", alias = "cron")]
    pub expression: String,
    /// Like `2h` or `1h 30m`.
    pub duration: String,
}

/// What is wrong with a blackout, and what would be right.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("blackout `{name}`: {problem}")]
pub struct BlackoutError {
    pub name: String,
    /// The key concerned.
    pub field: &'static str,
    pub problem: String,
}

impl BlackoutSpec {
    /// What it means, in `default_zone` when it names none.
    pub fn parse(&self, default_zone: Tz) -> Result<Blackout, BlackoutError> {
        self.checked(default_zone).map_err(|problem| self.error(problem))
    }

    /// The same for one that was stored: when it cannot be read it counts as on, for everything.
    pub fn parse_or_unreadable(&self, default_zone: Tz) -> Blackout {
        self.parse(default_zone).unwrap_or_else(|error| Blackout::unreadable(None, &self.name, error.problem))
    }

    fn checked(&self, default_zone: Tz) -> Checked<Blackout> {
        if self.name.trim().is_empty() {
            return Err(("name", "it needs a name".to_owned()));
        }
        let zone = self.zone(default_zone)?;
        Ok(Blackout {
            id: None,
            name: self.name.clone(),
            description: self.description.clone(),
            is_enabled: self.enabled.unwrap_or(true),
            effect: self.effect.unwrap_or(Effect::Hold),
            schedule: self.schedule(zone)?,
            servers: self.servers.clone(),
            runbooks: self.runbooks.clone(),
        })
    }

    fn error(&self, (field, problem): (&'static str, String)) -> BlackoutError {
        BlackoutError { name: self.name.clone(), field, problem }
    }

    fn zone(&self, default_zone: Tz) -> Checked<Tz> {
        let Some(name) = &self.timezone else { return Ok(default_zone) };
        Tz::from_str(name)
            .map_err(|_| ("timezone", format!("`{name}` is no IANA time zone; write it like `Europe/Berlin` or `UTC`")))
    }

    fn schedule(&self, zone: Tz) -> Checked<Schedule> {
        let is_seed = self.start_time.is_some()
            || self.end_time.is_some()
            || self.recurrence.is_some()
            || self.recurrence_pattern.is_some();
        let said = [
            ("once", self.once.is_some()),
            ("daily", self.daily.is_some()),
            ("weekly", self.weekly.is_some()),
            ("monthly", self.monthly.is_some()),
            ("cron", self.cron.is_some()),
            ("start_time", is_seed),
        ];
        let said: Vec<&str> = said.iter().filter(|(_, is_said)| *is_said).map(|(name, _)| *name).collect();
        if said.len() != 1 {
            let problem = if said.is_empty() {
                "it does not say when; give one of `once`, `daily`, `weekly`, `monthly`, `cron`".to_owned()
            } else {
                format!("it says when in several ways ({}); keep one", said.join(", "))
            };
            return Err(("once", problem));
        }
        if let Some(OnceSpec { start, end }) = &self.once {
            return once(("start", start), ("end", end), zone);
        }
        if let Some(DailySpec { start, end }) = &self.daily {
            return recurring(DayRule::Daily, start, end, zone);
        }
        if let Some(WeeklySpec { days, start, end }) = &self.weekly {
            return recurring(DayRule::Weekly(weekdays(days)?), start, end, zone);
        }
        if let Some(MonthlySpec { days, start, end }) = &self.monthly {
            return recurring(DayRule::Monthly(month_days(days)?), start, end, zone);
        }
        if let Some(CronSpec { expression, duration }) = &self.cron {
            let duration = humantime::parse_duration(duration)
                .map_err(|error| ("duration", format!("`{duration}` is no duration like `2h`: {error}")))?;
            return cron(expression, duration, zone);
        }
        self.seed_schedule(zone)
    }

    /// `start_time` and `end_time` are the window or the first of a series; `recurrence_pattern` may say more: `days`,
    /// `start` and `end` as times of the day, or `cron` with `duration`.
    fn seed_schedule(&self, zone: Tz) -> Checked<Schedule> {
        let pattern = SeedPattern::read(self.recurrence_pattern.as_ref())?;
        let recurrence = match (self.recurrence, &pattern.cron) {
            (Some(recurrence), _) => recurrence,
            (None, Some(_)) => Recurrence::Cron,
            (None, None) => Recurrence::None,
        };
        let first = match (&self.start_time, &self.end_time) {
            (Some(start), Some(end)) => {
                let start = moment("start_time", start, zone)?;
                let end = moment("end_time", end, zone)?;
                if end <= start {
                    return Err(("end_time", "`end_time` must be after `start_time`".to_owned()));
                }
                Some((start, end))
            }
            (None, None) => None,
            (Some(_), None) => return Err(("end_time", "`end_time` is missing".to_owned())),
            (None, Some(_)) => return Err(("start_time", "`start_time` is missing".to_owned())),
        };
        let days = match (recurrence, first) {
            (Recurrence::None, Some((start, end))) => {
                return Ok(Schedule::Once { start: Timestamp::new(start), end: Timestamp::new(end) });
            }
            (Recurrence::None, None) => {
                return Err(("start_time", "`start_time` and `end_time` are missing".to_owned()));
            }
            (Recurrence::Cron, _) => {
                let Some(expression) = &pattern.cron else {
                    return Err(("recurrence_pattern", "it lacks `cron`, the expression".to_owned()));
                };
                let length = first.and_then(|(start, end)| (end - start).to_std().ok());
                let Some(duration) = pattern.duration.or(length) else {
                    return Err(("recurrence_pattern", "it lacks `duration`, like `2h`".to_owned()));
                };
                return cron(expression, duration, zone);
            }
            (Recurrence::Daily, _) => DayRule::Daily,
            (Recurrence::Weekly, _) if !pattern.weekdays.is_empty() => DayRule::Weekly(pattern.weekdays),
            (Recurrence::Weekly, Some((start, _))) => DayRule::Weekly(vec![wall(zone, start).weekday()]),
            (Recurrence::Monthly, _) if !pattern.month_days.is_empty() => DayRule::Monthly(pattern.month_days),
            (Recurrence::Monthly, Some((start, _))) => DayRule::Monthly(vec![wall(zone, start).day()]),
            (Recurrence::Weekly | Recurrence::Monthly, None) => {
                return Err(("recurrence_pattern", "it lacks `days`".to_owned()));
            }
        };
        let mut schedule = match (&pattern.times, first) {
            (Some((start, end)), _) => recurring_schedule(days, start, end, zone)?,
            (None, Some((start, end))) => {
                let (start, end) = (wall(zone, start), wall(zone, end));
                // A first window inside of a repeated hour could seem empty by the wall clock.
                let length = (end - start).max(Duration::minutes(1));
                Recurring { days, start: start.time(), length: bounded("end_time", length)?, zone, from: None }
            }
            (None, None) => return Err(("start_time", "`start_time` and `end_time` are missing".to_owned())),
        };
        schedule.from = first.map(|(start, _)| wall(zone, start).date());
        Ok(Schedule::Recurring(schedule))
    }
}

fn once(start: (&'static str, &str), end: (&'static str, &str), zone: Tz) -> Checked<Schedule> {
    let (from, to) = (moment(start.0, start.1, zone)?, moment(end.0, end.1, zone)?);
    if to <= from {
        return Err((end.0, format!("its end `{}` is not after its start `{}`", end.1, start.1)));
    }
    Ok(Schedule::Once { start: Timestamp::new(from), end: Timestamp::new(to) })
}

fn recurring(days: DayRule, start: &str, end: &str, zone: Tz) -> Checked<Schedule> {
    recurring_schedule(days, start, end, zone).map(Schedule::Recurring)
}

fn recurring_schedule(days: DayRule, start: &str, end: &str, zone: Tz) -> Checked<Recurring> {
    let from = time_of_day("start", start)?;
    let to = time_of_day("end", end)?;
    if from == to {
        let problem =
            format!("it starts and ends at {start}; for a whole day write `start: \"00:00\"`, `end: \"24:00\"`");
        return Err(("end", problem));
    }
    let length = if to > from { to - from } else { to + Duration::days(1) - from };
    let start = saturating_add(NaiveDateTime::default(), from).time();
    Ok(Recurring { days, start, length, zone, from: None })
}

fn cron(expression: &str, duration: std::time::Duration, zone: Tz) -> Checked<Schedule> {
    if duration.as_secs() == 0 || duration > LENGTH_MAX {
        return Err(("duration", "a duration must be at least a second and at most 31 days".to_owned()));
    }
    let expression = expression.parse::<CronSchedule>().map_err(|problem| ("cron", problem))?;
    Ok(Schedule::Cron { expression: Box::new(expression), duration, zone })
}

fn bounded(field: &'static str, length: Duration) -> Checked<Duration> {
    if length.to_std().is_ok_and(|length| length <= LENGTH_MAX) {
        Ok(length)
    } else {
        Err((field, "a window that repeats is at most 31 days long".to_owned()))
    }
}
