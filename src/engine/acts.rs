//! What people do to executions: approve, reject, cancel, retry, roll back, release.
//!
//! Each act is one transaction: read, ask the machine, write with its audit event; so two people who act at the same time
//! cannot both be right. Who may call a route at all is the API's matter; who may give *this* approval is decided here.

mod again;
mod batch;

use std::sync::Arc;

use crate::execution::{Event, IllegalTransition, Phase, Status};
use crate::id::ExecutionId;
use crate::limits;
use crate::rights::{Act, Role};
use crate::runbook::model::Runbook;
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, StoreError};

use super::record::{self, Author, Evidence, Loaded};
use super::{Engine, Policy};

pub use super::identity::Person;
pub use again::roll_back;
pub use batch::{approve_batch, reject_batch, shown_hash};

/// Why an act was not done. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// 404: there is no such execution or batch.
    #[error("there is no such execution")]
    NotFound,
    /// 403: this person may not do this to this execution.
    #[error("{0}")]
    Forbidden(String),
    /// 409: the execution is not in a state for that act now.
    #[error("{0}")]
    Conflict(String),
    /// 422: the request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// 503 if retryable.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ActError {
    fn from(error: StoreError) -> Self {
        if error.is_not_found() { Self::NotFound } else { Self::Store(error) }
    }
}

