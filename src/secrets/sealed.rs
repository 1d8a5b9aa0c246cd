//! A secret of the database as the inventory carries it: closed until a connection needs it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Envelope, Keyring, Place, SealError};
use crate::audit::canonical::sha256_hex;
use crate::inventory::secret::{Open, SecretAt, Stored};

/// An envelope with what it takes to open it.
struct Sealed {
    keys: Option<Arc<Keyring>>,
    place: Place,
    envelope: Result<Envelope, SealError>,
}

/// The secret that stands as `text` at `place`. One that does not open says so when it is asked for, so that it never keeps
/// other servers from being used.
pub fn sealed(keys: Option<&Arc<Keyring>>, place: Place, text: &str) -> SecretAt {
    let envelope: Result<Envelope, SealError> = text.parse();
    let version = sha256_hex(envelope.as_ref().map_or(text.as_bytes(), Envelope::sealed));
    SecretAt::Stored(Stored::new(version, Arc::new(Sealed { keys: keys.cloned(), place, envelope })))
}

impl Open for Sealed {
    fn open(&self) -> Result<Zeroizing<String>, String> {
        let keys = self.keys.as_ref().ok_or("no master key is configured (`encryption` in douse.yml)")?;
        let envelope = self.envelope.as_ref().map_err(ToString::to_string)?;
        let bytes = envelope.open(keys, &self.place).map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("the secret {} is not text", self.place))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}
