//! One yes, or no, for several executions: exactly those that were shown, with exactly the plans that were shown.

use crate::audit::canonical::sha256_hex;
use crate::execution::{Event, Status};
use crate::id::{BatchId, ExecutionId};
use crate::store::batches::{self, BatchRow};
use crate::store::executions::ExecutionRow;
use crate::store::{BatchState, Db, StoreError, lock_decisions};

use super::{ActError, Author, Evidence, Loaded, Person, may_answer, may_approve_own, optional, record, required, yes};
use crate::engine::Engine;

/// What became of a batch's members.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    pub batch: BatchRow,
    /// Approved or rejected by this act.
    pub done: Vec<ExecutionRow>,
    /// Members that had been answered, cancelled or withdrawn alone before.
    pub left: Vec<ExecutionId>,
}

/// What a person who looks at a batch sees: a hash over its members and their plans. Another member, another hash.
pub fn shown_hash(batch: &BatchRow) -> String {
    let members: Vec<String> =
        batch.members_json.0.iter().map(|member| format!("{} {}", member.execution_id, member.plan_hash)).collect();
    sha256_hex(members.join("\n").as_bytes())
}

/// Says yes to the members of a batch that still wait. `shown` is the [`shown_hash`] of the batch that was looked at: one
/// that took another member meanwhile is refused, so that nobody agrees to what they did not see.
pub async fn approve_batch(
    engine: &Engine,
    id: BatchId,
    by: &Person,
    shown: Option<String>,
    reason: Option<String>,
) -> Result<Answered, ActError> {
    let reason = optional(reason)?;
    let answered = answer(engine, id, by, BatchState::Approved, shown, reason).await?;
    engine.wake.everywhere();
    Ok(answered)
}

/// Says no to the members of a batch that still wait, and why.
pub async fn reject_batch(engine: &Engine, id: BatchId, by: &Person, reason: String) -> Result<Answered, ActError> {
    let reason = required(&reason)?;
    let answered = answer(engine, id, by, BatchState::Rejected, None, Some(reason)).await?;
    for row in &answered.done {
        engine.metrics.execution_closed(&row.runbook, row.status, row.mode.as_str());
    }
    Ok(answered)
}

async fn answer(
    engine: &Engine,
    id: BatchId,
    by: &Person,
    to: BatchState,
    shown: Option<String>,
    reason: Option<String>,
) -> Result<Answered, ActError> {
    let (author, person) = (Author::person(engine, by), by.clone());
    let done = engine.store.write(move |db: &mut Db| {
        // A run that joins at this moment joins before or after, never in between.
        lock_decisions(db)?;
        if to == BatchState::Approved
            && let Some(refusal) = not_as_shown(&batches::get(db, id)?, shown.as_deref())
        {
            return Ok(Err(ActError::Conflict(refusal)));
        }
        answer_in(db, id, &person, to, reason.as_deref(), &author)
    });
    done.await?
}

/// Why a batch is not the one that was looked at.
fn not_as_shown(batch: &BatchRow, shown: Option<&str>) -> Option<String> {
    let (id, members) = (batch.id, batch.members_json.0.len());
    match shown {
        Some(shown) if shown == shown_hash(batch) => None,
        Some(_) => Some(format!(
            "batch {id} is not as it was when you looked: it has {members} members now; look at it again before you approve"
        )),
        None => Some(format!(
            "batch {id} has {members} members and may take more: look at it with `douse approvals show {id}`, and approve \
             it with the plan hash that stands there"
        )),
    }
}

fn answer_in(
    db: &mut Db,
    id: BatchId,
    person: &Person,
    to: BatchState,
    reason: Option<&str>,
    author: &Author,
) -> Result<Result<Answered, ActError>, StoreError> {
    let batch = batches::get(db, id)?;
    match batch.state {
        BatchState::Open | BatchState::Closed => {}
        BatchState::Approved | BatchState::Rejected | BatchState::Expired => {
            return Ok(Err(ActError::Conflict(format!("batch {id} is {} already", batch.state))));
        }
    }
    let mut members: Vec<(Loaded, Event)> = Vec::new();
    let mut left = Vec::new();
    let mut is_over = true;
    let mut refused = None;
    for member in &batch.members_json.0 {
        let loaded = record::load(db, member.execution_id)?;
        let is_late = loaded.row.expires_at.is_some_and(|expires_at| expires_at <= author.now);
        // Never another plan than the one that was shown.
        if loaded.row.status != Status::Pending || is_late || loaded.details.plan_hash != member.plan_hash {
            left.push(member.execution_id);
            continue;
        }
        let told = may_answer(&author.policy, &loaded, person).and_then(|()| match to {
            BatchState::Rejected => {
                Ok(Event::Rejected { by: person.name.clone(), reason: reason.unwrap_or_default().to_owned() })
            }
            BatchState::Open | BatchState::Closed | BatchState::Approved | BatchState::Expired => {
                may_approve_own(&author.policy, &loaded, person)?;
                yes(&author.policy, &loaded, person, reason.map(str::to_owned))
            }
        });
        match told {
            Ok(event) => {
                is_over &= !matches!(event, Event::Agreed { .. });
                members.push((loaded, event));
            }
            // This person has said yes to this one; others of the batch have come since.
            Err(error @ ActError::Conflict(_)) => {
                is_over = false;
                left.push(member.execution_id);
                refused = Some(error);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    if let (true, Some(refused)) = (members.is_empty(), refused) {
        return Ok(Err(refused));
    }
    if members.is_empty() {
        return Ok(Err(ActError::Conflict(format!("no execution of batch {id} waits for an answer any more"))));
    }
    let from = batch.state;
    // It is answered when nobody else has to say yes to any of its members.
    let answered = match is_over {
        true => BatchRow {
            state: to,
            decided_at: Some(author.now),
            decided_by: Some(person.name.clone()),
            reason: reason.map(str::to_owned),
            ..batch
        },
        false => batch,
    };
    if !batches::update(db, from, &answered)? {
        return Err(StoreError::Conflict(format!("batch {id} was answered by another")));
    }
    let mut done = Vec::new();
    for (loaded, event) in members {
        match record::record(db, loaded, &[(event, Evidence::None)], author)? {
            Ok(loaded) => done.push(loaded.row),
            Err(illegal) => return Err(StoreError::Defect(illegal.to_string())),
        }
    }
    Ok(Ok(Answered { batch: answered, done, left }))
}
