//! Rows to what the gates know, and back: pauses, breakers, blackouts.

use std::time::Duration;

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::gate::blackout::spec::{CronSpec, Recurrence as Repeats};
use crate::gate::blackout::{Blackout, BlackoutError, BlackoutSpec, Effect, Schedule};
use crate::gate::circuit_breaker::{Breaker, BreakerState};
use crate::gate::kill_switch::{Pause, PauseScope};
use crate::id::BlackoutId;
use crate::store::blackouts::BlackoutRow;
use crate::store::breakers::BreakerRow;
use crate::store::pauses::PauseRow;
use crate::store::{self, BlackoutEffect, CircuitState, Json, Recurrence};

/// A use of the kill switch.
pub(super) fn pause(row: PauseRow) -> Pause {
    let scope = match row.scope {
        store::PauseScope::Global => PauseScope::Global,
        store::PauseScope::Runbook => PauseScope::Runbook(row.name),
        store::PauseScope::Group => PauseScope::Group(row.name),
        store::PauseScope::Server => PauseScope::Server(row.name),
    };
    Pause { id: row.id, scope, until: row.until, reason: row.reason, by: row.created_by, since: row.created_at }
}

/// A breaker as the gate knows it. [`Breaker::at`] says what time has made of it.
pub fn breaker(row: &BreakerRow) -> Breaker {
    Breaker {
        state: match row.state {
            CircuitState::Closed => BreakerState::Closed,
            CircuitState::Open => BreakerState::Open,
            CircuitState::HalfOpen => BreakerState::HalfOpen,
        },
        failure_count: u32::try_from(row.failure_count).unwrap_or(0),
        success_count: u32::try_from(row.success_count).unwrap_or(0),
        last_failure_at: row.last_failure_at,
        opened_at: row.opened_at,
        half_open_at: row.half_open_at,
        changed_at: Some(row.changed_at),
        is_forced_open: row.forced_open,
    }
}

/// A breaker as it is stored.
pub(super) fn breaker_row(
    runbook: &str,
    breaker: &Breaker,
    by: &str,
    reason: Option<String>,
    never_changed: Timestamp,
) -> BreakerRow {
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    BreakerRow {
        runbook: runbook.to_owned(),
        state: match breaker.state {
            BreakerState::Closed => CircuitState::Closed,
            BreakerState::Open => CircuitState::Open,
            BreakerState::HalfOpen => CircuitState::HalfOpen,
        },
        failure_count: count(breaker.failure_count),
        success_count: count(breaker.success_count),
        last_failure_at: breaker.last_failure_at,
        opened_at: breaker.opened_at,
        half_open_at: breaker.half_open_at,
        changed_at: breaker.changed_at.unwrap_or(never_changed),
        changed_by: by.to_owned(),
        reason,
        forced_open: breaker.is_forced_open,
    }
}

/// A blackout that people made. One that cannot be read is on, for everything.
pub fn blackout(row: &BlackoutRow, default_zone: Tz) -> Blackout {
    let read = blackout_spec(row).and_then(|spec| spec.parse(default_zone).map_err(|error| error.problem));
    match read {
        Ok(blackout) => Blackout { id: Some(row.id), ..blackout },
        Err(problem) => Blackout::unreadable(Some(row.id), &row.name, problem),
    }
}

