//! Log-ins: hashes of their secrets only.

use diesel::prelude::*;

use super::schema::{sessions, users};
use super::types::cleaned;
use super::users::UserRow;
use super::{Db, SessionKind, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

/// One log-in.
#[derive(Queryable, Selectable, Insertable, Clone)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    pub id: SessionId,
    pub user_id: UserId,
    pub kind: SessionKind,
    /// SHA-256, hex, of 256 random bits.
    pub secret_hash: String,
    pub created_at: Timestamp,
    /// The last use, to about a minute.
    pub seen_at: Timestamp,
    /// It ends then, used or not.
    pub ends_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub ended_by: Option<String>,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
}

/// Stores a new session.
pub fn insert(db: &mut Db, row: &SessionRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; user_agent);
    each_backend!(db, c => diesel::insert_into(sessions::table).values(row).execute(c))?;
    Ok(())
}

/// The session of that hash with its user, whatever became of them.
pub fn by_hash(db: &mut Db, hash: &str) -> Result<Option<(SessionRow, UserRow)>, StoreError> {
    Ok(each_backend!(db, c => sessions::table
        .inner_join(users::table)
        .filter(sessions::secret_hash.eq(hash))
        .select((SessionRow::as_select(), UserRow::as_select()))
        .first(c)
        .optional())?)
}

/// One session with its user.
pub fn get(db: &mut Db, id: SessionId) -> Result<(SessionRow, UserRow), StoreError> {
    Ok(each_backend!(db, c => sessions::table
        .inner_join(users::table)
        .filter(sessions::id.eq(id))
        .select((SessionRow::as_select(), UserRow::as_select()))
        .first(c))?)
}

/// Sessions that nobody has ended and whose time is not over, with their users, newest first; of one user or of all.
pub fn open(db: &mut Db, of: Option<UserId>, now: Timestamp) -> Result<Vec<(SessionRow, UserRow)>, StoreError> {
    Ok(each_backend!(db, c: B => {
        let mut query = sessions::table
            .inner_join(users::table)
            .filter(sessions::ended_at.is_null())
            .filter(sessions::ends_at.gt(now))
            .select((SessionRow::as_select(), UserRow::as_select()))
            .into_boxed::<B>();
        if let Some(user) = of {
            query = query.filter(sessions::user_id.eq(user));
        }
        query.order(sessions::id.desc()).load(c)
    })?)
}

/// Whether a user has logged in from this address since then.
pub fn is_known_address(db: &mut Db, user: UserId, address: &str, since: Timestamp) -> Result<bool, StoreError> {
    let count: i64 = each_backend!(db, c => sessions::table
        .filter(sessions::user_id.eq(user))
        .filter(sessions::ip_address.eq(address))
        .filter(sessions::created_at.ge(since))
        .count()
        .get_result(c))?;
    Ok(count > 0)
}

/// Notes a use.
pub fn seen(db: &mut Db, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::update(sessions::table.find(id)).set(sessions::seen_at.eq(now)).execute(c))?;
    Ok(())
}

/// Ends a session; `false` if it had ended before.
pub fn end(db: &mut Db, id: SessionId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(sessions::table.find(id))
        .filter(sessions::ended_at.is_null())
        .set((sessions::ended_at.eq(now), sessions::ended_by.eq(by)))
        .execute(c))?;
    Ok(found == 1)
}

/// Ends all sessions of a user; answers how many.
pub fn end_all(db: &mut Db, user: UserId, by: &str, now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => diesel::update(sessions::table)
        .filter(sessions::user_id.eq(user))
        .filter(sessions::ended_at.is_null())
        .set((sessions::ended_at.eq(now), sessions::ended_by.eq(by)))
        .execute(c))?)
}

/// Forgets sessions that were over before then.
pub fn prune(db: &mut Db, before: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => diesel::delete(sessions::table.filter(sessions::ends_at.lt(before))).execute(c))?)
}
