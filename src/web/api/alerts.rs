//! Alerts as they came in, and what was decided about them.

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::decisions::DecisionView;
use super::query::{AlertQuery, EpisodeQuery};
use super::{Asked, Error, List, alert_id, seen};
use crate::alert::episode::EpisodeState;
use crate::alert::{AlertStatus, Labels};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::id::{AlertId, DeliveryId, EpisodeId};
use crate::store::alerts::{self, AlertFilter, AlertRow};
use crate::store::decisions;
use crate::store::episodes::{self, EpisodeRow};
use crate::web::auth::Person;
use crate::web::error::ApiError;
use crate::web::page::page;

/// One label set with a status, as one delivery told it.
#[derive(Serialize, ToSchema, Debug)]
pub struct AlertView {
    pub id: AlertId,
    pub source: String,
    pub delivery_id: DeliveryId,
    pub fingerprint: String,
    pub alert_name: String,
    pub severity: String,
    pub instance: String,
    pub job: String,
    pub status: AlertStatus,
    pub starts_at: Timestamp,
    /// Null while it fires.
    pub ends_at: Option<Timestamp>,
    pub received_at: Timestamp,
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub labels: Labels,
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub annotations: Labels,
    /// An annotation was longer than is kept.
    pub annotations_cut: bool,
    pub generator_url: String,
    pub episode_id: EpisodeId,
    /// What it meant for its episode: new, same, late, resolved, reopened.
    pub episode_relation: String,
    pub matched_trigger: Option<String>,
    pub action_taken: Option<String>,
}

impl From<AlertRow> for AlertView {
    fn from(row: AlertRow) -> Self {
        Self {
            id: row.id,
            source: row.source,
            delivery_id: row.delivery_id,
            fingerprint: row.fingerprint,
            alert_name: row.alert_name,
            severity: row.severity,
            instance: row.instance,
            job: row.job,
            status: row.status,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            received_at: row.received_at,
            labels: row.labels_json.0,
            annotations: row.annotations_json.0,
            annotations_cut: row.annotations_cut,
            generator_url: row.generator_url,
            episode_id: row.episode_id,
            episode_relation: row.episode_relation.as_str().to_owned(),
            matched_trigger: row.matched_trigger,
            action_taken: row.action_taken,
        }
    }
}

/// One incident of one alert.
#[derive(Serialize, ToSchema, Debug)]
pub struct EpisodeView {
    pub id: EpisodeId,
    pub source: String,
    pub fingerprint: String,
    /// Counts from 1 per source and fingerprint.
    pub number: i32,
    pub state: EpisodeState,
    pub earliest_starts_at: Timestamp,
    pub latest_starts_at: Timestamp,
    pub last_seen_firing: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// It fired again long after its end: perhaps the end was false.
    pub suspect: bool,
    pub alert_id: Option<AlertId>,
    pub alert_name: String,
    pub severity: String,
    pub instance: String,
    pub created_at: Timestamp,
}

impl From<EpisodeRow> for EpisodeView {
    fn from(row: EpisodeRow) -> Self {
        Self {
            id: row.id,
            source: row.source,
            fingerprint: row.fingerprint,
            number: row.number,
            state: row.state,
            earliest_starts_at: row.earliest_starts_at,
            latest_starts_at: row.latest_starts_at,
            last_seen_firing: row.last_seen_firing,
            ended_at: row.ended_at,
            suspect: row.suspect,
            alert_id: row.alert_id,
            alert_name: row.alert_name,
            severity: row.severity,
            instance: row.instance,
            created_at: row.created_at,
        }
    }
}

/// An alert with its episode and the body that it came in.
#[derive(Serialize, ToSchema, Debug)]
pub struct AlertDetail {
    #[serde(flatten)]
    pub alert: AlertView,
    pub episode: EpisodeView,
    /// As the sender wrote it.
    pub raw: Value,
    /// What its delivery said about the group.
    pub group: Value,
}

/// Alerts, newest first
#[utoipa::path(tag = "alerts", params(AlertQuery), responses((status = 200, body = List<AlertView>), (status = 422, body = Error)))]
#[get("/api/v1/alerts")]
pub async fn list(engine: web::Data<Engine>, query: Asked<AlertQuery>) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = AlertFilter {
        source: query.source,
        fingerprint: query.fingerprint,
        alert_name: query.name,
        severity: query.severity,
        instance: query.instance,
        status: query.status,
        episode: query.episode,
        delivery: query.delivery,
    };
    let found = engine.store.read(move |db| alerts::list(db, &filter, page)).await?;
    Ok(HttpResponse::Ok().json(List::of(found, AlertView::from)))
}

/// One alert
#[utoipa::path(tag = "alerts", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = AlertDetail), (status = 404, body = Error)))]
#[get("/api/v1/alerts/{id}")]
pub async fn show(engine: web::Data<Engine>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id = alert_id(&engine, &id).await?;
    let (row, episode) = engine
        .store
        .read(move |db| {
            let row = alerts::get(db, id)?;
            let episode = episodes::get(db, row.episode_id)?;
            Ok((row, episode))
        })
        .await?;
    let (raw, group) = (row.raw_alert_json.0.clone(), row.group_json.0.clone());
    Ok(HttpResponse::Ok().json(AlertDetail { alert: row.into(), episode: episode.into(), raw, group }))
}

/// What was decided about an alert's episode, in the order of the triggers
#[utoipa::path(tag = "alerts", params(("id" = String, Path, description = "id, or the beginning of one")),
    responses((status = 200, body = List<DecisionView>), (status = 404, body = Error)))]
#[get("/api/v1/alerts/{id}/decisions")]
pub async fn alert_decisions(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = alert_id(&engine, &id).await?;
    let rows = engine
        .store
        .read(move |db| {
            let alert = alerts::get(db, id)?;
            decisions::of_episode(db, alert.episode_id)
        })
        .await?;
    let rows = rows.into_iter().filter(|row| seen::decision(&person, row));
    Ok(HttpResponse::Ok().json(List::all(rows.map(DecisionView::from).collect())))
}

/// Episodes, newest first
#[utoipa::path(tag = "alerts", params(EpisodeQuery), responses((status = 200, body = List<EpisodeView>), (status = 422, body = Error)))]
#[get("/api/v1/episodes")]
pub async fn list_episodes(engine: web::Data<Engine>, query: Asked<EpisodeQuery>) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let page = page(query.limit, query.cursor.as_deref())?;
    let filter = episodes::EpisodeFilter {
        source: query.source,
        fingerprint: query.fingerprint,
        state: query.state,
        alert_name: query.name,
    };
    let found = engine.store.read(move |db| episodes::list(db, &filter, page)).await?;
    Ok(HttpResponse::Ok().json(List::of(found, EpisodeView::from)))
}

/// One episode
#[utoipa::path(tag = "alerts", params(("id" = EpisodeId, Path)), responses((status = 200, body = EpisodeView), (status = 404, body = Error)))]
#[get("/api/v1/episodes/{id}")]
pub async fn show_episode(engine: web::Data<Engine>, id: web::Path<EpisodeId>) -> Result<HttpResponse, ApiError> {
    let id = id.into_inner();
    let row = engine.store.read(move |db| episodes::get(db, id)).await?;
    Ok(HttpResponse::Ok().json(EpisodeView::from(row)))
}
