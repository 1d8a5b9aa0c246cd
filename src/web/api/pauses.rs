//! The kill switch.

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Asked, Error, List, WholeList, seen};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::people::pauses::{self as act, Scope};
use crate::id::PauseId;
use crate::rights::Act;
use crate::store::PauseScope;
use crate::store::pauses::{self, PauseRow};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// One use of the kill switch.
#[derive(Serialize, ToSchema, Debug)]
pub struct PauseView {
    pub id: PauseId,
    pub scope: PauseScope,
    /// Empty when the scope is `global`.
    pub name: String,
    pub reason: String,
    pub created_by: String,
    pub created_at: Timestamp,
    /// It ends by itself then.
    pub until: Option<Timestamp>,
    pub resumed_at: Option<Timestamp>,
    pub resumed_by: Option<String>,
}

impl From<PauseRow> for PauseView {
    fn from(row: PauseRow) -> Self {
        Self {
            id: row.id,
            scope: row.scope,
            name: row.name,
            reason: row.reason,
            created_by: row.created_by,
            created_at: row.created_at,
            until: row.until,
            resumed_at: row.resumed_at,
            resumed_by: row.resumed_by,
        }
    }
}

/// What to pause: everything, or one runbook, group or server.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    pub runbook: Option<String>,
    pub group: Option<String>,
    pub server: Option<String>,
    /// Resumes by itself then.
    pub until: Option<Timestamp>,
    /// 1 to 1,000 characters.
    pub reason: Option<String>,
}

/// What to resume: exactly what was paused.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    pub runbook: Option<String>,
    pub group: Option<String>,
    pub server: Option<String>,
}

/// Pauses that are on, oldest first
#[utoipa::path(tag = "pauses", params(WholeList), responses((status = 200, body = List<PauseView>)))]
#[get("/api/v1/pauses")]
pub async fn list(engine: web::Data<Engine>, query: Asked<WholeList>) -> Result<HttpResponse, ApiError> {
    let now = engine.clock.now();
    let rows = engine.store.read(move |db| pauses::active(db, now)).await?;
    let (rows, next_cursor) = query.cut(rows, |row| row.id.to_string())?;
    let items: Vec<PauseView> = rows.into_iter().map(PauseView::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// Nothing starts from now on
#[utoipa::path(tag = "pauses", request_body = PauseBody, responses((status = 201, body = PauseView), (status = 422, body = Error)))]
#[post("/api/v1/pause")]
pub async fn pause(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<PauseBody>,
) -> Result<HttpResponse, ApiError> {
    let scope = scope(body.runbook, body.group, body.server)?;
    let row = act::pause(&engine, scope, body.until, body.reason, &person).await?;
    Ok(HttpResponse::Created().json(PauseView::from(row)))
}

/// Let go on what a pause of exactly this scope holds
#[utoipa::path(tag = "pauses", request_body = ResumeBody, responses((status = 200, body = List<PauseView>), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/resume")]
pub async fn resume(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<ResumeBody>,
) -> Result<HttpResponse, ApiError> {
    let scope = scope(body.runbook, body.group, body.server)?;
    // Stopping is easy; letting go on is not for who may start only some of it.
    match scope.scope {
        PauseScope::Runbook => seen::permitted(&person, Act::Execute, &scope.name)?,
        PauseScope::Global | PauseScope::Group | PauseScope::Server => {
            seen::unlimited(&person, "to resume more than a runbook")?;
        }
    }
    let rows = act::resume(&engine, scope, &person).await?;
    Ok(HttpResponse::Ok().json(List::all(rows.into_iter().map(PauseView::from).collect())))
}

fn scope(runbook: Option<String>, group: Option<String>, server: Option<String>) -> Result<Scope, ApiError> {
    match (runbook, group, server) {
        (None, None, None) => Ok(Scope { scope: PauseScope::Global, name: String::new() }),
        (Some(name), None, None) => Ok(Scope { scope: PauseScope::Runbook, name }),
        (None, Some(name), None) => Ok(Scope { scope: PauseScope::Group, name }),
        (None, None, Some(name)) => Ok(Scope { scope: PauseScope::Server, name }),
        _ => Err(ApiError::invalid("invalid_body", "name one of `runbook`, `group` and `server`, or none of them")),
    }
}
