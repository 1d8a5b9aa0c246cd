//! Decisions: every gate's answer for an episode and a trigger, and what came of it.

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::DecisionQuery;
use super::{Asked, Error, List, seen};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::id::{AlertId, BatchId, DecisionId, EpisodeId, ExecutionId};
use crate::store::DecisionVerdict;
use crate::store::decisions::{self, DecisionFilter, DecisionRow};
use crate::web::auth::Person;
use crate::web::error::ApiError;
use crate::web::page::page;

/// All gates' answers, and what came of them.
#[derive(Serialize, ToSchema, Debug)]
pub struct DecisionView {
    pub id: DecisionId,
    pub episode_id: EpisodeId,
    pub alert_id: Option<AlertId>,
    /// Null for `no_match`.
    pub runbook: Option<String>,
    pub runbook_version: Option<i32>,
    pub trigger: Option<String>,
    pub server: Option<String>,
    pub verdict: DecisionVerdict,
    /// When the engine asks again; absent while held: when something is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicting_execution_id: Option<ExecutionId>,
    /// `{"gate", "verdict", "until"?, "reason", "message", "evidence"}` of every gate.
    #[schema(value_type = Vec<Object>)]
    pub gates: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    pub policy_version: String,
    pub created_at: Timestamp,
    pub decided_at: Timestamp,
}

impl From<DecisionRow> for DecisionView {
    fn from(row: DecisionRow) -> Self {
        Self {
            id: row.id,
            episode_id: row.episode_id,
            alert_id: row.alert_id,
            runbook: row.runbook,
            runbook_version: row.runbook_version,
            trigger: row.trigger_name,
            server: row.server,
            verdict: row.verdict,
            held_until: row.held_until,
            hold_reason: row.hold_reason,
            skip_reason: row.skip_reason,
            conflicting_execution_id: row.conflicting_execution_id,
            gates: row.gates_json.0,
            execution_id: row.execution_id,
            batch_id: row.batch_id,
            policy_version: row.policy_version,
            created_at: row.created_at,
            decided_at: row.decided_at,
        }
    }
}

/// Decisions, newest first
#[utoipa::path(tag = "decisions", params(DecisionQuery), responses((status = 200, body = List<DecisionView>), (status = 422, body = Error)))]
#[get("/api/v1/decisions")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<DecisionQuery>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = DecisionFilter {
        verdict: query.verdict,
        runbook: query.runbook,
        server: query.server,
        episode: query.episode,
        alert: query.alert,
        skip_reason: query.skip_reason,
    };
    let found = engine.store.read(move |db| {
        let load = |page| decisions::list(db, &filter, page);
        seen::page(&person, page, load, |row| seen::decision(&person, row), |row| row.id)
    });
    let found = found.await?;
    Ok(HttpResponse::Ok().json(List::of(found, DecisionView::from)))
}

/// One decision
#[utoipa::path(tag = "decisions", params(("id" = DecisionId, Path)), responses((status = 200, body = DecisionView), (status = 404, body = Error)))]
#[get("/api/v1/decisions/{id}")]
pub async fn show(
    engine: web::Data<Engine>,
    id: web::Path<DecisionId>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = id.into_inner();
    let row = engine.store.read(move |db| decisions::get(db, id)).await?;
    if !seen::decision(&person, &row) {
        return Err(ApiError::not_found("such thing"));
    }
    Ok(HttpResponse::Ok().json(DecisionView::from(row)))
}
