//! An execution's record as the documents that auditors know: `audit` and `export`.
//!
//! Field names and status words are those documents' own; what differs from the rest of the API is on purpose.

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Error, execution_id};
use crate::alert::AlertStatus;
use crate::alert::episode::EpisodeState;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::record;
use crate::execution::Phase;
use crate::id::{AuditEventId, EpisodeId, ExecutionId, StepRunId};
use crate::runbook::plan::Plan;
use crate::store::audit::AuditRow;
use crate::store::episodes::EpisodeRow;
use crate::store::steps::{self, StepRow};
use crate::store::{Db, StoreError, alerts, audit, episodes};
use crate::web::auth::Person;
use crate::web::error::ApiError;

/// One event of an execution.
#[derive(Serialize, ToSchema, Debug)]
pub struct AuditEventDocument {
    id: AuditEventId,
    remediation_run_id: Option<ExecutionId>,
    incident_id: Option<EpisodeId>,
    event_type: String,
    created_at: Timestamp,
    lawbook_version: String,
    #[schema(value_type = Object)]
    payload_json: Value,
    /// SHA-256 over RFC 8785 canonical JSON.
    payload_hash: String,
}

impl From<AuditRow> for AuditEventDocument {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            remediation_run_id: row.execution_id,
            incident_id: row.episode_id,
            event_type: row.event_type.as_str().to_owned(),
            created_at: row.created_at,
            lawbook_version: row.policy_version,
            payload_json: row.payload_json.0,
            payload_hash: row.payload_hash,
        }
    }
}

/// All events of an execution.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct AuditDocument {
    run_id: ExecutionId,
    incident_id: Option<EpisodeId>,
    playbook_id: String,
    status: String,
    audit_events: Vec<AuditEventDocument>,
}

/// An execution with its steps, its events, and the incident that it was for.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ExportDocument {
    exported_at: Timestamp,
    run: RunDocument,
    steps: Vec<StepDocument>,
    audit_events: Vec<AuditEventDocument>,
    /// Null for a run that no alert asked for.
    incident_ref: Option<IncidentDocument>,
}

/// The execution itself.
#[derive(Serialize, ToSchema, Debug)]
pub struct RunDocument {
    id: ExecutionId,
    run_key: String,
    incident_id: Option<EpisodeId>,
    playbook_id: String,
    playbook_version: String,
    status: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    lawbook_version: String,
    inputs_hash: String,
}

/// One step or undo.
#[derive(Serialize, ToSchema, Debug)]
pub struct StepDocument {
    id: StepRunId,
    step_id: String,
    action_type: Option<String>,
    phase: Phase,
    status: String,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

/// The episode.
#[derive(Serialize, ToSchema, Debug)]
pub struct IncidentDocument {
    id: EpisodeId,
    incident_key: String,
    severity: String,
    status: String,
    title: String,
}

/// All events of an execution, as the audit document
#[utoipa::path(tag = "executions", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = AuditDocument), (status = 404, body = Error)))]
#[get("/api/v1/executions/{id}/audit")]
pub async fn audit_document(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let document = engine
        .store
        .read(move |db| {
            let loaded = record::load(db, id)?;
            Ok(AuditDocument {
                run_id: id,
                incident_id: loaded.row.episode_id,
                status: loaded.row.status.exported(loaded.row.started_at.is_some()).to_owned(),
                playbook_id: loaded.row.runbook,
                audit_events: events(db, id)?,
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(document))
}

/// An execution's whole record, as the export document
#[utoipa::path(tag = "executions", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = ExportDocument), (status = 404, body = Error)))]
#[get("/api/v1/executions/{id}/export")]
pub async fn export(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let now = engine.clock.now();
    let document = engine.store.read(move |db| document(db, id, now)).await?;
    Ok(HttpResponse::Ok().json(document))
}

fn events(db: &mut Db, id: ExecutionId) -> Result<Vec<AuditEventDocument>, StoreError> {
    Ok(audit::of_execution(db, id)?.into_iter().map(AuditEventDocument::from).collect())
}

fn document(db: &mut Db, id: ExecutionId, now: Timestamp) -> Result<ExportDocument, StoreError> {
    let loaded = record::load(db, id)?;
    let audit_events = events(db, id)?;
    let steps = steps::of_execution(db, id)?.iter().map(|row| step(row, &loaded.plan)).collect();
    let incident_ref = match loaded.row.episode_id {
        Some(episode) => {
            let episode = episodes::get(db, episode)?;
            Some(incident(db, &episode)?)
        }
        None => None,
    };
    let (row, details) = (loaded.row, loaded.details);
    let run = RunDocument {
        id,
        run_key: details.run_key,
        incident_id: row.episode_id,
        status: row.status.exported(row.started_at.is_some()).to_owned(),
        playbook_id: row.runbook,
        playbook_version: row.runbook_version.to_string(),
        created_at: row.created_at,
        updated_at: audit_events.last().map_or(row.created_at, |event| event.created_at),
        lawbook_version: row.policy_version,
        inputs_hash: details.inputs_hash,
    };
    Ok(ExportDocument { exported_at: now, run, steps, audit_events, incident_ref })
}

fn step(row: &StepRow, plan: &Plan) -> StepDocument {
    let planned = plan.steps.iter().find(|step| step.id == row.step_id);
    let action = match row.phase {
        Phase::Main => planned.map(|step| &step.action),
        Phase::Rollback => planned.and_then(|step| step.undo.as_ref()).map(|undo| &undo.action),
        Phase::Verify | Phase::Finally => None,
    };
    StepDocument {
        id: row.id,
        step_id: row.step_id.clone(),
        action_type: action.map(|action| action.exported().to_owned()),
        phase: row.phase,
        status: row.status.exported().to_owned(),
        started_at: row.started_at,
        finished_at: row.completed_at,
    }
}

fn incident(db: &mut Db, episode: &EpisodeRow) -> Result<IncidentDocument, StoreError> {
    let alert = match episode.alert_id {
        Some(alert) => Some(alerts::get(db, alert)?),
        None => None,
    };
    let summary = alert.and_then(|alert| alert.annotations_json.0.get("summary").cloned());
    let status = match episode.state {
        EpisodeState::Open => AlertStatus::Firing,
        EpisodeState::Resolved | EpisodeState::Superseded => AlertStatus::Resolved,
    };
    Ok(IncidentDocument {
        id: episode.id,
        incident_key: format!("{}:{}:{}", episode.source, episode.fingerprint, episode.number),
        severity: episode.severity.clone(),
        status: status.as_str().to_uppercase(),
        title: summary.filter(|text| !text.is_empty()).unwrap_or_else(|| episode.alert_name.clone()),
    })
}
