//! The row beside each execution: what it was made from (which never changes), and what people said to it.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::execution_details;
use super::types::{cleaned, prepared};
use super::{Db, Json, OnResolved, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::ExecutionId;

/// What an execution was made from, and what people said to it: one row beside each execution.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = execution_details, treat_none_as_default_value = false)]
pub struct DetailsRow {
    pub execution_id: ExecutionId,
    pub plan_json: Json<Value>,
    pub plan_hash: String,
    pub parameters: Json<Value>,
    pub context_vars: Json<Value>,
    pub inputs_hash: String,
    /// `<source>:<fingerprint>:<episode number>:<runbook>:<inputs hash>`.
    pub run_key: String,
    pub correlation_id: String,
    pub timeout_secs: i64,
    pub on_resolved: OnResolved,
    pub retry_of: Option<ExecutionId>,
    pub rollback_of: Option<ExecutionId>,
    /// Why a person asked for it.
    pub reason: Option<String>,
    pub idempotency_key: Option<String>,
    pub idempotency_token: Option<String>,
    /// The gates that an approval covers.
    pub approval_gates: Json<Vec<String>>,
    pub approval_reason: Option<String>,
    pub rejected_by: Option<String>,
    pub rejected_at: Option<Timestamp>,
    pub rejection_reason: Option<String>,
    pub cancel_requested_by: Option<String>,
    pub cancel_reason: Option<String>,
    pub conflicting_execution_id: Option<ExecutionId>,
    /// Set while nothing but lock, rate or capacity keeps it from starting.
    pub waits_since: Option<Timestamp>,
    /// Time counted against `max_queue_age` before `waits_since`.
    pub queued_ms: i64,
    pub connect_tries: i32,
    /// The engine that runs it.
    pub claimed_by: Option<String>,
    pub outputs: Json<Value>,
    pub output_summary: Option<String>,
    pub released_by: Option<String>,
    pub released_reason: Option<String>,
}

/// What changes of the details; `None` leaves a column alone, `Some(None)` empties it.
#[derive(AsChangeset, Clone, PartialEq, Debug, Default)]
#[diesel(table_name = execution_details, primary_key(execution_id))]
pub struct DetailsChange {
    pub approval_gates: Option<Json<Vec<String>>>,
    pub approval_reason: Option<Option<String>>,
    pub rejected_by: Option<Option<String>>,
    pub rejected_at: Option<Option<Timestamp>>,
    pub rejection_reason: Option<Option<String>>,
    pub cancel_requested_by: Option<Option<String>>,
    pub cancel_reason: Option<Option<String>>,
    pub conflicting_execution_id: Option<Option<ExecutionId>>,
    pub waits_since: Option<Option<Timestamp>>,
    pub queued_ms: Option<i64>,
    pub connect_tries: Option<i32>,
    pub claimed_by: Option<Option<String>>,
    pub outputs: Option<Json<Value>>,
    pub output_summary: Option<Option<String>>,
    pub released_by: Option<Option<String>>,
    pub released_reason: Option<Option<String>>,
}

/// What an execution was made from.
pub fn get(db: &mut Db, id: ExecutionId) -> Result<DetailsRow, StoreError> {
    Ok(each_backend!(db, c => execution_details::table.find(id).select(DetailsRow::as_select()).first(c))?)
}

/// Changes an execution's details. Do it before the status becomes final: then only `released_*` may change.
pub fn change(db: &mut Db, id: ExecutionId, change: &DetailsChange) -> Result<(), StoreError> {
    if *change == DetailsChange::default() {
        return Ok(());
    }
    let change = &*cleaned!(
        change; approval_reason, rejection_reason, cancel_reason, output_summary, released_reason
    );
    let found = each_backend!(db, c => prepared(diesel::update(execution_details::table.find(id)).set(change))
        .execute(c))?;
    if found == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}
