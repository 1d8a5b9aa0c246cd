//! The chain over the audit log: what is proved of each event, and of their order.
//!
//! An event gets a MAC of its own in the transaction that writes it: whoever has no key can neither change nor add one.
//! A link then gives it a place: HMAC over the previous link's MAC, the algorithm, the key's id, the place, and the event
//! with its own MAC. So a deleted, moved or exchanged event breaks the chain, and a cut end is found by an anchor
//! that was taken out of the database before. [`super::verify`] walks the chain and names the first event that is not as it was.
//!
//! Pure. `store::audit` and `engine::ledger` call it.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::canonical::hex;
use super::key::{Keyring, unhex};
use crate::clock::Timestamp;

/// The one algorithm; it stands inside each MAC, so that no weaker one can be put in its place.
pub const ALGORITHM: &str = "hmac-sha256";

/// An event as the chain sees it: everything but its number.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    pub id: &'a str,
    pub event_type: &'a str,
    pub actor: &'a str,
    pub resource_type: &'a str,
    pub resource_id: &'a str,
    pub execution_id: Option<&'a str>,
    pub episode_id: Option<&'a str>,
    pub ip_address: Option<&'a str>,
    pub created_at: Timestamp,
    pub policy_version: &'a str,
    /// Stands for the payload, which is compared with it.
    pub payload_hash: &'a str,
}

/// A MAC with what it was made by.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Seal {
    pub algorithm: String,
    pub key_id: String,
    /// 64 hex characters.
    pub mac: String,
}

/// Why a MAC is not right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It names an algorithm that Douse never used.
    Algorithm(String),
    /// The key is not in the key file.
    Key(String),
    /// It is the MAC of something else.
    Mac,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Algorithm(name) => write!(f, "its algorithm is `{name}`, which Douse never used"),
            Self::Key(id) => write!(f, "its key `{id}` is not in the key file"),
            Self::Mac => f.write_str("it is not what was written"),
        }
    }
}

/// Each field with its length before it, so that nothing can move from one field into the next.
struct Fields(Hmac<Sha256>);

impl Fields {
    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.update(&[u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }

    fn number(&mut self, number: i64) {
        self.0.update(&number.to_be_bytes());
    }

    fn event(&mut self, event: &Sealed<'_>) {
        for text in [event.id, event.event_type, event.actor, event.resource_type, event.resource_id] {
            self.text(text);
        }
        for text in [event.execution_id, event.episode_id, event.ip_address] {
            self.optional(text);
        }
        self.number(event.created_at.utc().timestamp_micros());
        self.text(event.policy_version);
        self.text(event.payload_hash);
    }
}

fn begin(keys: &Keyring, what: &str, algorithm: &str, key_id: &str) -> Result<Fields, Wrong> {
    if algorithm != ALGORITHM {
        return Err(Wrong::Algorithm(algorithm.to_owned()));
    }
    let key = keys.get(key_id).ok_or_else(|| Wrong::Key(key_id.to_owned()))?;
    let mut fields = Fields(key.hmac());
    for text in [what, algorithm, key_id] {
        fields.text(text);
    }
    Ok(fields)
}

fn over_event(keys: &Keyring, algorithm: &str, key_id: &str, event: &Sealed<'_>) -> Result<Fields, Wrong> {
    let mut fields = begin(keys, "douse audit event", algorithm, key_id)?;
    fields.event(event);
    Ok(fields)
}

/// The place of an event in the chain.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// From 1, without gaps.
    pub position: i64,
    /// The event's number in the log.
    pub seq: i64,
    /// The MAC of the link before; empty for the first.
    pub previous: &'a str,
}

fn over_link(
    keys: &Keyring,
    algorithm: &str,
    key_id: &str,
    place: Place<'_>,
    event: &Sealed<'_>,
    own: Option<&Seal>,
) -> Result<Fields, Wrong> {
    let mut fields = begin(keys, "douse audit link", algorithm, key_id)?;
    fields.text(place.previous);
    fields.number(place.position);
    fields.number(place.seq);
    fields.event(event);
    for text in [own.map(|own| &own.algorithm), own.map(|own| &own.key_id), own.map(|own| &own.mac)] {
        fields.optional(text.map(String::as_str));
    }
    Ok(fields)
}

fn sealed(keys: &Keyring, fields: impl FnOnce(&str) -> Result<Fields, Wrong>) -> Option<Seal> {
    let key_id = keys.current().id.clone();
    let fields = fields(&key_id).ok()?;
    Some(Seal { algorithm: ALGORITHM.to_owned(), mac: hex(&fields.0.finalize().into_bytes()), key_id })
}

/// The event's own MAC, under the current key.
pub fn seal_event(keys: &Keyring, event: &Sealed<'_>) -> Option<Seal> {
    sealed(keys, |key_id| over_event(keys, ALGORITHM, key_id, event))
}

/// The MAC of an event's place, under the current key.
pub fn seal_link(keys: &Keyring, place: Place<'_>, event: &Sealed<'_>, own: Option<&Seal>) -> Option<Seal> {
    sealed(keys, |key_id| over_link(keys, ALGORITHM, key_id, place, event, own))
}

/// Whether `own` is the MAC of `event`.
pub fn check_event(keys: &Keyring, event: &Sealed<'_>, own: &Seal) -> Result<(), Wrong> {
    equals(over_event(keys, &own.algorithm, &own.key_id, event)?, &own.mac)
}

/// Whether `link` is the MAC of `event` at `place`.
pub fn check_link(
    keys: &Keyring,
    place: Place<'_>,
    event: &Sealed<'_>,
    own: Option<&Seal>,
    link: &Seal,
) -> Result<(), Wrong> {
    equals(over_link(keys, &link.algorithm, &link.key_id, place, event, own)?, &link.mac)
}

fn equals(fields: Fields, mac: &str) -> Result<(), Wrong> {
    // One spelling only: two would be two texts for the same MAC.
    let is_lower = !mac.bytes().any(|byte| byte.is_ascii_uppercase());
    let bytes = unhex(mac).filter(|_| is_lower).ok_or(Wrong::Mac)?;
    // In constant time.
    fields.0.verify_slice(bytes.as_slice()).map_err(|_| Wrong::Mac)
}