/// Says yes to a pending execution. Binds to its plan: with `plan_hash`, only if that is the plan that was shown.
pub async fn approve(
    engine: &Engine,
    id: ExecutionId,
    by: &Person,
    plan_hash: Option<String>,
    reason: Option<String>,
) -> Result<ExecutionRow, ActError> {
    let reason = optional(reason)?;
    let (person, policy) = (by.clone(), engine.policy());
    let row = act(engine, id, by, move |loaded, author| {
        may_answer(&policy, loaded, &person)?;
        pending(loaded, "approved")?;
        may_approve_own(&policy, loaded, &person)?;
        if plan_hash.as_ref().is_some_and(|hash| *hash != loaded.details.plan_hash) {
            return Err(ActError::Conflict(format!(
                "that is not this execution's plan: its hash is {}; look at it again before you approve",
                loaded.details.plan_hash
            )));
        }
        if loaded.row.expires_at.is_some_and(|expires_at| expires_at <= author.now) {
            return Err(ActError::Conflict("the request has expired; start a new run".to_owned()));
        }
        Ok(vec![yes(&policy, loaded, &person, reason.clone())?])
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}

/// Says no to a pending execution, and why.
pub async fn reject(engine: &Engine, id: ExecutionId, by: &Person, reason: String) -> Result<ExecutionRow, ActError> {
    let reason = required(&reason)?;
    let (person, policy) = (by.clone(), engine.policy());
    let row = act(engine, id, by, move |loaded, _| {
        may_answer(&policy, loaded, &person)?;
        pending(loaded, "rejected")?;
        Ok(vec![Event::Rejected { by: person.name.clone(), reason: reason.clone() }])
    })
    .await?;
    engine.metrics.execution_closed(&row.runbook, row.status, row.mode.as_str());
    Ok(row)
}

/// Stops an execution: at once if nothing was started; else its running step is killed and its rollback policy applies.
/// Asked a second time, it answers as before.
pub async fn cancel(
    engine: &Engine,
    id: ExecutionId,
    by: &Person,
    reason: Option<String>,
) -> Result<ExecutionRow, ActError> {
    let reason = optional(reason)?;
    let person = by.clone();
    let row = act(engine, id, by, move |loaded, _| {
        may_execute(loaded, &person)?;
        let state = &loaded.state;
        match state.status {
            Status::Running if state.cancelled_by.is_some() => Ok(Vec::new()),
            Status::Running if state.phase == Phase::Rollback => {
                Err(ActError::Conflict("its rollback is under way, and is not interrupted".to_owned()))
            }
            Status::Pending | Status::Approved | Status::Running => {
                Ok(vec![Event::CancelRequested { by: person.name.clone(), reason: reason.clone() }])
            }
            Status::Completed
            | Status::Failed
            | Status::Timeout
            | Status::Cancelled
            | Status::Rejected
            | Status::Expired
            | Status::Interrupted => Err(not_now(loaded, "cancelled", "pending, approved or running")),
        }
    })
    .await?;
    engine.in_flight.cancel(id);
    engine.wake.others();
    if row.status.is_final() {
        engine.metrics.execution_closed(&row.runbook, row.status, row.mode.as_str());
    }
    Ok(row)
}

/// Frees the target of a stuck or interrupted execution, after a person has looked at it.
pub async fn release(engine: &Engine, id: ExecutionId, by: &Person, reason: String) -> Result<ExecutionRow, ActError> {
    let reason = required(&reason)?;
    let person = by.clone();
    let row = act(engine, id, by, move |loaded, _| {
        may_execute(loaded, &person)?;
        if loaded.state.status == Status::Running || !loaded.state.holds_target() {
            return Err(ActError::Conflict(format!(
                "execution {} is {} and holds no target that a person could release",
                loaded.row.id, loaded.row.status
            )));
        }
        Ok(vec![Event::Released { by: person.name.clone(), reason: reason.clone() }])
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}

/// Ends the pending executions that nobody answered in time; answers how many.
pub async fn expire(engine: &Engine) -> Result<usize, StoreError> {
    let author = Author::engine(engine);
    let now = author.now;
    let late = engine.store.read(move |db| executions::expired(db, now, limits::EXPIRE_BATCH)).await?;
    let mut count = 0;
    for row in late {
        let author = author.clone();
        let expired = engine.store.write(move |db: &mut Db| {
            let loaded = record::load(db, row.id)?;
            let is_late = loaded.row.expires_at.is_some_and(|expires_at| expires_at <= author.now);
            if loaded.row.status != Status::Pending || !is_late {
                return Ok(None);
            }
            record::record(db, loaded, &[(Event::Expired, Evidence::None)], &author).map(Result::ok)
        });
        match expired.await {
            Ok(None) => {}
            Ok(Some(loaded)) => {
                engine.metrics.execution_closed(&loaded.row.runbook, loaded.row.status, loaded.row.mode.as_str());
                count += 1;
            }
            Err(error) if error.is_retryable() => return Err(error),
            // One that cannot be read never keeps the others waiting.
            Err(error) => tracing::error!(execution = %row.id, %error, "an execution could not be expired"),
        }
    }
    Ok(count)
}

/// One act: what `decide` makes of the execution as it is, in one transaction.
async fn act(
    engine: &Engine,
    id: ExecutionId,
    by: &Person,
    decide: impl Fn(&Loaded, &Author) -> Result<Vec<Event>, ActError> + Send + Sync + 'static,
) -> Result<ExecutionRow, ActError> {
    let author = Author::person(engine, by);
    let decide = Arc::new(decide);
    for is_last in [false, false, true] {
        let (author, decide) = (author.clone(), Arc::clone(&decide));
        let done = engine.store.write(move |db: &mut Db| {
            let loaded = record::load(db, id)?;
            let events = match decide(&loaded, &author) {
                Ok(events) if events.is_empty() => return Ok(Ok(loaded.row)),
                Ok(events) => events,
                Err(error) => return Ok(Err(error)),
            };
            let told: Vec<(Event, Evidence)> = events.into_iter().map(|event| (event, Evidence::None)).collect();
            Ok(record::record(db, loaded, &told, &author)?.map(|loaded| loaded.row).map_err(illegal))
        });
        match done.await {
            // Another told the execution something in the same moment, perhaps its end: look again.
            Err(error) if (error.is_conflict() || error.is_frozen()) && !is_last => {}
            Err(error) => return Err(error.into()),
            Ok(answer) => return answer,
        }
    }
    Err(ActError::Conflict("the execution is changing at this moment; try again".to_owned()))
}

/// 422: the machine does not have this transition.
fn illegal(error: IllegalTransition) -> ActError {
    ActError::Invalid(error.to_string())
}

fn pending(loaded: &Loaded, done: &str) -> Result<(), ActError> {
    if loaded.row.status == Status::Pending { Ok(()) } else { Err(not_now(loaded, done, "pending")) }
}

fn not_now(loaded: &Loaded, done: &str, wanted: &str) -> ActError {
    let Loaded { row, .. } = loaded;
    ActError::Conflict(format!("execution {} is {}; only a {wanted} one can be {done}", row.id, row.status))
}

fn runbook_of<'a>(policy: &'a Policy, loaded: &Loaded) -> Option<&'a Runbook> {
    policy.runbooks.get(&loaded.row.runbook).map(|active| &*active.runbook)
}

/// A yes: the last one that is needed, or one of several. Each by another person.
fn yes(policy: &Policy, loaded: &Loaded, person: &Person, reason: Option<String>) -> Result<Event, ActError> {
    let (by, agreed) = (person.name.clone(), &loaded.state.agreed);
    if agreed.contains(&by) {
        return Err(ActError::Conflict(format!("{by} has said yes already; {} has to, too", others(policy, loaded))));
    }
    if agreed.len() + 1 < needed(policy, loaded) {
        return Ok(Event::Agreed { by, reason });
    }
    Ok(Event::Approved { by, reason })
}

/// How many people have to say yes: as many as when it was asked for, and as many as now.
pub fn needed(policy: &Policy, loaded: &Loaded) -> usize {
    let now = runbook_of(policy, loaded).map_or(1, |runbook| runbook.approval.min_approvals);
    usize::try_from(now.max(loaded.plan.min_approvals)).unwrap_or(usize::MAX)
}

fn others(policy: &Policy, loaded: &Loaded) -> String {
    match needed(policy, loaded).saturating_sub(loaded.state.agreed.len()) {
        0 | 1 => "another person".to_owned(),
        more => format!("{more} others"),
    }
}

/// Starting, stopping, undoing and releasing runs of this runbook on this server is among the person's rights.
fn may_execute(loaded: &Loaded, person: &Person) -> Result<(), ActError> {
    permitted(person, Act::Execute, &loaded.row.runbook, loaded.row.server_group.as_deref())
}

/// Whether the person's rights reach so far. What they may not even see is not there for them.
pub fn permitted(person: &Person, act: Act, runbook: &str, group: Option<&str>) -> Result<(), ActError> {
    if !person.may(Act::View, runbook, group) {
        return Err(ActError::NotFound);
    }
    if person.may(act, runbook, group) {
        return Ok(());
    }
    let on = group.map_or_else(|| "servers without a group".to_owned(), |group| format!("group `{group}`"));
    Err(ActError::Forbidden(format!("the rights of {} do not permit to {act} `{runbook}` on {on}", person.name)))
}

/// The runbook's `approval_roles`, and admins, answer, as far as their rights reach; if the runbook is gone, admins alone.
fn may_answer(policy: &Policy, loaded: &Loaded, person: &Person) -> Result<(), ActError> {
    permitted(person, Act::Approve, &loaded.row.runbook, loaded.row.server_group.as_deref())?;
    let roles = runbook_of(policy, loaded).map_or(&[][..], |runbook| &runbook.approval.roles);
    if person.role == Role::Admin || roles.iter().any(|role| role == person.role.as_str()) {
        return Ok(());
    }
    let who = if roles.is_empty() { "an admin".to_owned() } else { roles.join(" or ") };
    Err(ActError::Forbidden(format!(
        "runbook `{}` is answered for by {who}, not by {}",
        loaded.row.runbook, person.role
    )))
}

/// Who asked for a run does not approve it, unless the runbook says `allow_self`.
fn may_approve_own(policy: &Policy, loaded: &Loaded, person: &Person) -> Result<(), ActError> {
    let may = runbook_of(policy, loaded).is_some_and(|runbook| runbook.approval.allow_self);
    if may || loaded.row.created_by != person.name {
        return Ok(());
    }
    Err(ActError::Forbidden(format!(
        "{} asked for this run, so another person has to approve it (`approval.allow_self` would permit it)",
        person.name
    )))
}

/// A reason that must be there, 1 to 1,000 characters.
fn required(reason: &str) -> Result<String, ActError> {
    optional(Some(reason.to_owned()))?.ok_or_else(|| ActError::Invalid("`reason` is needed: say why".to_owned()))
}

/// A reason that may be left out.
fn optional(reason: Option<String>) -> Result<Option<String>, ActError> {
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    match reason {
        Some(reason) if reason.chars().count() > limits::REASON_CHARS_MAX => {
            Err(ActError::Invalid(format!("`reason` is longer than {} characters", limits::REASON_CHARS_MAX)))
        }
        other => Ok(other),
    }
}
