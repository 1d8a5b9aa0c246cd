//! Master keys and what is sealed under them: the canaries, and the rotation.
//!
//! Before a policy is put in force, [`ensure`] opens the canary of every key that the database needs: a missing key, another
//! one under the same id, or text that is not encrypted refuses the start (or the reload). [`rotate`] wraps secrets anew, a
//! batch per transaction: killed at any moment, it goes on where it was.

use std::sync::Arc;

use serde_json::json;

use super::Engine;
use super::acts::{ActError, Person};
use super::people::change;
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::id::ServerId;
use crate::limits;
use crate::secrets::{Envelope, Keyring, Place};
use crate::store::encryption_keys::{self, KeyRow};
use crate::store::server_credentials::{self, CredentialsRow, TABLE};
use crate::store::{Db, Store, StoreError, audit};

/// A master key, as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyState {
    pub key_id: String,
    /// It seals what is new.
    pub is_current: bool,
    /// The engine has it.
    pub is_held: bool,
    /// Servers whose secrets are sealed under it.
    pub servers: i64,
    pub created_at: Timestamp,
    pub retired_at: Option<Timestamp>,
}

/// What one call of [`rotate`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// Under which key everything shall be.
    pub key_id: String,
    /// Servers whose secrets were wrapped anew by this call.
    pub rotated: usize,
    /// Servers whose secrets are under another key still.
    pub remaining: i64,
    /// Keys that nothing is sealed under any more: the key file may do without them.
    pub retired: Vec<String>,
    /// What does not open, and so stays as it is.
    pub broken: Vec<String>,
}

/// The keys that a configuration names.
pub(super) fn of(config: &Config) -> Option<&Arc<Keyring>> {
    config.encryption.as_ref().and_then(|encryption| encryption.keys.as_ref())
}

/// Why the keys do not fit the database; in words for the operator.
pub(super) enum Unfit {
    Keys(String),
    Store(StoreError),
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Makes sure that everything sealed can be opened and that what is stored is ciphertext; notes a new current key.
pub(super) async fn ensure(
    store: &Store,
    config: &Config,
    actor: &str,
    policy_version: &str,
    now: Timestamp,
) -> Result<(), Unfit> {
    let source = config.encryption.as_ref().map(|encryption| encryption.source.clone());
    let keys = of(config).cloned();
    let lost = config.encryption.as_ref().map(|encryption| encryption.lost_keys.clone()).unwrap_or_default();
    if !lost.is_empty() {
        tracing::warn!(keys = lost.join(", "), "what is sealed under lost master keys has to be given again");
    }
    let (asked, from, missed) = (keys.clone(), source.clone(), lost.clone());
    let checked = store.read(move |db| check(db, asked.as_deref(), from.as_deref(), &missed)).await?;
    let is_known = checked.map_err(Unfit::Keys)?;
    let Some(keys) = keys.filter(|_| !is_known) else { return Ok(()) };
    let (actor, policy_version) = (actor.to_owned(), policy_version.to_owned());
    let added = store.write(move |db| {
        // Another replica may have been quicker.
        let known = encryption_keys::list(db)?;
        let current = &keys.current().id;
        match known.iter().find(|row| row.key_id == *current) {
            Some(row) if row.retired_at.is_none() => return Ok(Ok(())),
            Some(_) => encryption_keys::set_retired(db, current, None)?,
            None => {
                let canary = match Envelope::seal(&keys, &canary_place(current), marker(current).as_bytes()) {
                    Ok(envelope) => envelope.to_string(),
                    Err(error) => return Ok(Err(error.to_string())),
                };
                encryption_keys::insert(
                    db,
                    &KeyRow { key_id: current.clone(), canary, created_at: now, retired_at: None },
                )?;
            }
        }
        let payload = json!({ "keyId": current });
        let event = NewEvent::of(EventKind::EncryptionKeyAdded, actor, "encryption_key", current.clone(), payload);
        audit::append(db, &event, &policy_version, now)?;
        // As the database has it, not as it was meant.
        check(db, Some(&keys), source.as_deref(), &lost).map(|checked| checked.map(drop))
    });
    added.await?.map_err(Unfit::Keys)
}

/// Looks at everything sealed; says whether the current key is known already.
fn check(
    db: &mut Db,
    keys: Option<&Keyring>,
    source: Option<&str>,
    lost: &[String],
) -> Result<Result<bool, String>, StoreError> {
    let rows = encryption_keys::list(db)?;
    let sealed = server_credentials::count_by_key(db)?;
    // A retired key may have sealed something since, on a replica that did not know the newer one yet.
    let is_needed = |row: &&KeyRow| row.retired_at.is_none() || sealed.iter().any(|(key, _)| *key == row.key_id);
    let needed: Vec<&KeyRow> = rows.iter().filter(is_needed).filter(|row| !lost.contains(&row.key_id)).collect();
    let Some(keys) = keys else {
        return Ok(match needed.first() {
            None => Ok(true),
            Some(row) => Err(format!(
                "this database holds secrets under the master key `{}`, and no master key is configured: name its file as \
                 `encryption.master_key_file`",
                row.key_id
            )),
        });
    };
    let source = source.unwrap_or("the keyring");
    let held = || keys.keys().map(|key| format!("`{}`", key.id)).collect::<Vec<_>>().join(", ");
    for row in &needed {
        if keys.get(&row.key_id).is_none() {
            return Ok(Err(format!(
                "this database holds secrets under the master key `{0}`, which {source} does not hold (it holds {1}): add that \
                 key's line again; a key may go after `douse keys rotate`. If it is lost for good, start with \
                 `encryption.lost_keys: [{0}]`, and give these secrets again",
                row.key_id,
                held()
            )));
        }
        if let Err(problem) = prove(&row.canary, keys, &row.key_id) {
            return Ok(Err(format!("the canary of master key `{}` in the database: {problem}", row.key_id)));
        }
    }
    for mut row in server_credentials::list(db)? {
        let (server, key_id) = (row.server_id, row.key_id.clone());
        for (field, text) in row.secrets() {
            let is_envelope = text.parse::<Envelope>().is_ok_and(|envelope| Some(&envelope.key_id) == key_id.as_ref());
            if !is_envelope {
                return Ok(Err(format!(
                    "what the database holds as {TABLE}.{field} of server {server} is not sealed: somebody else has written it; \
                     take that row away"
                )));
            }
        }
    }
    let current = &keys.current().id;
    Ok(Ok(rows.iter().any(|row| row.key_id == *current && row.retired_at.is_none())))
}

/// The text that a key's canary holds.
fn marker(key_id: &str) -> String {
    format!("douse canary of {key_id}")
}

fn canary_place(key_id: &str) -> Place {
    Place::new("encryption_keys", key_id, "canary")
}

/// Whether `stored` is ciphertext, opens to the marker in its place, and in no other.
fn prove(stored: &str, keys: &Keyring, key_id: &str) -> Result<(), String> {
    use base64::Engine as _;
    let marker = marker(key_id);
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&marker);
    if stored.contains(&marker) || stored.contains(&encoded) {
        return Err("it is stored in plain text".to_owned());
    }
    let envelope: Envelope = stored.parse().map_err(|error: crate::secrets::SealError| error.to_string())?;
    let opened = envelope.open(keys, &canary_place(key_id)).map_err(|error| error.to_string())?;
    if opened.as_slice() != marker.as_bytes() {
        return Err("it opens to something else".to_owned());
    }
    match envelope.open(keys, &Place::new("encryption_keys", "another row", "canary")) {
        Ok(_) => Err("it opens in another row's place, too".to_owned()),
        Err(_) => Ok(()),
    }
}

