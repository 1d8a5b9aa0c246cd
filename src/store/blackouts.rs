//! Blackouts made through the API; those of the configuration are not here. When one is active is decided in
//! `gate::blackout`.

use chrono_tz::Tz;
use diesel::prelude::*;
use serde_json::Value;

use super::schema::blackouts;
use super::types::cleaned;
use super::{BlackoutEffect, Db, Json, Recurrence, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::gate::blackout::spec::{CronSpec, DailySpec, MonthlySpec, OnceSpec, WeeklySpec};
use crate::gate::blackout::{self, Blackout, BlackoutSpec};
use crate::id::BlackoutId;

/// A window, made through the API, in which nothing may start.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = blackouts, treat_none_as_null = true, treat_none_as_default_value = false)]
pub struct BlackoutRow {
    pub id: BlackoutId,
    pub name: String,
    pub description: String,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    pub recurrence: Recurrence,
    /// Days and times of a recurring one.
    pub recurrence_pattern: Json<Value>,
    pub cron: Option<String>,
    pub duration_secs: Option<i64>,
    pub timezone: String,
    pub effect: BlackoutEffect,
    pub affected_servers: Json<Value>,
    pub affected_runbooks: Json<Value>,
    pub enabled: bool,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Stores a new blackout; a known name is a conflict.
pub fn insert(db: &mut Db, row: &BlackoutRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; name, description);
    each_backend!(db, c => diesel::insert_into(blackouts::table).values(row).execute(c))?;
    Ok(())
}

/// Writes all columns of a known blackout.
pub fn update(db: &mut Db, row: &BlackoutRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; name, description);
    let found = each_backend!(db, c => diesel::update(blackouts::table.find(row.id)).set(row).execute(c))?;
    if found == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// Takes a blackout away; `false` if there was none.
pub fn delete(db: &mut Db, id: BlackoutId) -> Result<bool, StoreError> {
    Ok(each_backend!(db, c => diesel::delete(blackouts::table.find(id)).execute(c))? == 1)
}

/// One blackout.
pub fn get(db: &mut Db, id: BlackoutId) -> Result<BlackoutRow, StoreError> {
    Ok(each_backend!(db, c => blackouts::table.find(id).select(BlackoutRow::as_select()).first(c))?)
}

/// All blackouts, by name, also those that are switched off or over.
pub fn list(db: &mut Db) -> Result<Vec<BlackoutRow>, StoreError> {
    Ok(each_backend!(db, c => blackouts::table.order(blackouts::name).select(BlackoutRow::as_select()).load(c))?)
}

/// Blackouts that are switched on: what the gate looks at.
pub fn enabled(db: &mut Db) -> Result<Vec<BlackoutRow>, StoreError> {
    Ok(each_backend!(db, c => blackouts::table
        .filter(blackouts::enabled.eq(true))
        .order(blackouts::name)
        .select(BlackoutRow::as_select())
        .load(c))?)
}

impl BlackoutRow {
    /// What it means, written as a person would write it; `gate::blackout` reads it.
    pub fn spec(&self) -> BlackoutSpec {
        let pattern = &self.recurrence_pattern.0;
        let said = |name: &str| pattern.get(name).and_then(Value::as_str).map(str::to_owned);
        let times = said("start").zip(said("end"));
        let is_dated = self.start_time.is_some();
        let base = BlackoutSpec {
            name: self.name.clone(),
            description: self.description.clone(),
            enabled: Some(self.enabled),
            effect: Some(match self.effect {
                BlackoutEffect::Hold => blackout::Effect::Hold,
                BlackoutEffect::Refuse => blackout::Effect::Refuse,
                BlackoutEffect::Approve => blackout::Effect::Approve,
            }),
            timezone: Some(self.timezone.clone()),
            // A scope that cannot be read covers everything: the careful way round.
            servers: serde_json::from_value(self.affected_servers.0.clone()).unwrap_or_default(),
            runbooks: serde_json::from_value(self.affected_runbooks.0.clone()).unwrap_or_default(),
            ..BlackoutSpec::default()
        };
        let days = pattern.get("days").cloned().unwrap_or_default();
        match (self.recurrence, times) {
            (Recurrence::None, _) => {
                let moments = self.start_time.zip(self.end_time);
                let once = moments.map(|(start, end)| OnceSpec { start: start.to_string(), end: end.to_string() });
                BlackoutSpec { once, ..base }
            }
            (Recurrence::Daily, Some((start, end))) if !is_dated => {
                BlackoutSpec { daily: Some(DailySpec { start, end }), ..base }
            }
            (Recurrence::Weekly, Some((start, end))) if !is_dated => {
                let days = serde_json::from_value(days).unwrap_or_default();
                BlackoutSpec { weekly: Some(WeeklySpec { days, start, end }), ..base }
            }
            (Recurrence::Monthly, Some((start, end))) if !is_dated => {
                let days = serde_json::from_value(days).unwrap_or_default();
                BlackoutSpec { monthly: Some(MonthlySpec { days, start, end }), ..base }
            }
            (Recurrence::Cron, _) => {
                let duration = self.duration_secs.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(0);
                let duration = humantime::format_duration(std::time::Duration::from_secs(duration)).to_string();
                let expression = self.cron.clone().unwrap_or_default();
                BlackoutSpec { cron: Some(CronSpec { expression, duration }), ..base }
            }
            (Recurrence::Daily | Recurrence::Weekly | Recurrence::Monthly, _) => BlackoutSpec {
                start_time: self.start_time.map(|time| time.to_string()),
                end_time: self.end_time.map(|time| time.to_string()),
                recurrence: self.recurrence.as_str().parse().ok(),
                recurrence_pattern: Some(pattern.clone()).filter(|pattern| !pattern.is_null()),
                ..base
            },
        }
    }

    /// The window itself; one that cannot be read counts as on.
    pub fn blackout(&self, default_zone: Tz) -> Blackout {
        Blackout { id: Some(self.id), ..self.spec().parse_or_unreadable(default_zone) }
    }
}
