//! What waits for a person's yes: single executions, and batches that are answered as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::acts::{Approval, Rejection};
use super::query::ApprovalQuery;
use super::{Asked, Error, List, batch_id, execution_id, seen};
use crate::clock::Timestamp;
use crate::engine::record::{self, Loaded};
use crate::engine::{Engine, Policy, acts, gating};
use crate::execution::Status;
use crate::id::{BatchId, ExecutionId};
use crate::rights::Act;
use crate::runbook::model::Risk;
use crate::runbook::plan::{PlannedAction, Text};
use crate::store::batches::{self, BatchRow};
use crate::store::executions::{self, ExecutionFilter};
use crate::store::{BatchState, Db, Page, StoreError};
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
    /// How dangerous the runbook's author holds it to be; null if the runbook is gone.
    pub risk: Option<Risk>,
    /// What the runbook's author says to whoever is asked.
    pub message: Option<String>,
    /// So many different people have to say yes.
    pub min_approvals: usize,
    /// Who has said yes while more have to.
    pub agreed_by: Vec<String>,
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
    /// Secrets masked.
    #[schema(value_type = Object)]
    pub parameters: Value,
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
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<ApprovalQuery>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let page: Page<ExecutionId> = page(query.limit, query.cursor.as_deref())?;
    let asked = Question { policy: engine.policy(), person, now: engine.clock.now() };
    let answer = engine.store.read(move |db| waiting(db, &asked, page)).await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// One request with its plans
#[utoipa::path(tag = "approvals", params(("id" = String, Path, description = "id of an execution or a batch, or the beginning of one")),
    responses((status = 200, body = ApprovalView), (status = 404, body = Error)))]
#[get("/api/v1/approvals/{id}")]
pub async fn show(engine: web::Data<Engine>, id: web::Path<String>, person: Person) -> Result<HttpResponse, ApiError> {
    let named = named(&engine, &person, &id).await?;
    view(&engine, person, named).await
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
    let named = named(&engine, &person, &id).await?;
    match named {
        Named::Execution(id) => drop(acts::approve(&engine, id, &person, body.plan_hash, body.reason).await?),
        Named::Batch(id) => drop(acts::approve_batch(&engine, id, &person, body.plan_hash, body.reason).await?),
    }
    view(&engine, person, named).await
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
    let named = named(&engine, &person, &id).await?;
    match named {
        Named::Execution(id) => drop(acts::reject(&engine, id, &person, body.reason).await?),
        Named::Batch(id) => drop(acts::reject_batch(&engine, id, &person, body.reason).await?),
    }
    view(&engine, person, named).await
}

/// What an id of a request names.
#[derive(Clone, Copy, Debug)]
enum Named {
    Execution(ExecutionId),
    Batch(BatchId),
}

async fn named(engine: &Engine, person: &Person, text: &str) -> Result<Named, ApiError> {
    match batch_id(engine, text).await {
        Ok(id) => Ok(Named::Batch(id)),
        Err(error) if error.status == actix_web::http::StatusCode::NOT_FOUND => {
            execution_id(engine, person, text).await.map(Named::Execution)
        }
        Err(error) => Err(error),
    }
}

/// What a request is looked at with.
struct Question {
    policy: Arc<Policy>,
    person: Person,
    now: Timestamp,
}

async fn view(engine: &Engine, person: Person, named: Named) -> Result<HttpResponse, ApiError> {
    let asked = Question { policy: engine.policy(), person, now: engine.clock.now() };
    let view = engine.store.read(move |db| match named {
        Named::Execution(id) => {
            let loaded = record::load(db, id)?;
            of_execution(db, &asked, loaded)
        }
        Named::Batch(id) => {
            let batch = batches::get(db, id)?;
            if is_there(&asked, &batch) { of_batch(db, &asked, batch) } else { Err(StoreError::NotFound) }
        }
    });
    Ok(HttpResponse::Ok().json(view.await?))
}

/// A batch is of one runbook in one group.
fn is_there(asked: &Question, batch: &BatchRow) -> bool {
    let group = Some(batch.server_group.as_str()).filter(|group| !group.is_empty());
    asked.person.may(Act::View, &batch.runbook, group)
}

