//! New executions made of ended ones: their undos.

use crate::clock::Timestamp;
use crate::execution::rollback::order_by_hand;
use crate::execution::{Origin, Phase, RollbackState, Status, Verification};
use crate::id::ExecutionId;
use crate::store::details::DetailsRow;
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, Json, StoreError, target_locks};

use super::{ActError, Author, Loaded, Person, may_execute, optional, record};
use crate::engine::Engine;

/// Undoes what is left to undo of an ended execution, in a new one with `rollback_of`. It ignores blackouts, rate limits
/// and breakers, and obeys the kill switch and the target's lock.
pub async fn roll_back(
    engine: &Engine,
    id: ExecutionId,
    by: &Person,
    reason: Option<String>,
) -> Result<ExecutionRow, ActError> {
    let reason = optional(reason)?;
    let (author, person, made) = (Author::person(engine, by), by.clone(), ExecutionId::new());
    // Before it can start: its undos may need them.
    engine.secrets.keep(made, engine.secrets.of(id));
    let write = engine.store.write(move |db: &mut Db| roll_back_in(db, id, made, &person, reason, &author));
    let answer = write.await.map_err(ActError::from).and_then(std::convert::identity);
    let row = answer.inspect_err(|_| engine.secrets.forget(made))?;
    engine.wake.dispatch.notify_one();
    Ok(row)
}

fn roll_back_in(
    db: &mut Db,
    id: ExecutionId,
    made: ExecutionId,
    person: &Person,
    reason: Option<String>,
    author: &Author,
) -> Result<Result<ExecutionRow, ActError>, StoreError> {
    crate::store::lock_decisions(db)?;
    let original = record::load(db, id)?;
    if let Err(error) = may_execute(&original, person).and_then(|()| ended(&original, "rolled back")) {
        return Ok(Err(error));
    }
    if original.row.origin == Origin::Rollback {
        return Ok(Err(ActError::Conflict("it is a rollback itself; name the execution that it undoes".to_owned())));
    }
    let earlier = executions::rollbacks_of(db, id)?;
    if let Some(other) = earlier.iter().find(|row| undoes_it(row.status)) {
        return Ok(Err(ActError::Conflict(format!("execution {} rolls it back ({})", other.id, other.status))));
    }
    if let Some(held) = target_locks::holder(db, &original.row.server)? {
        return Ok(Err(ActError::Conflict(format!(
            "server `{}` is held by execution {} ({})",
            held.server, held.execution_id, held.reason
        ))));
    }
    let earlier =
        earlier.iter().map(|row| Ok(record::load(db, row.id)?.state)).collect::<Result<Vec<_>, StoreError>>()?;
    let undoes = order_by_hand(&original.state, &earlier, &original.plan);
    if undoes.is_empty() {
        return Ok(Err(ActError::Conflict(format!("there is nothing to undo of execution {id}"))));
    }
    let approved_at = executions::approval_time(db, author.now)?;
    let (row, details) = rows(&original, made, approved_at, person, reason, author);
    let loaded = record::create(db, &row, &details, &original.plan, Some(undoes), author)?;
    Ok(Ok(loaded.row))
}

fn rows(
    original: &Loaded,
    id: ExecutionId,
    approved_at: Timestamp,
    person: &Person,
    reason: Option<String>,
    author: &Author,
) -> (ExecutionRow, DetailsRow) {
    let row = ExecutionRow {
        id,
        origin: Origin::Rollback,
        status: Status::Approved,
        phase: Phase::Main,
        rollback: RollbackState::None,
        verification: Verification::None,
        decision_id: None,
        batch_id: None,
        policy_version: author.policy.version.clone(),
        created_by: person.name.clone(),
        created_at: author.now,
        approved_by: Some(person.name.clone()),
        approved_at: Some(approved_at),
        expires_at: None,
        held_until: None,
        next_try_at: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
        error_message: None,
        skip_reason: None,
        cancel_requested_at: None,
        breaker_probe: false,
        released_at: None,
        ..original.row.clone()
    };
    let details = DetailsRow {
        execution_id: id,
        retry_of: None,
        rollback_of: Some(original.row.id),
        reason,
        idempotency_key: None,
        idempotency_token: None,
        approval_gates: Json(Vec::new()),
        approval_reason: None,
        rejected_by: None,
        rejected_at: None,
        rejection_reason: None,
        cancel_requested_by: None,
        cancel_reason: None,
        conflicting_execution_id: None,
        waits_since: None,
        queued_ms: 0,
        connect_tries: 0,
        claimed_by: None,
        outputs: Json(serde_json::json!({})),
        output_summary: None,
        released_by: None,
        released_reason: None,
        ..original.details.clone()
    };
    (row, details)
}

fn ended(loaded: &Loaded, done: &str) -> Result<(), ActError> {
    let Loaded { row, .. } = loaded;
    if row.status.is_final() && row.started_at.is_some() {
        return Ok(());
    }
    let hint = match row.status {
        Status::Interrupted => "; release it first",
        Status::Pending
        | Status::Approved
        | Status::Running
        | Status::Completed
        | Status::Failed
        | Status::Timeout
        | Status::Cancelled
        | Status::Rejected
        | Status::Expired => "",
    };
    Err(ActError::Conflict(format!(
        "execution {} is {}; only a run that is over can be {done}{hint}",
        row.id, row.status
    )))
}

/// It undoes, or has undone.
const fn undoes_it(status: Status) -> bool {
    match status {
        Status::Pending | Status::Approved | Status::Running | Status::Completed | Status::Interrupted => true,
        Status::Failed | Status::Timeout | Status::Cancelled | Status::Rejected | Status::Expired => false,
    }
}
