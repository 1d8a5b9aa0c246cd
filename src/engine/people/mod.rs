//! What people change while the engine runs: pauses, breakers, blackouts, servers, overrides, settings.
//!
//! Each change is one transaction with its audit event. What is declared in a file is read-only here. Called by the API;
//! whether a person may call at all is decided there. What people do to executions is in [`super::acts`].

pub mod blackouts;
pub mod breakers;
pub mod credentials;
pub mod holds;
pub mod pauses;
pub mod reach;
pub mod runbooks;
pub mod servers;
pub mod settings;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Engine;
use super::acts::{ActError, Person};
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::limits;
use crate::store::{Db, StoreError, audit, decisions, executions, lock_decisions};

/// Writes a change and its audit event in one transaction.
pub(super) async fn change<T: Send + 'static>(
    engine: &Engine,
    by: &Person,
    write: impl FnOnce(&mut Db, &Author) -> Result<Result<T, ActError>, StoreError> + Send + 'static,
) -> Result<T, ActError> {
    let author = Author {
        person: by.clone(),
        policy_version: engine.policy().version.clone(),
        now: engine.clock.now(),
        refusal: Arc::default(),
    };
    let refusal = Arc::clone(&author.refusal);
    let changed = engine.store.write(move |db| {
        // What people change is what the gates look at.
        lock_decisions(db)?;
        write(db, &author)
    });
    let changed = changed.await;
    match refusal.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(refusal) => Err(refusal),
        None => changed?,
    }
}

/// Who writes, when, and under which policy.
pub(super) struct Author {
    pub(super) person: Person,
    policy_version: String,
    pub(super) now: Timestamp,
    /// Why everything that was written is taken back.
    refusal: Arc<Mutex<Option<ActError>>>,
}

impl Author {
    /// The answer to give when the transaction is taken back ([`StoreError::GivenUp`]).
    pub(super) fn refuse(&self, refusal: ActError) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    pub(super) fn record(
        &self,
        db: &mut Db,
        kind: EventKind,
        resource_type: &'static str,
        resource_id: &str,
        payload: Value,
    ) -> Result<(), StoreError> {
        let event = NewEvent::of(kind, self.person.name.clone(), resource_type, resource_id, payload);
        let event = NewEvent { ip_address: self.person.ip_address.clone(), ..event };
        audit::append(db, &event, &self.policy_version, self.now)?;
        Ok(())
    }
}

/// Something was released: whatever waits for it is asked again.
fn release(db: &mut Db, now: Timestamp) -> Result<(), StoreError> {
    decisions::release_held(db, now)?;
    executions::release_held(db, now)?;
    Ok(())
}

/// A reason that must be there, 1 to 1,000 characters.
fn required_reason(reason: Option<String>) -> Result<String, ActError> {
    optional_reason(reason)?.ok_or_else(|| ActError::Invalid("`reason` is needed: say why".to_owned()))
}

/// A reason that may be left out.
fn optional_reason(reason: Option<String>) -> Result<Option<String>, ActError> {
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    match reason {
        Some(reason) if reason.chars().count() > limits::REASON_CHARS_MAX => {
            Err(ActError::Invalid(format!("`reason` is longer than {} characters", limits::REASON_CHARS_MAX)))
        }
        other => Ok(other),
    }
}
