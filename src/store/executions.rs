//! Executions: where each run stands. What may follow what is decided in `execution::machine`; here a change is
//! written only if the row is still where the caller believes it to be.

use std::time::Duration;

use diesel::prelude::*;

use super::details::DetailsRow;
use super::schema::{episodes, execution_details, executions};
use super::types::{cleaned, prepared, word};
use super::{Db, Page, Paged, StoreError, each_backend};
use crate::alert::episode::EpisodeState;
use crate::clock::Timestamp;
use crate::execution::{Origin, Phase, RollbackState, Status, Verification};
use crate::id::{AlertId, BatchId, DecisionId, EpisodeId, ExecutionId};
use crate::runbook::model::Mode;

/// Where one run of a plan stands.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = executions, treat_none_as_default_value = false)]
pub struct ExecutionRow {
    pub id: ExecutionId,
    pub origin: Origin,
    pub runbook: String,
    pub runbook_version: i32,
    pub server: String,
    pub server_group: Option<String>,
    pub status: Status,
    pub phase: Phase,
    pub rollback: RollbackState,
    pub verification: Verification,
    pub mode: Mode,
    pub trigger_name: Option<String>,
    pub alert_id: Option<AlertId>,
    pub episode_id: Option<EpisodeId>,
    pub decision_id: Option<DecisionId>,
    pub batch_id: Option<BatchId>,
    pub policy_version: String,
    pub created_by: String,
    pub created_at: Timestamp,
    pub approved_by: Option<String>,
    pub approved_at: Option<Timestamp>,
    /// A pending one expires then.
    pub expires_at: Option<Timestamp>,
    /// Approved, but a gate said at the claim: not before.
    pub held_until: Option<Timestamp>,
    /// Approved, but the host could not be reached: tried again then.
    pub next_try_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    pub error_message: Option<String>,
    pub skip_reason: Option<String>,
    pub cancel_requested_at: Option<Timestamp>,
    /// The one execution that a half-open breaker lets through.
    pub breaker_probe: bool,
    pub released_at: Option<Timestamp>,
}

/// What changes of an execution; `None` leaves a column alone, `Some(None)` empties it.
#[derive(AsChangeset, Clone, PartialEq, Debug, Default)]
#[diesel(table_name = executions)]
pub struct ExecutionChange {
    pub status: Option<Status>,
    pub phase: Option<Phase>,
    pub rollback: Option<RollbackState>,
    pub verification: Option<Verification>,
    pub batch_id: Option<Option<BatchId>>,
    pub approved_by: Option<Option<String>>,
    pub approved_at: Option<Option<Timestamp>>,
    pub expires_at: Option<Option<Timestamp>>,
    pub held_until: Option<Option<Timestamp>>,
    pub next_try_at: Option<Option<Timestamp>>,
    pub started_at: Option<Option<Timestamp>>,
    pub completed_at: Option<Option<Timestamp>>,
    pub duration_ms: Option<Option<i64>>,
    pub error_message: Option<Option<String>>,
    pub skip_reason: Option<Option<String>>,
    pub cancel_requested_at: Option<Option<Timestamp>>,
    pub breaker_probe: Option<bool>,
    pub released_at: Option<Option<Timestamp>>,
}

impl ExecutionChange {
    /// Whether it makes anything of `row` that it is not already.
    pub fn is_news(&self, row: &ExecutionRow) -> bool {
        fn differs<T: PartialEq>(to: Option<&T>, is: &T) -> bool {
            to.is_some_and(|to| to != is)
        }
        let Self {
            status,
            phase,
            rollback,
            verification,
            batch_id,
            approved_by,
            approved_at,
            expires_at,
            held_until,
            next_try_at,
            started_at,
            completed_at,
            duration_ms,
            error_message,
            skip_reason,
            cancel_requested_at,
            breaker_probe,
            released_at,
        } = self;
        differs(status.as_ref(), &row.status)
            || differs(phase.as_ref(), &row.phase)
            || differs(rollback.as_ref(), &row.rollback)
            || differs(verification.as_ref(), &row.verification)
            || differs(batch_id.as_ref(), &row.batch_id)
            || differs(approved_by.as_ref(), &row.approved_by)
            || differs(approved_at.as_ref(), &row.approved_at)
            || differs(expires_at.as_ref(), &row.expires_at)
            || differs(held_until.as_ref(), &row.held_until)
            || differs(next_try_at.as_ref(), &row.next_try_at)
            || differs(started_at.as_ref(), &row.started_at)
            || differs(completed_at.as_ref(), &row.completed_at)
            || differs(duration_ms.as_ref(), &row.duration_ms)
            || differs(error_message.as_ref(), &row.error_message)
            || differs(skip_reason.as_ref(), &row.skip_reason)
            || differs(cancel_requested_at.as_ref(), &row.cancel_requested_at)
            || differs(breaker_probe.as_ref(), &row.breaker_probe)
            || differs(released_at.as_ref(), &row.released_at)
    }
}