/// Batches that wait stand on the first page; members of a batch are not listed again.
fn waiting(db: &mut Db, asked: &Question, page: Page<ExecutionId>) -> Result<List<ApprovalView>, StoreError> {
    let mut items = Vec::new();
    let open =
        batches::list(db, &[BatchState::Open, BatchState::Closed], Page { limit: page.limit, before: None })?.rows;
    let mut listed: BTreeSet<ExecutionId> = BTreeSet::new();
    for batch in open.into_iter().filter(|batch| is_there(asked, batch)) {
        let view = of_batch(db, asked, batch)?;
        let waits = view.members.iter().any(|member| member.status == Status::Pending);
        listed.extend(view.members.iter().map(|member| member.execution_id));
        if waits && page.before.is_none() {
            items.push(view);
        }
    }
    let filter = ExecutionFilter { statuses: vec![Status::Pending], ..ExecutionFilter::default() };
    let load = |page| executions::list(db, &filter, page);
    let found =
        seen::page(&asked.person, page, load, |(row, _)| seen::execution(&asked.person, row), |(row, _)| row.id)?;
    for (row, _) in found.rows {
        if !listed.contains(&row.id) {
            let loaded = record::load(db, row.id)?;
            items.push(of_execution(db, asked, loaded)?);
        }
    }
    Ok(List { items, next_cursor: found.next.map(|id| id.to_string()) })
}

fn of_execution(db: &mut Db, asked: &Question, loaded: Loaded) -> Result<ApprovalView, StoreError> {
    let told = gating::why_asked(db, &asked.policy, &loaded, asked.now)?;
    let min_approvals = acts::needed(&asked.policy, &loaded);
    let Loaded { row, details, state, .. } = &loaded;
    let word = Word::of(&asked.policy, &row.runbook);
    Ok(ApprovalView {
        id: row.id.0,
        kind: "execution".to_owned(),
        state: row.status.as_str().to_owned(),
        servers: vec![row.server.clone()],
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        min_approvals,
        agreed_by: state.agreed.clone(),
        decided_by: row.approved_by.clone().or_else(|| details.rejected_by.clone()),
        plan_hash: details.plan_hash.clone(),
        members: vec![member(&loaded)],
        reasons: told.into_iter().map(|gate| gate.message).collect(),
        roles: word.roles,
        risk: word.risk,
        message: word.message,
        runbook: row.runbook.clone(),
    })
}

fn of_batch(db: &mut Db, asked: &Question, batch: BatchRow) -> Result<ApprovalView, StoreError> {
    let mut members = Vec::new();
    let mut told = BTreeSet::new();
    let mut agreed: Option<BTreeSet<String>> = None;
    let (mut expires_at, mut min_approvals): (Option<Timestamp>, usize) = (None, 1);
    for entry in &batch.members_json.0 {
        let loaded = record::load(db, entry.execution_id)?;
        told.extend(gating::why_asked(db, &asked.policy, &loaded, asked.now)?.into_iter().map(|gate| gate.message));
        min_approvals = min_approvals.max(acts::needed(&asked.policy, &loaded));
        expires_at = match (expires_at, loaded.row.expires_at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        if loaded.row.status == Status::Pending {
            // Who has said yes to all that waits.
            let of_this: BTreeSet<String> = loaded.state.agreed.iter().cloned().collect();
            agreed = Some(agreed.map_or(of_this.clone(), |agreed| &agreed & &of_this));
        }
        members.push(member(&loaded));
    }
    let word = Word::of(&asked.policy, &batch.runbook);
    let state = match batch.state {
        BatchState::Open | BatchState::Closed => "pending",
        BatchState::Approved | BatchState::Rejected | BatchState::Expired => batch.state.as_str(),
    };
    Ok(ApprovalView {
        id: batch.id.0,
        kind: "batch".to_owned(),
        state: state.to_owned(),
        servers: members.iter().map(|member| member.server.clone()).collect(),
        created_by: "engine".to_owned(),
        created_at: batch.created_at,
        expires_at,
        min_approvals,
        agreed_by: agreed.unwrap_or_default().into_iter().collect(),
        plan_hash: acts::shown_hash(&batch),
        decided_by: batch.decided_by,
        members,
        reasons: told.into_iter().collect(),
        roles: word.roles,
        risk: word.risk,
        message: word.message,
        runbook: batch.runbook,
    })
}

/// What the runbook in force says to whoever is asked.
#[derive(Default)]
struct Word {
    roles: Vec<String>,
    risk: Option<Risk>,
    message: Option<String>,
}

impl Word {
    fn of(policy: &Policy, name: &str) -> Self {
        let Some(active) = policy.runbooks.get(name) else { return Self::default() };
        let approval = &active.runbook.approval;
        Self { roles: approval.roles.clone(), risk: Some(active.runbook.risk), message: approval.message.clone() }
    }
}

fn member(loaded: &Loaded) -> MemberView {
    let Loaded { row, details, plan, .. } = loaded;
    let steps = &plan.steps;
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
        parameters: details.parameters.0.clone(),
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
