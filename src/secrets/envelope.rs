//! One secret, sealed: by a data key of its own, which a master key wraps.
//!
//! `v1:KEY:WRAPPED:SEALED`, both in base64, each a nonce of 24 random bytes and XChaCha20-Poly1305's output. Both are bound
//! to their [`Place`] as associated data: the text of another row, or of another field, does not open here. The plain text
//! is padded to a multiple of 64 bytes, so that the length of a password does not show. A rotation wraps the data key anew
//! and leaves `SEALED` as it is.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, Generate, Key, Nonce, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::keyring::{Keyring, MasterKey};

/// Version of the format, and what it is bound to.
const VERSION: &str = "v1";
/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// A secret takes up a multiple of this.
const BLOCK_BYTES: usize = 64;
/// Bytes that tell the length of the padded text.
const LENGTH_BYTES: usize = 4;

/// Where a secret stands; one that was sealed for another place does not open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub table: &'static str,
    /// The row's id.
    pub row: String,
    /// The column.
    pub field: &'static str,
}

impl Place {
    /// The field of a row.
    pub fn new(table: &'static str, row: impl fmt::Display, field: &'static str) -> Self {
        Self { table, row: row.to_string(), field }
    }

    /// What an envelope is bound to: each part with its length, so that no two places give the same bytes.
    fn bytes(&self, purpose: &str, key: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in ["douse", VERSION, purpose, key, self.table, &self.row, self.field] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} of {}", self.table, self.field, self.row)
    }
}

/// Why a secret cannot be sealed or opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// What is stored is no envelope: plain text perhaps, which is not shown.
    #[error("what is stored is not an encrypted secret")]
    NotSealed,
    /// The keyring lacks the key.
    #[error("it is sealed under the master key `{key}`, which the keyring does not hold (it holds {held})")]
    UnknownKey { key: String, held: String },
    /// Changed, or taken from another row.
    #[error("the stored secret {0} does not open: it was changed, or belongs to another row")]
    Broken(String),
    /// No secret has so many bytes.
    #[error("a secret has at most {} bytes", u32::MAX)]
    TooLong,
}

/// A sealed secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Id of the master key that wraps the data key.
    pub key_id: String,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({}, {} bytes)", self.key_id, self.sealed.len())
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wrapped, sealed) = (STANDARD_NO_PAD.encode(&self.wrapped), STANDARD_NO_PAD.encode(&self.sealed));
        write!(f, "{VERSION}:{}:{wrapped}:{sealed}", self.key_id)
    }
}

impl FromStr for Envelope {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let mut parts = text.split(':');
        let (version, key, wrapped, sealed, end) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        let decode = |part: Option<&str>| {
            let bytes = part.and_then(|part| STANDARD_NO_PAD.decode(part).ok());
            bytes.filter(|bytes| bytes.len() > NONCE_BYTES).ok_or(SealError::NotSealed)
        };
        match (version, key, end) {
            (Some(VERSION), Some(key), None) if !key.is_empty() => {
                Ok(Self { key_id: key.to_owned(), wrapped: decode(wrapped)?, sealed: decode(sealed)? })
            }
            _ => Err(SealError::NotSealed),
        }
    }
}

impl Envelope {
    /// Seals `plain` for `place`, under the current key.
    pub fn seal(keys: &Keyring, place: &Place, plain: &[u8]) -> Result<Self, SealError> {
        let data_key = Zeroizing::new(<[u8; 32]>::from(Key::<XChaCha20Poly1305>::generate()));
        let padded = pad(plain)?;
        let sealed = encrypt(&XChaCha20Poly1305::new((&*data_key).into()), &padded, &place.bytes("data", ""))?;
        let (key_id, wrapped) = wrap(keys.current(), place, &data_key)?;
        Ok(Self { key_id, wrapped, sealed })
    }

    /// The secret, if this was sealed for `place`.
    pub fn open(&self, keys: &Keyring, place: &Place) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let cipher = XChaCha20Poly1305::new((&*self.data_key(keys, place)?).into());
        let padded = decrypt(&cipher, &self.sealed, &place.bytes("data", ""));
        padded.as_deref().and_then(|padded| unpad(padded)).ok_or_else(|| SealError::Broken(place.to_string()))
    }

    /// The same secret under the current key; its data key stays.
    pub fn rewrap(&self, keys: &Keyring, place: &Place) -> Result<Self, SealError> {
        let data_key = self.data_key(keys, place)?;
        let (key_id, wrapped) = wrap(keys.current(), place, &data_key)?;
        Ok(Self { key_id, wrapped, sealed: self.sealed.clone() })
    }

    /// The same in every envelope of one secret, whatever key wraps it.
    pub(super) fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    fn data_key(&self, keys: &Keyring, place: &Place) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let master = keys.get(&self.key_id).ok_or_else(|| SealError::UnknownKey {
            key: self.key_id.clone(),
            held: keys.keys().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let bytes = decrypt(&master.cipher(), &self.wrapped, &place.bytes("key", &master.id));
        let bytes = bytes.as_deref().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        bytes.map(Zeroizing::new).ok_or_else(|| SealError::Broken(place.to_string()))
    }
}

fn wrap(master: &MasterKey, place: &Place, data_key: &[u8; 32]) -> Result<(String, Vec<u8>), SealError> {
    Ok((master.id.clone(), encrypt(&master.cipher(), data_key, &place.bytes("key", &master.id))?))
}

