//! Steps and undos as far as they have come: what lists and reports show. The truth is in the events.

use diesel::prelude::*;

use super::schema::steps;
use super::types::{cleaned, prepared};
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::execution::{Phase, StepStatus};
use crate::id::{ExecutionId, StepRunId};

/// A step or undo of an execution, as far as it has come.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = steps, treat_none_as_null = true, treat_none_as_default_value = false)]
pub struct StepRow {
    pub id: StepRunId,
    pub execution_id: ExecutionId,
    pub phase: Phase,
    pub step_order: i32,
    pub step_id: String,
    pub name: String,
    pub status: StepStatus,
    pub sensitive: bool,
    /// Tries after the first.
    pub retry_attempt: i32,
    pub exit_code: Option<i32>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

/// Stores a step, or writes all columns of the one with the same execution, phase and order (which keeps its id).
pub fn upsert(db: &mut Db, row: &StepRow) -> Result<StepRunId, StoreError> {
    let row = &*cleaned!(row; name, step_id, error_message);
    Ok(each_backend!(db, c => prepared(diesel::insert_into(steps::table)
        .values(row)
        .on_conflict((steps::execution_id, steps::phase, steps::step_order))
        .do_update()
        .set((
            steps::step_id.eq(&row.step_id),
            steps::name.eq(&row.name),
            steps::status.eq(row.status),
            steps::sensitive.eq(row.sensitive),
            steps::retry_attempt.eq(row.retry_attempt),
            steps::exit_code.eq(row.exit_code),
            steps::started_at.eq(row.started_at),
            steps::completed_at.eq(row.completed_at),
            steps::duration_ms.eq(row.duration_ms),
            steps::error_code.eq(&row.error_code),
            steps::error_message.eq(&row.error_message),
        ))
        .returning(steps::id))
        .get_result(c))?)
}

/// The steps of an execution in the order of their run: main steps, verification, undos, clean-up.
pub fn of_execution(db: &mut Db, execution: ExecutionId) -> Result<Vec<StepRow>, StoreError> {
    let mut rows: Vec<StepRow> = each_backend!(db, c => steps::table
        .filter(steps::execution_id.eq(execution))
        .select(StepRow::as_select())
        .load(c))?;
    // Undos run from the last step to the first.
    rows.sort_by_key(|row| (row.phase, if row.phase == Phase::Rollback { -row.step_order } else { row.step_order }));
    Ok(rows)
}

/// One step of an execution.
pub fn find(db: &mut Db, execution: ExecutionId, phase: Phase, step_order: i32) -> Result<Option<StepRow>, StoreError> {
    Ok(each_backend!(db, c => steps::table
        .filter(steps::execution_id.eq(execution))
        .filter(steps::phase.eq(phase))
        .filter(steps::step_order.eq(step_order))
        .select(StepRow::as_select())
        .first(c)
        .optional())?)
}
