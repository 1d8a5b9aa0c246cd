//! A body as rows: the ones that Douse writes for a delivery of alerts that it has never seen.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{SecondsFormat, Utc};
use diesel::Insertable;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Job;

diesel::table! {
    deliveries (id) {
        id -> Text,
        source -> Text,
        received_at -> Text,
        remote_addr -> Text,
        content_type -> Text,
        body -> Binary,
        body_sha256 -> Text,
        format -> Text,
        receiver -> Text,
        group_key -> Text,
        external_url -> Text,
        truncated_alerts -> Integer,
        alert_count -> Integer,
        quarantined_count -> Integer,
    }
}

diesel::table! {
    episodes (id) {
        id -> Text,
        source -> Text,
        fingerprint -> Text,
        number -> Integer,
        state -> Text,
        earliest_starts_at -> Text,
        latest_starts_at -> Text,
        last_seen_firing -> Text,
        suspect -> Bool,
        alert_id -> Text,
        alert_name -> Text,
        severity -> Text,
        instance -> Text,
        decide_state -> Text,
        created_at -> Text,
        updated_at -> Text,
    }
}

diesel::table! {
    alerts (id) {
        id -> Text,
        delivery_id -> Text,
        position -> Integer,
        source -> Text,
        fingerprint -> Text,
        received_at -> Text,
        alert_name -> Text,
        severity -> Text,
        instance -> Text,
        job -> Text,
        status -> Text,
        starts_at -> Text,
        generator_url -> Text,
        labels_json -> Text,
        annotations_json -> Text,
        annotations_cut -> Bool,
        raw_alert_json -> Text,
        group_json -> Text,
        identity_hash -> Text,
        episode_id -> Text,
        episode_relation -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(episodes, alerts);

#[derive(Insertable)]
#[diesel(table_name = deliveries)]
pub struct DeliveryRow {
    pub id: String,
    pub source: &'static str,
    pub received_at: String,
    pub remote_addr: &'static str,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    pub body_sha256: String,
    pub format: &'static str,
    pub receiver: String,
    pub group_key: String,
    pub external_url: String,
    pub truncated_alerts: i32,
    pub alert_count: i32,
    pub quarantined_count: i32,
}

#[derive(Insertable)]
#[diesel(table_name = episodes)]
pub struct EpisodeRow {
    pub id: String,
    pub source: &'static str,
    pub fingerprint: String,
    pub number: i32,
    pub state: &'static str,
    pub earliest_starts_at: String,
    pub latest_starts_at: String,
    pub last_seen_firing: String,
    pub suspect: bool,
    pub alert_id: String,
    pub alert_name: String,
    pub severity: String,
    pub instance: String,
    pub decide_state: &'static str,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Insertable)]
#[diesel(table_name = alerts)]
pub struct AlertRow {
    pub id: String,
    pub delivery_id: String,
    pub position: i32,
    pub source: &'static str,
    pub fingerprint: String,
    pub received_at: String,
    pub alert_name: String,
    pub severity: String,
    pub instance: String,
    pub job: String,
    pub status: &'static str,
    pub starts_at: String,
    pub generator_url: String,
    pub labels_json: String,
    pub annotations_json: String,
    pub annotations_cut: bool,
    pub raw_alert_json: String,
    pub group_json: String,
    pub identity_hash: String,
    pub episode_id: String,
    pub episode_relation: &'static str,
}

/// All rows of a delivery; one episode for each alert.
pub struct Rows {
    pub delivery: DeliveryRow,
    pub episodes: Vec<EpisodeRow>,
    pub alerts: Vec<AlertRow>,
}

type Texts<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    receiver: String,
    #[serde(borrow)]
    alerts: Vec<Alert<'a>>,
    #[serde(borrow)]
    group_labels: Texts<'a>,
    #[serde(borrow)]
    common_labels: Texts<'a>,
    #[serde(rename = "externalURL")]
    external_url: String,
    group_key: String,
    truncated_alerts: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    labels: Texts<'a>,
    #[serde(borrow)]
    annotations: Texts<'a>,
    starts_at: Cow<'a, str>,
    ends_at: Cow<'a, str>,
    #[serde(rename = "generatorURL")]
    generator_url: Cow<'a, str>,
    fingerprint: Cow<'a, str>,
}

impl Rows {
    /// `None` for a body of another shape.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let body: Body<'_> = serde_json::from_slice(bytes).ok()?;
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let delivery = id();
        let group = serde_json::json!({
            "groupLabels": body.group_labels, "commonLabels": body.common_labels,
            "receiver": body.receiver, "externalURL": body.external_url,
        });
        let group = group.to_string();
        let (mut episodes, mut alerts) = (Vec::new(), Vec::new());
        for (position, alert) in body.alerts.iter().enumerate() {
            let label = |name: &str| alert.labels.get(name).map(|value| value.to_string()).unwrap_or_default();
            let (alert_id, episode) = (id(), id());
            let raw = serde_json::to_string(alert).ok()?;
            episodes.push(EpisodeRow {
                id: episode.clone(),
                source: "main",
                fingerprint: alert.fingerprint.to_string(),
                number: 1,
                state: "open",
                earliest_starts_at: alert.starts_at.to_string(),
                latest_starts_at: alert.starts_at.to_string(),
                last_seen_firing: alert.starts_at.to_string(),
                suspect: false,
                alert_id: alert_id.clone(),
                alert_name: label("alertname"),
                severity: label("severity"),
                instance: label("instance"),
                decide_state: "undecided",
                created_at: now.clone(),
                updated_at: now.clone(),
            });
            alerts.push(AlertRow {
                id: alert_id,
                delivery_id: delivery.clone(),
                position: i32::try_from(position).ok()?,
                source: "main",
                fingerprint: alert.fingerprint.to_string(),
                received_at: now.clone(),
                alert_name: label("alertname"),
                severity: label("severity"),
                instance: label("instance"),
                job: label("job"),
                status: "firing",
                starts_at: alert.starts_at.to_string(),
                generator_url: alert.generator_url.to_string(),
                labels_json: serde_json::to_string(&alert.labels).ok()?,
                annotations_json: serde_json::to_string(&alert.annotations).ok()?,
                annotations_cut: false,
                identity_hash: hex(raw.as_bytes()),
                raw_alert_json: raw,
                group_json: group.clone(),
                episode_id: episode,
                episode_relation: "new",
            });
        }
        let delivery = DeliveryRow {
            id: delivery,
            source: "main",
            received_at: now,
            remote_addr: "127.0.0.1",
            content_type: "application/json",
            body: bytes.to_vec(),
            body_sha256: hex(bytes),
            format: "alertmanager_v4",
            receiver: body.receiver,
            group_key: body.group_key,
            external_url: body.external_url,
            truncated_alerts: body.truncated_alerts,
            alert_count: i32::try_from(alerts.len()).ok()?,
            quarantined_count: 0,
        };
        Some(Self { delivery, episodes, alerts })
    }

    /// What has to be run for it.
    pub fn jobs(&self) -> Vec<Job> {
        self.alerts.iter().map(|alert| job(&alert.episode_id, &alert.instance, &alert.labels_json)).collect()
    }
}

/// The command of a stored alert.
pub fn job(episode: &str, instance: &str, labels: &str) -> Job {
    let labels: Texts<'_> = serde_json::from_str(labels).unwrap();
    let host = instance.split(':').next().unwrap_or_default().to_owned();
    Job { episode: episode.to_owned(), host, uid: labels.get("uid").map(Cow::to_string).unwrap_or_default() }
}

fn id() -> String {
    Uuid::now_v7().to_string()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
