//! Blackouts made through the API; those of the configuration are not here. When one is active is decided in
//! `gate::blackout`.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::blackouts;
use super::types::cleaned;
use super::{BlackoutEffect, Db, Json, Recurrence, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::BlackoutId;

/// A window, made through the API, in which nothing may start.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = blackouts, treat_none_as_null = true)]
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
