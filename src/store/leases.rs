//! Which replica may write an execution that runs: its holder, and the number of its holding.
//!
//! Whoever takes an execution draws the next number (the fence). A write of the holder's carries its number and happens
//! only while that is the last one, with the row locked to its end: see [`get_to_write`].

use diesel::prelude::*;

use super::schema::{execution_events, execution_leases, executions, replicas};
use super::types::{prepared, word};
use super::{Db, StoreError, each_backend};
use crate::execution::Status;
use crate::id::{ExecutionId, ReplicaId};

/// Who made an execution, and who runs it.
#[derive(Queryable, Selectable, Insertable, Clone, Copy, PartialEq, Eq, Debug)]
#[diesel(table_name = execution_leases, treat_none_as_default_value = false)]
pub struct LeaseRow {
    pub execution_id: ExecutionId,
    /// The replica that made it: it has the secrets that were given with it.
    pub made_by: Option<ReplicaId>,
    /// The replica that claimed it, or took it up, last.
    pub replica_id: Option<ReplicaId>,
    /// Grows with each claim and each taking up.
    pub fence: i64,
}

/// What a replica's write has to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub replica: ReplicaId,
    pub fence: i64,
}

impl LeaseRow {
    /// Whether this is still the last holding.
    pub fn is_held(&self, hold: Hold) -> bool {
        self.replica_id == Some(hold.replica) && self.fence == hold.fence
    }
}

/// Stores that `made_by` made an execution, which nobody holds yet.
pub fn insert(db: &mut Db, execution: ExecutionId, made_by: ReplicaId) -> Result<(), StoreError> {
    let row = LeaseRow { execution_id: execution, made_by: Some(made_by), replica_id: None, fence: 0 };
    each_backend!(db, c => diesel::insert_into(execution_leases::table).values(row).execute(c))?;
    Ok(())
}

/// Who holds an execution.
pub fn get(db: &mut Db, execution: ExecutionId) -> Result<LeaseRow, StoreError> {
    Ok(each_backend!(db, c => execution_leases::table
        .find(execution)
        .select(LeaseRow::as_select())
        .first(c))?)
}

/// The same for a write of the holder's, with the number of the execution's last event: nobody takes the execution before the
/// end of the transaction.
///
/// Only the lease is locked, and first: what people write of an execution waits for nothing. If one of them writes while
/// this waits for the lock, the number is an old one, and the event that is to follow it a conflict.
pub fn get_to_write(db: &mut Db, execution: ExecutionId) -> Result<(LeaseRow, i32), StoreError> {
    let last = execution_events::table
        .filter(execution_events::execution_id.eq(execution))
        .select(diesel::dsl::max(execution_events::seq))
        .single_value();
    let found = execution_leases::table.find(execution);
    let (lease, last): (LeaseRow, Option<i32>) = match db {
        Db::Pg(c) => found.select((LeaseRow::as_select(), last)).for_no_key_update().first(c)?,
        Db::Sqlite(c) => found.select((LeaseRow::as_select(), last)).first(c)?,
    };
    Ok((lease, last.unwrap_or(0)))
}

/// `replica` holds an execution from now on that it has claimed, under the number that this answers.
///
/// `Fenced` if `replica` has been given up by the others.
pub fn claim(db: &mut Db, execution: ExecutionId, replica: ReplicaId) -> Result<i64, StoreError> {
    let lives = replicas::table.filter(replicas::id.eq(replica)).filter(replicas::ended_at.is_null());
    let fence: Option<i64> = each_backend!(db, c => prepared(diesel::update(execution_leases::table)
        .filter(execution_leases::execution_id.eq(execution))
        .filter(diesel::dsl::exists(lives))
        .set((execution_leases::replica_id.eq(replica), execution_leases::fence.eq(execution_leases::fence + 1)))
        .returning(execution_leases::fence))
        .get_result(c)
        .optional())?;
    fence.ok_or(StoreError::Fenced(execution))
}

/// `replica` goes on with an execution that another held, under a new number: that one writes nothing any more. `known` is
/// the number that the caller has seen.
///
/// `Fenced` if another took it meanwhile, or if `replica` itself has been given up by the others.
pub fn take_up(db: &mut Db, execution: ExecutionId, replica: ReplicaId, known: i64) -> Result<(), StoreError> {
    let lives = replicas::table.filter(replicas::id.eq(replica)).filter(replicas::ended_at.is_null());
    let taken = each_backend!(db, c => prepared(diesel::update(execution_leases::table)
        .filter(execution_leases::execution_id.eq(execution))
        .filter(execution_leases::fence.eq(known))
        .filter(diesel::dsl::exists(lives))
        .set((execution_leases::replica_id.eq(replica), execution_leases::fence.eq(known + 1))))
        .execute(c))?;
    if taken == 1 { Ok(()) } else { Err(StoreError::Fenced(execution)) }
}

/// Whatever `of` held is nobody's from now on, and they write nothing any more.
pub fn disown(db: &mut Db, of: &[ReplicaId]) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::update(execution_leases::table)
        .filter(execution_leases::replica_id.eq_any(of))
        .set((execution_leases::replica_id.eq(None::<ReplicaId>), execution_leases::fence.eq(execution_leases::fence + 1)))
        .execute(c))?;
    Ok(())
}

/// The running executions that `replica` holds or that no living replica does, with their numbers, oldest first.
pub fn to_take_up(db: &mut Db, replica: ReplicaId) -> Result<Vec<(ExecutionId, i64)>, StoreError> {
    let living = replicas::table.filter(replicas::ended_at.is_null()).select(replicas::id.nullable());
    Ok(each_backend!(db, c => execution_leases::table
        .inner_join(executions::table)
        .filter(executions::status.eq(word(Status::Running.as_str())))
        .filter(
            execution_leases::replica_id
                .is_null()
                .or(execution_leases::replica_id.eq(replica))
                .or(execution_leases::replica_id.ne_all(living)),
        )
        .order(executions::id)
        .select((executions::id, execution_leases::fence))
        .load(c))?)
}

/// Which of `of` were made by a replica that lives still, and by which.
pub fn makers(db: &mut Db, of: &[ExecutionId]) -> Result<Vec<(ExecutionId, ReplicaId)>, StoreError> {
    Ok(each_backend!(db, c => execution_leases::table
        .inner_join(replicas::table.on(execution_leases::made_by.eq(replicas::id.nullable())))
        .filter(execution_leases::execution_id.eq_any(of))
        .filter(replicas::ended_at.is_null())
        .select((execution_leases::execution_id, replicas::id))
        .load(c))?)
}
