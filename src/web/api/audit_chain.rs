//! The audit log as evidence: verifying its chain, and taking a copy of it.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header;
use actix_web::{HttpResponse, get, post, web};
use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit::AuditView;
use super::query::{ExportFormat, ExportQuery};
use super::{Asked, Error};
use crate::audit::{EventKind, NewEvent};
use crate::engine::Engine;
use crate::engine::ledger::{self, anchor};
use crate::limits;
use crate::store::audit::{self, AuditFilter};
use crate::web::auth::Person;
use crate::web::error::ApiError;

/// What a verification has found.
#[derive(Serialize, ToSchema, Debug)]
pub struct VerificationView {
    /// Nothing is wrong.
    pub is_valid: bool,
    /// The first thing that is wrong; null if nothing is.
    pub fault: Option<FaultView>,
    /// Events that were looked at.
    pub events: i64,
    /// Events in the chain, those that retention took away included.
    pub chained: i64,
    /// Events that retention took away.
    pub pruned: i64,
    /// Events that wait for their place in the chain; their own MACs are right.
    pub waiting: i64,
    /// Anchors that were compared.
    pub anchors: usize,
}

/// The first thing that is wrong.
#[derive(Serialize, ToSchema, Debug)]
pub struct FaultView {
    /// The event's number in the log, where that can be told.
    pub seq: Option<i64>,
    pub id: Option<String>,
    /// Its place in the chain.
    pub position: Option<i64>,
    /// `edited`, `deleted`, `inserted`, `moved`, `cut` or `unknown_key`.
    pub kind: String,
    pub message: String,
}

impl From<ledger::Report> for VerificationView {
    fn from(report: ledger::Report) -> Self {
        let fault = report.fault.map(|fault| FaultView {
            seq: fault.seq,
            id: fault.id,
            position: fault.position,
            kind: fault.kind.as_str().to_owned(),
            message: fault.message,
        });
        Self {
            is_valid: report.is_valid,
            fault,
            events: report.events,
            chained: report.chained,
            pruned: report.pruned,
            waiting: report.waiting,
            anchors: report.anchors,
        }
    }
}

/// One verification at a time: it reads the whole log.
static VERIFYING: AtomicBool = AtomicBool::new(false);

struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        (!VERIFYING.swap(true, Ordering::AcqRel)).then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        VERIFYING.store(false, Ordering::Release);
    }
}

/// Walk the whole audit chain, and compare it with the anchors of this engine's file
#[utoipa::path(tag = "audit", responses((status = 200, body = VerificationView), (status = 409, body = Error)))]
#[post("/api/v1/audit/verify")]
pub async fn verify(engine: web::Data<Engine>, person: Person) -> Result<HttpResponse, ApiError> {
    let Some(_turn) = Turn::take() else {
        return Err(ApiError::conflict("busy", "a verification is under way; ask again when it is over"));
    };
    let audit = engine.policy().config.audit.clone();
    let Some(keys) = audit.keys else {
        let message = "the audit log is not chained: set `audit.key_file` in the configuration";
        return Err(ApiError::conflict("not_chained", message));
    };
    let anchors = match audit.anchors.file {
        Some(path) if path.exists() => {
            let read = web::block(move || anchor::read(&path)).await;
            read.map_err(|error| ApiError::conflict("unreadable_anchors", error.to_string()))?
                .map_err(|error| ApiError::conflict("unreadable_anchors", error.to_string()))?
        }
        _ => Vec::new(),
    };
    let report = ledger::verify(&engine.store, &keys, anchors).await?;
    engine.metrics.audit_chain(report.is_valid);
    if let Some(fault) = &report.fault {
        tracing::error!(%fault, by = person.name, "the audit chain is broken");
    }
    let payload = json!({
        "isValid": report.is_valid, "events": report.events, "fault": report.fault.as_ref().map(|fault| &fault.message),
    });
    tell(&engine, EventKind::AuditVerified, &person, payload).await?;
    Ok(HttpResponse::Ok().json(VerificationView::from(report)))
}

