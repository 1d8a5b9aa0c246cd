//! This replica among the others on one database: its lease, the housekeeping, and what the others changed.
//!
//! [`tenure`] says whether this replica may act now; [`keep`] renews its lease and looks at the others; [`wall_clock`] doubts
//! the clock. What is whose stands in `store` ([`crate::store::replicas`], [`crate::store::leases`]). SQLite has one replica,
//! which does the same.

pub mod keep;
pub mod tenure;
pub mod wall_clock;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::id::ReplicaId;
use crate::store::changes::Seen;

pub use keep::{join, leave, look, renew};
pub use tenure::Tenure;
use wall_clock::WallClock;

/// This process among those on its database.
#[derive(Debug)]
pub struct Replica {
    pub id: ReplicaId,
    /// Host and process, for people.
    pub name: String,
    /// How long the others believe that it lives after they heard of it last.
    pub lease: Duration,
    tenure: RwLock<Arc<Tenure>>,
    keeps_house: AtomicBool,
    others: RwLock<Others>,
    changes: Mutex<Seen>,
    wall_clock: Mutex<WallClock>,
}

/// The other replicas, as they were seen last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Others {
    pub ids: BTreeSet<ReplicaId>,
    /// Names and policy versions of those that have something else in force.
    pub differing: Vec<(String, String)>,
    /// Since when that is so, and whether it was told.
    differ_since: Option<(Instant, bool)>,
}

impl Replica {
    /// A replica that no other one knows of yet: [`join`] tells them.
    pub fn new(lease: Duration) -> Self {
        Self {
            id: ReplicaId::new(),
            name: name(),
            lease,
            tenure: RwLock::default(),
            keeps_house: AtomicBool::new(false),
            others: RwLock::default(),
            changes: Mutex::default(),
            wall_clock: Mutex::default(),
        }
    }

    /// How often the lease is renewed.
    pub fn renewal(&self) -> Duration {
        self.lease / 3
    }

    /// The present tenure: whoever starts something keeps it, for a later one is another's.
    pub fn tenure(&self) -> Arc<Tenure> {
        Arc::clone(&self.tenure.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until this replica may act, in whatever tenure.
    pub async fn granted(&self) {
        loop {
            let tenure = self.tenure();
            tokio::select! {
                () = tenure.granted() => return,
                // Lost; the next one begins in a moment.
                () = tenure.lost() => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Whether this replica does what one does for all.
    pub fn keeps_house(&self) -> bool {
        self.keeps_house.load(Ordering::Relaxed) && self.tenure().is_valid()
    }

    /// The other replicas that were there at the last look.
    pub fn others(&self) -> Others {
        self.others.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why this replica's clock is not to be believed; `None` while it is.
    pub fn clock_doubt(&self) -> Option<String> {
        self.wall_clock.lock().unwrap_or_else(PoisonError::into_inner).doubt()
    }

    /// A person vouches for the clock as it is.
    pub fn trust_clock(&self) {
        self.wall_clock.lock().unwrap_or_else(PoisonError::into_inner).trust();
    }
}

/// Host and process.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}:{}", if host.is_empty() { "localhost" } else { host }, std::process::id())
}
