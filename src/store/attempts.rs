//! Attempts: one row per try, stored when it starts, and what it printed.

use diesel::prelude::*;

use super::schema::{attempts, outputs};
use super::types::{cleaned, prepared};
use super::{AttemptEnding, AttemptHold, Db, StoreError, Stream, each_backend};
use crate::clock::Timestamp;
use crate::id::{AttemptId, ExecutionId, StepRunId};

/// One try of one step, stored when it starts.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = attempts, treat_none_as_default_value = false)]
pub struct AttemptRow {
    pub id: AttemptId,
    pub step_run_id: StepRunId,
    pub execution_id: ExecutionId,
    pub number: i32,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// Null while it runs.
    pub ending: Option<AttemptEnding>,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    /// Whether the end of the process group was seen; null if nothing was killed.
    pub kill_confirmed: Option<bool>,
    pub error_message: Option<String>,
    pub hold: AttemptHold,
}

/// What one attempt printed on one stream, bounded and masked.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = outputs, treat_none_as_default_value = false)]
pub struct OutputRow {
    pub attempt_id: AttemptId,
    pub stream: Stream,
    /// Empty for a sensitive step.
    pub head: String,
    pub tail: String,
    pub total_bytes: i64,
    pub truncated: bool,
    /// Of the bytes that were kept, before masking.
    pub sha256: String,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Debug)]
pub struct AttemptEnd {
    pub ending: AttemptEnding,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    pub kill_confirmed: Option<bool>,
    pub error_message: Option<String>,
}

/// Stores an attempt before its effect: the intent.
pub fn insert(db: &mut Db, row: &AttemptRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(attempts::table).values(row).execute(c))?;
    Ok(())
}

/// Stores how an attempt ended; `false` if that is known already.
pub fn finish(db: &mut Db, id: AttemptId, end: &AttemptEnd, now: Timestamp) -> Result<bool, StoreError> {
    let end = &*cleaned!(end; signal, error_message);
    let found = each_backend!(db, c => prepared(diesel::update(attempts::table)
        .filter(attempts::id.eq(id))
        .filter(attempts::ending.is_null())
        .set((
            attempts::finished_at.eq(now),
            attempts::ending.eq(end.ending),
            attempts::exit_code.eq(end.exit_code),
            attempts::signal.eq(&end.signal),
            attempts::kill_confirmed.eq(end.kill_confirmed),
            attempts::error_message.eq(&end.error_message),
        )))
        .execute(c))?;
    Ok(found == 1)
}

/// Stores that nothing holds an attempt on its host after all.
pub fn unhold(db: &mut Db, id: AttemptId) -> Result<(), StoreError> {
    each_backend!(db, c => prepared(diesel::update(attempts::table)
        .filter(attempts::id.eq(id))
        .set(attempts::hold.eq(AttemptHold::Weak)))
        .execute(c))?;
    Ok(())
}

/// One attempt.
pub fn get(db: &mut Db, id: AttemptId) -> Result<AttemptRow, StoreError> {
    Ok(each_backend!(db, c => attempts::table.find(id).select(AttemptRow::as_select()).first(c))?)
}

/// The attempts of an execution in the order of their start.
pub fn of_execution(db: &mut Db, execution: ExecutionId) -> Result<Vec<AttemptRow>, StoreError> {
    Ok(each_backend!(db, c => attempts::table
        .filter(attempts::execution_id.eq(execution))
        .order(attempts::id)
        .select(AttemptRow::as_select())
        .load(c))?)
}

/// Stores what an attempt printed on one stream. Masking and cutting are done by then.
pub fn insert_output(db: &mut Db, row: &OutputRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; head, tail);
    each_backend!(db, c => diesel::insert_into(outputs::table).values(row).execute(c))?;
    Ok(())
}

/// What the attempts of an execution printed.
pub fn outputs_of(db: &mut Db, execution: ExecutionId) -> Result<Vec<OutputRow>, StoreError> {
    Ok(each_backend!(db, c => outputs::table
        .inner_join(attempts::table)
        .filter(attempts::execution_id.eq(execution))
        .order((outputs::attempt_id, outputs::stream.desc()))
        .select(OutputRow::as_select())
        .load(c))?)
}
