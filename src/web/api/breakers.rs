//! Circuit breakers, and a person's word on them.

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Error, List, Reason, WholeList, seen};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::people::breakers::{self as act, BreakerAct};
use crate::rights::Act;
use crate::store::CircuitState;
use crate::store::breakers::{self, BreakerRow};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// A runbook's breaker.
#[derive(Serialize, ToSchema, Debug)]
pub struct BreakerView {
    pub runbook: String,
    /// As it was when it last changed; an open one half-opens when its time is over.
    pub state: CircuitState,
    /// Consecutive failures.
    pub failure_count: i32,
    /// Successes since it is half-open.
    pub success_count: i32,
    pub last_failure_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub half_open_at: Option<Timestamp>,
    /// Null for one that never changed.
    pub changed_at: Option<Timestamp>,
    pub changed_by: String,
    pub reason: Option<String>,
    /// A person opened it: time does not half-open it.
    pub forced_open: bool,
}

impl From<BreakerRow> for BreakerView {
    fn from(row: BreakerRow) -> Self {
        Self {
            runbook: row.runbook,
            state: row.state,
            failure_count: row.failure_count,
            success_count: row.success_count,
            last_failure_at: row.last_failure_at,
            opened_at: row.opened_at,
            half_open_at: row.half_open_at,
            changed_at: Some(row.changed_at),
            changed_by: row.changed_by,
            reason: row.reason,
            forced_open: row.forced_open,
        }
    }
}

impl BreakerView {
    /// The breaker of a runbook of which there is no row: nothing ever moved it.
    fn never_moved(runbook: &str, now: Timestamp) -> Self {
        Self { changed_at: None, ..BreakerRow::closed(runbook, now).into() }
    }
}

/// Breakers of every runbook in force, by runbook
#[utoipa::path(tag = "breakers", params(WholeList), responses((status = 200, body = List<BreakerView>)))]
#[get("/api/v1/breakers")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<WholeList>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let rows = engine.store.read(breakers::list).await?;
    let (policy, now) = (engine.policy(), engine.clock.now());
    let mut views: Vec<BreakerView> = rows.into_iter().map(BreakerView::from).collect();
    for name in policy.runbooks.keys() {
        if !views.iter().any(|view| view.runbook == *name) {
            views.push(BreakerView::never_moved(name, now));
        }
    }
    views.retain(|view| seen::runbook(&person, &view.runbook));
    views.sort_by(|a, b| a.runbook.cmp(&b.runbook));
    let (items, next_cursor) = query.cut(views, |view| view.runbook.clone())?;
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// The breaker of one runbook
#[utoipa::path(tag = "breakers", params(("runbook" = String, Path)), responses((status = 200, body = BreakerView), (status = 404, body = Error)))]
#[get("/api/v1/breakers/{runbook}")]
pub async fn show(
    engine: web::Data<Engine>,
    runbook: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    seen::permitted(&person, Act::View, &runbook)?;
    let name = runbook.clone();
    let view = match engine.store.read(move |db| breakers::get(db, &name)).await? {
        Some(row) => BreakerView::from(row),
        None if engine.policy().runbooks.contains_key(runbook.as_str()) => {
            BreakerView::never_moved(&runbook, engine.clock.now())
        }
        None => return Err(ApiError::not_found(format!("runbook `{runbook}`"))),
    };
    Ok(HttpResponse::Ok().json(view))
}

/// Refuse this runbook until a person closes its breaker
#[utoipa::path(tag = "breakers", params(("runbook" = String, Path)), request_body = Reason,
    responses((status = 200, body = BreakerView), (status = 404, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/breakers/{runbook}/open")]
pub async fn open(
    engine: web::Data<Engine>,
    runbook: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    changed(&engine, runbook.into_inner(), BreakerAct::Open, body, &person).await
}

/// Let this runbook run again
#[utoipa::path(tag = "breakers", params(("runbook" = String, Path)), request_body = Reason,
    responses((status = 200, body = BreakerView), (status = 404, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/breakers/{runbook}/close")]
pub async fn close(
    engine: web::Data<Engine>,
    runbook: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    changed(&engine, runbook.into_inner(), BreakerAct::Close, body, &person).await
}

/// Let this runbook run again, and forget its failures
#[utoipa::path(tag = "breakers", params(("runbook" = String, Path)), request_body = Reason,
    responses((status = 200, body = BreakerView), (status = 404, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/breakers/{runbook}/reset")]
pub async fn reset(
    engine: web::Data<Engine>,
    runbook: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    changed(&engine, runbook.into_inner(), BreakerAct::Reset, body, &person).await
}

async fn changed(
    engine: &Engine,
    runbook: String,
    what: BreakerAct,
    body: Reason,
    person: &Person,
) -> Result<HttpResponse, ApiError> {
    let row = act::act(engine, runbook, what, body.reason, person).await?;
    Ok(HttpResponse::Ok().json(BreakerView::from(row)))
}
