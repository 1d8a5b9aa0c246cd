//! The keys of the audit chain: 64 hex characters, or lines `id:hex` of which the last one is used for what is new.
//!
//! Pure: the text comes from the file that `audit.key_file` names. A key's id, as it stands in the log, ends with the
//! beginning of a hash of the key, so that another key under the same id is known to be another one.

use std::fmt;

use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::canonical::sha256_hex;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Hex characters of a key's own hash that stand in its id.
const CHECK_CHARS: usize = 8;

/// One key of the chain.
#[derive(Clone)]
pub struct ChainKey {
    /// As it stands in the log: `ID.CHECK`, or `CHECK` alone.
    pub id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainKey({}, <secret>)", self.id)
    }
}

impl PartialEq for ChainKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && *self.bytes == *other.bytes
    }
}

impl Eq for ChainKey {}

impl ChainKey {
    fn new(name: Option<&str>, hex: &str) -> Result<Self, String> {
        let bytes = bytes(hex).ok_or("a key is 64 hex characters, as `openssl rand -hex 32` prints them")?;
        let mut known = Zeroizing::new(b"douse audit key\0".to_vec());
        known.extend_from_slice(&*bytes);
        let check: String = sha256_hex(&known).chars().take(CHECK_CHARS).collect();
        let id = name.map_or_else(|| check.clone(), |name| format!("{name}.{check}"));
        Ok(Self { id, bytes })
    }

    /// A fresh HMAC-SHA256 under this key.
    pub(super) fn hmac(&self) -> Hmac<Sha256> {
        // Any length is a valid key; this one is a block's half.
        Hmac::<Sha256>::new_from_slice(&*self.bytes).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
    }
}

/// The keys of a log, the oldest first; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyring(Vec<ChainKey>);

impl Keyring {
    /// Reads a key file. The error says what is wrong with which line, and never shows a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<ChainKey> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hex) = match line.split_once(':') {
                Some((name, hex)) => (Some(name.trim()), hex.trim()),
                None => (None, line),
            };
            let is_name = |name: &str| {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                (1..=32).contains(&name.len()) && name.chars().all(fits)
            };
            if name.is_some_and(|name| !is_name(name)) {
                return Err(format!("line {number}: a key's id is 1 to 32 of A-Z a-z 0-9 - _"));
            }
            let key = ChainKey::new(name, hex).map_err(|problem| format!("line {number}: {problem}"))?;
            if keys.iter().any(|other| other.id == key.id || *other.bytes == *key.bytes) {
                return Err(format!("line {number}: this key stands here twice"));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err("there is no key in it".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The key for what is new.
    pub fn current(&self) -> Option<&ChainKey> {
        self.0.last()
    }

    /// The key called `id`.
    pub fn get(&self, id: &str) -> Option<&ChainKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

fn bytes(hex: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if hex.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_one_key_or_lines_of_which_the_last_is_used() {
        let (one, two) = ("0f".repeat(32), "AB".repeat(32));
        let single = Keyring::parse(&format!("{one}\n")).unwrap();
        assert_eq!(single.current().unwrap().id.len(), CHECK_CHARS);
        let ring = Keyring::parse(&format!("# the first year\n2026:{one}\n\n 2027 : {two}\n")).unwrap();
        let current = ring.current().unwrap();
        assert!(current.id.starts_with("2027."), "{}", current.id);
        assert!(ring.get(&current.id).is_some() && ring.get("2027").is_none());
    }

    #[test]
    fn another_key_under_the_same_id_has_another_id_in_the_log() {
        let id = |hex: &str| Keyring::parse(&format!("k:{}", hex.repeat(32))).unwrap().current().unwrap().id.clone();
        assert_ne!(id("0f"), id("0e"));
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_shown() {
        for text in ["", "# nothing\n", "abc", "k:zz", "k k:00", "k:1\n", &"0g".repeat(32), &"00".repeat(33)] {
            let error = Keyring::parse(text).unwrap_err();
            assert!(!error.contains("zz") && !error.contains("0g"), "{error}");
        }
        let twice = format!("a:{0}\nb:{0}\n", "00".repeat(32));
        assert!(Keyring::parse(&twice).unwrap_err().contains("twice"));
        assert!(!format!("{:?}", Keyring::parse(&"0f".repeat(32)).unwrap()).contains("0f0f"));
    }
}