/// All keys that the database knows, the oldest first.
pub async fn list(engine: &Engine) -> Result<Vec<KeyState>, StoreError> {
    let policy = engine.policy();
    let keys = of(&policy.config).cloned();
    let (rows, counts) =
        engine.store.read(|db| Ok((encryption_keys::list(db)?, server_credentials::count_by_key(db)?))).await?;
    let state = |row: KeyRow| KeyState {
        is_current: keys.as_ref().is_some_and(|keys| keys.current().id == row.key_id),
        is_held: keys.as_ref().is_some_and(|keys| keys.get(&row.key_id).is_some()),
        servers: counts.iter().find(|(key, _)| *key == row.key_id).map_or(0, |(_, count)| *count),
        key_id: row.key_id,
        created_at: row.created_at,
        retired_at: row.retired_at,
    };
    Ok(rows.into_iter().map(state).collect())
}

/// Wraps the secrets of at most `limit` servers anew, by the current key. Call it until nothing remains.
pub async fn rotate(engine: &Engine, limit: usize, by: &Person) -> Result<Rotated, ActError> {
    let policy = engine.policy();
    let keys = of(&policy.config).cloned().ok_or_else(|| ActError::Conflict(NO_KEY.to_owned()))?;
    let limit = limit.clamp(1, limits::KEYS_ROTATED_TOGETHER);
    change(engine, by, move |db, author| {
        let current = keys.current().id.clone();
        let mut done =
            Rotated { key_id: current.clone(), rotated: 0, remaining: 0, retired: Vec::new(), broken: Vec::new() };
        let mut after: Option<ServerId> = None;
        while done.rotated < limit {
            let room = i64::try_from(limit - done.rotated).unwrap_or(1);
            let rows = server_credentials::under_others(db, &current, after, room)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.server_id);
            for row in rows {
                match rewrapped(row, &keys) {
                    Ok(row) => {
                        server_credentials::put(db, &row)?;
                        done.rotated += 1;
                    }
                    Err(problem) => done.broken.push(problem),
                }
            }
        }
        let counts = server_credentials::count_by_key(db)?;
        done.remaining = counts.iter().filter(|(key, _)| *key != current).map(|(_, count)| *count).sum();
        if done.rotated > 0 {
            let payload = json!({ "keyId": current, "servers": done.rotated, "remaining": done.remaining });
            author.record(db, EventKind::KeysRotated, "encryption_key", &current, payload)?;
        }
        for row in encryption_keys::list(db)?.into_iter().filter(|row| row.retired_at.is_none()) {
            if row.key_id == current || counts.iter().any(|(key, _)| *key == row.key_id) {
                continue;
            }
            encryption_keys::set_retired(db, &row.key_id, Some(author.now))?;
            let payload = json!({ "keyId": row.key_id });
            author.record(db, EventKind::EncryptionKeyRetired, "encryption_key", &row.key_id, payload)?;
            done.retired.push(row.key_id);
        }
        Ok(Ok(done))
    })
    .await
}

/// What is said where a secret is to be kept and there is no key for it.
pub(super) const NO_KEY: &str = "no master key is configured, so no secret can be kept in the database: make one with \
     `douse keys generate FILE`, name it as `encryption.master_key_file`, and reload";

/// The same secrets under the current key; what does not open is told, and the row stays as it is.
fn rewrapped(mut row: CredentialsRow, keys: &Keyring) -> Result<CredentialsRow, String> {
    let server = row.server_id;
    for (field, text) in row.secrets() {
        let place = Place::new(TABLE, server, field);
        let envelope = text.parse::<Envelope>().and_then(|envelope| envelope.rewrap(keys, &place));
        *text = envelope.map_err(|error| format!("server {server}, {field}: {error}"))?.to_string();
    }
    row.key_id = Some(keys.current().id.clone());
    Ok(row)
}
