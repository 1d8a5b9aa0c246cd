//! The audit log.

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::AuditQuery;
use super::{Asked, Error, List};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::id::{AuditEventId, EpisodeId, ExecutionId};
use crate::store::audit::{self, AuditFilter, AuditRow};
use crate::web::error::ApiError;
use crate::web::page::page;

/// What a run did, or a person.
#[derive(Serialize, ToSchema, Debug)]
pub struct AuditView {
    /// The order of the log.
    pub seq: i64,
    pub id: AuditEventId,
    pub event_type: String,
    pub actor: String,
    pub resource_type: String,
    pub resource_id: String,
    pub execution_id: Option<ExecutionId>,
    pub episode_id: Option<EpisodeId>,
    pub ip_address: Option<String>,
    pub created_at: Timestamp,
    pub policy_version: String,
    #[schema(value_type = Object)]
    pub payload: Value,
    /// SHA-256 over RFC 8785 canonical JSON.
    pub payload_hash: String,
    /// Of the event's own MAC; null where the log is not chained.
    pub algorithm: Option<String>,
    pub key_id: Option<String>,
    pub mac: Option<String>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            seq: row.seq,
            id: row.id,
            event_type: row.event_type.as_str().to_owned(),
            actor: row.actor,
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            execution_id: row.execution_id,
            episode_id: row.episode_id,
            ip_address: row.ip_address,
            created_at: row.created_at,
            policy_version: row.policy_version,
            payload: row.payload_json.0,
            payload_hash: row.payload_hash,
            algorithm: row.algorithm,
            key_id: row.key_id,
            mac: row.mac,
        }
    }
}

/// Audit events, newest first
#[utoipa::path(tag = "audit", params(AuditQuery), responses((status = 200, body = List<AuditView>), (status = 422, body = Error)))]
#[get("/api/v1/audit")]
pub async fn list(engine: web::Data<Engine>, query: Asked<AuditQuery>) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = AuditFilter {
        kind: query.event_type,
        actor: query.actor,
        resource_type: query.resource_type,
        resource_id: query.resource_id,
        execution: query.execution,
        episode: query.episode,
        since: query.since,
        until: query.until,
    };
    let found = engine.store.read(move |db| audit::list(db, &filter, page)).await?;
    Ok(HttpResponse::Ok().json(List::of(found, AuditView::from)))
}
