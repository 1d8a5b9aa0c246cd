//! Pauses: each use of the kill switch.

use diesel::prelude::*;

use super::schema::pauses;
use super::types::{cleaned, prepared};
use super::{Db, Page, Paged, PauseScope, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::PauseId;

/// One use of the kill switch.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = pauses, treat_none_as_default_value = false)]
pub struct PauseRow {
    pub id: PauseId,
    pub scope: PauseScope,
    /// Empty when the scope is `global`.
    pub name: String,
    pub reason: String,
    pub created_by: String,
    pub created_at: Timestamp,
    /// It ends by itself then.
    pub until: Option<Timestamp>,
    pub resumed_at: Option<Timestamp>,
    pub resumed_by: Option<String>,
}

/// Throws the kill switch.
pub fn insert(db: &mut Db, row: &PauseRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; name, reason);
    each_backend!(db, c => diesel::insert_into(pauses::table).values(row).execute(c))?;
    Ok(())
}

/// One pause.
pub fn get(db: &mut Db, id: PauseId) -> Result<PauseRow, StoreError> {
    Ok(each_backend!(db, c => pauses::table.find(id).select(PauseRow::as_select()).first(c))?)
}

/// Pauses in force at `now`, oldest first.
pub fn active(db: &mut Db, now: Timestamp) -> Result<Vec<PauseRow>, StoreError> {
    Ok(each_backend!(db, c => pauses::table
        .filter(pauses::resumed_at.is_null())
        .filter(pauses::until.is_null().or(pauses::until.gt(now)))
        .order(pauses::id)
        .select(PauseRow::as_select())
        .load(c))?)
}

/// Ends one pause; `false` if it was over already.
pub fn resume(db: &mut Db, id: PauseId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => prepared(diesel::update(pauses::table)
        .filter(pauses::id.eq(id))
        .filter(pauses::resumed_at.is_null())
        .set((pauses::resumed_at.eq(now), pauses::resumed_by.eq(by))))
        .execute(c))?;
    Ok(found == 1)
}

/// Pauses, newest first, also those that are over.
pub fn list(db: &mut Db, page: Page<PauseId>) -> Result<Paged<PauseRow, PauseId>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = pauses::table.select(PauseRow::as_select()).into_boxed::<B>();
        if let Some(before) = page.before {
            query = query.filter(pauses::id.lt(before));
        }
        query.order(pauses::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.id))
}
