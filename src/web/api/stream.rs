//! What happens, as it happens: Server-Sent Events, taken from the audit log.
//!
//! An event's id is the number of the log up to which all was told; a client that comes back with `Last-Event-ID` gets what
//! came after it. Nothing is left out: on PostgreSQL, where an event may become visible after one with a higher number, the
//! id stays below a number that is missing until it is known that nothing bears it ([`super::gaps`]); what lies between may
//! come a second time then (`seq` tells).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::watch;

use super::gaps::{Gaps, Horizon};
use super::query::StreamQuery;
use super::{Asked, Error, execution_id, seen};
use crate::audit::EventKind;
use crate::clock::monotonic;
use crate::engine::Engine;
use crate::id::ExecutionId;
use crate::limits;
use crate::store::audit::{self, AuditFilter, AuditRow};
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, StoreError};
use crate::web::auth::Person;
use crate::web::error::ApiError;

/// What a client wants to hear of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Topics {
    executions: bool,
    approvals: bool,
    of: BTreeSet<ExecutionId>,
}

/// The events of an execution in which its waiting for a person begins, changes or ends.
const OF_APPROVALS: &[EventKind] = &[
    EventKind::Planned,
    EventKind::Approved,
    EventKind::Rejected,
    EventKind::StatusUpdated,
    EventKind::CancelRequested,
];

impl Topics {
    fn wants(&self, row: &AuditRow, execution: &ExecutionRow) -> bool {
        let is_asked = execution.expires_at.is_some();
        self.executions
            || self.of.contains(&execution.id)
            || (self.approvals && is_asked && OF_APPROVALS.contains(&row.event_type))
    }
}

/// How many streams there are.
static STREAMS: AtomicUsize = AtomicUsize::new(0);

struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        let taken = STREAMS.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < limits::STREAMS_MAX).then_some(count + 1)
        });
        taken.is_ok().then_some(Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What happens, as Server-Sent Events: `executions`, `approvals`, `exec:ID`; resumes after `Last-Event-ID`
#[utoipa::path(tag = "stream", params(StreamQuery), responses(
    (status = 200, body = String, content_type = "text/event-stream"), (status = 404, body = Error), (status = 422, body = Error),
    (status = 503, body = Error)))]
