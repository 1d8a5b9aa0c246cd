//! The master keys: 64 hex characters, or lines `id:hex` of which the last one seals what is new.
//!
//! A key's id, as it stands in the database, ends with the beginning of a hash of the key, so that another key under the
//! same id is known to be another one. Reading the text from its file is `config`'s work.

use std::fmt;

use chacha20poly1305::aead::{Generate, Key};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::audit::canonical;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key's own hash that stand in its id, as hex.
const CHECK_BYTES: usize = 4;
/// Longest id that a person gives.
const NAME_CHARS_MAX: usize = 32;

/// One master key: it wraps the data keys.
#[derive(Clone)]
pub struct MasterKey {
    /// As it stands in the database: `ID.CHECK`, or `CHECK` alone.
    pub id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The master keys of one engine.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyring {
    current: MasterKey,
    /// The oldest first.
    older: Vec<MasterKey>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, <secret>)", self.id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && *self.bytes == *other.bytes
    }
}

impl Eq for MasterKey {}

impl MasterKey {
    fn new(name: Option<&str>, hex: &str) -> Result<Self, &'static str> {
        let bytes = unhex(hex).ok_or("a key is 64 hex characters, as `douse keys generate` makes them")?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err("a key of nothing but zeros is no key");
        }
        let hash = Sha256::new().chain_update(b"douse master key\0").chain_update(bytes.as_slice()).finalize();
        let check = canonical::hex(hash.get(..CHECK_BYTES).unwrap_or_default());
        let id = name.map_or_else(|| check.clone(), |name| format!("{name}.{check}"));
        Ok(Self { id, bytes })
    }

    /// What wraps data keys.
    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

impl Keyring {
    /// Reads the text of a key file, or of a variable (where commas stand for line breaks). The error says what is wrong
    /// with which line, and never shows a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (number, line) in (1..).zip(text.split(['\n', ','])) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hex) = match line.split_once(':') {
                Some((name, hex)) => (Some(name.trim()), hex.trim()),
                None => (None, line),
            };
            if name.is_some_and(|name| !is_name(name)) {
                return Err(format!("line {number}: a key's id is 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 - _"));
            }
            let key = MasterKey::new(name, hex).map_err(|problem| format!("line {number}: {problem}"))?;
            if keys.iter().any(|other| other.bytes == key.bytes || other.id == key.id) {
                return Err(format!("line {number}: this key stands here twice"));
            }
            keys.push(key);
        }
        let current = keys.pop().ok_or("there is no key in it")?;
        Ok(Self { current, older: keys })
    }

    /// The key that seals what is new.
    pub fn current(&self) -> &MasterKey {
        &self.current
    }

    /// The key of that id.
    pub fn get(&self, id: &str) -> Option<&MasterKey> {
        self.keys().find(|key| key.id == id)
    }

    /// All keys, the current one last.
    pub fn keys(&self) -> impl Iterator<Item = &MasterKey> {
        self.older.iter().chain([&self.current])
    }
}

/// A line for a key file: a new random key under this name.
pub fn generate(name: &str) -> Result<Zeroizing<String>, String> {
    if !is_name(name) {
        return Err(format!("a key's id is 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 - _"));
    }
    let key = Key::<XChaCha20Poly1305>::generate();
    let hex = Zeroizing::new(canonical::hex(&key));
    Ok(Zeroizing::new(format!("{name}:{}\n", *hex)))
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(fits)
}

fn unhex(hex: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if hex.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (pair.first().copied().and_then(digit)?, pair.last().copied().and_then(digit)?);
        *byte = (high << 4) | low;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_one_key_or_lines_of_which_the_last_seals() {
        let (one, two) = ("0f".repeat(32), "AB".repeat(32));
        let single = Keyring::parse(&format!("{one}\n")).unwrap();
        assert_eq!(single.current().id.len(), 2 * CHECK_BYTES);
        for text in [format!("# the first year\n2026:{one}\n\n 2027 : {two}\n"), format!("2026:{one},2027:{two}")] {
            let ring = Keyring::parse(&text).unwrap();
            let ids: Vec<&str> = ring.keys().map(|key| key.id.as_str()).collect();
            assert!(ids[0].starts_with("2026.") && ids[1].starts_with("2027."), "{ids:?}");
            assert_eq!(ring.current().id, ids[1]);
            assert!(ring.get(ids[0]).is_some() && ring.get("2026").is_none());
        }
    }

    #[test]
    fn another_key_under_the_same_id_has_another_id_in_the_database() {
        let id = |hex: &str| Keyring::parse(&format!("k:{}", hex.repeat(32))).unwrap().current().id.clone();
        assert_ne!(id("0f"), id("0e"));
        assert_eq!(id("0f"), id("0F"));
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_shown() {
        for text in
            ["", "# nothing\n", "abc", "k:zz", "k k:00", "k:1\n", &"0g".repeat(32), &"0e".repeat(33), &"00".repeat(32)]
        {
            let error = Keyring::parse(text).unwrap_err();
            assert!(!error.contains("zz") && !error.contains("0g") && !error.contains("0e"), "{error}");
        }
        let twice = format!("a:{0}\nb:{0}\n", "0c".repeat(32));
        assert!(Keyring::parse(&twice).unwrap_err().contains("line 2: this key stands here twice"));
        assert!(!format!("{:?}", Keyring::parse(&"0f".repeat(32)).unwrap()).contains("0f0f"));
    }

    #[test]
    fn what_is_generated_can_be_read_and_is_never_the_same() {
        let (one, two) = (generate("2026").unwrap(), generate("2026").unwrap());
        assert_ne!(*one, *two);
        assert!(Keyring::parse(&one).unwrap().current().id.starts_with("2026."));
        assert!(generate("two words").is_err());
    }
}
