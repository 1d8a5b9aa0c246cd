//! The values of secret parameters, for the executions that this process made.
//!
//! They are in no plan and in no database, so they are gone when the process ends: a step that needs one then fails
//! with its reason instead of running without it. They outlive their execution, so that it can be retried, until newer
//! ones need the room.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::id::ExecutionId;
use crate::limits;

/// Secret parameters by execution and name.
#[derive(Default)]
pub struct Secrets(Mutex<BTreeMap<ExecutionId, BTreeMap<String, String>>>);

impl Secrets {
    /// Keeps the secrets of an execution, by parameter; those of the oldest execution go when there are too many.
    pub fn keep(&self, id: ExecutionId, values: BTreeMap<String, String>) {
        if values.is_empty() {
            return;
        }
        let mut kept = self.lock();
        kept.insert(id, values);
        while kept.len() > limits::SECRETS_MAX {
            // Ids sort by creation.
            kept.pop_first();
        }
    }

    /// Forgets them: the execution was not made after all.
    pub fn forget(&self, id: ExecutionId) {
        self.lock().remove(&id);
    }

    /// The secrets of an execution; none if it has none, or they were given to another process.
    pub fn of(&self, id: ExecutionId) -> BTreeMap<String, String> {
        self.lock().get(&id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ExecutionId, BTreeMap<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_secrets_go_when_there_are_too_many() {
        let secrets = Secrets::default();
        let value = || BTreeMap::from([("password".to_owned(), "hunter2".to_owned())]);
        let ids: Vec<ExecutionId> = (0..=limits::SECRETS_MAX).map(|_| ExecutionId::new()).collect();
        for id in &ids {
            secrets.keep(*id, value());
        }
        assert_eq!(secrets.of(ids[0]), BTreeMap::new());
        assert_eq!(secrets.of(ids[1]), value());
        assert_eq!(secrets.of(ids[limits::SECRETS_MAX]), value());
    }
}
