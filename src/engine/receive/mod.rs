//! A webhook's body into deliveries, alerts and episodes: all of it in one transaction, or nothing.
//!
//! Deliveries that come while others are being committed share the next commit ([`queue`]); what is too much to hold is
//! refused at once. Answers only after the commit, and decides nothing: a new firing episode is flagged `undecided` for
//! `matching`, the held decisions of one that ended are due at once. A re-delivery, in whatever order, split or merged,
//! adds its raw body and nothing else. Called from `web/webhook`, and from `fetch` for alerts that a webhook left out.

mod intake;
mod queue;

use thiserror::Error;

use crate::alert::wire::{self, Delivery, WireError};
use crate::alert::{Alert, Labels};
use crate::clock::Timestamp;
use crate::config::Source;
use crate::failpoint;
use crate::id::{AlertId, DeliveryId, EpisodeId};
use crate::limits::{WEBHOOK_COMMIT_TIMEOUT, WEBHOOK_INLINE_BYTES_MAX};
use crate::words::words;

use super::Engine;
use super::fetch::{Reason, Wanted};

pub use queue::Ingest;
use queue::Parcel;

/// A request as it came, its sender authenticated.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub source: String,
    pub body: Vec<u8>,
    pub remote_addr: Option<String>,
    pub content_type: Option<String>,
}

words! {
    /// What became of one alert of a delivery.
    Taken {
        /// It is a row of its own.
        Stored = "stored",
        /// The source had told it before.
        Duplicate = "duplicate",
        /// It was not understood and is kept aside.
        Quarantined = "quarantined",
    }
}

/// What became of one alert, in the body's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertResult {
    /// `None` for a quarantined alert that has none to show.
    pub fingerprint: Option<String>,
    pub taken: Taken,
    /// Of the alert's row, or of the quarantined one's.
    pub alert: AlertId,
    pub episode: Option<EpisodeId>,
    /// Why it was quarantined.
    pub reason: Option<String>,
}

/// A committed delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    pub delivery: DeliveryId,
    pub results: Vec<AlertResult>,
    /// Episodes that began: `matching` has work.
    pub opened: Vec<EpisodeId>,
    /// Episodes that ended, by a resolution or a successor: what waits or runs for them should know.
    pub ended: Vec<EpisodeId>,
    /// Alerts that the sender left out.
    pub truncated_alerts: u64,
    /// Label sets that fire long after their end: the Alertmanager's API can tell whether that end was false.
    pub suspect: Vec<Alert>,
    pub group_labels: Labels,
    pub receiver: String,
}

/// Why nothing was stored.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The body is at fault.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// More is waiting than may wait: answered 503, so that the sender tries again.
    #[error("too many deliveries are waiting for the database; send it again")]
    Overloaded,
    /// The database is at fault: answered 503, so that the sender tries again.
    #[error("the delivery could not be stored: {0}; it is worth sending again")]
    Unavailable(String),
}

impl Ingest {
    /// Stores `incoming`; when this returns `Ok`, it is committed.
    pub async fn receive(&self, incoming: Incoming, now: Timestamp) -> Result<Receipt, ReceiveError> {
        let is_small = incoming.body.len() <= WEBHOOK_INLINE_BYTES_MAX;
        let understand = move || {
            let delivery = wire::parse(&incoming.body)?;
            Ok::<_, ReceiveError>(Parcel::new(incoming, delivery, now))
        };
        // 16 MiB of JSON would hold up every other request of this thread.
        let parcel = if is_small { understand() } else { aside(understand).await? };
        self.store(parcel?).await
    }

    /// Stores a delivery that is understood.
    pub async fn keep(&self, incoming: Incoming, delivery: Delivery, now: Timestamp) -> Result<Receipt, ReceiveError> {
        self.store(aside(move || Parcel::new(incoming, delivery, now)).await?).await
    }

    async fn store(&self, parcel: Parcel) -> Result<Receipt, ReceiveError> {
        let source = parcel.incoming.source.clone();
        let commit = self.commit(parcel).inspect_err(|error| {
            tracing::error!(source, %error, "a delivery was refused; answered 503, the sender will repeat it");
        })?;
        // A commit that comes after this is no harm: the sender repeats, and a repetition changes nothing.
        let receipt = match tokio::time::timeout(WEBHOOK_COMMIT_TIMEOUT, commit).await {
            Ok(committed) => committed,
            Err(_) => Err(format!("no commit within {WEBHOOK_COMMIT_TIMEOUT:?}")),
        };
        let receipt = receipt.map_err(|error| {
            tracing::error!(source, error, "a delivery could not be stored; answered 503, the sender will repeat it");
            ReceiveError::Unavailable(error)
        })?;
        failpoint::pass(failpoint::INGEST_COMMITTED);
        if receipt.truncated_alerts > 0 {
            tracing::warn!(
                source,
                delivery = %receipt.delivery,
                missing = receipt.truncated_alerts,
                "the sender left alerts out: raise or remove `max_alerts` in the receiver, or set the source's `alertmanager_url`"
            );
        }
        for result in receipt.results.iter().filter(|result| result.taken == Taken::Quarantined) {
            let reason = result.reason.as_deref().unwrap_or_default();
            tracing::warn!(source, delivery = %receipt.delivery, alert = %result.alert, reason, "an alert is quarantined");
        }
        Ok(receipt)
    }
}

/// Runs `work` where it holds nobody up.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ReceiveError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ReceiveError::Unavailable(error.to_string()))
}

impl Engine {
    /// Tells the other stages what a delivery of `source` has brought them.
    pub fn received(&self, source: &Source, receipt: &Receipt) {
        if !receipt.opened.is_empty() {
            self.wake.matching.notify_one();
        }
        if !receipt.ended.is_empty() {
            self.wake.gating.notify_one();
            if !self.replica.keeps_house() {
                self.wake.others();
            }
        }
        if source.alertmanager_url.is_none() {
            return;
        }
        if receipt.truncated_alerts > 0 {
            self.fetch.want(Wanted {
                source: source.name.clone(),
                labels: receipt.group_labels.clone(),
                reason: Reason::Truncated { receiver: receipt.receiver.clone() },
            });
        }
        for alert in &receipt.suspect {
            self.fetch.want(Wanted {
                source: source.name.clone(),
                labels: alert.labels.clone(),
                reason: Reason::Suspect { fingerprint: alert.fingerprint.clone() },
            });
        }
    }
}
