//! Legal holds: what is kept, whatever the retention says.

use diesel::prelude::*;

use super::schema::legal_holds;
use super::{Db, HoldScope, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::HoldId;

/// Records that are kept until a person releases them.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = legal_holds)]
pub struct HoldRow {
    pub id: HoldId,
    pub scope: HoldScope,
    /// An execution's id, a runbook's or a server's name; empty exactly for [`HoldScope::All`].
    pub name: String,
    pub reason: String,
    pub created_by: String,
    pub created_at: Timestamp,
    pub released_at: Option<Timestamp>,
    pub released_by: Option<String>,
}

/// Stores a hold.
pub fn insert(db: &mut Db, row: &HoldRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(legal_holds::table).values(row).execute(c))?;
    Ok(())
}

/// One hold.
pub fn get(db: &mut Db, id: HoldId) -> Result<HoldRow, StoreError> {
    Ok(each_backend!(db, c => legal_holds::table.find(id).select(HoldRow::as_select()).first(c))?)
}

/// Releases a hold; `false` if it was before.
pub fn release(db: &mut Db, id: HoldId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(legal_holds::table.find(id))
        .filter(legal_holds::released_at.is_null())
        .set((legal_holds::released_at.eq(now), legal_holds::released_by.eq(by)))
        .execute(c))?;
    Ok(found == 1)
}

/// All holds, newest first; those that were released, too.
pub fn list(db: &mut Db) -> Result<Vec<HoldRow>, StoreError> {
    Ok(each_backend!(db, c => legal_holds::table.order(legal_holds::id.desc()).select(HoldRow::as_select()).load(c))?)
}

/// The holds that are on.
pub fn active(db: &mut Db) -> Result<Vec<HoldRow>, StoreError> {
    Ok(each_backend!(db, c => legal_holds::table
        .filter(legal_holds::released_at.is_null())
        .select(HoldRow::as_select())
        .load(c))?)
}
