//! Giving audit events their places in the chain.
//!
//! Events are written side by side by many transactions and replicas, each with a MAC of its own. Their order is made here,
//! by the one replica that keeps house: so nobody waits for anybody else's commit, and there is one chain. The links are
//! computed beside the database's writer and added in one short write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use super::anchor::Anchorer;
use super::verify;
use crate::audit::chain::{self, Place};
use crate::audit::key::Keyring;
use crate::audit::{EventKind, NewEvent};
use crate::clock::{Timestamp, monotonic};
use crate::engine::Engine;
use crate::limits;
use crate::store::audit::{self, AuditRow, OwnedEvent};
use crate::store::audit_links::{self, LinkRow, Unlinked};
use crate::store::{Db, Store, StoreError};

/// What this replica remembers of the chain.
#[derive(Debug, Default)]
pub struct Sealer {
    memory: Mutex<Memory>,
    pub(super) anchorer: Anchorer,
}

#[derive(Debug, Default)]
struct Memory {
    /// The last link that this replica has seen.
    head: Option<LinkRow>,
    /// Every event up to this number has its place, but for what a thorough look finds.
    floor: i64,
    /// The highest number that had a place at some time, for the next floor.
    mark: Option<(Instant, i64)>,
    looked_thoroughly: Option<Instant>,
}

impl Sealer {
    /// Tells how long the chain is, if that is new.
    pub async fn anchor(&self, engine: &Engine) {
        self.anchorer.anchor(engine).await;
    }

    /// Where to look for events without a place: after this number.
    fn begin(&self, head: Option<&LinkRow>) -> i64 {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = memory.looked_thoroughly.is_none_or(|then| then.elapsed() >= limits::SEAL_LOOK_THOROUGHLY);
        if is_due {
            memory.looked_thoroughly = Some(monotonic());
            // Until it is known how long the others' transactions take.
            memory.floor = head.map_or(0, |head| (head.seq - limits::SEAL_EVENTS_BACK).max(memory.floor));
            return 0;
        }
        memory.floor
    }

    /// The chain ends with `head` now.
    fn remember(&self, head: LinkRow) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.mark {
            Some((then, seq)) if then.elapsed() >= limits::SEAL_LOOK_BACK => {
                memory.floor = memory.floor.max(seq);
                memory.mark = Some((monotonic(), head.seq));
            }
            Some(_) => {}
            None => memory.mark = Some((monotonic(), head.seq)),
        }
        memory.head = Some(head);
    }

    /// There is no chain any more.
    fn forget(&self) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Memory::default();
    }

    /// The last link that this replica has seen.
    pub(super) fn head(&self) -> Option<LinkRow> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).head.clone()
    }
}

