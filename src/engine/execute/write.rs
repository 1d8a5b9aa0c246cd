//! How a run writes: again and again until the database takes it, and never over what another has told meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::record::{self, Author, Evidence, Loaded};
use crate::execution::{Effect, Event, apply, next};
use crate::store::{Db, StoreError};

use super::{Run, Told, pause};

/// First wait after a write that failed; doubled up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What follows from `told` without anything being done: it would be the next write, and shares this one's commit. The
/// runbook's outputs are rendered from what the steps printed, so an end that has any is a write of its own.
fn consequences(fresh: &Loaded, told: &mut Told, now: Timestamp) {
    let mut state = Ok(fresh.state.clone());
    for (event, _) in told.iter() {
        state = state.and_then(|state| apply(state, now, event));
    }
    // What must not follow is refused where it is recorded.
    while let Ok(known) = state
        && let Effect::Record(event) = next(&known, &fresh.plan, now)
        && (fresh.plan.outputs.is_empty() || !matches!(event, Event::Finished { .. }))
    {
        state = apply(known, now, &event);
        told.push((event, Evidence::None));
    }
}

impl Run<'_> {
    /// Records what `told` makes of the execution as it is in the database now, in one transaction.
    ///
    /// While the database cannot be reached it is tried again until the engine stops: the outcome of a remote effect
    /// must not be forgotten because the disk was full for a minute.
    pub(super) async fn write(
        &mut self,
        told: impl Fn(&mut Db, &Loaded, Timestamp) -> Result<Told, StoreError> + Send + Sync + 'static,
    ) -> Result<(), StoreError> {
        self.write_as(false, told).await
    }

    /// The same; `is_end`: it is likely to end the run, which has to have the decisions' turn.
    pub(super) async fn write_as(
        &mut self,
        is_end: bool,
        told: impl Fn(&mut Db, &Loaded, Timestamp) -> Result<Told, StoreError> + Send + Sync + 'static,
    ) -> Result<(), StoreError> {
        let told = Arc::new(told);
        let mut wait = WAIT_MIN;
        loop {
            let error = match self.try_write(is_end, Arc::clone(&told)).await {
                Ok(loaded) => {
                    self.loaded = loaded;
                    return Ok(());
                }
                Err(error) => error,
            };
            if !error.is_retryable() && !error.is_conflict() {
                return Err(error);
            }
            tracing::warn!(execution = %self.loaded.row.id, %error, "an execution's event is not stored yet");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.engine.stopping.cancelled() => return Err(error),
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn try_write(
        &self,
        is_end: bool,
        told: Arc<impl Fn(&mut Db, &Loaded, Timestamp) -> Result<Told, StoreError> + Send + Sync + 'static>,
    ) -> Result<Loaded, StoreError> {
        let (known, hold) = (self.loaded.clone(), self.hold);
        let author = Author { now: self.time.now(), ..Author::engine(self.engine) };
        let write = move |db: &mut Db| {
            let fresh = record::load_held(db, known, hold)?;
            let mut told = told(db, &fresh, author.now)?;
            if told.is_empty() {
                return Ok(fresh);
            }
            consequences(&fresh, &mut told, author.now);
            match record::record(db, fresh, &told, &author)? {
                Ok(loaded) => Ok(loaded),
                Err(illegal) => Err(StoreError::Defect(illegal.to_string())),
            }
        };
        if is_end {
            return self.engine.store.write_in_turn(write).await;
        }
        self.engine.store.write(write).await
    }

    /// Records an event that follows from the state as this run knows it; if another told something meanwhile, only
    /// that is read, and the caller thinks again.
    pub(super) async fn write_if_unchanged(&mut self, event: Event, evidence: Evidence) -> Result<(), StoreError> {
        let known = self.loaded.seq;
        let told = vec![(event, evidence)];
        self.write(move |_, fresh, _| Ok(if fresh.seq == known { told.clone() } else { Vec::new() })).await
    }

    /// Records the intent of an attempt, unless another told something meanwhile; while the kill switch is on, records
    /// that instead. Both are seen in the transaction that would start the attempt.
    pub(super) async fn write_intent(&mut self, event: Event, evidence: Evidence) -> Result<(), StoreError> {
        let known = self.loaded.seq;
        self.write(move |db, fresh, now| {
            if fresh.seq != known {
                return Ok(Vec::new());
            }
            Ok(match pause(db, fresh, now)? {
                Some(reason) => vec![(Event::Halted { reason }, Evidence::None)],
                None => vec![(event.clone(), evidence.clone())],
            })
        })
        .await
    }

    /// Looks at what others do: the kill switch on or off, and a cancel asked for at another replica.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        let (id, now) = (self.loaded.row.id, self.time.now());
        let (known, loaded) = (self.loaded.seq, self.loaded.clone());
        let seen = self.engine.store.read(move |db| {
            let is_news = crate::store::events::last_seq(db, id)? != known;
            Ok((is_news, pause(db, &loaded, now)?.is_some()))
        });
        let (is_news, is_on) = match seen.await {
            Ok(seen) => seen,
            // What cannot be read now is read at the next look; nothing starts without a write anyway.
            Err(error) if error.is_retryable() => return Ok(()),
            Err(error) => return Err(error),
        };
        if is_news || is_on != self.loaded.state.halted_since.is_some() {
            self.write(|db, fresh, now| {
                let is_halted = fresh.state.halted_since.is_some();
                Ok(match pause(db, fresh, now)? {
                    Some(reason) if !is_halted => vec![(Event::Halted { reason }, Evidence::None)],
                    None if is_halted => vec![(Event::Continued, Evidence::None)],
                    Some(_) | None => Vec::new(),
                })
            })
            .await?;
        }
        if self.loaded.state.cancelled_by.is_some() {
            self.cancel.cancel();
        }
        Ok(())
    }
}
