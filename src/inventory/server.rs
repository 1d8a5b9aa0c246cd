//! One server, and what it must look like to be accepted.
//!
//! [`Draft`] is what a person wrote, in a file or to the API; [`Draft::check`] turns it into a [`Server`] or says
//! everything that is wrong with it. Files that it names are not read here.

use std::path::{Path, PathBuf};

use super::host_key;
use crate::runbook::model::OsType;

/// Port of SSH.
pub const PORT_DEFAULT: u16 = 22;
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
    Key { key_file: PathBuf, passphrase_file: Option<PathBuf> },
    /// A password; the file's last line break is not part of it.
    Password { password_file: PathBuf },
    /// The agent behind `SSH_AUTH_SOCK`.
    Agent,
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

/// A server as a person wrote it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    pub name: Option<String>,
    pub hostname: Option<String>,
    pub port: Option<String>,
    pub username: Option<String>,
    pub os_type: Option<String>,
    pub protocol: Option<String>,
    pub auth_type: Option<String>,
    pub key_file: Option<String>,
    pub passphrase_file: Option<String>,
    pub password_file: Option<String>,
    pub become_password_file: Option<String>,
    pub host_key: Vec<String>,
    pub tags: Vec<String>,
    pub group: Option<String>,
    pub environment: Option<String>,
    pub bastion: Option<String>,
    pub is_paused: bool,
}

/// What is wrong with one key of a [`Draft`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The key, as written in `servers.yml`.
    pub key: &'static str,
    /// The key is missing rather than wrong.
    pub is_missing: bool,
    pub message: String,
    pub hint: Option<String>,
}

impl Draft {
    /// The server, or everything that is wrong with it. Relative paths are taken from `base`.
    pub fn check(self, base: &Path) -> Result<Server, Vec<Fault>> {
        let mut faults = Faults::default();
        let auth = self.auth(base, &mut faults);
        let server = Server {
            name: faults.name(self.name),
            hostname: faults.hostname(self.hostname),
            port: faults.port(self.port),
            username: faults.username(self.username),
            os_type: faults.os_type(self.os_type),
            auth,
            host_keys: faults.host_keys(self.host_key),
            tags: self.tags.into_iter().map(|tag| faults.label("tags", tag)).collect(),
            group: self.group.map(|group| faults.label("group", group)),
            environment: self.environment.map(|environment| faults.label("environment", environment)),
            is_paused: self.is_paused,
            become_password_file: self
                .become_password_file
                .map(|file| faults.path("become_password_file", &file, base)),
        };
        faults.protocol(self.protocol);
        if self.bastion.is_some() {
            faults.add_hint(
                "bastion",
                "connecting through a bastion is not supported yet",
                "give an address that Douse's host reaches itself, and remove `bastion`",
            );
        }
        if faults.0.is_empty() { Ok(server) } else { Err(faults.0) }
    }

    fn auth(&self, base: &Path, faults: &mut Faults) -> Auth {
        let (key, password) = (self.key_file.as_deref(), self.password_file.as_deref());
        let kind = match (self.auth_type.as_deref(), key, password) {
            (Some(kind @ ("key" | "password" | "agent")), ..) => kind,
            (Some(other), ..) => {
                faults.add("auth_type", format!("`{other}` is none of key, password, agent"));
                return Auth::Agent;
            }
            (None, Some(_), _) => "key",
            (None, None, Some(_)) => "password",
            (None, None, None) => "agent",
        };
        for (name, value, wanted) in [
            ("key_file", key, "key"),
            ("passphrase_file", self.passphrase_file.as_deref(), "key"),
            ("password_file", password, "password"),
        ] {
            if value.is_some() && kind != wanted {
                faults.add_hint(
                    name,
                    format!("`{name}` is not used by `auth_type: {kind}`"),
                    format!("remove `{name}`, or set `auth_type: {wanted}`"),
                );
            }
        }
        let passphrase_file = self.passphrase_file.as_deref().map(|file| faults.path("passphrase_file", file, base));
        match (kind, key, password) {
            ("key", Some(key), _) => Auth::Key { key_file: faults.path("key_file", key, base), passphrase_file },
            ("password", _, Some(file)) => Auth::Password { password_file: faults.path("password_file", file, base) },
            ("key", None, _) => {
                faults.missing("key_file", "`auth_type: key` needs `key_file`, the path of a private key");
                Auth::Agent
            }
            ("password", _, None) => {
                faults.missing("password_file", "`auth_type: password` needs `password_file`, the path of a file");
                Auth::Agent
            }
            _ => Auth::Agent,
        }
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push(Fault { key, is_missing: false, message: message.into(), hint: None });
    }

