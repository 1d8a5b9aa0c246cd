//! Walking the chain, and naming the first event that is not as it was.
//!
//! Pure: `engine::ledger::verify` reads the rows and hands them over in the chain's order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::{self, Place, Seal, Sealed, Wrong};
use super::key::Keyring;
use crate::clock::Timestamp;
use crate::words::words;

/// What was taken out of the database to prove later how long the chain was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Anchor {
    pub at: Timestamp,
    /// Links so far; the last one's place.
    pub count: i64,
    /// Number of the last event.
    pub seq: i64,
    /// The last link's.
    pub key_id: String,
    pub mac: String,
}

/// Where a chain begins whose oldest events retention has taken away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Base {
    /// The last place that is gone; 0 if nothing is.
    pub position: i64,
    /// Its MAC.
    pub mac: String,
}

/// One link, and the event that it is of, if that is there.
#[derive(Clone, Debug)]
pub struct Linked<'a> {
    pub position: i64,
    pub seq: i64,
    pub link: &'a Seal,
    pub event: Option<Found<'a>>,
}

/// An event as it was found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    pub event: Sealed<'a>,
    pub own: Option<&'a Seal>,
    /// The hash of the payload that is there now.
    pub payload_hash_now: &'a str,
}

/// The first thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The event's number in the log; null if nobody can tell.
    pub seq: Option<i64>,
    /// Its id.
    pub id: Option<String>,
    /// Its place in the chain.
    pub position: Option<i64>,
    /// What somebody did.
    pub kind: FaultKind,
    /// In words.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

words! {
    /// What somebody did.
    FaultKind {
        /// Another content than was written.
        Edited = "edited",
        /// The event is gone, its place is there.
        Deleted = "deleted",
        /// Nobody who has the key wrote it.
        Inserted = "inserted",
        /// It, or its link, is not in its place.
        Moved = "moved",
        /// Links are gone.
        Cut = "cut",
        /// Written with a key that is not in the key file.
        UnknownKey = "unknown_key",
    }
}

/// Walks the chain from its base, place by place.
#[derive(Debug)]
pub struct Verifier<'k> {
    keys: &'k Keyring,
    position: i64,
    previous: String,
    anchors: Vec<Anchor>,
}

impl<'k> Verifier<'k> {
    /// A walk that begins after `base` and meets `anchors` on its way.
    pub fn new(keys: &'k Keyring, base: Base, mut anchors: Vec<Anchor>) -> Self {
        // What was taken away cannot be asked any more.
        anchors.retain(|anchor| anchor.count > base.position);
        // The next one to be met stands last.
        anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.count));
        Self { keys, position: base.position, previous: base.mac, anchors }
    }

    /// The retention took more away while the walk was under way: it goes on behind `base`.
    pub fn skip_to(&mut self, base: Base) {
        self.anchors.retain(|anchor| anchor.count > base.position);
        (self.position, self.previous) = (base.position, base.mac);
    }

    /// Links so far, those that retention took away included.
    pub fn count(&self) -> i64 {
        self.position
    }

    /// The next link.
    pub fn step(&mut self, next: &Linked<'_>) -> Result<(), Fault> {
        let fault = |kind, message: String| Fault {
            seq: Some(next.seq),
            id: next.event.as_ref().map(|found| found.event.id.to_owned()),
            position: Some(next.position),
            kind,
            message,
        };
        if next.position != self.position + 1 {
            return Err(Fault {
                seq: None,
                id: None,
                position: Some(self.position + 1),
                kind: FaultKind::Cut,
                message: format!(
                    "the links from place {} to {} are gone, and with them the proof of their events; the next \
                     event is {}",
                    self.position + 1,
                    next.position - 1,
                    next.seq
                ),
            });
        }
        let Some(found) = &next.event else {
            let message = format!("event {} (place {}) was deleted", next.seq, next.position);
            return Err(fault(FaultKind::Deleted, message));
        };
        content(self.keys, next.seq, found).map_err(|(kind, message)| fault(kind, message))?;
        let place = Place { position: next.position, seq: next.seq, previous: &self.previous };
        if let Err(wrong) = chain::check_link(self.keys, place, &found.event, found.own, next.link) {
            let kind = match wrong {
                Wrong::Key(_) => FaultKind::UnknownKey,
                Wrong::Algorithm(_) | Wrong::Mac => FaultKind::Moved,
            };
            let message = match wrong {
                Wrong::Mac => format!(
                    "event {} is not the one that was in place {}, or not after the one before it",
                    next.seq, next.position
                ),
                other => format!("the link of event {}: {other}", next.seq),
            };
            return Err(fault(kind, message));
        }
        self.position = next.position;
        self.previous.clone_from(&next.link.mac);
        while let Some(anchor) = self.anchors.pop_if(|anchor| anchor.count == next.position) {
            if anchor.mac != next.link.mac || anchor.seq != next.seq {
                let message = format!(
                    "the anchor of {} says that event {} was in place {}; now it is event {}",
                    anchor.at, anchor.seq, anchor.count, next.seq
                );
                return Err(fault(FaultKind::Moved, message));
            }
        }
        Ok(())
    }

    /// Nothing follows.
    pub fn finish(self) -> Result<(), Fault> {
        let Some(anchor) = self.anchors.first() else { return Ok(()) };
        Err(Fault {
            seq: Some(anchor.seq),
            id: None,
            position: Some(self.position + 1),
            kind: FaultKind::Cut,
            message: format!(
                "the end was cut: the anchor of {} says that there were {} events in the chain, the last being {}; now \
                 there are {}",
                anchor.at, anchor.count, anchor.seq, self.position
            ),
        })
    }
}

/// An event that has no place in the chain yet: only whoever has the key can have written it.
pub fn unlinked(keys: &Keyring, seq: i64, found: &Found<'_>) -> Result<(), Fault> {
    let fault =
        |kind, message| Fault { seq: Some(seq), id: Some(found.event.id.to_owned()), position: None, kind, message };
    if found.own.is_none() {
        let message = format!("event {seq} was added by somebody without the key: it has no MAC");
        return Err(fault(FaultKind::Inserted, message));
    }
    content(keys, seq, found).map_err(|(kind, message)| fault(kind, message))
}

fn content(keys: &Keyring, seq: i64, found: &Found<'_>) -> Result<(), (FaultKind, String)> {
    if found.payload_hash_now != found.event.payload_hash {
        return Err((FaultKind::Edited, format!("event {seq} was changed: its payload is not what was written")));
    }
    // Older than the first key: its link alone proves it.
    let Some(own) = found.own else { return Ok(()) };
    chain::check_event(keys, &found.event, own).map_err(|wrong| match wrong {
        Wrong::Key(_) => (FaultKind::UnknownKey, format!("event {seq}: {wrong}")),
        Wrong::Algorithm(_) | Wrong::Mac => (FaultKind::Edited, format!("event {seq} was changed: {wrong}")),
    })
}