/// What was written when the blackout was made, in the seed's fields (and `cron`).
pub fn blackout_spec(row: &BlackoutRow) -> Result<BlackoutSpec, String> {
    let scope = |what: &str, error: serde_json::Error| format!("`{what}` cannot be read: {error}");
    let mut spec = BlackoutSpec {
        name: row.name.clone(),
        description: row.description.clone(),
        enabled: Some(row.enabled),
        effect: Some(match row.effect {
            BlackoutEffect::Hold => Effect::Hold,
            BlackoutEffect::Refuse => Effect::Refuse,
            BlackoutEffect::Approve => Effect::Approve,
        }),
        timezone: Some(row.timezone.clone()),
        servers: serde_json::from_value(row.affected_servers.0.clone())
            .map_err(|error| scope("affected_servers", error))?,
        runbooks: serde_json::from_value(row.affected_runbooks.0.clone())
            .map_err(|error| scope("affected_runbooks", error))?,
        ..BlackoutSpec::default()
    };
    if let (Some(expression), Some(seconds)) = (&row.cron, row.duration_secs) {
        let duration = format!("{seconds}s");
        spec.cron = Some(CronSpec { expression: expression.clone(), duration });
        return Ok(spec);
    }
    spec.start_time = row.start_time.map(|time| time.to_string());
    spec.end_time = row.end_time.map(|time| time.to_string());
    spec.recurrence = Some(match row.recurrence {
        Recurrence::None => Repeats::None,
        Recurrence::Daily => Repeats::Daily,
        Recurrence::Weekly => Repeats::Weekly,
        Recurrence::Monthly => Repeats::Monthly,
        Recurrence::Cron => Repeats::Cron,
    });
    let pattern = &row.recurrence_pattern.0;
    let is_empty = pattern.is_null() || pattern.as_object().is_some_and(serde_json::Map::is_empty);
    spec.recurrence_pattern = (!is_empty).then(|| pattern.clone());
    Ok(spec)
}

/// The row of a blackout that a person writes; refused when it cannot be read. The zone is stored, so that a change of
/// the configured one does not move it.
pub fn blackout_row(
    spec: &BlackoutSpec,
    id: BlackoutId,
    default_zone: Tz,
    by: &str,
    now: Timestamp,
) -> Result<BlackoutRow, BlackoutError> {
    let parsed = spec.parse(default_zone)?;
    let mut row = BlackoutRow {
        id,
        name: spec.name.clone(),
        description: spec.description.clone(),
        start_time: None,
        end_time: None,
        recurrence: Recurrence::None,
        recurrence_pattern: Json(spec.recurrence_pattern.clone().unwrap_or_else(|| json!({}))),
        cron: None,
        duration_secs: None,
        timezone: spec.timezone.clone().unwrap_or_else(|| default_zone.name().to_owned()),
        effect: match parsed.effect {
            Effect::Hold => BlackoutEffect::Hold,
            Effect::Refuse => BlackoutEffect::Refuse,
            Effect::Approve => BlackoutEffect::Approve,
        },
        affected_servers: Json(to_value(&spec.servers)),
        affected_runbooks: Json(to_value(&spec.runbooks)),
        enabled: parsed.is_enabled,
        created_by: by.to_owned(),
        created_at: now,
        updated_at: now,
    };
    if let Some((start, end)) = spec.first_window(default_zone)? {
        (row.start_time, row.end_time) = (Some(start), Some(end));
    }
    if let Some(daily) = &spec.daily {
        row.recurrence = Recurrence::Daily;
        row.recurrence_pattern = Json(to_value(daily));
    } else if let Some(weekly) = &spec.weekly {
        row.recurrence = Recurrence::Weekly;
        row.recurrence_pattern = Json(to_value(weekly));
    } else if let Some(monthly) = &spec.monthly {
        row.recurrence = Recurrence::Monthly;
        row.recurrence_pattern = Json(to_value(monthly));
    } else if let Schedule::Cron { expression, duration, .. } = &parsed.schedule {
        row.recurrence = Recurrence::Cron;
        row.cron = Some(expression.source().to_owned());
        row.duration_secs = Some(seconds(*duration));
    } else if let Some(recurrence) = spec.recurrence {
        row.recurrence = match recurrence {
            Repeats::None => Recurrence::None,
            Repeats::Daily => Recurrence::Daily,
            Repeats::Weekly => Recurrence::Weekly,
            Repeats::Monthly => Recurrence::Monthly,
            Repeats::Cron => Recurrence::Cron,
        };
    }
    Ok(row)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Maps with text keys always serialise.
fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