/// Why the log cannot be chained with the keys that there are.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A chain goes on with its keys or not at all.
    #[error(
        "the audit log is chained with the key `{0}`, and `audit.key_file` does not hold it: name the file that does (keys \
         that are no longer used stay in it as lines `id:hex`, before the present one)"
    )]
    Missing(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins the chain, if there is a key and none yet: everything that the log holds already gets its place. An engine
/// without the key of a log that is chained must not start: it would write events that nothing proves.
pub async fn begin(store: &Store, keys: Option<Arc<Keyring>>, now: Timestamp) -> Result<(), KeyError> {
    let has_keys = keys.is_some();
    let (head, is_any_sealed) = store
        .read(move |db| {
            let head = audit_links::head(db)?;
            // It may have to look through the whole log.
            let is_any_sealed = has_keys && head.is_none() && audit_links::is_any_sealed(db)?;
            Ok((head, is_any_sealed))
        })
        .await?;
    if let Some(head) = &head
        && keys.as_ref().is_none_or(|keys| keys.get(&head.key_id).is_none())
    {
        return Err(KeyError::Missing(head.key_id.clone()));
    }
    store.seal_with(keys.clone());
    let Some(keys) = keys.filter(|_| head.is_none() && !is_any_sealed) else { return Ok(()) };
    store.write(move |db| adopt(db, &keys, now)).await?;
    Ok(())
}

/// The first link is of the event that tells of the chain's beginning; then comes what was there before.
fn adopt(db: &mut Db, keys: &Keyring, now: Timestamp) -> Result<(), StoreError> {
    crate::store::lock_chain(db)?;
    if audit_links::head(db)?.is_some() {
        return Ok(());
    }
    let payload = json!({ "keyId": keys.current().id });
    let event = NewEvent::of(EventKind::AuditChainStarted, "engine", "audit", "chain", payload);
    audit::append(db, &event, "", now)?;
    // Nothing else is sealed yet.
    let first = links(keys, None, audit_links::unlinked(db, Unlinked::Sealed, 0, 1)?, now)?;
    audit_links::append(db, None, &first)?;
    let (mut head, mut seq) = (first.into_iter().next_back(), 0);
    loop {
        let events = audit_links::unlinked(db, Unlinked::All, seq, limits::SEAL_BATCH)?;
        let Some(last) = events.last() else { break };
        seq = last.seq;
        let links = links(keys, head.as_ref(), events, now)?;
        audit_links::append(db, head.as_ref(), &links)?;
        head = links.into_iter().next_back();
    }
    Ok(())
}

/// Gives every event that has none its place. Answers how many.
pub async fn seal(engine: &Engine) -> Result<usize, StoreError> {
    let Some(keys) = engine.policy().config.audit.keys.clone() else { return Ok(0) };
    let head = engine.store.read(audit_links::head).await?;
    watch(engine, &keys, head.as_ref()).await?;
    let mut from = engine.sealer.begin(head.as_ref());
    let mut count = 0;
    loop {
        match add(&engine.store, &keys, from, engine.clock.now()).await {
            Ok(Some((last, added))) => {
                // What comes to lie before it is found by the next pass.
                from = last.seq;
                count += added;
                engine.sealer.remember(last);
            }
            Ok(None) => break,
            // Then the next pass tells what is left.
            Err(StoreError::GivenUp(reason)) => {
                tracing::info!(reason, "the audit chain is left to it");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    if count == 0
        && let Some(head) = head
    {
        engine.sealer.remember(head);
    }
    Ok(count)
}

/// Gives the next events after number `after` that have none their places, at most [`limits::SEAL_BATCH`]. Answers the last
/// link and how many were added; `None` if there was nothing to add.
pub async fn add(
    store: &Store,
    keys: &Arc<Keyring>,
    after: i64,
    now: Timestamp,
) -> Result<Option<(LinkRow, usize)>, StoreError> {
    let keys = Arc::clone(keys);
    // Beside the writer, which others wait for.
    let computed = store.read(move |db| {
        let events = audit_links::unlinked(db, Unlinked::Sealed, after, limits::SEAL_BATCH)?;
        let head = audit_links::head(db)?;
        Ok((links(&keys, head.as_ref(), events, now)?, head))
    });
    let (links, head) = computed.await?;
    let Some(last) = links.last().cloned() else { return Ok(None) };
    let count = links.len();
    let added = store.write(move |db| {
        crate::store::lock_chain(db)?;
        audit_links::append(db, head.as_ref(), &links)
    });
    added.await?;
    Ok(Some((last, count)))
}

/// A chain that is shorter than it was, or another one, was changed by foreign hands while this replica watched.
async fn watch(engine: &Engine, keys: &Keyring, head: Option<&LinkRow>) -> Result<(), StoreError> {
    let Some(before) = engine.sealer.head() else { return Ok(()) };
    let position = before.position;
    let now_there = engine.store.read(move |db| audit_links::at(db, position)).await?;
    if now_there.as_ref() == Some(&before) {
        return Ok(());
    }
    // Another replica may have kept house since, for so long that the retention came to that link.
    if now_there.is_none() && verify::base(&engine.store, keys).await?.position >= before.position {
        return Ok(());
    }
    engine.metrics.audit_chain(false);
    tracing::error!(
        place = before.position,
        event = before.seq,
        ends_at = head.map(|head| head.position),
        "the audit chain is not as this replica left it: somebody changed or cut it in the database; run \
         `douse audit verify`"
    );
    // Told once; from here on, what is there now is watched.
    match head {
        Some(head) => engine.sealer.remember(head.clone()),
        None => engine.sealer.forget(),
    }
    Ok(())
}

fn links(
    keys: &Keyring,
    head: Option<&LinkRow>,
    events: Vec<AuditRow>,
    now: Timestamp,
) -> Result<Vec<LinkRow>, StoreError> {
    let (mut position, mut previous) = head.map_or((0, String::new()), |head| (head.position, head.mac.clone()));
    let mut links = Vec::with_capacity(events.len());
    for row in events {
        let (seq, event) = (row.seq, OwnedEvent::from(row));
        if let Some(own) = event.own()
            && let Err(wrong) = chain::check_event(keys, &event.sealed(), own)
        {
            // It gets its place all the same: a verification names it.
            tracing::error!(seq, %wrong, "an audit event was changed before it got its place in the chain");
        }
        position += 1;
        let place = Place { position, seq, previous: &previous };
        let seal = chain::seal_link(keys, place, &event.sealed(), event.own())
            .ok_or_else(|| StoreError::Defect("the audit chain has no key".to_owned()))?;
        previous.clone_from(&seal.mac);
        links.push(LinkRow {
            position,
            seq,
            algorithm: seal.algorithm,
            key_id: seal.key_id,
            mac: seal.mac,
            linked_at: now,
        });
    }
    Ok(links)
}

/// Seals what is new: what the replica that keeps house does again and again.
pub async fn keep_sealed(engine: &Engine) -> Result<(), StoreError> {
    if engine.replica.keeps_house() {
        seal(engine).await?;
    }
    Ok(())
}

/// Anchors if it is time, beside it: a place that does not answer must not keep events from their places.
pub async fn keep_anchored(engine: &Engine) {
    if engine.replica.keeps_house() {
        engine.sealer.anchorer.anchor_if_due(engine).await;
    }
}
