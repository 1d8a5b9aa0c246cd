//! Where a secret of a server is: in a file, or sealed in the database. Neither is opened here.
//!
//! Read by `transport/ssh` when a connection is made; the database's are made by `engine/policy`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

/// Where one secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretAt {
    /// A file of the engine's machine.
    File(PathBuf),
    /// The database.
    Stored(Stored),
}

/// Opens one secret of the database.
pub trait Open: Send + Sync {
    /// The secret, or why it does not open.
    fn open(&self) -> Result<Zeroizing<String>, String>;
}

/// A secret of the database, closed.
#[derive(Clone)]
pub struct Stored {
    /// Equal for as long as the secret is: another master key around it makes no other secret.
    version: String,
    opener: Arc<dyn Open>,
}

impl Stored {
    /// A secret that `opener` opens; `version` tells it from the one that was there before.
    pub fn new(version: impl Into<String>, opener: Arc<dyn Open>) -> Self {
        Self { version: version.into(), opener }
    }

    /// The secret, or why it does not open.
    pub fn open(&self) -> Result<Zeroizing<String>, String> {
        self.opener.open()
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for Stored {}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stored(<secret>)")
    }
}

impl From<PathBuf> for SecretAt {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

/// Where it is, for messages: never what it is.
impl fmt::Display for SecretAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Stored(_) => f.write_str("(stored in the database)"),
        }
    }
}
