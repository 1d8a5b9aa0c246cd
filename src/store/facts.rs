//! What the gates count. Undoing by hand touches a target, which the blast radius counts; it remedies nothing, so that
//! everything else leaves it out. Each function leaves out the execution that is asking (`but`), and looks at what is stored
//! only: take [`super::lock_decisions`] first, or two askers may count the same free place.

use diesel::prelude::*;

use super::schema::executions;
use super::types::{prepared_read, word};
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::execution::{Origin, RollbackState, Status, Verification};
use crate::id::ExecutionId;

/// Whose executions are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope<'a> {
    /// Everybody's.
    Global,
    /// A runbook's, on all servers.
    Runbook(&'a str),
    /// A server's, of all runbooks.
    Server(&'a str),
    /// A runbook's on one server.
    RunbookOnServer(&'a str, &'a str),
}

/// The execution that asks again before it starts. It is not counted itself, and what was approved after it has counted
/// it already: were it counted here as well, two that wait would hold each other back for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    pub execution: ExecutionId,
    pub approved_at: Timestamp,
}

/// What a rate limit counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Starts {
    /// When executions started inside the window, oldest first.
    pub started: Vec<Timestamp>,
    /// Executions that will start, or started before the window and still run.
    pub reserved: usize,
}

/// An ended run that counts for attempts.
#[derive(Queryable, Clone, PartialEq, Eq, Debug)]
pub struct RunEnd {
    pub id: ExecutionId,
    pub status: Status,
    pub verification: Verification,
    pub completed_at: Timestamp,
}

impl RunEnd {
    /// It did not put the alert out: failed, timed out, or not verified as effective where it was to be verified.
    fn is_failure(&self) -> bool {
        matches!(self.status, Status::Failed | Status::Timeout)
            || matches!(self.verification, Verification::Ineffective | Verification::Inconclusive)
    }
}

macro_rules! scoped {
    ($query:ident, $scope:expr, $but:expr) => {
        match $scope {
            Scope::Global => {}
            Scope::Runbook(runbook) => $query = $query.filter(executions::runbook.eq(runbook)),
            Scope::Server(server) => $query = $query.filter(executions::server.eq(server)),
            Scope::RunbookOnServer(runbook, server) => {
                $query = $query.filter(executions::runbook.eq(runbook)).filter(executions::server.eq(server));
            }
        }
        if let Some(but) = $but {
            $query = $query.filter(executions::id.ne(but));
        }
    };
}

macro_rules! before {
    ($query:ident, $asking:expr) => {
        if let Some(Asking { execution, approved_at }) = $asking {
            let is_before = executions::approved_at
                .lt(approved_at)
                .or(executions::approved_at.eq(approved_at).and(executions::id.lt(execution)));
            $query = $query.filter(is_before).filter(executions::id.ne(execution));
        }
    };
}

/// Executions that started after `since`, and those that hold a place: approved and running ones are reservations.
pub fn starts_since(
    db: &mut Db,
    scope: Scope<'_>,
    since: Timestamp,
    asking: Option<Asking>,
) -> Result<Starts, StoreError> {
    let held = [Status::Approved, Status::Running];
    let rows: Vec<Option<Timestamp>> = each_backend!(db, c: B => {
        let mut query = executions::table
            .filter(executions::started_at.gt(since).or(executions::status.eq_any(held)))
            .filter(executions::origin.ne(Origin::Rollback))
            .select(executions::started_at)
            .into_boxed::<B>();
        scoped!(query, scope, None::<ExecutionId>);
        before!(query, asking);
        prepared_read(query).load(c)
    })?;
    let mut starts = Starts::default();
    for started in rows {
        match started {
            Some(time) if time > since => starts.started.push(time),
            _ => starts.reserved += 1,
        }
    }
    starts.started.sort();
    Ok(starts)
}

/// The last start of a trigger on a server: what a cooldown counts from.
pub fn last_start(
    db: &mut Db,
    runbook: &str,
    trigger: &str,
    server: &str,
    but: Option<ExecutionId>,
) -> Result<Option<(ExecutionId, Timestamp)>, StoreError> {
    let row: Option<(ExecutionId, Option<Timestamp>)> = each_backend!(db, c: B => {
        let mut query = executions::table
            .filter(executions::trigger_name.eq(trigger))
            .filter(executions::started_at.is_not_null())
            .filter(executions::origin.ne(Origin::Rollback))
            .order(executions::started_at.desc())
            .select((executions::id, executions::started_at))
            .into_boxed::<B>();
        scoped!(query, Scope::RunbookOnServer(runbook, server), but);
        query.first(c).optional()
    })?;
    Ok(row.and_then(|(id, time)| time.map(|time| (id, time))))
}

