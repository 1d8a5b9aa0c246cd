//! Decisions: what all gates said about one episode, runbook and trigger, and when they are asked again.

use diesel::prelude::*;
use serde_json::Value;

use super::ingest::CHUNK;
use super::schema::decisions;
use super::types::{prepared, word};
use super::{Db, DecisionVerdict, Json, Page, Paged, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::{AlertId, BatchId, DecisionId, EpisodeId, ExecutionId};

/// All gates' answers for one episode, runbook and trigger.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = decisions, treat_none_as_null = true, treat_none_as_default_value = false)]
pub struct DecisionRow {
    pub id: DecisionId,
    pub episode_id: EpisodeId,
    pub alert_id: Option<AlertId>,
    /// Null for `no_match`.
    pub runbook: Option<String>,
    pub runbook_version: Option<i32>,
    pub trigger_name: Option<String>,
    pub trigger_position: Option<i32>,
    /// Null when no single server could be named.
    pub server: Option<String>,
    pub server_group: Option<String>,
    pub verdict: DecisionVerdict,
    /// When to ask again; null while held: when something is released.
    pub held_until: Option<Timestamp>,
    /// The worst gate's reason.
    pub hold_reason: Option<String>,
    /// Set while nothing but lock, rate or capacity holds it.
    pub waits_since: Option<Timestamp>,
    /// Time counted against `max_queue_age` before `waits_since`.
    pub queued_ms: i64,
    pub skip_reason: Option<String>,
    pub conflicting_execution_id: Option<ExecutionId>,
    /// Every gate's verdict, reason, message and evidence.
    pub gates_json: Json<Value>,
    pub execution_id: Option<ExecutionId>,
    pub batch_id: Option<BatchId>,
    pub policy_version: String,
    pub rechecks: i32,
    pub created_at: Timestamp,
    pub decided_at: Timestamp,
}

/// Which decisions a list shows; everything `None` shows all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DecisionFilter {
    pub verdict: Option<DecisionVerdict>,
    pub runbook: Option<String>,
    pub server: Option<String>,
    pub episode: Option<EpisodeId>,
    pub alert: Option<AlertId>,
    pub skip_reason: Option<String>,
}

/// Stores a new decision; a second one of the same episode, runbook and trigger is a conflict.
pub fn insert(db: &mut Db, row: &DecisionRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(decisions::table).values(row).execute(c))?;
    Ok(())
}

/// Stores a new decision, unless there is one of the same episode, runbook and trigger; `false` then.
pub fn insert_new(db: &mut Db, row: &DecisionRow) -> Result<bool, StoreError> {
    let added = each_backend!(db, c => prepared(diesel::insert_into(decisions::table)
        .values(row)
        .on_conflict((decisions::episode_id, decisions::runbook, decisions::trigger_name))
        .do_nothing())
        .execute(c))?;
    Ok(added == 1)
}

/// Writes all columns of a known decision.
pub fn update(db: &mut Db, row: &DecisionRow) -> Result<(), StoreError> {
    let found = each_backend!(db, c => prepared(diesel::update(decisions::table.find(row.id)).set(row))
        .execute(c))?;
    if found == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// One decision.
pub fn get(db: &mut Db, id: DecisionId) -> Result<DecisionRow, StoreError> {
    Ok(each_backend!(db, c => decisions::table.find(id).select(DecisionRow::as_select()).first(c))?)
}

/// The decision about an episode for one trigger of one runbook.
pub fn find(db: &mut Db, episode: EpisodeId, runbook: &str, trigger: &str) -> Result<Option<DecisionRow>, StoreError> {
    Ok(each_backend!(db, c => decisions::table
        .filter(decisions::episode_id.eq(episode))
        .filter(decisions::runbook.eq(runbook))
        .filter(decisions::trigger_name.eq(trigger))
        .select(DecisionRow::as_select())
        .first(c)
        .optional())?)
}

/// All decisions about an episode, in the order in which they were made.
pub fn of_episode(db: &mut Db, episode: EpisodeId) -> Result<Vec<DecisionRow>, StoreError> {
    Ok(each_backend!(db, c => decisions::table
        .filter(decisions::episode_id.eq(episode))
        .order(decisions::id)
        .select(DecisionRow::as_select())
        .load(c))?)
}

/// Held decisions whose time has come, longest waiting first. Those without a time wait for [`release_held`].
pub fn due(db: &mut Db, now: Timestamp, limit: i64) -> Result<Vec<DecisionRow>, StoreError> {
    Ok(each_backend!(db, c => decisions::table
        .filter(decisions::verdict.eq(word(DecisionVerdict::Held.as_str())))
        .filter(decisions::held_until.le(now))
        .order(decisions::held_until)
        .then_order_by(decisions::id)
        .limit(limit)
        .select(DecisionRow::as_select())
        .load(c))?)
}

/// Held decisions that wait for a release and were last asked before `before`, longest ago first: a release may have
/// happened where nobody told of it.
pub fn waiting(db: &mut Db, before: Timestamp, limit: i64) -> Result<Vec<DecisionRow>, StoreError> {
    Ok(each_backend!(db, c => decisions::table
        .filter(decisions::verdict.eq(word(DecisionVerdict::Held.as_str())))
        .filter(decisions::held_until.is_null())
        .filter(decisions::decided_at.lt(before))
        .order(decisions::decided_at)
        .then_order_by(decisions::id)
        .limit(limit)
        .select(DecisionRow::as_select())
        .load(c))?)
}

/// A run on `server` is over: those that wait for a release of it are asked again at `now`, and so are those with one of
/// these reasons, which wait for any run's end.
pub fn release_waiting(db: &mut Db, server: &str, reasons: &[&str], now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => prepared(diesel::update(decisions::table)
        .filter(decisions::verdict.eq(word(DecisionVerdict::Held.as_str())))
        .filter(decisions::held_until.is_null())
        .filter(decisions::server.eq(server).or(decisions::hold_reason.eq_any(reasons)))
        .set(decisions::held_until.eq(now)))
        .execute(c))?)
}

