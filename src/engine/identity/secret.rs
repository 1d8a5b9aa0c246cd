//! Secrets of 256 random bits that are shown once and stored as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::audit::canonical::sha256_hex;
use crate::config::Secret;
use crate::store::StoreError;

/// What a secret opens; told by its first characters, so that a leaked one is known for what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An API token.
    Token,
    /// A session.
    Session,
    /// Once: the first admin, or a new password.
    Setup,
}

/// A fresh secret.
#[derive(Clone, Debug)]
pub struct Made {
    /// For its owner, once.
    pub text: Secret,
    /// For the database.
    pub hash: String,
    /// For lists: its kind and four characters.
    pub prefix: String,
}

impl Kind {
    /// With what every secret of this kind begins.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Token => "douse_token_",
            Self::Session => "douse_session_",
            Self::Setup => "douse_setup_",
        }
    }

    /// What `text` claims to be.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Token, Self::Session, Self::Setup].into_iter().find(|kind| text.starts_with(kind.prefix()))
    }
}

/// Makes a secret.
pub fn make(kind: Kind) -> Result<Made, StoreError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Unavailable(format!("the machine gives no random numbers: {error}")))?;
    let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
    let prefix = text.chars().take(kind.prefix().len() + 4).collect();
    Ok(Made { hash: hash(&text), prefix, text: Secret::new(text) })
}

/// What is stored of a secret. Looking for a hash tells nothing about the secret, however long the search takes.
pub(super) fn hash(text: &str) -> String {
    sha256_hex(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_says_what_it_is() {
        let (one, two) = (make(Kind::Token).unwrap(), make(Kind::Token).unwrap());
        assert_ne!(one.text, two.text);
        let random = one.text.expose().strip_prefix("douse_token_").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
        assert_eq!(one.hash, hash(one.text.expose()));
        assert_eq!(one.prefix.len(), "douse_token_".len() + 4);
        assert_eq!(Kind::of(one.text.expose()), Some(Kind::Token));
        assert_eq!(Kind::of("douse_else_x"), None);
    }
}
