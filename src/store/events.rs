//! The events of executions, in the order in which their machine was told them. State is their replay.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::execution_events;
use super::types::prepared;
use super::{Db, Json, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::ExecutionId;

/// What the execution's machine was told, in order; its state is their replay.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = execution_events, treat_none_as_default_value = false)]
pub struct EventRow {
    pub execution_id: ExecutionId,
    /// Counts from 1 without gaps.
    pub seq: i32,
    pub at: Timestamp,
    pub kind: String,
    pub event_json: Json<Value>,
}

/// Adds the next events of an execution, whose last one the caller has seen as number `last`. A gap or a second writer is a
/// conflict: the caller's state is not the stored one.
pub fn append(db: &mut Db, mut last: i32, rows: &[EventRow]) -> Result<(), StoreError> {
    let Some(first) = rows.first() else { return Ok(()) };
    for row in rows {
        if row.seq != last + 1 || row.execution_id != first.execution_id {
            return Err(StoreError::Conflict(format!(
                "event {} of execution {} does not follow event {last}",
                row.seq, row.execution_id
            )));
        }
        last = row.seq;
    }
    match db {
        Db::Pg(c) => prepared(diesel::insert_into(execution_events::table).values(rows)).execute(c).map(drop)?,
        // Nothing is won there by one statement.
        Db::Sqlite(c) => rows
            .iter()
            .try_for_each(|row| diesel::insert_into(execution_events::table).values(row).execute(c).map(drop))?,
    }
    Ok(())
}

/// Number of the last event; 0 if there is none.
pub fn last_seq(db: &mut Db, execution: ExecutionId) -> Result<i32, StoreError> {
    let last: Option<i32> = each_backend!(db, c => execution_events::table
        .filter(execution_events::execution_id.eq(execution))
        .select(diesel::dsl::max(execution_events::seq))
        .first(c))?;
    Ok(last.unwrap_or(0))
}

/// All events of an execution, in order.
pub fn load(db: &mut Db, execution: ExecutionId) -> Result<Vec<EventRow>, StoreError> {
    load_after(db, execution, 0)
}

/// The events of an execution after number `seq`, in order.
pub fn load_after(db: &mut Db, execution: ExecutionId, seq: i32) -> Result<Vec<EventRow>, StoreError> {
    Ok(each_backend!(db, c => execution_events::table
        .filter(execution_events::execution_id.eq(execution))
        .filter(execution_events::seq.gt(seq))
        .order(execution_events::seq)
        .select(EventRow::as_select())
        .load(c))?)
}
