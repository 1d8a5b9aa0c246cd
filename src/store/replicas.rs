//! Replicas: who works on this database, and until when the others have to believe it.
//!
//! A lease counts on the database's time alone, so that no replica's clock matters. That its time is over ends nothing by
//! itself: another replica has to [`bury`] its holder, in one transaction with taking what it held. So a replica that was
//! merely slow, and that nobody missed, goes on.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;

use super::schema::replicas;
use super::types::cleaned;
use super::types::sql::SqlTs;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::ReplicaId;

/// A `douse serve` on this database.
#[derive(Queryable, Selectable, Clone, PartialEq, Eq, Debug)]
#[diesel(table_name = replicas)]
pub struct ReplicaRow {
    pub id: ReplicaId,
    /// Host and process, for people.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Of what it has in force.
    pub policy_version: String,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    pub lease_until: Timestamp,
    /// It stopped, or was buried.
    pub ended_at: Option<Timestamp>,
}

/// What a replica tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub id: ReplicaId,
    pub name: String,
    pub policy_version: String,
    /// How long the others have to believe it.
    pub lease: Duration,
}

/// The database's time, `later` from now, as SQL.
pub(super) fn time(db: &Db, later: Duration) -> String {
    match db {
        Db::Pg(_) => format!("clock_timestamp() + interval '{} milliseconds'", later.as_millis()),
        Db::Sqlite(_) => {
            format!("strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '+{:.3} seconds')", later.as_secs_f64())
        }
    }
}

fn now(db: &Db) -> String {
    time(db, Duration::ZERO)
}

/// Adds a replica, or one that was buried comes back under its old id.
pub fn join(db: &mut Db, told: &Told) -> Result<(), StoreError> {
    let told = &*cleaned!(told; name);
    let (now, until) = (now(db), time(db, told.lease));
    each_backend!(db, c => diesel::insert_into(replicas::table)
        .values((
            replicas::id.eq(told.id),
            replicas::name.eq(&told.name),
            replicas::version.eq(env!("CARGO_PKG_VERSION")),
            replicas::policy_version.eq(&told.policy_version),
            replicas::started_at.eq(sql::<SqlTs>(&now)),
            replicas::seen_at.eq(sql::<SqlTs>(&now)),
            replicas::lease_until.eq(sql::<SqlTs>(&until)),
        ))
        .on_conflict(replicas::id)
        .do_update()
        .set((
            replicas::policy_version.eq(&told.policy_version),
            replicas::seen_at.eq(sql::<SqlTs>(&now)),
            replicas::lease_until.eq(sql::<SqlTs>(&until)),
            replicas::ended_at.eq(None::<Timestamp>),
        ))
        .execute(c))?;
    Ok(())
}

/// The replica lives; `false` if it has been buried, and what it held is another's.
pub fn renew(db: &mut Db, told: &Told) -> Result<bool, StoreError> {
    let (now, until) = (now(db), time(db, told.lease));
    let found = each_backend!(db, c => diesel::update(replicas::table)
        .filter(replicas::id.eq(told.id))
        .filter(replicas::ended_at.is_null())
        .set((
            replicas::policy_version.eq(&told.policy_version),
            replicas::seen_at.eq(sql::<SqlTs>(&now)),
            replicas::lease_until.eq(sql::<SqlTs>(&until)),
        ))
        .execute(c))?;
    Ok(found == 1)
}

/// Those that have not ended, oldest first; their leases may be over.
pub fn list(db: &mut Db) -> Result<Vec<ReplicaRow>, StoreError> {
    Ok(each_backend!(db, c => replicas::table
        .filter(replicas::ended_at.is_null())
        .order(replicas::id)
        .select(ReplicaRow::as_select())
        .load(c))?)
}

/// Whether there is one to [`bury`].
pub fn has_overdue(db: &mut Db, but: ReplicaId) -> Result<bool, StoreError> {
    let now = now(db);
    let found: Option<ReplicaId> = each_backend!(db, c => replicas::table
        .filter(replicas::ended_at.is_null())
        .filter(replicas::id.ne(but))
        .filter(replicas::lease_until.le(sql::<SqlTs>(&now)))
        .select(replicas::id)
        .first(c)
        .optional())?;
    Ok(found.is_some())
}

/// Ends every other replica whose lease is over; answers with their ids and names. One that renews it at this moment lives.
pub fn bury(db: &mut Db, but: ReplicaId) -> Result<Vec<(ReplicaId, String)>, StoreError> {
    let now = now(db);
    Ok(each_backend!(db, c => diesel::update(replicas::table)
        .filter(replicas::ended_at.is_null())
        .filter(replicas::id.ne(but))
        .filter(replicas::lease_until.le(sql::<SqlTs>(&now)))
        .set(replicas::ended_at.eq(sql::<SqlTs>(&now).nullable()))
        .returning((replicas::id, replicas::name))
        .get_results(c))?)
}

/// Ends every other replica, whatever its lease says: the caller knows that it is alone.
pub fn bury_all(db: &mut Db, but: ReplicaId) -> Result<usize, StoreError> {
    let now = now(db);
    Ok(each_backend!(db, c => diesel::update(replicas::table)
        .filter(replicas::ended_at.is_null())
        .filter(replicas::id.ne(but))
        .set(replicas::ended_at.eq(sql::<SqlTs>(&now).nullable()))
        .execute(c))?)
}

/// A replica stops in good order; what it held is anybody's from now on.
pub fn leave(db: &mut Db, id: ReplicaId) -> Result<(), StoreError> {
    let now = now(db);
    each_backend!(db, c => diesel::update(replicas::table)
        .filter(replicas::id.eq(id))
        .filter(replicas::ended_at.is_null())
        .set(replicas::ended_at.eq(sql::<SqlTs>(&now).nullable()))
        .execute(c))?;
    Ok(())
}

/// Forgets those that ended before `before`; answers how many.
pub fn forget(db: &mut Db, before: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => diesel::delete(replicas::table)
        .filter(replicas::ended_at.lt(before))
        .execute(c))?)
}
