//! The master keys: 64 hex characters, or lines `id:hex` of which the last one seals what is new; in a variable, commas stand
//! for line breaks. Key files are [`crate::audit::key`]'s; reading the text is `config`'s work.

use chacha20poly1305::aead::{Generate, Key as CipherKey};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::audit::canonical::hex;
use crate::audit::key::{Key, Purpose, Ring, check_name};

/// Wrapping data keys.
#[derive(Clone, Copy, Debug)]
pub enum Master {}

impl Purpose for Master {
    const DOMAIN: &'static [u8] = b"douse master key\0";
    const MADE_BY: &'static str = "`douse keys generate` makes them";
    const SEPARATORS: &'static [char] = &['\n', ','];
    const REFUSES_ZEROS: bool = true;
}

/// One master key: it wraps the data keys.
pub type MasterKey = Key<Master>;
/// The master keys of one engine.
pub type Keyring = Ring<Master>;

impl Key<Master> {
    /// What wraps data keys.
    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes().into())
    }
}

/// A line for a key file: a new random key under this name.
pub fn generate(name: &str) -> Result<Zeroizing<String>, String> {
    check_name(name)?;
    let hex = Zeroizing::new(hex(&CipherKey::<XChaCha20Poly1305>::generate()));
    Ok(Zeroizing::new(format!("{name}:{}\n", *hex)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::key::CHECK_BYTES;

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
