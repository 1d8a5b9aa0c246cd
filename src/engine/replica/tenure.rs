//! A tenure: the time from joining to the end, or to the moment at which others buried this replica.
//!
//! What a replica holds is its own only in the tenure in which it got it. Before a host is given something to do, the
//! tenure is asked by the monotonic clock: if this process stood still, nobody has told it yet what it lost.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp, monotonic};

/// Whether this replica may act.
#[derive(Debug, Default)]
pub struct Tenure {
    /// `None` before the first renewal.
    valid_until: Mutex<Option<Moment>>,
    changed: Notify,
    lost: CancellationToken,
}

/// The moment at which a renewal was sent, by both clocks: the monotonic one stands still while the machine is suspended.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    monotonic: Instant,
    wall: Timestamp,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { monotonic: monotonic(), wall: Clock::System.now() }
    }

    fn plus(self, time: Duration) -> Self {
        Self { monotonic: self.monotonic + time, wall: self.wall.plus(time) }
    }

    /// Not reached by either clock.
    fn lies_ahead(self) -> bool {
        let now = Self::now();
        now.monotonic < self.monotonic && now.wall < self.wall
    }
}

impl Tenure {
    /// The database took a renewal that was sent at `sent`: others believe it for `lease` from some moment after that.
    pub fn renewed(&self, sent: Moment, lease: Duration) {
        // The margin is for a clock of the database that runs faster than ours.
        let until = sent.plus(lease - lease / 6);
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.changed.notify_waiters();
    }

    /// Others took what this replica held, or may have.
    pub fn lose(&self) {
        self.lost.cancel();
    }

    /// Whether nobody else can have taken what this replica holds.
    pub fn is_valid(&self) -> bool {
        let until = *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.lost.is_cancelled() && until.is_some_and(Moment::lies_ahead)
    }

    /// Waits until this replica may act; for ever if its tenure is lost.
    pub async fn granted(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_valid() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the tenure is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}