    fn add_hint(&mut self, key: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Fault { key, is_missing: false, message: message.into(), hint: Some(hint.into()) });
    }

    fn missing(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push(Fault { key, is_missing: true, message: message.into(), hint: None });
    }

    fn name(&mut self, name: Option<String>) -> String {
        let Some(name) = name else {
            self.missing("name", "a server needs a `name`");
            return String::new();
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > WORD_BYTES_MAX || !name.chars().all(is_word) || name.starts_with(['-', '.'])
        {
            self.add_hint(
                "name",
                format!("`{}` is not a server's name", name.escape_debug()),
                "1 to 255 letters, digits, `.`, `_` and `-`, not starting with `-` or `.`; the address goes into `hostname`",
            );
        }
        name
    }

    fn hostname(&mut self, hostname: Option<String>) -> String {
        let Some(hostname) = hostname else {
            self.missing("hostname", "a server needs a `hostname`: an address or a DNS name");
            return String::new();
        };
        let bare = hostname.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&hostname);
        if bare.parse::<std::net::IpAddr>().is_ok() {
            return bare.to_owned();
        }
        let is_dns = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_scoped = bare.split_once('%').is_some_and(|(address, zone)| {
            address.parse::<std::net::Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(is_dns)
        });
        if is_scoped {
            return bare.to_owned();
        }
        if bare.is_empty() || bare.len() > WORD_BYTES_MAX || bare.starts_with(['-', '.']) || !bare.chars().all(is_dns) {
            let hint = match bare.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => {
                    format!("write `hostname: {host}` and `port: {port}`")
                }
                _ => "an IP address or a DNS name, without scheme, user or port".to_owned(),
            };
            self.add_hint("hostname", format!("`{}` is not a host's name", hostname.escape_debug()), hint);
        }
        bare.to_owned()
    }

    fn port(&mut self, port: Option<String>) -> u16 {
        let Some(port) = port else { return PORT_DEFAULT };
        match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                self.add("port", format!("`{}` is not a port: 1 to 65535", port.escape_debug()));
                PORT_DEFAULT
            }
        }
    }

    fn username(&mut self, username: Option<String>) -> String {
        let username = username.unwrap_or_else(|| USERNAME_DEFAULT.to_owned());
        let is_odd = |c: char| c.is_control() || c.is_whitespace();
        if username.is_empty()
            || username.len() > WORD_BYTES_MAX
            || username.starts_with('-')
            || username.contains(is_odd)
        {
            self.add("username", format!("`{}` is not a user's name", username.escape_debug()));
        }
        username
    }

    fn os_type(&mut self, os_type: Option<String>) -> OsType {
        match os_type.as_deref() {
            None | Some("linux") => OsType::Linux,
            Some("windows") => OsType::Windows,
            Some(other) => {
                self.add("os_type", format!("`{}` is none of linux, windows", other.escape_debug()));
                OsType::Linux
            }
        }
    }

    fn protocol(&mut self, protocol: Option<String>) {
        match protocol.as_deref() {
            None | Some("ssh") => {}
            Some("winrm") => self.add_hint(
                "protocol",
                "WinRM is not supported yet",
                "install OpenSSH on that host and use `protocol: ssh`, or leave the server out for now",
            ),
            Some(other) => self.add("protocol", format!("`{}` is not `ssh`", other.escape_debug())),
        }
    }

    fn host_keys(&mut self, lines: Vec<String>) -> Vec<String> {
        for line in &lines {
            if let Err(error) = host_key::check(line) {
                self.add_hint("host_key", error.to_string(), "`douse servers scan-keys` prints the line of a host");
            }
        }
        lines.into_iter().map(|line| line.trim().to_owned()).collect()
    }

    fn label(&mut self, key: &'static str, value: String) -> String {
        if value.is_empty() || value.len() > WORD_BYTES_MAX || value.chars().any(char::is_control) {
            self.add(
                key,
                format!("`{}` must have 1 to 255 characters, none of them a control character", value.escape_debug()),
            );
        }
        value
    }

    fn path(&mut self, key: &'static str, file: &str, base: &Path) -> PathBuf {
        if file.is_empty() || file.contains('\0') {
            self.add(key, format!("`{key}` must name a file"));
        }
        base.join(file)
    }
}