/// A copy of the audit log, the oldest event first
#[utoipa::path(tag = "audit", params(ExportQuery), responses(
    (status = 200, body = String, content_type = "application/x-ndjson"), (status = 422, body = Error)))]
#[get("/api/v1/audit/export")]
pub async fn export(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<ExportQuery>,
) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let format = query.format.unwrap_or(ExportFormat::Jsonl);
    let filter = AuditFilter {
        kind: query.event_type,
        actor: query.actor,
        resource_type: query.resource_type,
        since: query.since,
        until: query.until,
        ..AuditFilter::default()
    };
    let payload = json!({ "format": format, "since": query.since, "until": query.until });
    tell(&engine, EventKind::AuditExported, &person, payload).await?;
    let store = engine.store.clone();
    // What comes after this is not in it, or a busy engine's copy would have no end.
    let last = store.read(audit::last_seq).await?;
    let head = match format {
        ExportFormat::Csv => CSV_HEAD.to_owned(),
        ExportFormat::Jsonl => String::new(),
    };
    // In parts, so that a log of any size takes the memory of one.
    let parts = stream::unfold(Some((0_i64, head)), move |state| {
        let (store, filter) = (store.clone(), filter.clone());
        async move {
            let (after, mut text) = state?;
            let rows = store.read(move |db| audit::oldest(db, &filter, after, limits::VERIFY_BATCH)).await;
            let rows = match rows {
                Ok(mut rows) => {
                    rows.retain(|row| row.seq <= last);
                    rows
                }
                // The answer has begun: it can only break off, which the client sees.
                Err(error) => return Some((Err(std::io::Error::other(error.to_string())), None)),
            };
            let next = rows.last().map(|row| (row.seq, String::new()));
            for row in rows {
                let view = AuditView::from(row);
                match format {
                    ExportFormat::Jsonl => text.push_str(&json!(view).to_string()),
                    ExportFormat::Csv => text.push_str(&csv(&view)),
                }
                text.push('\n');
            }
            if text.is_empty() { None } else { Some((Ok(web::Bytes::from(text)), next)) }
        }
    });
    let kind = match format {
        ExportFormat::Jsonl => "application/x-ndjson",
        ExportFormat::Csv => "text/csv; charset=utf-8",
    };
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, kind)).streaming(parts))
}

const CSV_HEAD: &str = "seq,id,event_type,actor,resource_type,resource_id,execution_id,episode_id,ip_address,created_at,\
                        policy_version,payload,payload_hash,algorithm,key_id,mac\r\n";

fn csv(view: &AuditView) -> String {
    let id = |id: Option<String>| id.unwrap_or_default();
    let cells = [
        view.seq.to_string(),
        view.id.to_string(),
        view.event_type.clone(),
        view.actor.clone(),
        view.resource_type.clone(),
        view.resource_id.clone(),
        id(view.execution_id.map(|id| id.to_string())),
        id(view.episode_id.map(|id| id.to_string())),
        id(view.ip_address.clone()),
        view.created_at.to_string(),
        view.policy_version.clone(),
        view.payload.to_string(),
        view.payload_hash.clone(),
        id(view.algorithm.clone()),
        id(view.key_id.clone()),
        id(view.mac.clone()),
    ];
    cells.map(quoted).join(",") + "\r"
}

/// As RFC 4180 has it. A cell that a spreadsheet would take for a formula is made text.
fn quoted(mut cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        cell.insert(0, '\'');
    }
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

async fn tell(engine: &Engine, kind: EventKind, person: &Person, payload: serde_json::Value) -> Result<(), ApiError> {
    let (version, now) = (engine.policy().version.clone(), engine.clock.now());
    let event = NewEvent::of(kind, person.name.clone(), "audit", "log", payload);
    let event = NewEvent { ip_address: person.ip_address.clone(), ..event };
    engine.store.write(move |db| audit::append(db, &event, &version, now)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_broken_nor_a_formula() {
        assert_eq!(quoted("a,\"b\"\n".to_owned()), "\"a,\"\"b\"\"\n\"");
        assert_eq!(quoted("=HYPERLINK(1)".to_owned()), "'=HYPERLINK(1)");
        assert_eq!(quoted("plain".to_owned()), "plain");
    }
}
