//! Executions: where they stand, their steps, and what was printed.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::ExecutionQuery;
use super::{Asked, Error, List, execution_id, seen};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::execute::output::Printed;
use crate::execution::{Origin, Phase, RollbackState, Status, StepStatus, Verification};
use crate::id::{AlertId, AttemptId, BatchId, DecisionId, EpisodeId, ExecutionId, StepRunId};
use crate::runbook::model::Mode;
use crate::store::attempts::{self, AttemptRow};
use crate::store::details::DetailsRow;
use crate::store::executions::{self, ExecutionFilter, ExecutionRow};
use crate::store::steps::{self, StepRow};
use crate::store::{Db, StoreError, Stream};
use crate::web::auth::Person;
use crate::web::error::ApiError;
use crate::web::page::page;

/// One run of a plan.
#[derive(Serialize, ToSchema, Debug)]
pub struct ExecutionView {
    pub id: ExecutionId,
    pub origin: Origin,
    pub runbook: String,
    pub runbook_version: i32,
    pub server: String,
    pub status: Status,
    pub phase: Phase,
    pub rollback: RollbackState,
    pub verification: Verification,
    pub mode: Mode,
    pub trigger: Option<String>,
    pub alert_id: Option<AlertId>,
    pub episode_id: Option<EpisodeId>,
    pub decision_id: Option<DecisionId>,
    pub batch_id: Option<BatchId>,
    /// Secrets masked.
    #[schema(value_type = Object)]
    pub parameters: Value,
    #[schema(value_type = Object)]
    pub context_vars: Value,
    #[schema(value_type = Object)]
    pub outputs: Value,
    pub output_summary: Option<String>,
    pub correlation_id: String,
    pub plan_hash: String,
    pub policy_version: String,
    pub created_by: String,
    pub created_at: Timestamp,
    /// Why a person asked for it.
    pub reason: Option<String>,
    pub approved_by: Option<String>,
    pub approved_at: Option<Timestamp>,
    pub rejected_by: Option<String>,
    pub rejected_at: Option<Timestamp>,
    pub rejection_reason: Option<String>,
    /// A pending one expires then.
    pub expires_at: Option<Timestamp>,
    /// Approved, but a gate says: not before.
    pub held_until: Option<Timestamp>,
    /// Approved, but the host could not be reached: tried again then.
    pub next_try_at: Option<Timestamp>,
    pub cancel_requested_by: Option<String>,
    pub cancel_requested_at: Option<Timestamp>,
    pub cancel_reason: Option<String>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    pub error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicting_execution_id: Option<ExecutionId>,
    pub retry_of: Option<ExecutionId>,
    pub rollback_of: Option<ExecutionId>,
    pub released_by: Option<String>,
    pub released_at: Option<Timestamp>,
    pub released_reason: Option<String>,
    /// In the order of their run; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<StepView>>,
}

impl ExecutionView {
    /// An execution as lists show it.
    pub fn of(row: ExecutionRow, details: DetailsRow) -> Self {
        Self {
            id: row.id,
            origin: row.origin,
            runbook: row.runbook,
            runbook_version: row.runbook_version,
            server: row.server,
            status: row.status,
            phase: row.phase,
            rollback: row.rollback,
            verification: row.verification,
            mode: row.mode,
            trigger: row.trigger_name,
            alert_id: row.alert_id,
            episode_id: row.episode_id,
            decision_id: row.decision_id,
            batch_id: row.batch_id,
            parameters: details.parameters.0,
            context_vars: details.context_vars.0,
            outputs: details.outputs.0,
            output_summary: details.output_summary,
            correlation_id: details.correlation_id,
            plan_hash: details.plan_hash,
            policy_version: row.policy_version,
            created_by: row.created_by,
            created_at: row.created_at,
            reason: details.reason,
            approved_by: row.approved_by,
            approved_at: row.approved_at,
            rejected_by: details.rejected_by,
            rejected_at: details.rejected_at,
            rejection_reason: details.rejection_reason,
            expires_at: row.expires_at,
            held_until: row.held_until,
            next_try_at: row.next_try_at,
            cancel_requested_by: details.cancel_requested_by,
            cancel_requested_at: row.cancel_requested_at,
            cancel_reason: details.cancel_reason,
            started_at: row.started_at,
            completed_at: row.completed_at,
            duration_ms: row.duration_ms,
            error_message: row.error_message,
            skip_reason: row.skip_reason,
            conflicting_execution_id: details.conflicting_execution_id,
            retry_of: details.retry_of,
            rollback_of: details.rollback_of,
            released_by: details.released_by,
            released_at: row.released_at,
            released_reason: details.released_reason,
            steps: None,
        }
    }

    /// An execution with its steps.
    pub fn load(db: &mut Db, id: ExecutionId) -> Result<Self, StoreError> {
        let (row, details) = executions::get_whole(db, id)?;
        let steps = StepView::load(db, id)?;
        Ok(Self { steps: Some(steps), ..Self::of(row, details) })
    }
}

