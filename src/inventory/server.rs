//! One server, and the file that declares servers.

use std::path::PathBuf;

use crate::runbook::model::OsType;

/// One host that Douse may act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Unique; what people call it.
    pub name: String,
    /// Where to connect: an address or a DNS name. Never taken from an alert.
    pub hostname: String,
    pub port: u16,
    pub username: String,
    pub os_type: OsType,
    pub auth: Auth,
    /// Pinned host keys, as `known_hosts` writes them without the host (`ssh-ed25519 AAAA…`). Empty = refused as unknown.
    pub host_keys: Vec<String>,
    pub tags: Vec<String>,
    /// Servers without a group form one group.
    pub group: Option<String>,
    pub environment: Option<String>,
    /// Under maintenance: runs need a person's yes.
    pub is_paused: bool,
    pub become_password_file: Option<PathBuf>,
}

/// How to log in. Secrets stay in files and are read when a connection is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Auth {
    /// A private key, with the file of its passphrase if it has one.
    Key {
        key_file: PathBuf,
        passphrase_file: Option<PathBuf>,
    },
    Password {
        password_file: PathBuf,
    },
    /// The agent behind `SSH_AUTH_SOCK`.
    Agent,
}
