//! One server: where it is, what it is, and how to log in. [`super::draft`] makes it from what a person wrote.

use std::sync::Arc;

pub use super::draft::{Draft, Fault};
use super::secret::SecretAt;
use crate::runbook::model::OsType;
use crate::words::words;

/// Port of SSH.
pub const PORT_DEFAULT: u16 = 22;
/// Port of WinRM over TLS.
pub const WINRM_PORT: u16 = 5986;
/// Port of WinRM without TLS.
pub const WINRM_PLAIN_PORT: u16 = 5985;
/// The account to log in with when none is named: one of Douse's own, never root by accident.
pub const USERNAME_DEFAULT: &str = "douse";
/// Longest name, hostname, username, tag, group or environment, bytes (a DNS name's longest, and the seed's).
pub const WORD_BYTES_MAX: usize = 255;

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
    pub protocol: Protocol,
    pub auth: Auth,
    /// Pinned host keys, as `known_hosts` writes them without the host (`ssh-ed25519 AAAA…`). Empty = refused as unknown.
    pub host_keys: Vec<String>,
    pub tags: Vec<String>,
    /// Servers without a group form one group.
    pub group: Option<String>,
    pub environment: Option<String>,
    /// Under maintenance: runs need a person's yes.
    pub is_paused: bool,
    /// The password for `sudo`.
    pub become_password: Option<SecretAt>,
    /// Name of the server through which this one is reached.
    pub bastion: Option<String>,
    /// That server. Set by [`super::Inventory::new`].
    pub via: Option<Arc<Server>>,
}

/// How commands get there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    #[default]
    Ssh,
    /// Kept for the transport to come; nothing is run over it yet.
    Winrm(Winrm),
}

/// What WinRM needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Winrm {
    pub transport: WinrmTransport,
    pub use_ssl: bool,
    pub cert_validation: bool,
    /// Of the Active Directory.
    pub domain: Option<String>,
}

words! {
    /// How WinRM logs in.
    WinrmTransport {
        Kerberos = "kerberos",
        Ntlm = "ntlm",
        Certificate = "certificate",
    }
}

impl Protocol {
    /// The word of `protocol`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Winrm(_) => "winrm",
        }
    }
}

/// How to log in. Secrets stay where they are and are read when a connection is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Auth {
    /// A private key, with its passphrase if it has one, and the OpenSSH certificate that goes with it.
    Key { key: SecretAt, passphrase: Option<SecretAt>, certificate: Option<Certificate> },
    /// A password; a file's last line break is not part of it.
    Password { password: SecretAt },
    /// The agent behind `SSH_AUTH_SOCK`.
    Agent,
}

/// Where a key's certificate is. It is no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Certificate {
    File(std::path::PathBuf),
    Text(String),
}

impl Auth {
    /// The word of `auth_type`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Key { .. } => "key",
            Self::Password { .. } => "password",
            Self::Agent => "agent",
        }
    }
}

impl Server {
    /// `host:port`, with an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.hostname.contains(':') {
            format!("[{}]:{}", self.hostname, self.port)
        } else {
            format!("{}:{}", self.hostname, self.port)
        }
    }
}