/// One step or undo, with what its last attempt printed.
#[derive(Serialize, ToSchema, Debug)]
pub struct StepView {
    pub id: StepRunId,
    pub step_order: i32,
    pub step_id: String,
    pub name: String,
    pub phase: Phase,
    pub status: StepStatus,
    pub exit_code: Option<i32>,
    /// Head and tail of long output; empty for a sensitive step.
    pub stdout: String,
    pub stderr: String,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    /// Tries after the first.
    pub retry_attempt: i32,
    /// What becomes of its last attempt when the connection or the engine ends first: `held` is found again, `plain` may be
    /// run again, `weak` is neither. Null before the first attempt.
    pub hold: Option<&'static str>,
    pub sensitive: bool,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

impl StepView {
    /// The steps of an execution in the order of their run.
    pub fn load(db: &mut Db, id: ExecutionId) -> Result<Vec<Self>, StoreError> {
        let rows = steps::of_execution(db, id)?;
        let attempts = attempts::of_execution(db, id)?;
        let outputs = attempts::outputs_of(db, id)?;
        // Attempts come oldest first, so the last one of each step stays.
        let last: BTreeMap<StepRunId, &AttemptRow> =
            attempts.iter().map(|attempt| (attempt.step_run_id, attempt)).collect();
        let printed = |step: &StepRow, stream: Stream| {
            let attempt = last.get(&step.id).map(|attempt| &attempt.id);
            let row = outputs.iter().find(|row| Some(&row.attempt_id) == attempt && row.stream == stream);
            row.map(|row| Printed::stored(row).text()).unwrap_or_default()
        };
        let shown = rows.into_iter().map(|row| Self {
            stdout: printed(&row, Stream::Stdout),
            stderr: printed(&row, Stream::Stderr),
            hold: last.get(&row.id).map(|attempt| attempt.hold.as_str()),
            id: row.id,
            step_order: row.step_order,
            step_id: row.step_id,
            name: row.name,
            phase: row.phase,
            status: row.status,
            exit_code: row.exit_code,
            started_at: row.started_at,
            completed_at: row.completed_at,
            duration_ms: row.duration_ms,
            retry_attempt: row.retry_attempt,
            sensitive: row.sensitive,
            error_code: row.error_code,
            error_message: row.error_message,
        });
        Ok(shown.collect())
    }
}

/// What one attempt printed on one stream.
#[derive(Serialize, ToSchema, Debug)]
pub struct OutputView {
    pub step_order: i32,
    pub phase: Phase,
    pub name: String,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    pub stream: Stream,
    pub text: String,
    pub total_bytes: i64,
    pub truncated: bool,
    /// Of all bytes, kept or not.
    pub sha256: String,
}

/// Executions, newest first
#[utoipa::path(tag = "executions", params(ExecutionQuery), responses((status = 200, body = List<ExecutionView>), (status = 422, body = Error)))]
#[get("/api/v1/executions")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<ExecutionQuery>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let statuses = query.status.as_deref().map(|text| text.split(',').map(str::parse).collect::<Result<Vec<_>, _>>());
    let filter = ExecutionFilter {
        statuses: statuses
            .transpose()
            .map_err(|error| ApiError::invalid("invalid_query", format!("status: {error}")))?
            .unwrap_or_default(),
        runbook: query.runbook,
        server: query.server,
        origin: query.origin,
        alert: query.alert,
        episode: query.episode,
        batch: query.batch,
    };
    answer(&engine, &person, filter, query.limit, query.cursor.as_deref()).await
}

/// A page of the executions that `filter` names.
pub(super) async fn answer(
    engine: &Engine,
    person: &Person,
    filter: ExecutionFilter,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<HttpResponse, ApiError> {
    let (page, person) = (page(limit, cursor)?, person.clone());
    let found = engine.store.read(move |db| {
        let load = |page| executions::list(db, &filter, page);
        seen::page(&person, page, load, |(row, _)| seen::execution(&person, row), |(row, _)| row.id)
    });
    let found = found.await?;
    Ok(HttpResponse::Ok().json(List::of(found, |(row, details)| ExecutionView::of(row, details))))
}

/// One execution with its steps
#[utoipa::path(tag = "executions", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = ExecutionView), (status = 404, body = Error)))]
#[get("/api/v1/executions/{id}")]
pub async fn show(engine: web::Data<Engine>, id: web::Path<String>, person: Person) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let view = engine.store.read(move |db| ExecutionView::load(db, id)).await?;
    Ok(HttpResponse::Ok().json(view))
}

/// The steps of an execution, in the order of their run
#[utoipa::path(tag = "executions", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = List<StepView>), (status = 404, body = Error)))]
#[get("/api/v1/executions/{id}/steps")]
pub async fn list_steps(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let steps = engine.store.read(move |db| StepView::load(db, id)).await?;
    Ok(HttpResponse::Ok().json(List::all(steps)))
}

/// What every attempt of an execution printed
#[utoipa::path(tag = "executions", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = List<OutputView>), (status = 404, body = Error)))]
#[get("/api/v1/executions/{id}/output")]
pub async fn output(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let views = engine.store.read(move |db| outputs(db, id)).await?;
    Ok(HttpResponse::Ok().json(List::all(views)))
}

fn outputs(db: &mut Db, id: ExecutionId) -> Result<Vec<OutputView>, StoreError> {
    let steps: BTreeMap<StepRunId, StepRow> =
        steps::of_execution(db, id)?.into_iter().map(|step| (step.id, step)).collect();
    let attempts: BTreeMap<AttemptId, _> =
        attempts::of_execution(db, id)?.into_iter().map(|attempt| (attempt.id, attempt)).collect();
    let rows = attempts::outputs_of(db, id)?;
    let views = rows.iter().filter_map(|row| {
        let attempt = attempts.get(&row.attempt_id)?;
        let step = steps.get(&attempt.step_run_id)?;
        Some(OutputView {
            step_order: step.step_order,
            phase: step.phase,
            name: step.name.clone(),
            attempt: attempt.number,
            stream: row.stream,
            text: Printed::stored(row).text(),
            total_bytes: row.total_bytes,
            truncated: row.truncated,
            sha256: row.sha256.clone(),
        })
    });
    Ok(views.collect())
}
