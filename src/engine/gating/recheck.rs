//! Held decisions are not terminal: they are asked again when their moment comes, and run if their alert still fires.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::record::{self, Author, Evidence, Loaded};
use crate::execution::Event;
use crate::gate::{Gate, Reason, Verdict};
use crate::id::{DecisionId, ExecutionId};
use crate::store::decisions::{self, DecisionRow};
use crate::store::{Db, DecisionVerdict, StoreError, executions, lock_decisions};

use super::ask::ask_again;
use super::batch;
use super::decide::{Decided, decide_again};

/// Decisions that are asked about in one go; the rest follows with the next look.
const BATCH: i64 = 100;
/// A decision that waits for a release is asked about this often anyway: nobody may have told of the release.
const RELEASE_DOUBTED_AFTER: Duration = Duration::from_secs(30);

/// Asks again about every held decision that is due, withdraws what waits for an alert that is over, and closes batches
/// whose time is over. Answers how many decisions were asked about; when it is 100 or more, there may be more.
pub async fn recheck_due(engine: &Engine) -> Result<usize, StoreError> {
    withdraw_resolved(engine).await?;
    let now = engine.clock.now();
    if engine.store.read(batch::is_untidy).await? {
        engine.store.write(move |db| batch::tidy(db, now)).await?;
    }
    let due = engine.store.read(move |db| {
        let mut due = decisions::due(db, now, BATCH)?;
        due.extend(decisions::waiting(db, now.minus(RELEASE_DOUBTED_AFTER), BATCH)?);
        Ok(due)
    });
    let due: Vec<DecisionId> = due.await?.into_iter().map(|row| row.id).collect();
    for id in &due {
        if !engine.replica.tenure().is_valid() {
            break;
        }
        let (id, policy, now) = (*id, engine.policy(), engine.clock.now());
        let decided = engine.store.write_in_turn(move |db: &mut Db| {
            // Another replica may have been faster.
            let row = decisions::get(db, id)?;
            if is_due(&row, now) { decide_again(db, &policy, id, now) } else { Ok(None) }
        });
        match decided.await {
            Ok(Some(decided)) => Decided::announce(decided, engine),
            Ok(None) => {}
            Err(error) if error.is_retryable() => return Err(error),
            // One that cannot be asked about never keeps the others waiting.
            Err(error) => tracing::error!(decision = %id, %error, "a held decision could not be asked about again"),
        }
    }
    Ok(due.len())
}

fn is_due(row: &DecisionRow, now: Timestamp) -> bool {
    row.verdict == DecisionVerdict::Held
        && match row.held_until {
            Some(until) => until <= now,
            None => row.decided_at.plus(RELEASE_DOUBTED_AFTER) <= now,
        }
}

/// Withdraws the executions that have not started and whose alert is over.
pub async fn withdraw_resolved(engine: &Engine) -> Result<usize, StoreError> {
    let (mut withdrawn, mut after) = (0, None);
    loop {
        let waiting = engine.store.read(move |db| executions::of_closed_episodes(db, after, BATCH)).await?;
        let Some(last) = waiting.last() else { return Ok(withdrawn) };
        after = Some(last.id);
        for row in waiting {
            let author = Author::engine(engine);
            let asker = author.clone();
            // Most that wait here wait on: nothing is locked to find that out.
            let is_over = engine.store.read(move |db| {
                let loaded = record::load(db, row.id)?;
                Ok(over(db, &loaded, &asker)?.is_some())
            });
            let done = match is_over.await {
                Ok(false) => continue,
                Ok(true) => engine.store.write(move |db: &mut Db| withdraw(db, row.id, &author)).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(None) => {}
                Ok(Some((runbook, mode))) => {
                    engine.metrics.execution_closed(&runbook, crate::execution::Status::Cancelled, mode.as_str());
                    withdrawn += 1;
                }
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::error!(execution = %row.id, %error, "an execution could not be withdrawn"),
            }
        }
    }
}

/// What the alert's end says about an execution that has not started; nothing if it may wait on.
fn over(db: &mut Db, loaded: &Loaded, author: &Author) -> Result<Option<String>, StoreError> {
    if loaded.row.started_at.is_some() || loaded.row.status.is_final() {
        return Ok(None);
    }
    let asked = ask_again(db, &author.policy, loaded, author.now)?;
    let verdict = asked.evaluation.of_gate(Gate::StillFiring);
    let over = verdict.filter(|verdict| verdict.verdict == Verdict::Refuse && verdict.reason == Some(Reason::Resolved));
    Ok(over.map(|verdict| verdict.message.clone()))
}

/// The execution is withdrawn if nothing of it has started and it makes sense only while its alert fires.
fn withdraw(
    db: &mut Db,
    id: ExecutionId,
    author: &Author,
) -> Result<Option<(String, crate::runbook::model::Mode)>, StoreError> {
    lock_decisions(db)?;
    let loaded = record::load(db, id)?;
    let Some(message) = over(db, &loaded, author)? else { return Ok(None) };
    let event = Event::Withdrawn { skip_reason: Reason::Resolved.as_str().to_owned(), message };
    match record::record(db, loaded, &[(event, Evidence::None)], author)? {
        Ok(loaded) => Ok(Some((loaded.row.runbook, loaded.row.mode))),
        Err(illegal) => Err(StoreError::Defect(illegal.to_string())),
    }
}
