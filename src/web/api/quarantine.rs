//! Alerts that could not be understood: kept aside with the reason, so that somebody can mend what sends them.

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::QuarantineQuery;
use super::{Asked, Error, List};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::id::{AlertId, DeliveryId};
use crate::store::deliveries;
use crate::web::error::ApiError;
use crate::web::page::page;

/// One element of a webhook's `alerts` that could not be taken.
#[derive(Serialize, ToSchema, Debug)]
pub struct QuarantinedView {
    pub id: AlertId,
    pub source: String,
    pub delivery_id: DeliveryId,
    /// From 0, in the body's `alerts`.
    pub position: i32,
    /// What is wrong with it.
    pub reason: String,
    /// As the sender wrote it.
    #[schema(value_type = Object)]
    pub raw: Value,
    pub received_at: Timestamp,
}

/// Alerts that could not be understood, newest first
#[utoipa::path(tag = "alerts", params(QuarantineQuery), responses((status = 200, body = List<QuarantinedView>), (status = 422, body = Error)))]
#[get("/api/v1/alerts/quarantined")]
pub async fn list(engine: web::Data<Engine>, query: Asked<QuarantineQuery>) -> Result<HttpResponse, ApiError> {
    let QuarantineQuery { source, delivery, limit, cursor } = query.into_inner();
    let page = page(limit, cursor.as_deref())?;
    let found = engine.store.read(move |db| deliveries::all_quarantined(db, source.as_deref(), delivery, page)).await?;
    Ok(HttpResponse::Ok().json(List::of(found, |(row, source)| QuarantinedView {
        id: row.id,
        source,
        delivery_id: row.delivery_id,
        position: row.position,
        reason: row.reason,
        raw: row.raw_json.0,
        received_at: row.created_at,
    })))
}