/// Which executions a list shows; everything empty shows all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionFilter {
    pub statuses: Vec<Status>,
    pub runbook: Option<String>,
    pub server: Option<String>,
    pub origin: Option<Origin>,
    pub alert: Option<AlertId>,
    pub episode: Option<EpisodeId>,
    pub batch: Option<BatchId>,
}

/// Stores a new execution with what it was made from.
pub fn insert(db: &mut Db, row: &ExecutionRow, details: &DetailsRow) -> Result<(), StoreError> {
    if row.id != details.execution_id {
        return Err(StoreError::Defect(format!("execution {} was given details of another", row.id)));
    }
    let details = &*cleaned!(details; reason, correlation_id, run_key);
    each_backend!(db, c => diesel::insert_into(executions::table).values(row).execute(c))?;
    each_backend!(db, c => diesel::insert_into(execution_details::table).values(details).execute(c))?;
    Ok(())
}

/// One execution.
pub fn get(db: &mut Db, id: ExecutionId) -> Result<ExecutionRow, StoreError> {
    Ok(each_backend!(db, c => executions::table.find(id).select(ExecutionRow::as_select()).first(c))?)
}

/// One execution with what it was made from.
pub fn get_whole(db: &mut Db, id: ExecutionId) -> Result<(ExecutionRow, DetailsRow), StoreError> {
    Ok(each_backend!(db, c => executions::table
        .inner_join(execution_details::table)
        .filter(executions::id.eq(id))
        .select((ExecutionRow::as_select(), DetailsRow::as_select()))
        .first(c))?)
}

/// The moment to write for an approval at `now`: after every other one, whatever the clocks of those who write say, for who
/// was approved first comes first where places are counted. Take [`super::lock_decisions`] before.
pub fn approval_time(db: &mut Db, now: Timestamp) -> Result<Timestamp, StoreError> {
    let later: Option<Option<Timestamp>> = each_backend!(db, c => executions::table
        .filter(executions::approved_at.ge(now))
        .order(executions::approved_at.desc())
        .select(executions::approved_at)
        .first(c)
        .optional())?;
    Ok(later.flatten().map_or(now, |last| last.plus(Duration::from_micros(1))))
}

/// Changes an execution if its status is one of `from`; `false` if it is not, and nothing was written.
pub fn change(db: &mut Db, id: ExecutionId, from: &[Status], change: &ExecutionChange) -> Result<bool, StoreError> {
    Ok(changed(db, id, from, change)?.is_some())
}

/// The same, and answers with what the row is now.
pub fn changed(
    db: &mut Db,
    id: ExecutionId,
    from: &[Status],
    change: &ExecutionChange,
) -> Result<Option<ExecutionRow>, StoreError> {
    if *change == ExecutionChange::default() {
        return Err(StoreError::Defect("an execution's change changes nothing".to_owned()));
    }
    let change = &*cleaned!(change; error_message, skip_reason);
    Ok(each_backend!(db, c => prepared(diesel::update(executions::table)
        .filter(executions::id.eq(id))
        .filter(executions::status.eq_any(from))
        .set(change)
        .returning(ExecutionRow::as_returning()))
        .get_result(c)
        .optional())?)
}

/// The execution that an alert made for a trigger of an episode, if there is one.
pub fn of_trigger(
    db: &mut Db,
    episode: EpisodeId,
    runbook: &str,
    trigger: &str,
) -> Result<Option<ExecutionRow>, StoreError> {
    Ok(each_backend!(db, c => executions::table
        .filter(executions::episode_id.eq(episode))
        .filter(executions::runbook.eq(runbook))
        .filter(executions::trigger_name.eq(trigger))
        .filter(executions::origin.eq(word(Origin::Alert.as_str())))
        .select(ExecutionRow::as_select())
        .first(c)
        .optional())?)
}

/// The executions that were made to undo an execution, oldest first.
pub fn rollbacks_of(db: &mut Db, id: ExecutionId) -> Result<Vec<ExecutionRow>, StoreError> {
    Ok(each_backend!(db, c => executions::table
        .inner_join(execution_details::table)
        .filter(execution_details::rollback_of.eq(id))
        .order(executions::id)
        .select(ExecutionRow::as_select())
        .load(c))?)
}

/// An approved execution that may be claimed.
#[derive(Queryable, Selectable, Clone, PartialEq, Eq, Debug)]
#[diesel(table_name = executions)]
pub struct DueRow {
    pub id: ExecutionId,
    pub runbook: String,
    pub server: String,
    pub approved_at: Option<Timestamp>,
    pub held_until: Option<Timestamp>,
    pub next_try_at: Option<Timestamp>,
}

