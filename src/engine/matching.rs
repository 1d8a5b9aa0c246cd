//! Which runbooks an incident calls for: takes the episodes that nobody has decided yet, oldest first.
//!
//! Asks the policy's index which triggers select the episode's alert, and hands each to `gating` in one transaction, so that
//! an episode has either all of its decisions or none; an episode that no trigger selects gets one `no_match`. One
//! episode that cannot be decided is logged and left for the next look; it never keeps the others waiting.

use std::sync::Arc;

use super::{Engine, Policy, gating};
use crate::clock::Timestamp;
use crate::failpoint;
use crate::store::episodes::{self, EpisodeRow};
use crate::store::{Db, StoreError, alerts, lock_decisions};

/// Episodes read at once.
const BATCH: i64 = 100;

/// Decides every undecided episode; answers how many were decided.
pub async fn decide_waiting(engine: &Engine) -> Result<usize, StoreError> {
    let mut decided = 0;
    loop {
        let waiting = engine.store.read(|db| episodes::undecided(db, BATCH)).await?;
        let count = waiting.len();
        let mut failed = 0;
        for episode in waiting {
            if !engine.replica.tenure().is_valid() {
                return Ok(decided);
            }
            let (policy, now, id) = (engine.policy(), engine.clock.now(), episode.id);
            let write = engine.store.write(move |db| {
                let made = decide_episode(db, &policy, episode, now)?;
                failpoint::pass(failpoint::DECIDE_UNCOMMITTED);
                Ok(made)
            });
            match write.await {
                Ok(made) => {
                    failpoint::pass(failpoint::DECIDE_COMMITTED);
                    decided += 1;
                    made.into_iter().for_each(|made| made.announce(engine));
                }
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    failed += 1;
                    tracing::error!(episode = %id, %error, "an episode could not be decided");
                }
            }
        }
        // A batch in which nothing moves would be read again for ever.
        if count == failed || engine.stopping.is_cancelled() {
            return Ok(decided);
        }
    }
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
