//! What waits for a person's yes: single executions, and batches that are answered as one.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::acts::{Approval, Rejection};
use super::query::ApprovalQuery;
use super::{Asked, Error, List, batch_id, execution_id};
use crate::clock::Timestamp;
use crate::engine::{Engine, Policy, acts};
use crate::execution::Status;
use crate::gate::{GateVerdict, Verdict};
use crate::id::{BatchId, ExecutionId};
use crate::runbook::plan::{Plan, PlannedAction, Text};
use crate::store::batches::{self, BatchRow};
use crate::store::details::DetailsRow;
use crate::store::executions::{self, ExecutionFilter, ExecutionRow};
use crate::store::{BatchState, Db, Page, StoreError, decisions};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;
use crate::web::page::page;

/// One request for a yes. Its id is the execution's, or the batch's.
#[derive(Serialize, ToSchema, Debug)]
pub struct ApprovalView {
    #[schema(value_type = Uuid)]
    pub id: Uuid,
    /// `execution` or `batch`.
    pub kind: String,
    /// `pending`, or what a batch or execution became.
    pub state: String,
    pub runbook: String,
    pub servers: Vec<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    /// The earliest of its members'.
    pub expires_at: Option<Timestamp>,
    /// Who may answer.
    pub roles: Vec<String>,
    /// What the gates that ask for it say.
    pub reasons: Vec<String>,
    pub decided_by: Option<String>,
    /// Names exactly what is shown here. A yes to a batch must carry it.
    pub plan_hash: String,
    pub members: Vec<MemberView>,
}

/// One execution of a request, with the plan that is approved.
#[derive(Serialize, ToSchema, Debug)]
pub struct MemberView {
    pub execution_id: ExecutionId,
    pub server: String,
    #[schema(value_type = String)]
    pub status: Status,
    pub plan_hash: String,
    pub steps: Vec<PlannedView>,
}

/// One step of a plan, rendered as far as it is known.
#[derive(Serialize, ToSchema, Debug)]
pub struct PlannedView {
    pub step_order: u32,
    pub name: String,
    pub action: String,
    pub undo: Option<String>,
}

/// What waits for a yes: batches first, then single executions, newest first
#[utoipa::path(tag = "approvals", params(ApprovalQuery), responses((status = 200, body = List<ApprovalView>), (status = 422, body = Error)))]
#[get("/api/v1/approvals")]
pub async fn list(engine: web::Data<Engine>, query: Asked<ApprovalQuery>) -> Result<HttpResponse, ApiError> {
    let page: Page<ExecutionId> = page(query.limit, query.cursor.as_deref())?;
    let policy = engine.policy();
    let answer = engine.store.read(move |db| waiting(db, &policy, page)).await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// One request with its plans
#[utoipa::path(tag = "approvals", params(("id" = String, Path, description = "id of an execution or a batch, or the beginning of one")),
    responses((status = 200, body = ApprovalView), (status = 404, body = Error)))]
#[get("/api/v1/approvals/{id}")]
pub async fn show(engine: web::Data<Engine>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let named = named(&engine, &id).await?;
    view(&engine, named).await
}

/// Say yes to an execution, or to all members of a batch
#[utoipa::path(tag = "approvals", params(("id" = String, Path)), request_body = Approval,
    responses((status = 200, body = ApprovalView), (status = 403, body = Error), (status = 404, body = Error), (status = 409, body = Error)))]
#[post("/api/v1/approvals/{id}/approve")]
pub async fn approve(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Approval>,
) -> Result<HttpResponse, ApiError> {
    let named = named(&engine, &id).await?;
    match named {
        Named::Execution(id) => drop(acts::approve(&engine, id, &person, body.plan_hash, body.reason).await?),
        Named::Batch(id) => drop(acts::approve_batch(&engine, id, &person, body.plan_hash, body.reason).await?),
    }
    view(&engine, named).await
}

