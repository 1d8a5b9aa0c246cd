//! The audit log: only ever added to, in the transaction of what it tells of.

use std::borrow::Cow;

use diesel::prelude::*;
use serde_json::Value;

use super::schema::audit_events;
use super::types::{prepared, without_nul_json};
use super::{Db, Json, Page, Paged, StoreError, each_backend, sealing, tally};
use crate::audit::canonical::payload_hash;
use crate::audit::chain::{self, Seal, Sealed};
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
    /// Of the event's own MAC; null where no key is configured.
    pub algorithm: Option<String>,
    pub key_id: Option<String>,
    pub mac: Option<String>,
}

/// An event as the chain sees it, on its own.
#[derive(Clone, Debug)]
pub struct OwnedEvent {
    row: AuditRow,
    id: String,
    execution_id: Option<String>,
    episode_id: Option<String>,
    own: Option<Seal>,
    /// The hash of the payload that is there now; empty if that is not even canonical JSON.
    pub payload_hash_now: String,
}

impl OwnedEvent {
    /// What the chain proves of it.
    pub fn sealed(&self) -> Sealed<'_> {
        Sealed {
            id: &self.id,
            event_type: self.row.event_type.as_str(),
            actor: &self.row.actor,
            resource_type: &self.row.resource_type,
            resource_id: &self.row.resource_id,
            execution_id: self.execution_id.as_deref(),
            episode_id: self.episode_id.as_deref(),
            ip_address: self.row.ip_address.as_deref(),
            created_at: self.row.created_at,
            policy_version: &self.row.policy_version,
            payload_hash: &self.row.payload_hash,
        }
    }

    /// Its own MAC. A MAC of which a part is missing is none, and no right one either.
    pub fn own(&self) -> Option<&Seal> {
        self.own.as_ref()
    }
}

impl From<AuditRow> for OwnedEvent {
    fn from(row: AuditRow) -> Self {
        let parts = [&row.algorithm, &row.key_id, &row.mac];
        let own = parts.iter().any(|part| part.is_some()).then(|| Seal {
            algorithm: row.algorithm.clone().unwrap_or_default(),
            key_id: row.key_id.clone().unwrap_or_default(),
            mac: row.mac.clone().unwrap_or_default(),
        });
        Self {
            id: row.id.to_string(),
            execution_id: row.execution_id.map(|id| id.to_string()),
            episode_id: row.episode_id.map(|id| id.to_string()),
            payload_hash_now: payload_hash(&row.payload_json.0).unwrap_or_default(),
            own,
            row,
        }
    }
}

#[derive(Insertable)]
#[diesel(table_name = audit_events, treat_none_as_default_value = false)]
struct NewRow<'a> {
    id: AuditEventId,
    event_type: EventKind,
    actor: Cow<'a, str>,
    resource_type: &'a str,
    resource_id: Cow<'a, str>,
    execution_id: Option<ExecutionId>,
    episode_id: Option<EpisodeId>,
    ip_address: Option<&'a str>,
    created_at: Timestamp,
    policy_version: &'a str,
    payload_json: Json<Value>,
    payload_hash: String,
    algorithm: Option<String>,
    key_id: Option<String>,
    mac: Option<String>,
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
pub fn append(db: &mut Db, event: &NewEvent, policy_version: &str, now: Timestamp) -> Result<(), StoreError> {
    append_all(db, std::slice::from_ref(event), policy_version, now)
}

/// Adds events in their order, all or none.
pub fn append_all(db: &mut Db, events: &[NewEvent], policy_version: &str, now: Timestamp) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let rows = events.iter().map(|event| new_row(event, policy_version, now)).collect::<Result<Vec<_>, _>>()?;
    let started = Clock::System.instant();
    let added = match db {
        Db::Pg(c) => prepared(diesel::insert_into(audit_events::table).values(&rows)).execute(c).map(drop),
        // Nothing is won there by one statement.
        Db::Sqlite(c) => {
            rows.iter().try_for_each(|row| diesel::insert_into(audit_events::table).values(row).execute(c).map(drop))
        }
    };
    let each = started.elapsed() / u32::try_from(events.len()).unwrap_or(u32::MAX);
    for event in events {
        tally::note(event.kind, each, added.is_ok());
    }
    added?;
    Ok(())
}

fn new_row<'a>(event: &'a NewEvent, policy_version: &'a str, now: Timestamp) -> Result<NewRow<'a>, StoreError> {
    // The hash is of what is kept, or it could never be verified.
    let payload = without_nul_json(&event.payload).map_err(|error| StoreError::Defect(error.to_string()))?;
    let payload = redact::json(payload);
    let hash = payload_hash(&payload).map_err(|error| StoreError::Defect(error.to_string()))?;
    let id = AuditEventId::new();
    let (actor, resource_id) = (without_nul(&event.actor), without_nul(&event.resource_id));
    let own = sealing::keys().and_then(|keys| {
        let id = id.to_string();
        let execution_id = event.execution.map(|id| id.to_string());
        let episode_id = event.episode.map(|id| id.to_string());
        let sealed = Sealed {
            id: &id,
            event_type: event.kind.as_str(),
            actor: &actor,
            resource_type: event.resource_type,
            resource_id: &resource_id,
            execution_id: execution_id.as_deref(),
            episode_id: episode_id.as_deref(),
            ip_address: event.ip_address.as_deref(),
            created_at: now,
            policy_version,
            payload_hash: &hash,
        };
        chain::seal_event(&keys, &sealed)
    });
    let (algorithm, key_id, mac) = match own {
        Some(seal) => (Some(seal.algorithm), Some(seal.key_id), Some(seal.mac)),
        None => (None, None, None),
    };
    Ok(NewRow {
        id,
        event_type: event.kind,
        actor,
        resource_type: event.resource_type,
        resource_id,
        execution_id: event.execution,
        episode_id: event.episode,
        ip_address: event.ip_address.as_deref(),
        created_at: now,
        policy_version,
        payload_json: Json(payload),
        payload_hash: hash,
        algorithm,
        key_id,
        mac,
    })
}

