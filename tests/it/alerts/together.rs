//! Deliveries that wait for the database at the same time: one commit, the same rows, nobody pays for another.

use std::collections::BTreeSet;
use std::sync::mpsc;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use douse::clock::Timestamp;
use douse::engine::receive::{Incoming, Ingest, Receipt, ReceiveError, Taken};
use douse::store::alerts::AlertFilter;
use douse::store::episodes::EpisodeFilter;
use douse::store::{Db, Page, Store, alerts, episodes, lock_ingest, sources};
use tokio::task::JoinHandle;

use super::bodies;
use super::receive::{alert, webhook};
use crate::store::harness::{self, Fixture, on_both_engines};

fn now() -> Timestamp {
    "2026-11-21T07:45:00Z".parse().unwrap()
}

fn incoming(body: Vec<u8>) -> Incoming {
    Incoming { source: "main".to_owned(), body, remote_addr: None, content_type: None }
}

/// One that fires, told apart by `name`.
fn small(name: &str) -> Incoming {
    incoming(webhook(&[alert(name, "firing", "07:00:00", "")]))
}

/// Keeps every delivery of the source waiting until it is dropped.
struct Gate {
    _open: mpsc::Sender<()>,
    held: JoinHandle<()>,
}

impl Gate {
    async fn close(store: &Store) -> Self {
        let ((open, opened), (closed, is_closed)) = (mpsc::channel(), tokio::sync::oneshot::channel());
        let store = store.clone();
        let held = tokio::spawn(async move {
            let held = store.write(move |db| {
                lock_ingest(db, "main")?;
                closed.send(()).unwrap();
                let _dropped: Result<(), mpsc::RecvError> = opened.recv();
                Ok(())
            });
            held.await.unwrap();
        });
        is_closed.await.unwrap();
        Self { _open: open, held }
    }

    async fn open(self) {
        drop(self._open);
        self.held.await.unwrap();
    }
}

