//! The deliveries that wait for the database: what has come during one commit makes the next one together.
//!
//! One task takes all that waits, bounded in alerts and bytes, and stores it source by source, each in one transaction of
//! a few statements. Nobody waits for company: a delivery alone is committed alone. What is at fault is tried again alone,
//! so that it takes nobody with it. Whoever has given up waiting is skipped: its sender repeats.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::intake::Intake;
use super::{Incoming, Receipt, ReceiveError};
use crate::alert::wire::Delivery;
use crate::audit::canonical::sha256_hex;
use crate::clock::Timestamp;
use crate::failpoint;
use crate::limits;
use crate::store::{Store, StoreError};

/// The way into the database, shared by all who receive; cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Waiting>,
    /// KiB that may wait.
    room: Arc<Semaphore>,
    kib: usize,
}

/// A delivery, understood, with all that its rows need.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) incoming: Incoming,
    pub(super) delivery: Delivery,
    pub(super) body_sha256: String,
    pub(super) now: Timestamp,
}

impl Parcel {
    /// Takes the hash of 16 MiB here: in the transaction, everybody would wait for it.
    pub(super) fn new(incoming: Incoming, delivery: Delivery, now: Timestamp) -> Self {
        let body_sha256 = sha256_hex(&incoming.body);
        Self { incoming, delivery, body_sha256, now }
    }
}

/// The receipt, or in words why there is none.
type Answer = Result<Receipt, String>;

struct Waiting {
    parcel: Parcel,
    answer: oneshot::Sender<Answer>,
    /// Freed with the answer.
    room: OwnedSemaphorePermit,
}

impl Ingest {
    /// Starts the stage on the runtime of the caller; it ends with its last handle.
    pub fn start(store: Store) -> Self {
        Self::bounded(store, limits::INGEST_WAITING_MAX, limits::INGEST_WAITING_KIB_MAX)
    }

    /// The same with bounds of its own: so many deliveries, and KiB of their bodies, may wait.
    pub fn bounded(store: Store, deliveries: usize, kib: usize) -> Self {
        let (queue, waiting) = mpsc::channel(deliveries);
        tokio::spawn(work(store, waiting));
        Self { queue, room: Arc::new(Semaphore::new(kib)), kib }
    }

    /// Something waits to be stored, or is being stored.
    pub fn is_busy(&self) -> bool {
        self.room.available_permits() < self.kib
    }

    /// Takes a place in the queue; the future tells what became of it. Dropped before its turn it is not stored, after
    /// that it may be.
    pub(super) fn commit(&self, parcel: Parcel) -> Result<impl Future<Output = Answer> + use<>, ReceiveError> {
        let kib = u32::try_from(parcel.incoming.body.len() / 1_024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| ReceiveError::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Waiting { parcel, answer, room }) {
            Ok(()) => Ok(async move { answered.await.unwrap_or_else(|_| Err("Douse is stopping".to_owned())) }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ReceiveError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ReceiveError::Unavailable("Douse is stopping".to_owned())),
        }
    }
}

async fn work(store: Store, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.recv().await {
        let mut of_source: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
        let (mut alerts, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(waiting) = next {
            if !waiting.answer.is_closed() {
                alerts += waiting.parcel.delivery.entries.len();
                bytes += waiting.parcel.incoming.body.len();
                of_source.entry(waiting.parcel.incoming.source.clone()).or_default().push(waiting);
            }
            let is_full = alerts >= limits::INGEST_ALERTS_TOGETHER || bytes >= limits::INGEST_BYTES_TOGETHER;
            next = if is_full { None } else { queue.try_recv().ok() };
        }
        join_all(of_source.into_values().map(|waiting| write(&store, waiting))).await;
    }
}

/// Stores deliveries of one source, and tells each what became of it.
async fn write(store: &Store, waiting: Vec<Waiting>) {
    let (mut parcels, mut answers, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for Waiting { parcel, answer, room } in waiting {
        parcels.push(parcel);
        answers.push(answer);
        rooms.push(room);
    }
    let spare = (parcels.len() > 1).then(|| parcels.clone());
    let results: Vec<Answer> = match (together(store, parcels).await, spare) {
        (Ok(receipts), _) => receipts.into_iter().map(Ok).collect(),
        (Err(error), Some(parcels)) if !error.is_retryable() => {
            tracing::error!(%error, "deliveries could not be stored together; trying each alone");
            let mut results = Vec::with_capacity(parcels.len());
            for parcel in parcels {
                let alone = together(store, vec![parcel]).await.map_err(|error| error.to_string());
                results.push(alone.and_then(|receipts| receipts.into_iter().next().ok_or_else(String::new)));
            }
            results
        }
        (Err(error), _) => answers.iter().map(|_| Err(error.to_string())).collect(),
    };
    drop(rooms);
    for (answer, result) in answers.into_iter().zip(results) {
        // A sender that has gone repeats.
        let _gone = answer.send(result);
    }
}

/// One transaction; the receipts in the order of the parcels.
async fn together(store: &Store, parcels: Vec<Parcel>) -> Result<Vec<Receipt>, StoreError> {
    store
        .write(move |db| {
            let receipts = Intake::new(db, &parcels)?.store(parcels)?;
            failpoint::pass(failpoint::INGEST_UNCOMMITTED);
            Ok(receipts)
        })
        .await
}
