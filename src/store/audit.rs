//! The audit log: only ever added to, in the transaction of what it tells of.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::audit_events;
use super::types::without_nul_json;
use super::{Db, Json, Page, Paged, StoreError, each_backend, tally};
use crate::audit::canonical::payload_hash;
use crate::audit::{EventKind, NewEvent};
use crate::clock::{Clock, Timestamp};
use crate::id::{AuditEventId, EpisodeId, ExecutionId};
use crate::secrets::redact;

/// What runs did and what people did; only ever added to.
#[derive(Queryable, Selectable, Clone, PartialEq, Debug)]
#[diesel(table_name = audit_events)]
pub struct AuditRow {
    /// The order of the log.
    pub seq: i64,
    pub id: AuditEventId,
    pub event_type: EventKind,
    pub actor: String,
    pub resource_type: String,
    pub resource_id: String,
    pub execution_id: Option<ExecutionId>,
    pub episode_id: Option<EpisodeId>,
    pub ip_address: Option<String>,
    pub created_at: Timestamp,
    pub policy_version: String,
    pub payload_json: Json<Value>,
    /// SHA-256 over RFC 8785 canonical JSON.
    pub payload_hash: String,
    pub algorithm: Option<String>,
    pub key_id: Option<String>,
    pub mac: Option<String>,
}

#[derive(Insertable)]
#[diesel(table_name = audit_events, treat_none_as_default_value = false)]
struct NewRow<'a> {
    id: AuditEventId,
    event_type: EventKind,
    actor: &'a str,
    resource_type: &'a str,
    resource_id: &'a str,
    execution_id: Option<ExecutionId>,
    episode_id: Option<EpisodeId>,
    ip_address: Option<&'a str>,
    created_at: Timestamp,
    policy_version: &'a str,
    payload_json: Json<Value>,
    payload_hash: String,
}

/// Which events a list shows; everything `None` shows all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditFilter {
    pub kind: Option<EventKind>,
    pub actor: Option<String>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub execution: Option<ExecutionId>,
    pub episode: Option<EpisodeId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Adds an event. If this fails, the caller's transaction fails with it, so that nothing happens without its record.
pub fn append(db: &mut Db, event: &NewEvent, policy_version: &str, now: Timestamp) -> Result<AuditEventId, StoreError> {
    let id = AuditEventId::new();
    // The hash is of what is kept, or it could never be verified.
    let payload = without_nul_json(&event.payload).map_err(|error| StoreError::Defect(error.to_string()))?;
    let payload = redact::json(payload);
    let hash = payload_hash(&payload).map_err(|error| StoreError::Defect(error.to_string()))?;
    let row = NewRow {
        id,
        event_type: event.kind,
        actor: &event.actor,
        resource_type: event.resource_type,
        resource_id: &event.resource_id,
        execution_id: event.execution,
        episode_id: event.episode,
        ip_address: event.ip_address.as_deref(),
        created_at: now,
        policy_version,
        payload_json: Json(payload),
        payload_hash: hash,
    };
    let started = Clock::System.instant();
    let added = each_backend!(db, c => diesel::insert_into(audit_events::table).values(&row).execute(c));
    tally::note(event.kind, started.elapsed(), added.is_ok());
    added?;
    Ok(id)
}

/// All events of an execution, in the order in which they were written.
pub fn of_execution(db: &mut Db, execution: ExecutionId) -> Result<Vec<AuditRow>, StoreError> {
    Ok(each_backend!(db, c => audit_events::table
        .filter(audit_events::execution_id.eq(execution))
        .order(audit_events::seq)
        .select(AuditRow::as_select())
        .load(c))?)
}

/// Events, newest first; the cursor is [`AuditRow::seq`].
pub fn list(db: &mut Db, filter: &AuditFilter, page: Page<i64>) -> Result<Paged<AuditRow, i64>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = audit_events::table.select(AuditRow::as_select()).into_boxed::<B>();
        if let Some(value) = filter.kind {
            query = query.filter(audit_events::event_type.eq(value));
        }
        if let Some(value) = &filter.actor {
            query = query.filter(audit_events::actor.eq(value));
        }
        if let Some(value) = &filter.resource_type {
            query = query.filter(audit_events::resource_type.eq(value));
        }
        if let Some(value) = &filter.resource_id {
            query = query.filter(audit_events::resource_id.eq(value));
        }
        if let Some(value) = filter.execution {
            query = query.filter(audit_events::execution_id.eq(value));
        }
        if let Some(value) = filter.episode {
            query = query.filter(audit_events::episode_id.eq(value));
        }
        if let Some(value) = filter.since {
            query = query.filter(audit_events::created_at.ge(value));
        }
        if let Some(value) = filter.until {
            query = query.filter(audit_events::created_at.lt(value));
        }
        if let Some(before) = page.before {
            query = query.filter(audit_events::seq.lt(before));
        }
        query.order(audit_events::seq.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.seq))
}
