//! Key files: 64 hex characters, or lines `id:hex` of which the last one is for what is new. The audit chain's keys, and by
//! [`Purpose`] others' of the same form.
//!
//! Pure: the text comes from the file that the configuration names. A key's id, as it stands in the records, ends with the
//! beginning of a hash of the key, so that another key under the same id is known to be another one.

use std::fmt;
use std::marker::PhantomData;

use hmac::{Hmac, KeyInit};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::canonical::hex;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a key's own hash that stand in its id, as hex.
pub const CHECK_BYTES: usize = 4;
/// Longest id that a person gives.
pub const NAME_CHARS_MAX: usize = 32;

/// What keys are for: those of one purpose are never taken for another's.
pub trait Purpose {
    /// Stands before the key where its id's hash is made.
    const DOMAIN: &'static [u8];
    /// Who makes such keys, as in "64 hex characters, as …".
    const MADE_BY: &'static str;
    /// What separates lines.
    const SEPARATORS: &'static [char] = &['\n'];
    /// All zeros are no key.
    const REFUSES_ZEROS: bool = false;
}

/// The audit chain.
#[derive(Clone, Copy, Debug)]
pub enum Chain {}

impl Purpose for Chain {
    const DOMAIN: &'static [u8] = b"douse audit key\0";
    const MADE_BY: &'static str = "`openssl rand -hex 32` prints them";
}

/// The keys of a log.
pub type Keyring = Ring<Chain>;

/// One key.
pub struct Key<P> {
    /// As it stands in the records: `ID.CHECK`, or `CHECK` alone.
    pub id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    purpose: PhantomData<P>,
}

impl<P> fmt::Debug for Key<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, <secret>)", self.id)
    }
}

impl<P> Clone for Key<P> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), bytes: self.bytes.clone(), purpose: PhantomData }
    }
}

impl<P> PartialEq for Key<P> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && *self.bytes == *other.bytes
    }
}

impl<P> Eq for Key<P> {}

impl<P: Purpose> Key<P> {
    fn new(name: Option<&str>, text: &str) -> Result<Self, String> {
        let bytes = unhex(text).ok_or_else(|| format!("a key is 64 hex characters, as {}", P::MADE_BY))?;
        if P::REFUSES_ZEROS && bytes.iter().all(|byte| *byte == 0) {
            return Err("a key of nothing but zeros is no key".to_owned());
        }
        let hash = Sha256::new().chain_update(P::DOMAIN).chain_update(bytes.as_slice()).finalize();
        let check = hex(hash.get(..CHECK_BYTES).unwrap_or_default());
        let id = name.map_or_else(|| check.clone(), |name| format!("{name}.{check}"));
        Ok(Self { id, bytes, purpose: PhantomData })
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

impl Key<Chain> {
    /// A fresh HMAC-SHA256 under this key.
    pub(super) fn hmac(&self) -> Hmac<Sha256> {
        // Any length is a valid key; this one is a block's half.
        Hmac::<Sha256>::new_from_slice(self.bytes()).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
    }
}

/// The keys of one file.
pub struct Ring<P> {
    current: Key<P>,
    /// The oldest first.
    older: Vec<Key<P>>,
}

impl<P> fmt::Debug for Ring<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

impl<P> Clone for Ring<P> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), older: self.older.clone() }
    }
}

impl<P> PartialEq for Ring<P> {
    fn eq(&self, other: &Self) -> bool {
        self.current == other.current && self.older == other.older
    }
}

impl<P> Eq for Ring<P> {}

impl<P: Purpose> Ring<P> {
    /// Reads the text of a key file. The error says what is wrong with which line, and never shows a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<Key<P>> = Vec::new();
        for (number, line) in (1..).zip(text.split(P::SEPARATORS)) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hex) = match line.split_once(':') {
                Some((name, hex)) => (Some(name.trim()), hex.trim()),
                None => (None, line),
            };
            if let Some(name) = name {
                check_name(name).map_err(|problem| format!("line {number}: {problem}"))?;
            }
            let key = Key::new(name, hex).map_err(|problem| format!("line {number}: {problem}"))?;
            if keys.iter().any(|other| other.id == key.id || *other.bytes == *key.bytes) {
                return Err(format!("line {number}: this key stands here twice"));
            }
            keys.push(key);
        }
        let current = keys.pop().ok_or("there is no key in it")?;
        Ok(Self { current, older: keys })
    }
}

impl<P> Ring<P> {
    /// The key for what is new.
    pub fn current(&self) -> &Key<P> {
        &self.current
    }

    /// The key of that id.
    pub fn get(&self, id: &str) -> Option<&Key<P>> {
        self.keys().find(|key| key.id == id)
    }

    /// All keys, the current one last.
    pub fn keys(&self) -> impl Iterator<Item = &Key<P>> {
        self.older.iter().chain([&self.current])
    }
}

/// Whether a person may call a key so.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!("a key's id is 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 - _"))
}

/// 64 hex characters, of either case.
pub(super) fn unhex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
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
        assert_eq!(single.current().id.len(), 2 * CHECK_BYTES);
        let ring = Keyring::parse(&format!("# the first year\n2026:{one}\n\n 2027 : {two}\n")).unwrap();
        let current = ring.current();
        assert!(current.id.starts_with("2027."), "{}", current.id);
        assert!(ring.get(&current.id).is_some() && ring.get("2027").is_none());
    }

    #[test]
    fn another_key_under_the_same_id_has_another_id_in_the_log() {
        let id = |hex: &str| Keyring::parse(&format!("k:{}", hex.repeat(32))).unwrap().current().id.clone();
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
