//! `limits`: what is allowed at once and in a while. The defaults and their reasons stand in [`crate::limits`].

use std::time::Duration;

use serde::Serialize;

use crate::limits as default;
use crate::runbook::model::{BlastRadiusSpec, CountWindow};

use super::reader::MapReader;

/// Bounds that an operator may move. `None` = switched off by `0` or `0s`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Limits {
    /// Executions that run at once.
    pub executions: Option<usize>,
    /// SSH sessions per host at once.
    pub sessions_per_server: Option<usize>,
    /// Executions that may start per hour, all runbooks together.
    pub executions_per_hour: Option<u32>,
    pub recently_remediated: Option<Duration>,
    pub max_queue_age: Option<Duration>,
    pub blast_radius: Option<BlastRadiusSpec>,
    pub attempts: Option<CountWindow>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            executions: Some(default::EXECUTIONS_MAX),
            sessions_per_server: Some(default::SSH_SESSIONS_PER_SERVER),
            executions_per_hour: Some(default::EXECUTIONS_PER_HOUR),
            recently_remediated: Some(default::RECENTLY_REMEDIATED),
            max_queue_age: Some(default::QUEUE_AGE_MAX),
            blast_radius: Some(BlastRadiusSpec {
                min: default::BLAST_RADIUS_MIN,
                percent: default::BLAST_RADIUS_PERCENT,
                window: default::BLAST_RADIUS_WINDOW,
            }),
            attempts: Some(CountWindow { count: default::ATTEMPTS_COUNT, window: default::ATTEMPTS_WINDOW }),
        }
    }
}

pub(super) fn read(map: &mut MapReader<'_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        executions: count(map, "executions", default.executions),
        sessions_per_server: count(map, "sessions_per_server", default.sessions_per_server),
        executions_per_hour: count(map, "executions_per_hour", default.executions_per_hour),
        recently_remediated: duration(map, "recently_remediated", default.recently_remediated),
        max_queue_age: duration(map, "max_queue_age", default.max_queue_age),
        blast_radius: blast_radius(map, default.blast_radius),
        attempts: attempts(map, default.attempts),
    }
}

/// A key that says `0` is off; a missing one takes the default.
fn count<T>(map: &mut MapReader<'_, '_>, key: &'static str, default: Option<T>) -> Option<T>
where
    T: std::str::FromStr + PartialEq + From<u16>,
{
    let zero = T::from(0);
    match map.parsed::<T>(key, "a whole number (0 switches it off)") {
        Some(at) => (at.value != zero).then_some(at.value),
        None => default,
    }
}

fn duration(map: &mut MapReader<'_, '_>, key: &'static str, default: Option<Duration>) -> Option<Duration> {
    match map.duration(key) {
        Some(duration) => (!duration.is_zero()).then_some(duration),
        None => default,
    }
}

fn is_zero(map: &mut MapReader<'_, '_>, key: &'static str) -> bool {
    map.is_scalar(key, |text| matches!(text, "0" | "0s"))
}

fn blast_radius(map: &mut MapReader<'_, '_>, default: Option<BlastRadiusSpec>) -> Option<BlastRadiusSpec> {
    if is_zero(map, "blast_radius") {
        return None;
    }
    let spec = map.map("blast_radius", |map| {
        let default = default?;
        let min = map.parsed("min", "a whole number").map_or(default.min, |at| at.value);
        let percent = map.parsed("percent", "a whole number from 0 to 100").map_or(default.percent, |at| at.value);
        let window = map.duration("window").unwrap_or(default.window);
        let is_on = (min > 0 || percent > 0) && !window.is_zero();
        is_on.then_some(BlastRadiusSpec { min, percent, window })
    });
    spec.unwrap_or(default)
}

fn attempts(map: &mut MapReader<'_, '_>, default: Option<CountWindow>) -> Option<CountWindow> {
    if is_zero(map, "attempts") {
        return None;
    }
    let spec = map.map("attempts", |map| {
        let default = default?;
        let count = map.parsed("count", "a whole number").map_or(default.count, |at| at.value);
        let window = map.duration("window").unwrap_or(default.window);
        (count > 0 && !window.is_zero()).then_some(CountWindow { count, window })
    });
    spec.unwrap_or(default)
}
