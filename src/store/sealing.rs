//! The key under which a write seals its audit events.
//!
//! Queries take nothing but the connection, and a write runs on one thread from its begin to its end, so the key is laid
//! ready there ([`super::tally`] counts the same way).

use std::cell::RefCell;
use std::sync::{Arc, PoisonError, RwLock};

use super::Store;
use crate::audit::key::Keyring;

thread_local! {
    static KEYS: RefCell<Option<Arc<Keyring>>> = const { RefCell::new(None) };
}

/// The keys of one store; may change while it is open.
#[derive(Debug, Default)]
pub(super) struct Sealing(RwLock<Option<Arc<Keyring>>>);

impl Sealing {
    /// The keys now.
    pub(super) fn keys(&self) -> Option<Arc<Keyring>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store {
    /// Audit events that are written from now on are sealed by the last of `keys`; `None`: they are not.
    pub fn seal_with(&self, keys: Option<Arc<Keyring>>) {
        *self.sealing.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// Runs `write` with `keys` laid ready for [`keys`].
pub(super) fn with<T>(keys: Option<Arc<Keyring>>, write: impl FnOnce() -> T) -> T {
    KEYS.set(keys);
    let result = write();
    KEYS.set(None);
    result
}

/// The keys of the write that runs on this thread.
pub(super) fn keys() -> Option<Arc<Keyring>> {
    KEYS.with_borrow(Clone::clone)
}
