//! Blackouts made through the API; those of the configuration are read-only here.

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::{ActError, Author, Engine, Person, change, release};
use crate::audit::EventKind;
use crate::clock::Timestamp;
use crate::gate::blackout::{BlackoutSpec, Effect, Schedule};
use crate::id::BlackoutId;
use crate::store::blackouts::{self, BlackoutRow};
use crate::store::{BlackoutEffect, Db, Json, Recurrence, StoreError};

/// Adds a blackout.
pub async fn create(engine: &Engine, spec: BlackoutSpec, by: &Person) -> Result<BlackoutRow, ActError> {
    free(engine, &spec.name)?;
    let zone = engine.policy().config.global.timezone;
    let columns = Columns::of(&spec, zone)?;
    let row = change(engine, by, move |db, author| {
        if named(db, &spec.name)?.is_some() {
            return Ok(Err(exists(&spec.name)));
        }
        let row = columns.row(&spec, BlackoutId::new(), &author.person.name, author.now, author.now);
        blackouts::insert(db, &row)?;
        record(db, author, EventKind::BlackoutCreated, &row)?;
        Ok(Ok(row))
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}

/// Replaces all of a blackout but its id.
pub async fn replace(
    engine: &Engine,
    id: BlackoutId,
    spec: BlackoutSpec,
    by: &Person,
) -> Result<BlackoutRow, ActError> {
    free(engine, &spec.name)?;
    let zone = engine.policy().config.global.timezone;
    let columns = Columns::of(&spec, zone)?;
    let row = change(engine, by, move |db, author| {
        let before = blackouts::get(db, id)?;
        if named(db, &spec.name)?.is_some_and(|other| other.id != id) {
            return Ok(Err(exists(&spec.name)));
        }
        let row = columns.row(&spec, id, &before.created_by, before.created_at, author.now);
        blackouts::update(db, &row)?;
        record(db, author, EventKind::BlackoutUpdated, &row)?;
        release(db, author.now)?;
        Ok(Ok(row))
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}

/// Takes a blackout away, and lets what it held go on.
pub async fn delete(engine: &Engine, id: BlackoutId, by: &Person) -> Result<(), ActError> {
    change(engine, by, move |db, author| {
        let row = blackouts::get(db, id)?;
        blackouts::delete(db, id)?;
        record(db, author, EventKind::BlackoutDeleted, &row)?;
        release(db, author.now)?;
        Ok(Ok(()))
    })
    .await?;
    engine.wake.everywhere();
    Ok(())
}

/// The blackout of that name that people made.
pub fn named(db: &mut Db, name: &str) -> Result<Option<BlackoutRow>, StoreError> {
    Ok(blackouts::list(db)?.into_iter().find(|row| row.name == name))
}

fn free(engine: &Engine, name: &str) -> Result<(), ActError> {
    if engine.policy().config.blackouts.iter().any(|declared| declared.name == name) {
        return Err(ActError::Conflict(format!(
            "blackout `{name}` is declared in the configuration; change it there, and reload"
        )));
    }
    Ok(())
}

fn exists(name: &str) -> ActError {
    ActError::Conflict(format!("there is a blackout called `{name}` already"))
}

fn record(db: &mut Db, author: &Author, kind: EventKind, row: &BlackoutRow) -> Result<(), StoreError> {
    let payload = json!({"name": row.name, "spec": row.spec()});
    author.record(db, kind, "blackout", &row.id.to_string(), payload)
}

/// How a spec's times are kept.
struct Columns {
    recurrence: Recurrence,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
    pattern: Value,
    cron: Option<String>,
    duration_secs: Option<i64>,
    timezone: String,
}

impl Columns {
    fn of(spec: &BlackoutSpec, default_zone: Tz) -> Result<Self, ActError> {
        let invalid = |message: String| ActError::Invalid(message);
        let blackout = spec.parse(default_zone).map_err(|error| invalid(error.to_string()))?;
        let mut columns = Self {
            recurrence: Recurrence::None,
            start_time: None,
            end_time: None,
            pattern: Value::Null,
            cron: None,
            duration_secs: None,
            timezone: spec.timezone.clone().unwrap_or_else(|| default_zone.name().to_owned()),
        };
        if let Schedule::Once { start, end } = blackout.schedule {
            return Ok(Self { start_time: Some(start), end_time: Some(end), ..columns });
        }
        if let Schedule::Cron { expression, duration, .. } = &blackout.schedule {
            let secs = i64::try_from(duration.as_secs()).map_err(|error| invalid(error.to_string()))?;
            let cron = Some(expression.source().to_owned());
            return Ok(Self { recurrence: Recurrence::Cron, cron, duration_secs: Some(secs), ..columns });
        }
        if let Some(daily) = &spec.daily {
            columns.recurrence = Recurrence::Daily;
            columns.pattern = json!({"start": daily.start, "end": daily.end});
        } else if let Some(weekly) = &spec.weekly {
            columns.recurrence = Recurrence::Weekly;
            columns.pattern = json!({"days": weekly.days, "start": weekly.start, "end": weekly.end});
        } else if let Some(monthly) = &spec.monthly {
            columns.recurrence = Recurrence::Monthly;
            columns.pattern = json!({"days": monthly.days, "start": monthly.start, "end": monthly.end});
        } else if let Some(recurrence) = spec.recurrence {
            // The seed's way: the first of a series, and how it repeats.
            columns.recurrence = recurrence.as_str().parse().map_err(invalid)?;
            columns.pattern = spec.recurrence_pattern.clone().unwrap_or_default();
            columns.start_time = seed_moment("start_time", spec.start_time.as_deref())?;
            columns.end_time = seed_moment("end_time", spec.end_time.as_deref())?;
        }
        Ok(columns)
    }

    fn row(
        &self,
        spec: &BlackoutSpec,
        id: BlackoutId,
        created_by: &str,
        created_at: Timestamp,
        now: Timestamp,
    ) -> BlackoutRow {
        BlackoutRow {
            id,
            name: spec.name.clone(),
            description: spec.description.clone(),
            start_time: self.start_time,
            end_time: self.end_time,
            recurrence: self.recurrence,
            recurrence_pattern: Json(self.pattern.clone()),
            cron: self.cron.clone(),
            duration_secs: self.duration_secs,
            timezone: self.timezone.clone(),
            effect: match spec.effect.unwrap_or(Effect::Hold) {
                Effect::Hold => BlackoutEffect::Hold,
                Effect::Refuse => BlackoutEffect::Refuse,
                Effect::Approve => BlackoutEffect::Approve,
            },
            affected_servers: Json(json!(spec.servers)),
            affected_runbooks: Json(json!(spec.runbooks)),
            enabled: spec.enabled.unwrap_or(true),
            created_by: created_by.to_owned(),
            created_at,
            updated_at: now,
        }
    }
}

fn seed_moment(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, ActError> {
    let parse = |text: &str| {
        let message = format!("`{key}`: `{text}` is not RFC 3339, as in 2026-12-24T18:00:00Z");
        text.parse().map_err(|_| ActError::Invalid(message))
    };
    text.map(parse).transpose()
}
