//! Circuit breakers, one per runbook that ever ran. What opens and closes them is decided in `gate`.

use diesel::prelude::*;

use super::schema::circuit_breakers;
use super::types::{cleaned, prepared};
use super::{CircuitState, Db, StoreError, each_backend};
use crate::clock::Timestamp;

/// A runbook's breaker.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = circuit_breakers, treat_none_as_null = true, primary_key(runbook), treat_none_as_default_value = false)]
pub struct BreakerRow {
    pub runbook: String,
    pub state: CircuitState,
    /// Consecutive failures.
    pub failure_count: i32,
    /// Successes since it is half-open.
    pub success_count: i32,
    pub last_failure_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub half_open_at: Option<Timestamp>,
    /// Only outcomes that are newer count.
    pub changed_at: Timestamp,
    pub changed_by: String,
    pub reason: Option<String>,
    /// A person opened it: time does not half-open it.
    pub forced_open: bool,
}

impl BreakerRow {
    /// The breaker of a runbook that has none yet.
    pub fn closed(runbook: &str, now: Timestamp) -> Self {
        Self {
            runbook: runbook.to_owned(),
            state: CircuitState::Closed,
            failure_count: 0,
            success_count: 0,
            last_failure_at: None,
            opened_at: None,
            half_open_at: None,
            changed_at: now,
            changed_by: "engine".to_owned(),
            reason: None,
            forced_open: false,
        }
    }
}

/// A runbook's breaker.
pub fn get(db: &mut Db, runbook: &str) -> Result<Option<BreakerRow>, StoreError> {
    Ok(each_backend!(db, c => circuit_breakers::table
        .find(runbook)
        .select(BreakerRow::as_select())
        .first(c)
        .optional())?)
}

/// Writes a breaker, new or known.
pub fn put(db: &mut Db, row: &BreakerRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; reason);
    each_backend!(db, c => prepared(diesel::insert_into(circuit_breakers::table)
        .values(row)
        .on_conflict(circuit_breakers::runbook)
        .do_update()
        .set(row))
        .execute(c))?;
    Ok(())
}

/// All breakers, by runbook.
pub fn list(db: &mut Db) -> Result<Vec<BreakerRow>, StoreError> {
    Ok(each_backend!(db, c => circuit_breakers::table
        .order(circuit_breakers::runbook)
        .select(BreakerRow::as_select())
        .load(c))?)
}
