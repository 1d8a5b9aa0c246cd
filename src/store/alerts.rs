//! Alerts as deliveries told them: one row per content and episode, however often it is delivered again.

use diesel::prelude::*;
use serde_json::Value;

use super::episodes::EpisodeRow;
use super::schema::{alerts, episodes};
use super::types::{cleaned, prepared};
use super::{Db, EpisodeRelation, Json, Page, Paged, StoreError, each_backend};
use crate::alert::{Alert, AlertStatus, Labels};
use crate::audit::canonical::sha256_hex;
use crate::clock::Timestamp;
use crate::id::{AlertId, DeliveryId, EpisodeId};

/// One label set with a status, as one delivery told it.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = alerts, treat_none_as_default_value = false)]
pub struct AlertRow {
    pub id: AlertId,
    pub delivery_id: DeliveryId,
    /// Index in the body's `alerts`.
    pub position: i32,
    pub source: String,
    pub fingerprint: String,
    pub received_at: Timestamp,
    pub alert_name: String,
    pub severity: String,
    pub instance: String,
    pub job: String,
    pub status: AlertStatus,
    pub starts_at: Timestamp,
    /// Null while it fires.
    pub ends_at: Option<Timestamp>,
    pub generator_url: String,
    pub labels_json: Json<Labels>,
    pub annotations_json: Json<Labels>,
    pub annotations_cut: bool,
    pub raw_alert_json: Json<Value>,
    /// `groupLabels`, `commonLabels`, `receiver`, `externalURL`: what templates see beside the alert.
    pub group_json: Json<Value>,
    /// Of status, times and content: a re-delivery has the same.
    pub identity_hash: String,
    pub episode_id: EpisodeId,
    pub episode_relation: EpisodeRelation,
    pub matched_trigger: Option<String>,
    pub action_taken: Option<String>,
}

impl AlertRow {
    /// The alert as the nouns know it.
    pub fn alert(&self) -> Alert {
        Alert {
            status: self.status,
            labels: self.labels_json.0.clone(),
            annotations: self.annotations_json.0.clone(),
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            generator_url: self.generator_url.clone(),
            fingerprint: self.fingerprint.clone(),
            annotations_cut: self.annotations_cut,
        }
    }
}

/// What became of an alert that was to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// It is a row of its own.
    New,
    /// The same content stands in this episode already.
    Duplicate(AlertId),
}

/// Which alerts a list shows; everything `None` shows all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlertFilter {
    pub source: Option<String>,
    pub fingerprint: Option<String>,
    pub alert_name: Option<String>,
    pub severity: Option<String>,
    pub instance: Option<String>,
    pub status: Option<AlertStatus>,
    pub episode: Option<EpisodeId>,
    pub delivery: Option<DeliveryId>,
}

/// Names what an alert says: a re-delivery has the same, whatever else its body holds.
pub fn identity_hash(alert: &Alert) -> String {
    // Length-prefixed, so that no two different alerts run into the same bytes.
    let mut bytes = Vec::new();
    let mut put = |text: &str| {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    put(alert.status.as_str());
    put(&alert.starts_at.to_string());
    put(&alert.ends_at.map_or(String::new(), |time| time.to_string()));
    put(&alert.generator_url);
    for map in [&alert.labels, &alert.annotations] {
        put(&map.len().to_string());
        for (name, value) in map {
            put(name);
            put(value);
        }
    }
    sha256_hex(&bytes)
}

/// Stores an alert unless its episode holds the same content already.
pub fn insert(db: &mut Db, row: &AlertRow) -> Result<Stored, StoreError> {
    let row = &*cleaned!(row; alert_name, severity, instance, job, fingerprint, generator_url);
    let added = each_backend!(db, c => diesel::insert_into(alerts::table)
        .values(row)
        .on_conflict((alerts::episode_id, alerts::identity_hash))
        .do_nothing()
        .execute(c))?;
    if added == 1 {
        return Ok(Stored::New);
    }
    let known = each_backend!(db, c => alerts::table
        .filter(alerts::episode_id.eq(row.episode_id))
        .filter(alerts::identity_hash.eq(&row.identity_hash))
        .select(alerts::id)
        .first(c))?;
    Ok(Stored::Duplicate(known))
}

/// One alert.
pub fn get(db: &mut Db, id: AlertId) -> Result<AlertRow, StoreError> {
    Ok(each_backend!(db, c => alerts::table.find(id).select(AlertRow::as_select()).first(c))?)
}

/// One alert, with its episode as it is now.
pub fn get_with_episode(db: &mut Db, id: AlertId) -> Result<(AlertRow, EpisodeRow), StoreError> {
    Ok(each_backend!(db, c => alerts::table
        .inner_join(episodes::table)
        .filter(alerts::id.eq(id))
        .select((AlertRow::as_select(), EpisodeRow::as_select()))
        .first(c))?)
}

/// The newest firing alert of an episode: what a decision about it looks at.
pub fn newest_firing(db: &mut Db, episode: EpisodeId) -> Result<Option<AlertRow>, StoreError> {
    Ok(each_backend!(db, c => alerts::table
        .filter(alerts::episode_id.eq(episode))
        .filter(alerts::status.eq(AlertStatus::Firing))
        .order(alerts::id.desc())
        .select(AlertRow::as_select())
        .first(c)
        .optional())?)
}

/// Alerts, newest first.
pub fn list(db: &mut Db, filter: &AlertFilter, page: Page<AlertId>) -> Result<Paged<AlertRow, AlertId>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = alerts::table.select(AlertRow::as_select()).into_boxed::<B>();
        if let Some(value) = &filter.source {
            query = query.filter(alerts::source.eq(value));
        }
        if let Some(value) = &filter.fingerprint {
            query = query.filter(alerts::fingerprint.eq(value));
        }
        if let Some(value) = &filter.alert_name {
            query = query.filter(alerts::alert_name.eq(value));
        }
        if let Some(value) = &filter.severity {
            query = query.filter(alerts::severity.eq(value));
        }
        if let Some(value) = &filter.instance {
            query = query.filter(alerts::instance.eq(value));
        }
        if let Some(value) = filter.status {
            query = query.filter(alerts::status.eq(value));
        }
        if let Some(value) = filter.episode {
            query = query.filter(alerts::episode_id.eq(value));
        }
        if let Some(value) = filter.delivery {
            query = query.filter(alerts::delivery_id.eq(value));
        }
        if let Some(before) = page.before {
            query = query.filter(alerts::id.lt(before));
        }
        query.order(alerts::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.id))
}

/// Notes on an alert which trigger selected its episode, and what was decided; the first trigger keeps its note.
pub fn set_action(db: &mut Db, id: AlertId, trigger: Option<&str>, action: &str) -> Result<(), StoreError> {
    each_backend!(db, c => prepared(diesel::update(alerts::table.find(id))
        .filter(alerts::action_taken.is_null().or(alerts::matched_trigger.is_null()).or(alerts::matched_trigger.eq(trigger)))
        .set((alerts::matched_trigger.eq(trigger), alerts::action_taken.eq(action))))
        .execute(c))?;
    Ok(())
}
