//! What people do to one execution.

use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::executions::ExecutionView;
use super::{Error, Reason, execution_id};
use crate::engine::{Engine, acts};
use crate::id::ExecutionId;
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// A yes.
#[derive(Deserialize, ToSchema, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    pub reason: Option<String>,
    /// Hash of the plan that was looked at; another plan is then refused. A batch needs it.
    pub plan_hash: Option<String>,
}

/// A no.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// 1 to 1,000 characters.
    pub reason: String,
}

/// The execution as it is after an act.
async fn after(engine: &Engine, id: ExecutionId) -> Result<HttpResponse, ApiError> {
    let view = engine.store.read(move |db| ExecutionView::load(db, id)).await?;
    Ok(HttpResponse::Ok().json(view))
}

/// Say yes to a pending execution
#[utoipa::path(tag = "executions", params(("id" = String, Path)), request_body = Approval,
    responses((status = 200, body = ExecutionView), (status = 403, body = Error), (status = 404, body = Error), (status = 409, body = Error)))]
#[post("/api/v1/executions/{id}/approve")]
pub async fn approve(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Approval>,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    acts::approve(&engine, id, &person, body.plan_hash, body.reason).await?;
    after(&engine, id).await
}

/// Say no to a pending execution
#[utoipa::path(tag = "executions", params(("id" = String, Path)), request_body = Rejection,
    responses((status = 200, body = ExecutionView), (status = 403, body = Error), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/executions/{id}/reject")]
pub async fn reject(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Rejection>,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    acts::reject(&engine, id, &person, body.reason).await?;
    after(&engine, id).await
}

/// Stop an execution
#[utoipa::path(tag = "executions", params(("id" = String, Path)), request_body = Reason,
    responses((status = 200, body = ExecutionView), (status = 404, body = Error), (status = 409, body = Error)))]
#[post("/api/v1/executions/{id}/cancel")]
pub async fn cancel(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    acts::cancel(&engine, id, &person, body.reason).await?;
    after(&engine, id).await
}

/// Undo what an ended execution did, in a new one
#[utoipa::path(tag = "executions", params(("id" = String, Path)), request_body = Reason,
    responses((status = 202, body = ExecutionView), (status = 404, body = Error), (status = 409, body = Error)))]
#[post("/api/v1/executions/{id}/rollback")]
pub async fn rollback(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let row = acts::roll_back(&engine, id, &person, body.reason).await?;
    accepted(&engine, row.id).await
}

/// Free the server that a stuck or interrupted execution holds
#[utoipa::path(tag = "executions", params(("id" = String, Path)), request_body = Rejection,
    responses((status = 200, body = ExecutionView), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/executions/{id}/release")]
pub async fn release(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Rejection>,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    acts::release(&engine, id, &person, body.reason).await?;
    after(&engine, id).await
}

/// 202 with the new execution and where it is.
pub(super) async fn accepted(engine: &Engine, id: ExecutionId) -> Result<HttpResponse, ApiError> {
    let view = engine.store.read(move |db| ExecutionView::load(db, id)).await?;
    Ok(HttpResponse::Accepted().insert_header(("Location", format!("/api/v1/executions/{id}"))).json(view))
}