fn encrypt(cipher: &XChaCha20Poly1305, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, SealError> {
    let nonce = Nonce::<XChaCha20Poly1305>::generate();
    let sealed = cipher.encrypt(&nonce, Payload { msg: plain, aad }).map_err(|_| SealError::TooLong)?;
    Ok([nonce.as_slice(), sealed.as_slice()].concat())
}

fn decrypt(cipher: &XChaCha20Poly1305, sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, msg) = sealed.split_at_checked(NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    cipher.decrypt(&nonce.into(), Payload { msg, aad }).ok().map(Zeroizing::new)
}

fn pad(plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let length = u32::try_from(plain.len()).map_err(|_| SealError::TooLong)?;
    let whole = (LENGTH_BYTES + plain.len()).next_multiple_of(BLOCK_BYTES);
    // The whole room at once: a vector that grows leaves copies behind.
    let mut padded = Zeroizing::new(Vec::with_capacity(whole));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(plain);
    padded.resize(whole, 0);
    Ok(padded)
}

fn unpad(padded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (length, rest) = padded.split_at_checked(LENGTH_BYTES)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    rest.get(..length).map(|plain| Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(names: &[(&str, &str)]) -> Keyring {
        let lines: Vec<String> = names.iter().map(|(name, hex)| format!("{name}:{}", hex.repeat(32))).collect();
        Keyring::parse(&lines.join("\n")).unwrap()
    }

    fn place(row: &str, field: &'static str) -> Place {
        Place::new("server_credentials", row, field)
    }

    #[test]
    fn a_secret_opens_in_its_place_and_in_no_other() {
        let keys = ring(&[("a", "0a")]);
        let stored = Envelope::seal(&keys, &place("1", "password"), b"hunter2").unwrap().to_string();
        let envelope: Envelope = stored.parse().unwrap();
        assert_eq!(envelope.open(&keys, &place("1", "password")).unwrap().as_slice(), b"hunter2");
        let elsewhere = Place::new("other_table", "1", "password");
        for other in [place("2", "password"), place("1", "become_password"), elsewhere] {
            assert!(matches!(envelope.open(&keys, &other), Err(SealError::Broken(_))), "{other}");
            assert!(matches!(envelope.rewrap(&keys, &other), Err(SealError::Broken(_))), "{other}");
        }
    }

    #[test]
    fn parts_of_two_envelopes_make_no_third() {
        let keys = ring(&[("a", "0a")]);
        let at = place("1", "password");
        let (one, two) = (Envelope::seal(&keys, &at, b"one").unwrap(), Envelope::seal(&keys, &at, b"two").unwrap());
        let mixed = Envelope { sealed: two.sealed.clone(), ..one.clone() };
        assert!(matches!(mixed.open(&keys, &at), Err(SealError::Broken(_))));
        let two_keys = ring(&[("a", "0a"), ("b", "0b")]);
        let renamed = Envelope { key_id: two_keys.current().id.clone(), ..one };
        assert!(matches!(renamed.open(&two_keys, &at), Err(SealError::Broken(_))), "the key's id is bound, too");
    }

    #[test]
    fn a_rotated_secret_needs_the_new_key_only() {
        let (old, both, new) = (ring(&[("a", "0a")]), ring(&[("a", "0a"), ("b", "0b")]), ring(&[("b", "0b")]));
        let at = place("1", "password");
        let before = Envelope::seal(&old, &at, b"hunter2").unwrap();
        let error = before.open(&new, &at).unwrap_err();
        assert!(matches!(&error, SealError::UnknownKey { key, .. } if *key == old.current().id), "{error}");
        let after = before.rewrap(&both, &at).unwrap();
        assert_eq!((after.key_id.as_str(), after.sealed()), (new.current().id.as_str(), before.sealed()));
        assert_eq!(after.open(&new, &at).unwrap().as_slice(), b"hunter2");
        assert!(after.open(&old, &at).is_err());
    }

    #[test]
    fn neither_text_nor_length_shows_and_no_two_envelopes_are_equal() {
        let keys = ring(&[("a", "0a")]);
        let at = place("1", "password");
        let seal = |plain: &str| Envelope::seal(&keys, &at, plain.as_bytes()).unwrap().to_string();
        assert_eq!(seal("a").len(), seal(&"a".repeat(60)).len());
        assert_ne!(seal("a"), seal("a"));
        assert!(!format!("{:?}", Envelope::seal(&keys, &at, b"hunter2").unwrap()).contains("hunter2"));
    }

    #[test]
    fn plain_text_is_told_from_an_envelope() {
        for text in ["", "hunter2", "v1:a:b:c", "v2:a:AAAA:AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", "v1::AA:AA:AA"]
        {
            assert_eq!(text.parse::<Envelope>(), Err(SealError::NotSealed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_equal_and_any_flipped_bit_breaks_it(
            plain in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let keys = ring(&[("a", "0a")]);
            let at_place = place("1", "password");
            let envelope = Envelope::seal(&keys, &at_place, &plain).unwrap();
            let opened = envelope.open(&keys, &at_place).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            let mut broken = envelope.clone();
            let whole = broken.wrapped.len() + broken.sealed.len();
            let index = at.index(whole);
            let wrapped = broken.wrapped.len();
            if index < wrapped { broken.wrapped[index] ^= 1 << bit } else { broken.sealed[index - wrapped] ^= 1 << bit }
            prop_assert!(broken.open(&keys, &at_place).is_err());
        }
    }
}
