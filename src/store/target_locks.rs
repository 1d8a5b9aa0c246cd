//! Claims, and the locks on servers that they take: one execution per server, by an index and not by hope.

use diesel::prelude::*;

use super::details::DetailsChange;
use super::executions::{self, ExecutionChange, ExecutionRow};
use super::schema::target_locks;
use super::types::prepared;
use super::{Db, LockReason, StoreError, details, each_backend};
use crate::clock::Timestamp;
use crate::execution::{Phase, Status};
use crate::id::ExecutionId;

/// Which execution holds a server.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = target_locks, treat_none_as_default_value = false)]
pub struct LockRow {
    pub server: String,
    pub execution_id: ExecutionId,
    pub taken_at: Timestamp,
    pub reason: LockReason,
}

/// What became of a claim.
#[derive(Clone, PartialEq, Debug)]
pub enum Claim {
    /// The execution runs now, and holds its server.
    Taken(Box<ExecutionRow>),
    /// It is not approved any more: another claimed it, or it was cancelled.
    NotApproved,
    /// Another execution holds the server; nothing was written.
    Busy(ExecutionId),
}

/// Takes an execution that was approved when it was read as `known`: it runs from now on, and its server is locked. Exactly one
/// of many claims gets it.
pub fn claim(db: &mut Db, known: &ExecutionRow, claimed_by: &str, now: Timestamp) -> Result<Claim, StoreError> {
    let id = known.id;
    // Insert first: it waits on PostgreSQL for another transaction that is about to take the same server.
    let lock = LockRow { server: known.server.clone(), execution_id: id, taken_at: now, reason: LockReason::Running };
    let locked = each_backend!(db, c => diesel::insert_into(target_locks::table)
        .values(&lock)
        .on_conflict_do_nothing()
        .execute(c))?;
    if locked == 0 {
        return match holder(db, &lock.server)? {
            Some(held) if held.execution_id != id => Ok(Claim::Busy(held.execution_id)),
            // Ours already, or freed in this moment: either way this claim did not get it.
            _ => Ok(Claim::NotApproved),
        };
    }
    let change = ExecutionChange {
        status: Some(Status::Running),
        phase: Some(Phase::Main),
        started_at: Some(Some(now)),
        held_until: Some(None),
        next_try_at: Some(None),
        ..ExecutionChange::default()
    };
    let Some(row) = executions::changed(db, id, &[Status::Approved], &change)? else {
        free(db, id)?;
        return Ok(Claim::NotApproved);
    };
    let change = DetailsChange { claimed_by: Some(Some(claimed_by.to_owned())), ..DetailsChange::default() };
    details::change(db, id, &change)?;
    Ok(Claim::Taken(Box::new(row)))
}

/// Who holds a server.
pub fn holder(db: &mut Db, server: &str) -> Result<Option<LockRow>, StoreError> {
    Ok(each_backend!(db, c => target_locks::table
        .find(server)
        .select(LockRow::as_select())
        .first(c)
        .optional())?)
}

/// Frees the server of an execution; `false` if it held none.
pub fn free(db: &mut Db, execution: ExecutionId) -> Result<bool, StoreError> {
    let freed = each_backend!(db, c => prepared(diesel::delete(target_locks::table)
        .filter(target_locks::execution_id.eq(execution)))
        .execute(c))?;
    Ok(freed == 1)
}

/// Keeps the server of an execution locked after its end, until a person releases it.
pub fn keep(db: &mut Db, execution: ExecutionId, reason: LockReason) -> Result<bool, StoreError> {
    let kept = each_backend!(db, c => prepared(diesel::update(target_locks::table)
        .filter(target_locks::execution_id.eq(execution))
        .set(target_locks::reason.eq(reason)))
        .execute(c))?;
    Ok(kept == 1)
}

/// All locks, by server.
pub fn list(db: &mut Db) -> Result<Vec<LockRow>, StoreError> {
    Ok(each_backend!(db, c => target_locks::table
        .order(target_locks::server)
        .select(LockRow::as_select())
        .load(c))?)
}
