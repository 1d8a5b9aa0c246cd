//! Held decisions are not terminal: they are asked again when their moment comes, and run if their alert still fires.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::record::{self, Author, Evidence};
use crate::execution::Event;
use crate::gate::{Gate, Reason, Verdict};
use crate::id::{DecisionId, EpisodeId, ExecutionId};
use crate::store::decisions::{self, DecisionRow};
use crate::store::{Db, DecisionVerdict, StoreError, executions, lock_decisions};

use super::ask::ask_again;
use super::batch;
use super::decide::{Decided, decide_again};

/// Decisions that are asked about in one go; the rest follows at once.
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
        let (id, policy, now) = (*id, engine.policy(), engine.clock.now());
        let decided = engine.store.write(move |db: &mut Db| {
            lock_decisions(db)?;
            // Another replica may have been faster.
            let row = decisions::get(db, id)?;
            if is_due(&row, now) { decide_again(db, &policy, id, now) } else { Ok(None) }
        });
        if let Some(decided) = decided.await? {
            Decided::announce(decided, engine);
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
    let waiting = engine.store.read(|db| executions::of_closed_episodes(db, BATCH)).await?;
    let mut withdrawn = 0;
    for row in waiting {
        let author = Author::engine(engine);
        let done = engine.store.write(move |db: &mut Db| withdraw(db, row.id, &author)).await?;
        if let Some((runbook, mode)) = done {
            engine.metrics.execution_closed(&runbook, crate::execution::Status::Cancelled, mode.as_str());
            withdrawn += 1;
        }
    }
    Ok(withdrawn)
}

/// The execution is withdrawn if nothing of it has started and it makes sense only while its alert fires.
fn withdraw(
    db: &mut Db,
    id: ExecutionId,
    author: &Author,
) -> Result<Option<(String, crate::runbook::model::Mode)>, StoreError> {
    lock_decisions(db)?;
    let loaded = record::load(db, id)?;
    if loaded.row.started_at.is_some() || loaded.row.status.is_final() {
        return Ok(None);
    }
    let asked = ask_again(db, &author.policy, &loaded, author.now)?;
    let over = asked
        .evaluation
        .of_gate(Gate::StillFiring)
        .filter(|verdict| verdict.verdict == Verdict::Refuse && verdict.reason == Some(Reason::Resolved));
    let Some(over) = over else { return Ok(None) };
    let event = Event::Withdrawn { skip_reason: Reason::Resolved.as_str().to_owned(), message: over.message.clone() };
    match record::record(db, loaded, &[(event, Evidence::None)], author)? {
        Ok(loaded) => Ok(Some((loaded.row.runbook, loaded.row.mode))),
        Err(illegal) => Err(StoreError::Defect(illegal.to_string())),
    }
}

/// The held decisions of an episode that has just ended, or fires again, are asked about at once.
pub fn episode_changed(db: &mut Db, episode: EpisodeId, now: Timestamp) -> Result<usize, StoreError> {
    decisions::release_episodes(db, &[episode], now)
}
