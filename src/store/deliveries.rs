//! Deliveries: webhook requests as they came, and the alerts in them that could not be taken.

use diesel::prelude::*;
use serde_json::Value;

use super::ingest::CHUNK;
use super::schema::{deliveries, quarantined_alerts};
use super::types::cleaned;
use super::{Db, DeliveryFormat, Json, Page, Paged, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::{AlertId, DeliveryId};

/// One webhook request that was stored.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = deliveries, treat_none_as_default_value = false)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub source: String,
    pub received_at: Timestamp,
    /// Address of the sender.
    pub remote_addr: Option<String>,
    pub content_type: Option<String>,
    /// The body's bytes as they came.
    pub body: Vec<u8>,
    pub body_sha256: String,
    pub format: DeliveryFormat,
    pub receiver: String,
    pub group_key: String,
    pub external_url: String,
    /// How many alerts Alertmanager left out.
    pub truncated_alerts: i32,
    pub alert_count: i32,
    pub quarantined_count: i32,
}

/// One alert of a delivery that could not be taken.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = quarantined_alerts, treat_none_as_default_value = false)]
pub struct QuarantinedRow {
    pub id: AlertId,
    pub delivery_id: DeliveryId,
    /// Index in the body's `alerts`.
    pub position: i32,
    pub reason: String,
    pub raw_json: Json<Value>,
    pub created_at: Timestamp,
}

/// Stores what could not be taken.
pub fn quarantine(db: &mut Db, rows: &[QuarantinedRow]) -> Result<(), StoreError> {
    let rows: Vec<QuarantinedRow> = rows.iter().map(|row| cleaned!(row; reason).into_owned()).collect();
    for some in rows.chunks(CHUNK) {
        each_backend!(db, c => diesel::insert_into(quarantined_alerts::table).values(some).execute(c))?;
    }
    Ok(())
}

/// One delivery.
pub fn get(db: &mut Db, id: DeliveryId) -> Result<DeliveryRow, StoreError> {
    Ok(each_backend!(db, c => deliveries::table.find(id).select(DeliveryRow::as_select()).first(c))?)
}

/// Deliveries, newest first.
pub fn list(
    db: &mut Db,
    source: Option<&str>,
    page: Page<DeliveryId>,
) -> Result<Paged<DeliveryRow, DeliveryId>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = deliveries::table.select(DeliveryRow::as_select()).into_boxed::<B>();
        if let Some(source) = source {
            query = query.filter(deliveries::source.eq(source));
        }
        if let Some(before) = page.before {
            query = query.filter(deliveries::id.lt(before));
        }
        query.order(deliveries::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.id))
}

/// What could not be taken of a delivery, in the body's order.
pub fn quarantined(db: &mut Db, delivery: DeliveryId) -> Result<Vec<QuarantinedRow>, StoreError> {
    Ok(each_backend!(db, c => quarantined_alerts::table
        .filter(quarantined_alerts::delivery_id.eq(delivery))
        .order(quarantined_alerts::position)
        .select(QuarantinedRow::as_select())
        .load(c))?)
}

/// What could not be taken of any delivery, each with its source, newest first.
pub fn all_quarantined(
    db: &mut Db,
    source: Option<&str>,
    delivery: Option<DeliveryId>,
    page: Page<AlertId>,
) -> Result<Paged<(QuarantinedRow, String), AlertId>, StoreError> {
    let rows: Vec<(QuarantinedRow, String)> = each_backend!(db, c: B => {
        let mut query = quarantined_alerts::table
            .inner_join(deliveries::table)
            .select((QuarantinedRow::as_select(), deliveries::source))
            .into_boxed::<B>();
        if let Some(source) = source {
            query = query.filter(deliveries::source.eq(source));
        }
        if let Some(delivery) = delivery {
            query = query.filter(quarantined_alerts::delivery_id.eq(delivery));
        }
        if let Some(before) = page.before {
            query = query.filter(quarantined_alerts::id.lt(before));
        }
        query.order(quarantined_alerts::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |(row, _)| row.id))
}
