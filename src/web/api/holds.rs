//! Legal holds: what is kept, whatever the retention says.

use actix_web::{HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::WholeList;
use super::{Asked, Error, List, seen};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::people::holds as act;
use crate::id::HoldId;
use crate::store::HoldScope;
use crate::store::holds::{self, HoldRow};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// What a hold keeps reaches further than some runbooks.
const HOLDS: &str = "to say what the retention keeps";

/// A legal hold.
#[derive(Serialize, ToSchema, Debug)]
pub struct HoldView {
    pub id: HoldId,
    pub scope: HoldScope,
    /// An execution's id, a runbook's or a server's name; empty for `all`.
    pub name: String,
    pub reason: String,
    pub created_by: String,
    pub created_at: Timestamp,
    /// Null while it is on.
    pub released_at: Option<Timestamp>,
    pub released_by: Option<String>,
}

impl From<HoldRow> for HoldView {
    fn from(row: HoldRow) -> Self {
        Self {
            id: row.id,
            scope: row.scope,
            name: row.name,
            reason: row.reason,
            created_by: row.created_by,
            created_at: row.created_at,
            released_at: row.released_at,
            released_by: row.released_by,
        }
    }
}

/// What to keep, and why.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct HoldBody {
    pub scope: HoldScope,
    /// An execution's id, a runbook's or a server's name; left out for `all`.
    #[serde(default)]
    pub name: String,
    /// 1 to 1,000 characters.
    pub reason: Option<String>,
}

/// All legal holds, newest first
#[utoipa::path(tag = "audit", params(WholeList), responses((status = 200, body = List<HoldView>), (status = 422, body = Error)))]
#[get("/api/v1/legal-holds")]
pub async fn list(engine: web::Data<Engine>, query: Asked<WholeList>) -> Result<HttpResponse, ApiError> {
    let rows = engine.store.read(holds::list).await?;
    let (rows, next_cursor) = query.cut(rows, |row| row.id.to_string())?;
    Ok(HttpResponse::Ok().json(List { items: rows.into_iter().map(HoldView::from).collect(), next_cursor }))
}

/// Keep records, whatever the retention says
#[utoipa::path(tag = "audit", request_body = HoldBody, responses((status = 201, body = HoldView), (status = 403, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/legal-holds")]
pub async fn create(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<HoldBody>,
) -> Result<HttpResponse, ApiError> {
    seen::unlimited(&person, HOLDS)?;
    let row = act::hold(&engine, body.scope, body.name, body.reason, &person).await?;
    Ok(HttpResponse::Created().json(HoldView::from(row)))
}

/// Let the retention hold again
#[utoipa::path(tag = "audit", params(("id" = String, Path)), responses((status = 200, body = HoldView), (status = 404, body = Error), (status = 409, body = Error)))]
#[delete("/api/v1/legal-holds/{id}")]
pub async fn release(
    engine: web::Data<Engine>,
    id: web::Path<HoldId>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    seen::unlimited(&person, HOLDS)?;
    let row = act::release(&engine, id.into_inner(), &person).await?;
    Ok(HttpResponse::Ok().json(HoldView::from(row)))
}