/// The last completion of a runbook on a server: what `recently remediated` looks at.
pub fn last_completion(
    db: &mut Db,
    runbook: &str,
    server: &str,
    but: Option<ExecutionId>,
) -> Result<Option<(ExecutionId, Timestamp)>, StoreError> {
    let row: Option<(ExecutionId, Option<Timestamp>)> = each_backend!(db, c: B => {
        let mut query = executions::table
            .filter(executions::status.eq(word(Status::Completed.as_str())))
            .filter(executions::completed_at.is_not_null())
            .filter(executions::origin.ne(Origin::Rollback))
            .order(executions::completed_at.desc())
            .select((executions::id, executions::completed_at))
            .into_boxed::<B>();
        scoped!(query, Scope::RunbookOnServer(runbook, server), but);
        query.first(c).optional()
    })?;
    Ok(row.and_then(|(id, time)| time.map(|time| (id, time))))
}

/// Failed and ineffective runs of a trigger on a server that ended after `since`, oldest first: a loop or a flap. Cancelled,
/// interrupted and withdrawn runs count as nothing and are not here, nor is undoing by hand.
pub fn fruitless_since(
    db: &mut Db,
    runbook: &str,
    trigger: &str,
    server: &str,
    since: Timestamp,
    but: Option<ExecutionId>,
) -> Result<Vec<RunEnd>, StoreError> {
    let counted = [Status::Completed, Status::Failed, Status::Timeout];
    let mut ends: Vec<RunEnd> = each_backend!(db, c: B => {
        let mut query = executions::table
            .filter(executions::trigger_name.eq(trigger))
            .filter(executions::status.eq_any(counted))
            .filter(executions::completed_at.gt(since))
            // A host that was never reached says nothing about the runbook.
            .filter(executions::started_at.is_not_null())
            .filter(executions::origin.ne(Origin::Rollback))
            // Released without being stuck: it was interrupted, and what became of it is unknown.
            .filter(executions::released_at.is_null().or(executions::rollback.eq(RollbackState::Stuck)))
            .select((
                executions::id,
                executions::status,
                executions::verification,
                executions::completed_at.assume_not_null(),
            ))
            .into_boxed::<B>();
        scoped!(query, Scope::RunbookOnServer(runbook, server), but);
        prepared_read(query.order((executions::completed_at, executions::id))).load(c)
    })?;
    ends.retain(RunEnd::is_failure);
    Ok(ends)
}

/// Distinct servers of a group (`None`: of no group) that a runbook touched after `since` or is about to, by name.
pub fn targets_since(
    db: &mut Db,
    runbook: &str,
    server_group: Option<&str>,
    since: Timestamp,
    asking: Option<Asking>,
) -> Result<Vec<String>, StoreError> {
    let held = [Status::Approved, Status::Running];
    Ok(each_backend!(db, c: B => {
        let mut query = executions::table
            .filter(executions::started_at.gt(since).or(executions::status.eq_any(held)))
            .select(executions::server)
            .distinct()
            .order(executions::server)
            .into_boxed::<B>();
        query = match server_group {
            Some(group) => query.filter(executions::server_group.eq(group)),
            None => query.filter(executions::server_group.is_null()),
        };
        scoped!(query, Scope::Runbook(runbook), None::<ExecutionId>);
        before!(query, asking);
        prepared_read(query).load(c)
    })?)
}

/// What keeps a half-open breaker from letting another one through: any run of the runbook, or a probe that is about to
/// start.
pub fn probe_in_flight(
    db: &mut Db,
    runbook: &str,
    but: Option<ExecutionId>,
) -> Result<Option<ExecutionId>, StoreError> {
    Ok(each_backend!(db, c: B => {
        let mut query = executions::table
            .filter(
                executions::status
                    .eq(word(Status::Running.as_str()))
                    .or(executions::status.eq(word(Status::Approved.as_str())).and(executions::breaker_probe.eq(true))),
            )
            .select(executions::id)
            .into_boxed::<B>();
        scoped!(query, Scope::Runbook(runbook), but);
        query.first(c).optional()
    })?)
}
