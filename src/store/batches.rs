//! Batch approvals: one yes for the executions of one runbook in one group, with the plans that were shown.

use diesel::prelude::*;

use super::schema::approval_batches;
use super::types::{prepared, word};
use super::{BatchMember, BatchState, Db, Json, Page, Paged, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::BatchId;

/// Several pending executions of one runbook in one group that are approved by one yes.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = approval_batches, treat_none_as_null = true, treat_none_as_default_value = false)]
pub struct BatchRow {
    pub id: BatchId,
    pub runbook: String,
    /// Empty for servers without a group.
    pub server_group: String,
    pub state: BatchState,
    /// Later executions open a new batch.
    pub window_ends_at: Timestamp,
    pub members_json: Json<Vec<BatchMember>>,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<String>,
    pub reason: Option<String>,
}

/// Stores a new batch; a second open one of the same runbook and group is a conflict.
pub fn insert(db: &mut Db, row: &BatchRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(approval_batches::table).values(row).execute(c))?;
    Ok(())
}

/// Writes all columns of a known batch, if it is still in state `from`; `false` if somebody was faster.
pub fn update(db: &mut Db, from: BatchState, row: &BatchRow) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => prepared(diesel::update(approval_batches::table)
        .filter(approval_batches::id.eq(row.id))
        .filter(approval_batches::state.eq(word(from.as_str())))
        .set(row))
        .execute(c))?;
    Ok(found == 1)
}

/// One batch.
pub fn get(db: &mut Db, id: BatchId) -> Result<BatchRow, StoreError> {
    Ok(each_backend!(db, c => approval_batches::table.find(id).select(BatchRow::as_select()).first(c))?)
}

/// The open batch of a runbook in a group; the group of servers without one is the empty string.
pub fn open(db: &mut Db, runbook: &str, server_group: &str) -> Result<Option<BatchRow>, StoreError> {
    Ok(each_backend!(db, c => approval_batches::table
        .filter(approval_batches::runbook.eq(runbook))
        .filter(approval_batches::server_group.eq(server_group))
        .filter(approval_batches::state.eq(word(BatchState::Open.as_str())))
        .select(BatchRow::as_select())
        .first(c)
        .optional())?)
}

/// Batches in any of `states` (all if empty), newest first.
pub fn list(db: &mut Db, states: &[BatchState], page: Page<BatchId>) -> Result<Paged<BatchRow, BatchId>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = approval_batches::table.select(BatchRow::as_select()).into_boxed::<B>();
        if !states.is_empty() {
            query = query.filter(approval_batches::state.eq_any(states));
        }
        if let Some(before) = page.before {
            query = query.filter(approval_batches::id.lt(before));
        }
        query.order(approval_batches::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.id))
}