/// Approved executions of a runbook that may be claimed at `now`, oldest first.
pub fn due(db: &mut Db, runbook: &str, now: Timestamp, limit: i64) -> Result<Vec<DueRow>, StoreError> {
    Ok(each_backend!(db, c => executions::table
        .filter(executions::runbook.eq(runbook))
        .filter(executions::status.eq(word(Status::Approved.as_str())))
        .filter(executions::held_until.is_null().or(executions::held_until.le(now)))
        .filter(executions::next_try_at.is_null().or(executions::next_try_at.le(now)))
        .order(executions::id)
        .limit(limit)
        .select(DueRow::as_select())
        .load(c))?)
}

/// The runbooks that have any of those, by name.
pub fn due_runbooks(db: &mut Db, now: Timestamp) -> Result<Vec<String>, StoreError> {
    Ok(each_backend!(db, c => executions::table
        .filter(executions::status.eq(word(Status::Approved.as_str())))
        .filter(executions::held_until.is_null().or(executions::held_until.le(now)))
        .filter(executions::next_try_at.is_null().or(executions::next_try_at.le(now)))
        .select(executions::runbook)
        .distinct()
        .order(executions::runbook)
        .load(c))?)
}

/// Something was released: every approved execution that a gate holds is asked again at `now`.
pub fn release_held(db: &mut Db, now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => prepared(diesel::update(executions::table)
        .filter(executions::status.eq(word(Status::Approved.as_str())))
        .filter(executions::held_until.gt(now))
        .set(executions::held_until.eq(now)))
        .execute(c))?)
}

/// A run on `server` is over: the approved executions that a gate holds there are asked again at `now`.
pub fn release_server(db: &mut Db, server: &str, now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => prepared(diesel::update(executions::table)
        .filter(executions::status.eq(word(Status::Approved.as_str())))
        .filter(executions::server.eq(server))
        .filter(executions::held_until.gt(now))
        .set(executions::held_until.eq(now)))
        .execute(c))?)
}

/// Executions that have not started and whose episode is over, oldest first.
pub fn of_closed_episodes(
    db: &mut Db,
    after: Option<ExecutionId>,
    limit: i64,
) -> Result<Vec<ExecutionRow>, StoreError> {
    let waiting = [Status::Pending, Status::Approved];
    let after = after.unwrap_or(ExecutionId(uuid::Uuid::nil()));
    Ok(each_backend!(db, c => executions::table
        .inner_join(episodes::table)
        .filter(executions::id.gt(after))
        .filter(executions::status.eq_any(waiting))
        .filter(executions::origin.eq(word(Origin::Alert.as_str())))
        .filter(episodes::state.ne(EpisodeState::Open))
        .order(executions::id)
        .limit(limit)
        .select(ExecutionRow::as_select())
        .load(c))?)
}

/// Pending executions whose approval came too late.
pub fn expired(db: &mut Db, now: Timestamp, limit: i64) -> Result<Vec<ExecutionRow>, StoreError> {
    Ok(each_backend!(db, c => executions::table
        .filter(executions::status.eq(word(Status::Pending.as_str())))
        .filter(executions::expires_at.le(now))
        .order(executions::id)
        .limit(limit)
        .select(ExecutionRow::as_select())
        .load(c))?)
}

/// How many executions are in a status.
pub fn count_in(db: &mut Db, status: Status) -> Result<i64, StoreError> {
    Ok(
        each_backend!(db, c => executions::table.filter(executions::status.eq(word(status.as_str()))).count().get_result(c))?,
    )
}

/// Executions with what they were made from, newest first.
pub fn list(
    db: &mut Db,
    filter: &ExecutionFilter,
    page: Page<ExecutionId>,
) -> Result<Paged<(ExecutionRow, DetailsRow), ExecutionId>, StoreError> {
    let rows: Vec<(ExecutionRow, DetailsRow)> = each_backend!(db, c: B => {
        let mut query = executions::table
            .inner_join(execution_details::table)
            .select((ExecutionRow::as_select(), DetailsRow::as_select()))
            .into_boxed::<B>();
        if !filter.statuses.is_empty() {
            query = query.filter(executions::status.eq_any(&filter.statuses));
        }
        if let Some(value) = &filter.runbook {
            query = query.filter(executions::runbook.eq(value));
        }
        if let Some(value) = &filter.server {
            query = query.filter(executions::server.eq(value));
        }
        if let Some(value) = filter.origin {
            query = query.filter(executions::origin.eq(word(value.as_str())));
        }
        if let Some(value) = filter.alert {
            query = query.filter(executions::alert_id.eq(value));
        }
        if let Some(value) = filter.episode {
            query = query.filter(executions::episode_id.eq(value));
        }
        if let Some(value) = filter.batch {
            query = query.filter(executions::batch_id.eq(value));
        }
        if let Some(before) = page.before {
            query = query.filter(executions::id.lt(before));
        }
        query.order(executions::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |(row, _)| row.id))
}