/// PostgreSQL takes no `U+0000`, and the MAC is of what is kept.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// All events of an execution, in the order in which they were written.
pub fn of_execution(db: &mut Db, execution: ExecutionId) -> Result<Vec<AuditRow>, StoreError> {
    Ok(each_backend!(db, c => audit_events::table
        .filter(audit_events::execution_id.eq(execution))
        .order(audit_events::seq)
        .select(AuditRow::as_select())
        .load(c))?)
}

/// The filter's conditions on a boxed query.
macro_rules! filtered {
    ($query:ident, $filter:ident) => {
        if let Some(value) = $filter.kind {
            $query = $query.filter(audit_events::event_type.eq(value));
        }
        if let Some(value) = &$filter.actor {
            $query = $query.filter(audit_events::actor.eq(value));
        }
        if let Some(value) = &$filter.resource_type {
            $query = $query.filter(audit_events::resource_type.eq(value));
        }
        if let Some(value) = &$filter.resource_id {
            $query = $query.filter(audit_events::resource_id.eq(value));
        }
        if let Some(value) = $filter.execution {
            $query = $query.filter(audit_events::execution_id.eq(value));
        }
        if let Some(value) = $filter.episode {
            $query = $query.filter(audit_events::episode_id.eq(value));
        }
        if let Some(value) = $filter.since {
            $query = $query.filter(audit_events::created_at.ge(value));
        }
        if let Some(value) = $filter.until {
            $query = $query.filter(audit_events::created_at.lt(value));
        }
    };
}

/// Events, newest first; the cursor is [`AuditRow::seq`].
pub fn list(db: &mut Db, filter: &AuditFilter, page: Page<i64>) -> Result<Paged<AuditRow, i64>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = audit_events::table.select(AuditRow::as_select()).into_boxed::<B>();
        filtered!(query, filter);
        if let Some(before) = page.before {
            query = query.filter(audit_events::seq.lt(before));
        }
        query.order(audit_events::seq.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.seq))
}

/// Events after number `seq`, oldest first, at most `limit`.
pub fn oldest(db: &mut Db, filter: &AuditFilter, seq: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    Ok(each_backend!(db, c: B => {
        let mut query = audit_events::table.select(AuditRow::as_select()).into_boxed::<B>();
        filtered!(query, filter);
        query.filter(audit_events::seq.gt(seq)).order(audit_events::seq).limit(limit).load(c)
    })?)
}

/// The highest number of the log; 0 if it is empty.
pub fn last_seq(db: &mut Db) -> Result<i64, StoreError> {
    let last: Option<i64> =
        each_backend!(db, c => audit_events::table.select(diesel::dsl::max(audit_events::seq)).first(c))?;
    Ok(last.unwrap_or(0))
}

/// Events with these numbers (first and last of each range), oldest first, at most `limit`.
pub fn numbered(db: &mut Db, ranges: &[(i64, i64)], limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    Ok(each_backend!(db, c: B => {
        let mut query = audit_events::table.select(AuditRow::as_select()).into_boxed::<B>();
        for (first, last) in ranges {
            query = query.or_filter(audit_events::seq.between(*first, *last));
        }
        query.order(audit_events::seq).limit(limit).load(c)
    })?)
}

/// Which of the numbers from `first` to `last` there are, the lowest first.
pub fn numbers(db: &mut Db, first: i64, last: i64) -> Result<Vec<i64>, StoreError> {
    Ok(each_backend!(db, c => audit_events::table
        .filter(audit_events::seq.between(first, last))
        .order(audit_events::seq)
        .select(audit_events::seq)
        .load(c))?)
}

#[derive(QueryableByName)]
struct Transactions {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    oldest: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    next: i64,
}

/// The oldest transaction that was not over when this one began to look, and the first that had not begun. `None` where
/// events become visible in the order of their numbers.
pub fn horizon(db: &mut Db) -> Result<Option<(i64, i64)>, StoreError> {
    let Db::Pg(c) = db else { return Ok(None) };
    let sql = "SELECT pg_snapshot_xmin(now)::text::bigint AS oldest, pg_snapshot_xmax(now)::text::bigint AS next \
               FROM pg_current_snapshot() AS now";
    let found: Transactions = diesel::sql_query(sql).get_result(c)?;
    Ok(Some((found.oldest, found.next)))
}