/// Say no to an execution, or to all members of a batch
#[utoipa::path(tag = "approvals", params(("id" = String, Path)), request_body = Rejection,
    responses((status = 200, body = ApprovalView), (status = 403, body = Error), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/approvals/{id}/reject")]
pub async fn reject(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Rejection>,
) -> Result<HttpResponse, ApiError> {
    let named = named(&engine, &id).await?;
    match named {
        Named::Execution(id) => drop(acts::reject(&engine, id, &person, body.reason).await?),
        Named::Batch(id) => drop(acts::reject_batch(&engine, id, &person, body.reason).await?),
    }
    view(&engine, named).await
}

/// What an id of a request names.
#[derive(Clone, Copy, Debug)]
enum Named {
    Execution(ExecutionId),
    Batch(BatchId),
}

async fn named(engine: &Engine, text: &str) -> Result<Named, ApiError> {
    match batch_id(engine, text).await {
        Ok(id) => Ok(Named::Batch(id)),
        Err(error) if error.status == actix_web::http::StatusCode::NOT_FOUND => {
            execution_id(engine, text).await.map(Named::Execution)
        }
        Err(error) => Err(error),
    }
}

async fn view(engine: &Engine, named: Named) -> Result<HttpResponse, ApiError> {
    let policy = engine.policy();
    let view = engine
        .store
        .read(move |db| match named {
            Named::Execution(id) => {
                let (row, details) = executions::get_whole(db, id)?;
                of_execution(db, &policy, row, &details)
            }
            Named::Batch(id) => {
                let batch = batches::get(db, id)?;
                of_batch(db, &policy, batch)
            }
        })
        .await?;
    Ok(HttpResponse::Ok().json(view))
}

/// Batches that wait stand on the first page; members of a batch are not listed again.
fn waiting(db: &mut Db, policy: &Policy, page: Page<ExecutionId>) -> Result<List<ApprovalView>, StoreError> {
    let mut items = Vec::new();
    let open =
        batches::list(db, &[BatchState::Open, BatchState::Closed], Page { limit: page.limit, before: None })?.rows;
    let mut listed: BTreeSet<ExecutionId> = BTreeSet::new();
    for batch in open {
        let view = of_batch(db, policy, batch)?;
        let waits = view.members.iter().any(|member| member.status == Status::Pending);
        listed.extend(view.members.iter().map(|member| member.execution_id));
        if waits && page.before.is_none() {
            items.push(view);
        }
    }
    let filter = ExecutionFilter { statuses: vec![Status::Pending], ..ExecutionFilter::default() };
    let found = executions::list(db, &filter, page)?;
    for (row, details) in found.rows {
        if !listed.contains(&row.id) {
            items.push(of_execution(db, policy, row, &details)?);
        }
    }
    Ok(List { items, next_cursor: found.next.map(|id| id.to_string()) })
}

fn of_execution(
    db: &mut Db,
    policy: &Policy,
    row: ExecutionRow,
    details: &DetailsRow,
) -> Result<ApprovalView, StoreError> {
    let reasons = reasons(db, &row)?;
    Ok(ApprovalView {
        id: row.id.0,
        kind: "execution".to_owned(),
        state: row.status.as_str().to_owned(),
        roles: roles(policy, &row.runbook),
        servers: vec![row.server.clone()],
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        reasons,
        decided_by: row.approved_by.clone().or_else(|| details.rejected_by.clone()),
        plan_hash: details.plan_hash.clone(),
        members: vec![member(&row, details)],
        runbook: row.runbook,
    })
}

fn of_batch(db: &mut Db, policy: &Policy, batch: BatchRow) -> Result<ApprovalView, StoreError> {
    let mut members = Vec::new();
    let mut told = BTreeSet::new();
    let mut expires_at: Option<Timestamp> = None;
    for entry in &batch.members_json.0 {
        let (row, details) = executions::get_whole(db, entry.execution_id)?;
        told.extend(reasons(db, &row)?);
        expires_at = match (expires_at, row.expires_at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        members.push(member(&row, &details));
    }
    let state = match batch.state {
        BatchState::Open | BatchState::Closed => "pending",
        BatchState::Approved | BatchState::Rejected | BatchState::Expired => batch.state.as_str(),
    };
    Ok(ApprovalView {
        id: batch.id.0,
        kind: "batch".to_owned(),
        state: state.to_owned(),
        roles: roles(policy, &batch.runbook),
        servers: members.iter().map(|member| member.server.clone()).collect(),
        created_by: "engine".to_owned(),
        created_at: batch.created_at,
        expires_at,
        reasons: told.into_iter().collect(),
        plan_hash: acts::shown_hash(&batch),
        decided_by: batch.decided_by,
        members,
        runbook: batch.runbook,
    })
}

fn roles(policy: &Policy, runbook: &str) -> Vec<String> {
    policy.runbooks.get(runbook).map(|active| active.runbook.approval.roles.clone()).unwrap_or_default()
}

/// The messages of the gates that asked for a yes.
fn reasons(db: &mut Db, row: &ExecutionRow) -> Result<Vec<String>, StoreError> {
    let Some(decision) = row.decision_id else { return Ok(Vec::new()) };
    let gates: Value = decisions::get(db, decision)?.gates_json.0;
    let gates: Vec<GateVerdict> = serde_json::from_value(gates).unwrap_or_default();
    Ok(gates.into_iter().filter(|gate| gate.verdict == Verdict::Approve).map(|gate| gate.message).collect())
}

fn member(row: &ExecutionRow, details: &DetailsRow) -> MemberView {
    let plan: Option<Plan> = serde_json::from_value(details.plan_json.0.clone()).ok();
    let steps = plan.map(|plan| plan.steps).unwrap_or_default();
    let shown = steps.iter().map(|step| PlannedView {
        step_order: step.order,
        name: step.name.clone(),
        action: action(&step.action),
        undo: step.undo.as_ref().map(|undo| action(&undo.action)),
    });
    MemberView {
        execution_id: row.id,
        server: row.server.clone(),
        status: row.status,
        plan_hash: details.plan_hash.clone(),
        steps: shown.collect(),
    }
}

fn action(action: &PlannedAction) -> String {
    let text = |text: &Text| match text {
        Text::Known(text) | Text::Hole(text) => text.clone(),
    };
    match action {
        PlannedAction::Command(command) => text(command),
        PlannedAction::Argv(words) => words.iter().map(text).collect::<Vec<_>>().join(" "),
        PlannedAction::Script { text: script, .. } => text(script),
    }
}
