//! Which runbooks an incident calls for: takes the episodes that nobody has decided yet, oldest first.
//!
//! Asks the policy's index which triggers select the episode's alert, and hands each to `gating` in one transaction, so that
//! an episode has either all of its decisions or none; an episode that no trigger selects gets one `no_match`. Some episodes
//! share a transaction, for a commit costs the same whatever is in it. One that cannot be decided is logged and left for
//! the next look; it never keeps the others waiting.

use std::sync::Arc;

use super::{Engine, Policy, gating};
use crate::clock::Timestamp;
use crate::failpoint;
use crate::store::episodes::{self, EpisodeRow};
use crate::store::{Db, StoreError, alerts, lock_decisions};

/// Episodes read at once.
const BATCH: i64 = 100;
/// Episodes decided in one transaction: whoever wants to claim or to change a decision waits for it.
const TOGETHER: usize = 20;

/// Decides every undecided episode; answers how many were decided.
pub async fn decide_waiting(engine: &Engine) -> Result<usize, StoreError> {
    let mut decided = 0;
    loop {
        let waiting = engine.store.read(|db| episodes::undecided(db, BATCH)).await?;
        let before = decided;
        for some in waiting.chunks(TOGETHER) {
            if !engine.replica.tenure().is_valid() {
                return Ok(decided);
            }
            match decide(engine, some).await {
                Err(error) if error.is_retryable() => return Err(error),
                Ok(()) => decided += some.len(),
                Err(_) => decided += decide_each(engine, some).await?,
            }
        }
        // A batch in which nothing moves would be read again for ever.
        if decided == before || engine.stopping.is_cancelled() {
            return Ok(decided);
        }
    }
}

/// One after the other: one of them cannot be decided.
async fn decide_each(engine: &Engine, waiting: &[EpisodeRow]) -> Result<usize, StoreError> {
    let mut decided = 0;
    for episode in waiting {
        match decide(engine, std::slice::from_ref(episode)).await {
            Ok(()) => decided += 1,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => tracing::error!(episode = %episode.id, %error, "an episode could not be decided"),
        }
    }
    Ok(decided)
}

/// Decides episodes in one transaction.
async fn decide(engine: &Engine, waiting: &[EpisodeRow]) -> Result<(), StoreError> {
    let (policy, now, waiting) = (engine.policy(), engine.clock.now(), waiting.to_vec());
    let write = engine.store.write(move |db| {
        let mut made = Vec::new();
        for episode in waiting {
            made.extend(decide_episode(db, &policy, episode, now)?);
        }
        failpoint::pass(failpoint::DECIDE_UNCOMMITTED);
        Ok(made)
    });
    let made = write.await?;
    failpoint::pass(failpoint::DECIDE_COMMITTED);
    made.into_iter().for_each(|made| made.announce(engine));
    Ok(())
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
    if !episodes::mark_decided(db, id, now)? {
        return Ok(Vec::new());
    }
    let Some(alert) = alerts::newest_firing(db, id)? else {
        return Ok(Vec::new());
    };
    let incident = gating::Incident::stored(episodes::get(db, id)?, &alert);
    // The window is asked for the moment at which the episode became known, however late it is decided.
    let selected = policy.triggers.select(&incident.source, &incident.alert, episode.created_at);
    if selected.is_empty() {
        return Ok(vec![gating::decide_no_match(db, policy, &incident, now)?]);
    }
    selected.into_iter().map(|entry| gating::decide(db, policy, &incident, entry, now)).collect()
}
