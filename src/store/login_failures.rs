//! How often a log-in failed, by account and by address. What follows from it is decided in `engine/identity`.

use diesel::prelude::*;

use super::schema::login_failures;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;

/// The failures of one account or address since its last success, or since it was quiet for long.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Eq, Debug)]
#[diesel(table_name = login_failures)]
pub struct FailuresRow {
    pub key: String,
    pub count: i32,
    pub last_at: Timestamp,
    pub blocked_until: Option<Timestamp>,
}

/// The failures under `key`, which nobody else changes until this transaction is over.
pub fn lock(db: &mut Db, key: &str, now: Timestamp) -> Result<FailuresRow, StoreError> {
    let fresh = FailuresRow { key: key.to_owned(), count: 0, last_at: now, blocked_until: None };
    Ok(each_backend!(db, c => diesel::insert_into(login_failures::table)
        .values(&fresh)
        .on_conflict(login_failures::key)
        .do_update()
        .set(login_failures::count.eq(login_failures::count))
        .returning(FailuresRow::as_returning())
        .get_result(c))?)
}

/// Writes the failures under a key that is there.
pub fn put(db: &mut Db, row: &FailuresRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::update(login_failures::table.find(&row.key))
        .set((
            login_failures::count.eq(row.count),
            login_failures::last_at.eq(row.last_at),
            login_failures::blocked_until.eq(row.blocked_until),
        ))
        .execute(c))?;
    Ok(())
}

/// Forgets the failures under `key`.
pub fn forget(db: &mut Db, key: &str) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::delete(login_failures::table.find(key)).execute(c))?;
    Ok(())
}

/// Forgets those of which the last was before then.
pub fn prune(db: &mut Db, before: Timestamp) -> Result<usize, StoreError> {
    let old = login_failures::table.filter(login_failures::last_at.lt(before));
    Ok(each_backend!(db, c => diesel::delete(old).execute(c))?)
}
