//! Which runbooks an incident calls for: takes the episodes that nobody has decided yet, oldest first.
//!
//! Asks the policy's index which triggers select the episode's alert, and hands each to `gating` in one transaction, so that
//! an episode has either all of its decisions or none; an episode that no trigger selects gets one `no_match`. Some episodes
//! share a transaction, for a commit costs the same whatever is in it. One that cannot be decided is logged and left for
//! the next look; it never keeps the others waiting.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Policy, gating};
use crate::clock::Timestamp;
use crate::failpoint;
use crate::store::episodes::{self, EpisodeRow};
use crate::store::{Db, StoreError, alerts, lock_decisions};

/// Episodes decided in one transaction: whoever wants to claim or to change a decision waits for it.
const TOGETHER: i64 = 20;
/// Of the time in which both would write, deciding takes a part in one more than so many.
const WAY: u32 = 3;
/// Episodes looked at one after the other, when one of them cannot be decided.
const EACH: i64 = 100;

/// Decides every undecided episode; answers how many were decided.
pub async fn decide_waiting(engine: &Engine) -> Result<usize, StoreError> {
    let mut decided = 0;
    while !engine.stopping.is_cancelled() && engine.replica.tenure().is_valid() {
        let began = engine.clock.instant();
        let some = match decide(engine, None).await {
            Err(error) if !error.is_retryable() => decide_each(engine).await?,
            other => other?,
        };
        decided += some;
        if some > 0 {
            give_way(engine, began.elapsed()).await;
        }
        // A batch in which nothing moves would be read again for ever, and a part of one is the last.
        if i64::try_from(some).is_ok_and(|some| some < TOGETHER) {
            break;
        }
    }
    Ok(decided)
}

/// In a storm, what comes in is stored first: its sender waits, and what is stored is not lost. A decision that took `took` leaves
/// [`WAY`] times that to the deliveries that wait, so that deciding goes on, too. Without a storm nothing waits.
async fn give_way(engine: &Engine, took: Duration) {
    let end = engine.clock.instant() + took * WAY;
    while engine.ingest.is_busy() && engine.clock.instant() < end && !engine.stopping.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// One after the other: one of them cannot be decided.
async fn decide_each(engine: &Engine) -> Result<usize, StoreError> {
    let mut decided = 0;
    for episode in engine.store.read(|db| episodes::undecided(db, EACH)).await? {
        let id = episode.id;
        match decide(engine, Some(episode)).await {
            Ok(_) => decided += 1,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => tracing::error!(episode = %id, %error, "an episode could not be decided"),
        }
    }
    Ok(decided)
}

/// Decides one episode, or those that wait longest, in one transaction; answers how many.
async fn decide(engine: &Engine, only: Option<EpisodeRow>) -> Result<usize, StoreError> {
    let (policy, now) = (engine.policy(), engine.clock.now());
    let write = engine.store.write_in_turn(move |db| {
        let waiting = match only {
            Some(episode) => vec![episode],
            None => episodes::undecided(db, TOGETHER)?,
        };
        let (count, mut made) = (waiting.len(), Vec::new());
        for episode in waiting {
            made.extend(decide_episode(db, &policy, episode, now)?);
        }
        failpoint::pass(failpoint::DECIDE_UNCOMMITTED);
        Ok((count, made))
    });
    let (count, made) = write.await?;
    failpoint::pass(failpoint::DECIDE_COMMITTED);
    made.into_iter().for_each(|made| made.announce(engine));
    Ok(count)
}

fn decide_episode(
    db: &mut Db,
    policy: &Arc<Policy>,
    episode: EpisodeRow,
    now: Timestamp,
) -> Result<Vec<gating::Decided>, StoreError> {
    // Before anything is read or locked: another replica may be at the same episode.
    lock_decisions(db)?;
    let id = episode.id;
    let Some(episode) = episodes::mark_decided(db, id, now)? else { return Ok(Vec::new()) };
    let Some(alert) = alerts::newest_firing(db, id)? else {
        return Ok(Vec::new());
    };
    let known_since = episode.created_at;
    let incident = gating::Incident::stored(episode, &alert);
    // The window is asked for the moment at which the episode became known, however late it is decided.
    let selected = policy.triggers.select(&incident.source, &incident.alert, known_since);
    if selected.is_empty() {
        return Ok(vec![gating::decide_no_match(db, policy, &incident, now)?]);
    }
    selected.into_iter().map(|entry| gating::decide(db, policy, &incident, entry, now)).collect()
}