/// Hands in `first`, which waits at the gate, and then the others, which wait behind it; then opens.
async fn hand_in(fixture: &Fixture, all: Vec<Incoming>) -> Vec<Result<Receipt, ReceiveError>> {
    let ingest = Ingest::start(fixture.store.clone());
    let gate = Gate::close(&fixture.store).await;
    let mut waiting = Vec::new();
    for incoming in all {
        let mut receipt = Box::pin({
            let ingest = ingest.clone();
            async move { ingest.receive(incoming, now()).await }
        });
        // Until it stands in the queue: the order is the one of the list.
        assert!(futures_util::poll!(&mut receipt).is_pending());
        waiting.push(receipt);
        if waiting.len() == 1 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
    gate.open().await;
    futures_util::future::join_all(waiting).await
}

/// All that does not depend on who was told first: episodes and alerts without ids.
async fn facts(store: &Store) -> (BTreeSet<String>, BTreeSet<String>) {
    let read = store.read(|db| {
        let (mut told, mut of) = (BTreeSet::new(), BTreeSet::new());
        let mut page = Page { limit: 200, before: None };
        loop {
            let found = episodes::list(db, &EpisodeFilter::default(), page)?;
            of.extend(found.rows.iter().map(|row| format!("{} {} {:?}", row.fingerprint, row.number, row.episode())));
            let Some(next) = found.next else { break };
            page.before = Some(next);
        }
        let mut page = Page { limit: 200, before: None };
        loop {
            let found = alerts::list(db, &AlertFilter::default(), page)?;
            told.extend(
                found.rows.iter().map(|row| format!("{} {:?} {}", row.identity_hash, row.status, row.annotations_cut)),
            );
            let Some(next) = found.next else { break };
            page.before = Some(next);
        }
        Ok((of, told))
    });
    read.await.unwrap()
}

/// Transactions that have written deliveries. PostgreSQL only.
fn commits(db: &mut Db) -> i64 {
    let Db::Pg(c) = db else { panic!("not on SQLite") };
    let count = diesel::dsl::sql::<BigInt>("(SELECT count(DISTINCT xmin::text) FROM deliveries)");
    diesel::select(count).get_result(c).unwrap()
}

on_both_engines! {
    async fn deliveries_that_wait_together_leave_what_they_leave_one_by_one(fixture: Fixture) {
        let small = |(_, body): &(String, Vec<u8>)| body.len() < 60_000;
        let all: Vec<Vec<u8>> = bodies::all().into_iter().filter(small).map(|(_, body)| body).collect();
        assert!(all.len() > 30, "{}", all.len());
        let receipts = hand_in(&fixture, all.iter().cloned().map(incoming).collect()).await;
        let receipts: Vec<Receipt> = receipts.into_iter().map(Result::unwrap).collect();

        let alone = if fixture.url.starts_with("sqlite") { harness::sqlite().await } else { harness::postgres().await };
        let ingest = Ingest::start(alone.store.clone());
        for (body, together) in all.into_iter().zip(&receipts) {
            let receipt = ingest.receive(incoming(body), now()).await.unwrap();
            let taken = |receipt: &Receipt| receipt.results.iter().map(|result| result.taken).collect::<Vec<_>>();
            assert_eq!(taken(&receipt), taken(together));
            assert_eq!(
                (receipt.opened.len(), receipt.ended.len(), receipt.suspect.len()),
                (together.opened.len(), together.ended.len(), together.suspect.len())
            );
        }
        assert_eq!(facts(&fixture.store).await, facts(&alone.store).await);
        let counted = fixture.store.read(sources::list).await.unwrap();
        assert_eq!(usize::try_from(counted[0].deliveries).unwrap(), receipts.len());
    }

    async fn what_may_not_wait_is_refused_at_once_and_can_be_sent_again(fixture: Fixture) {
        let ingest = Ingest::bounded(fixture.store.clone(), 3, 1_000);
        let gate = Gate::close(&fixture.store).await;
        let send = |name: String| {
            let ingest = ingest.clone();
            tokio::spawn(async move { (ingest.receive(small(&name), now()).await, name) })
        };
        // One that is being stored, three that wait, and one too many.
        let mut sent = Vec::new();
        for n in 0..4 {
            sent.push(send(format!("a{n}")));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let (refused, _) = send("late".to_owned()).await.unwrap();
        assert!(matches!(refused, Err(ReceiveError::Overloaded)), "{refused:?}");
        gate.open().await;
        for sent in sent {
            let (receipt, name) = sent.await.unwrap();
            assert_eq!(receipt.unwrap().opened.len(), 1, "{name}");
        }
        let (receipt, _) = send("late".to_owned()).await.unwrap();
        assert_eq!(receipt.unwrap().results[0].taken, Taken::Stored);
    }

    async fn the_bytes_that_wait_are_bounded(fixture: Fixture) {
        let ingest = Ingest::bounded(fixture.store.clone(), 100, 1);
        assert!(ingest.receive(small("fits"), now()).await.is_ok());
        let mut large = small("large");
        large.body.resize(2_048, b' ');
        let refused = ingest.receive(large, now()).await;
        assert!(matches!(refused, Err(ReceiveError::Overloaded)), "{refused:?}");
        assert!(ingest.receive(small("fits, too"), now()).await.is_ok(), "the place is free again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_during_a_commit_shares_the_next_one() {
    let fixture = harness::postgres().await;
    let receipts = hand_in(&fixture, (0..20).map(|n| small(&n.to_string())).collect()).await;
    assert!(receipts.iter().all(Result::is_ok), "{receipts:?}");
    assert_eq!(fixture.store.read(|db| Ok(commits(db))).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_the_database_refuses_takes_nobody_with_it() {
    let fixture = harness::postgres().await;
    let mut all: Vec<Incoming> = (0..5).map(|n| small(&n.to_string())).collect();
    // PostgreSQL has no NUL in a text. No sender has such an address: this stands for what nobody thought of.
    all[3].remote_addr = Some("\0".to_owned());
    let receipts = hand_in(&fixture, all).await;
    let stored: Vec<bool> = receipts.iter().map(Result::is_ok).collect();
    assert_eq!(stored, [true, true, true, false, true], "{receipts:?}");
}