#[get("/api/v1/stream")]
pub async fn stream(
    engine: web::Data<Engine>,
    request: HttpRequest,
    person: Person,
    query: Asked<StreamQuery>,
) -> Result<HttpResponse, ApiError> {
    let topics = topics(&engine, &person, query.into_inner().topics.as_deref().unwrap_or_default()).await?;
    let last = match request.headers().get("Last-Event-ID") {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok()).ok_or_else(|| {
            ApiError::invalid("invalid_header", "`Last-Event-ID` is not an id of this stream, which are numbers")
        })?),
    };
    let Some(slot) = Slot::take() else {
        let message = format!("{} streams are open, which is the limit", limits::STREAMS_MAX);
        return Err(ApiError::new(actix_web::http::StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message));
    };
    // From here on nothing is missed: what is committed after this is news.
    let news = engine.store.news();
    let (reached, missing) = engine.store.read(move |db| begin(db, last)).await?;
    let mut gaps = Gaps::default();
    let now = monotonic();
    missing.into_iter().for_each(|(first, last)| gaps.add(first, last, now));
    let mut hearing = Hearing {
        topics,
        person,
        reached,
        gaps,
        ready: VecDeque::new(),
        news,
        began: monotonic(),
        spoke: monotonic(),
        engine: engine.into_inner(),
        _slot: slot,
    };
    hearing.ready.push_back(format!("retry: 2000\nid: {}\n: Douse\n\n", hearing.resumes_at()));
    let parts = unfold(hearing, |mut hearing| async move {
        let part = hearing.next().await?;
        Some((Ok::<_, std::io::Error>(web::Bytes::from(part)), hearing))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // A proxy that collects an answer before it hands it on would hold everything back.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(parts))
}

/// Where the stream begins, and which numbers before it may still come.
fn begin(db: &mut Db, last: Option<i64>) -> Result<(i64, Vec<(i64, i64)>), StoreError> {
    let newest = audit::last_seq(db)?;
    // A higher number than there is was of a database that is no more.
    if let Some(last) = last.filter(|last| *last <= newest) {
        return Ok((last.max(0), Vec::new()));
    }
    let mut missing = Vec::new();
    if audit::horizon(db)?.is_some() {
        let mut next = (newest - limits::STREAM_NUMBERS_BACK).max(0) + 1;
        for seq in audit::numbers(db, next, newest)? {
            missing.push((next, seq - 1));
            next = seq + 1;
        }
    }
    Ok((newest, missing))
}

async fn topics(engine: &Engine, person: &Person, text: &str) -> Result<Topics, ApiError> {
    let mut topics = Topics::default();
    for topic in text.split(',').map(str::trim).filter(|topic| !topic.is_empty()) {
        match topic.split_once(':') {
            None if topic == "executions" => topics.executions = true,
            None if topic == "approvals" => topics.approvals = true,
            Some(("exec", id)) => drop(topics.of.insert(execution_id(engine, person, id).await?)),
            _ => {
                let message = format!("there is no topic `{topic}`; there are executions, approvals and exec:ID");
                return Err(ApiError::invalid("invalid_query", message));
            }
        }
    }
    if topics == Topics::default() {
        let message = "`topics` is needed: executions, approvals, exec:ID, or several with commas";
        return Err(ApiError::invalid("invalid_query", message));
    }
    Ok(topics)
}

/// One client that listens.
struct Hearing {
    engine: Arc<Engine>,
    topics: Topics,
    /// What this person may not see is not told.
    person: Person,
    /// The highest number that was looked at.
    reached: i64,
    /// Lower numbers that may still come; always none where numbers appear in their order.
    gaps: Gaps,
    ready: VecDeque<String>,
    news: watch::Receiver<()>,
    began: Instant,
    spoke: Instant,
    _slot: Slot,
}

impl Hearing {
    /// The next part; `None` when the stream is over.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                self.spoke = monotonic();
                return Some(part);
            }
            if self.engine.stopping.is_cancelled() || self.began.elapsed() >= limits::STREAM_LENGTH_MAX {
                return None;
            }
            self.news.mark_unchanged();
            match self.look().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    // The client comes back, and goes on where this ended.
                    tracing::warn!(%error, "a live stream ends: the database does not answer");
                    return None;
                }
            }
            if self.ready.is_empty() && self.spoke.elapsed() >= limits::STREAM_HEARTBEAT {
                self.ready.push_back(": heartbeat\n\n".to_owned());
                continue;
            }
            let engine = Arc::clone(&self.engine);
            tokio::select! {
                () = engine.stopping.cancelled() => return None,
                () = tokio::time::sleep(limits::STREAM_POLL) => {}
                changed = self.news.changed() => changed.ok()?,
            }
        }
    }

    /// Looks for what is new. `true`: there may be more of it at once.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let (topics, person, reached, late) =
            (self.topics.clone(), self.person.clone(), self.reached, self.gaps.ranges());
        // Where too much is missing, what follows waits until it is known what becomes of that.
        let is_held_up = late.len() >= limits::STREAM_GAPS_MAX;
        let found = self.engine.store.read(move |db| {
            let horizon = audit::horizon(db)?;
            let mut rows = audit::numbered(db, &late, limits::STREAM_BATCH)?;
            let count = rows.len();
            if !is_held_up {
                rows.extend(audit::oldest(db, &AuditFilter::default(), reached, limits::STREAM_BATCH)?);
            }
            let batch = usize::try_from(limits::STREAM_BATCH).unwrap_or(usize::MAX);
            let is_full = [count, rows.len() - count].contains(&batch);
            Ok((with_executions(db, &person, &topics, rows)?, horizon, is_full))
        });
        let (found, horizon, is_full) = found.await?;
        let now = monotonic();
        for (row, execution) in found {
            if row.seq > self.reached {
                if horizon.is_some() {
                    self.gaps.add(self.reached + 1, row.seq - 1, now);
                }
                self.reached = row.seq;
            } else if !self.gaps.fill(row.seq) {
                continue;
            }
            if let Some(execution) = execution {
                self.ready.push_back(event(self.resumes_at(), &row, &execution));
            }
        }
        // What is missing because there was more of it than one look takes is not missing yet.
        if let Some((oldest, next)) = horizon.filter(|_| !is_full) {
            self.gaps.settle(Horizon { oldest, next }, now, limits::STREAM_POLL);
        }
        Ok(is_full)
    }

    /// Everything up to this number was told, or will never come.
    fn resumes_at(&self) -> i64 {
        self.gaps.first().map_or(self.reached, |first| first - 1)
    }
}

/// The rows, each with its execution if the client wants to hear of it.
fn with_executions(
    db: &mut Db,
    person: &Person,
    topics: &Topics,
    rows: Vec<AuditRow>,
) -> Result<Vec<(AuditRow, Option<ExecutionRow>)>, StoreError> {
    let mut known: BTreeMap<ExecutionId, Option<ExecutionRow>> = BTreeMap::new();
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let execution = match row.execution_id {
            None => None,
            Some(id) => {
                if let Entry::Vacant(unknown) = known.entry(id) {
                    // Retention may have taken it away.
                    unknown.insert(match executions::get(db, id) {
                        Err(error) if error.is_not_found() => None,
                        other => Some(other?),
                    });
                }
                known.get(&id).cloned().flatten()
            }
        };
        let wanted = execution.filter(|execution| topics.wants(&row, execution) && seen::execution(person, execution));
        found.push((row, wanted));
    }
    Ok(found)
}

fn event(id: i64, row: &AuditRow, execution: &ExecutionRow) -> String {
    let data = json!({
        "seq": row.seq,
        "event_type": row.event_type,
        "at": row.created_at,
        "actor": row.actor,
        "payload": row.payload_json.0,
        "execution": {
            "id": execution.id,
            "runbook": execution.runbook,
            "server": execution.server,
            "status": execution.status,
            "phase": execution.phase,
            "rollback": execution.rollback,
            "verification": execution.verification,
            "episode_id": execution.episode_id,
        },
    });
    // JSON has no line break outside of its strings, and inside they are escaped.
    format!("id: {id}\nevent: {}\ndata: {data}\n\n", row.event_type.as_str().to_lowercase())
}
