//! Walking the chain of a database, in small reads so that the engine goes on meanwhile.

use serde::{Deserialize, Serialize};

use crate::audit::EventKind;
use crate::audit::chain::{Seal, check_event};
use crate::audit::key::Keyring;
use crate::audit::verify::{Anchor, Base, Fault, FaultKind, Found, Linked, Verifier, unlinked};
use crate::limits;
use crate::store::audit::OwnedEvent;
use crate::store::audit_links::{self, LinkRow, Unlinked};
use crate::store::{Store, StoreError};

/// What a verification has found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Nothing is wrong.
    pub is_valid: bool,
    /// The first thing that is wrong; null if nothing is.
    pub fault: Option<Fault>,
    /// Events that were looked at.
    pub events: i64,
    /// Events in the chain, those that retention took away included.
    pub chained: i64,
    /// Events that retention took away.
    pub pruned: i64,
    /// Events that wait for their place; their own MACs are right.
    pub waiting: i64,
    /// Anchors that were compared.
    pub anchors: usize,
}

/// Walks the whole chain, and looks at every event that has no place in it.
pub async fn verify(store: &Store, keys: &Keyring, anchors: Vec<Anchor>) -> Result<Report, StoreError> {
    verify_after(store, keys, base(store, keys).await?, anchors).await
}

/// The same, but for what lies before `base`.
pub async fn verify_after(
    store: &Store,
    keys: &Keyring,
    base: Base,
    anchors: Vec<Anchor>,
) -> Result<Report, StoreError> {
    let mut report = Report {
        is_valid: false,
        fault: None,
        events: 0,
        chained: 0,
        pruned: base.position,
        waiting: 0,
        anchors: anchors.len(),
    };
    let mut verifier = Verifier::new(keys, base, anchors);
    let mut fault = walk(store, keys, &mut verifier, &mut report).await?;
    report.chained = verifier.count();
    if fault.is_none() {
        fault = verifier.finish().err();
    }
    if fault.is_none() {
        let (waiting, found) = look_at_unlinked(store, keys).await?;
        (report.waiting, fault) = (waiting, found);
        report.events += waiting;
    }
    report.is_valid = fault.is_none();
    report.fault = fault;
    Ok(report)
}

async fn walk(
    store: &Store,
    keys: &Keyring,
    verifier: &mut Verifier<'_>,
    report: &mut Report,
) -> Result<Option<Fault>, StoreError> {
    'rows: loop {
        let position = verifier.count();
        let rows = store.read(move |db| audit_links::after(db, position, limits::VERIFY_BATCH)).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for (link, event) in rows {
            let event = event.map(OwnedEvent::from);
            let seal = Seal { algorithm: link.algorithm, key_id: link.key_id, mac: link.mac };
            let found = event.as_ref().map(found);
            let next = Linked { position: link.position, seq: link.seq, link: &seal, event: found };
            let Err(fault) = verifier.step(&next) else {
                report.events += 1;
                continue;
            };
            if fault.kind == FaultKind::Cut {
                // The retention may have been here since the walk began; then its own event says so.
                let newer = base(store, keys).await?;
                if newer.position > verifier.count() {
                    report.pruned = newer.position;
                    verifier.skip_to(newer);
                    continue 'rows;
                }
            }
            return Ok(Some(fault));
        }
    }
}

fn found(event: &OwnedEvent) -> Found<'_> {
    Found { event: event.sealed(), own: event.own(), payload_hash_now: &event.payload_hash_now }
}

async fn look_at_unlinked(store: &Store, keys: &Keyring) -> Result<(i64, Option<Fault>), StoreError> {
    // Whoever inserts may choose any number.
    let (mut seq, mut waiting) = (i64::MIN, 0);
    loop {
        let after = seq;
        let rows = store.read(move |db| audit_links::unlinked(db, Unlinked::All, after, limits::VERIFY_BATCH)).await?;
        let Some(last) = rows.last() else { return Ok((waiting, None)) };
        seq = last.seq;
        for row in rows {
            let (seq, event) = (row.seq, OwnedEvent::from(row));
            if let Err(fault) = unlinked(keys, seq, &found(&event)) {
                return Ok((waiting, Some(fault)));
            }
            waiting += 1;
        }
    }
}

/// What the retention's own event says of the beginning; nothing else may begin a chain after its first place. Without such an
/// event it is the first place.
pub(super) async fn base(store: &Store, keys: &Keyring) -> Result<Base, StoreError> {
    let rows = store.read(|db| {
        Ok((audit_links::first(db)?, audit_links::latest(db, EventKind::AuditPruned, limits::VERIFY_BATCH)?))
    });
    let (first, pruned) = rows.await?;
    let Some(LinkRow { position, .. }) = first.filter(|first| first.position > 1) else { return Ok(Base::default()) };
    for row in pruned {
        let told = row.payload_json.0.clone();
        let event = OwnedEvent::from(row);
        let is_ours = event.own().is_some_and(|own| check_event(keys, &event.sealed(), own).is_ok())
            && event.payload_hash_now == event.sealed().payload_hash;
        if is_ours && told["throughPosition"].as_i64() == Some(position - 1) {
            let mac = told["mac"].as_str().unwrap_or_default().to_owned();
            return Ok(Base { position: position - 1, mac });
        }
    }
    Ok(Base::default())
}