/// Something was released (a pause, a breaker, a lock, a slot): every held decision is asked again at `now`.
pub fn release_held(db: &mut Db, now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => prepared(diesel::update(decisions::table)
        .filter(decisions::verdict.eq(word(DecisionVerdict::Held.as_str())))
        .filter(decisions::held_until.is_null().or(decisions::held_until.gt(now)))
        .set(decisions::held_until.eq(now)))
        .execute(c))?)
}

/// The held decisions of an episode are asked again at `now`: it has ended, or fires again.
pub fn release_episodes(db: &mut Db, episodes: &[EpisodeId], now: Timestamp) -> Result<usize, StoreError> {
    let mut released = 0;
    for some in episodes.chunks(CHUNK) {
        released += each_backend!(db, c => diesel::update(decisions::table)
            .filter(decisions::episode_id.eq_any(some))
            .filter(decisions::verdict.eq(word(DecisionVerdict::Held.as_str())))
            .set(decisions::held_until.eq(now))
            .execute(c))?;
    }
    Ok(released)
}

/// The decisions of episodes that fire after all, withdrawn because their alert had ended, are asked again at `now`.
pub fn revive_episodes(db: &mut Db, episodes: &[EpisodeId], now: Timestamp) -> Result<usize, StoreError> {
    let mut revived = 0;
    for some in episodes.chunks(CHUNK) {
        revived += each_backend!(db, c => diesel::update(decisions::table)
            .filter(decisions::episode_id.eq_any(some))
            .filter(decisions::verdict.eq(word(DecisionVerdict::Withdrawn.as_str())))
            .filter(decisions::execution_id.is_null())
            .set((
                decisions::verdict.eq(DecisionVerdict::Held),
                decisions::hold_reason.eq(decisions::skip_reason),
                decisions::skip_reason.eq(None::<String>),
                decisions::held_until.eq(now),
            ))
            .execute(c))?;
    }
    Ok(revived)
}

/// Decisions, newest first.
pub fn list(
    db: &mut Db,
    filter: &DecisionFilter,
    page: Page<DecisionId>,
) -> Result<Paged<DecisionRow, DecisionId>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = decisions::table.select(DecisionRow::as_select()).into_boxed::<B>();
        if let Some(value) = filter.verdict {
            query = query.filter(decisions::verdict.eq(word(value.as_str())));
        }
        if let Some(value) = &filter.runbook {
            query = query.filter(decisions::runbook.eq(value));
        }
        if let Some(value) = &filter.server {
            query = query.filter(decisions::server.eq(value));
        }
        if let Some(value) = filter.episode {
            query = query.filter(decisions::episode_id.eq(value));
        }
        if let Some(value) = filter.alert {
            query = query.filter(decisions::alert_id.eq(value));
        }
        if let Some(value) = &filter.skip_reason {
            query = query.filter(decisions::skip_reason.eq(value));
        }
        if let Some(before) = page.before {
            query = query.filter(decisions::id.lt(before));
        }
        query.order(decisions::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.id))
}
