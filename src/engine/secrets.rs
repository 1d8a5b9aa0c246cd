//! The values of secret parameters, of executions that are not over.
//!
//! They are in no plan and in no database, so they are gone when the process ends: a step that needs one then fails
//! with its reason instead of running without it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::id::ExecutionId;

/// Secret parameters by execution and name.
#[derive(Default)]
pub struct Secrets(Mutex<HashMap<ExecutionId, BTreeMap<String, String>>>);

impl Secrets {
    /// Keeps the secrets of an execution, by parameter.
    pub fn keep(&self, id: ExecutionId, values: BTreeMap<String, String>) {
        if !values.is_empty() {
            self.lock().insert(id, values);
        }
    }

    /// The secrets of an execution; none if it has none, or they were given to another process.
    pub fn of(&self, id: ExecutionId) -> BTreeMap<String, String> {
        self.lock().get(&id).cloned().unwrap_or_default()
    }

    /// Forgets the secrets of an execution that is over.
    pub fn forget(&self, id: ExecutionId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ExecutionId, BTreeMap<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
