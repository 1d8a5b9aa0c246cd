//! What a server must look like to be accepted.
//!
//! [`Draft`] is what a person wrote, in a file or to the API; [`Draft::check`] turns it into a [`Server`] or says
//! everything that is wrong with it. Files that it names are not read here.

use std::path::{Path, PathBuf};

use super::host_key;
use super::secret::SecretAt;
use super::server::{
    Auth, Certificate, PORT_DEFAULT, Protocol, Server, USERNAME_DEFAULT, WINRM_PLAIN_PORT, WINRM_PORT, WORD_BYTES_MAX,
    Winrm, WinrmTransport,
};
use crate::runbook::model::OsType;

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
    pub certificate_file: Option<String>,
    pub password_file: Option<String>,
    pub become_password_file: Option<String>,
    /// What the database holds instead of files.
    pub stored: StoredSecrets,
    pub winrm_transport: Option<String>,
    pub winrm_use_ssl: Option<bool>,
    pub winrm_cert_validation: Option<bool>,
    pub domain: Option<String>,
    pub host_key: Vec<String>,
    pub tags: Vec<String>,
    pub group: Option<String>,
    pub environment: Option<String>,
    pub bastion: Option<String>,
    pub is_paused: bool,
}

/// Secrets that the database holds, closed, and the certificate that goes with a key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredSecrets {
    pub key: Option<SecretAt>,
    pub passphrase: Option<SecretAt>,
    pub password: Option<SecretAt>,
    pub become_password: Option<SecretAt>,
    pub certificate: Option<String>,
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
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let files = [
            &self.key_file,
            &self.passphrase_file,
            &self.certificate_file,
            &self.password_file,
            &self.become_password_file,
        ];
        files.into_iter().filter_map(Option::as_deref)
    }

    /// The server, or everything that is wrong with it. Relative paths are taken from `base`.
    pub fn check(self, base: &Path) -> Result<Server, Vec<Fault>> {
        let mut faults = Faults::default();
        let auth = self.auth(base, &mut faults);
        let protocol = self.protocol(&mut faults);
        let become_file =
            self.become_password_file.as_deref().map(|file| faults.path("become_password_file", file, base));
        let become_password = one_of(&mut faults, "become_password_file", become_file, self.stored.become_password);
        let port_default = match &protocol {
            Protocol::Ssh => PORT_DEFAULT,
            Protocol::Winrm(Winrm { use_ssl: true, .. }) => WINRM_PORT,
            Protocol::Winrm(_) => WINRM_PLAIN_PORT,
        };
        let server = Server {
            name: faults.name(self.name),
            hostname: faults.hostname(self.hostname),
            port: faults.port(self.port, port_default),
            username: faults.username(self.username),
            os_type: faults.os_type(self.os_type, &protocol),
            protocol,
            auth,
            host_keys: faults.host_keys(self.host_key),
            tags: self.tags.into_iter().map(|tag| faults.label("tags", tag)).collect(),
            group: self.group.map(|group| faults.label("group", group)),
            environment: self.environment.map(|environment| faults.label("environment", environment)),
            is_paused: self.is_paused,
            become_password,
            bastion: self.bastion.map(|bastion| faults.bastion(bastion)),
            via: None,
        };
        if server.bastion.as_ref().is_some_and(|bastion| bastion.eq_ignore_ascii_case(&server.name)) {
            faults.add("bastion", "a server cannot be its own bastion");
        }
        if faults.0.is_empty() { Ok(server) } else { Err(faults.0) }
    }

    fn auth(&self, base: &Path, faults: &mut Faults) -> Auth {
        let has = |file: &Option<String>, stored: &Option<SecretAt>| file.is_some() || stored.is_some();
        let (has_key, has_password) =
            (has(&self.key_file, &self.stored.key), has(&self.password_file, &self.stored.password));
        let kind = match (self.auth_type.as_deref(), has_key, has_password) {
            (Some(kind @ ("key" | "password" | "agent")), ..) => kind,
            (Some(other), ..) => {
                faults.add("auth_type", format!("`{other}` is none of key, password, agent"));
                return Auth::Agent;
            }
            (None, true, _) => "key",
            (None, false, true) => "password",
            (None, false, false) => "agent",
        };
        for (name, is_given, wanted) in [
            ("key_file", has_key, "key"),
            ("passphrase_file", has(&self.passphrase_file, &self.stored.passphrase), "key"),
            ("certificate_file", self.certificate_file.is_some() || self.stored.certificate.is_some(), "key"),
            ("password_file", has_password, "password"),
        ] {
            if is_given && kind != wanted {
                faults.add_hint(
                    name,
                    format!("`{name}` is not used by `auth_type: {kind}`"),
                    format!("remove `{name}`, or set `auth_type: {wanted}`"),
                );
            }
        }
        let mut secret = |name: &'static str, file: &Option<String>, stored: &Option<SecretAt>| {
            let file = file.as_deref().map(|file| faults.path(name, file, base));
            one_of(faults, name, file, stored.clone())
        };
        let key = secret("key_file", &self.key_file, &self.stored.key);
        let passphrase = secret("passphrase_file", &self.passphrase_file, &self.stored.passphrase);
        let password = secret("password_file", &self.password_file, &self.stored.password);
        let certificate = match (&self.certificate_file, &self.stored.certificate) {
            (Some(file), _) => Some(Certificate::File(faults.path("certificate_file", file, base))),
            (None, text) => text.clone().map(Certificate::Text),
        };
        match (kind, key, password) {
            ("key", Some(key), _) => Auth::Key { key, passphrase, certificate },
            ("password", _, Some(password)) => Auth::Password { password },
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

    fn protocol(&self, faults: &mut Faults) -> Protocol {
        let transport = self.winrm_transport.as_deref().map(str::parse::<WinrmTransport>);
        if let Some(Err(message)) = &transport {
            faults.add("winrm_transport", message.clone());
        }
        match self.protocol.as_deref() {
            Some("winrm") => Protocol::Winrm(Winrm {
                transport: transport.and_then(Result::ok).unwrap_or(WinrmTransport::Ntlm),
                use_ssl: self.winrm_use_ssl.unwrap_or(true),
                cert_validation: self.winrm_cert_validation.unwrap_or(true),
                domain: self.domain.clone().map(|domain| faults.label("domain", domain)),
            }),
            other => {
                if let Some(other) = other.filter(|other| *other != "ssh") {
                    faults.add("protocol", format!("`{}` is none of ssh, winrm", other.escape_debug()));
                }
                for (name, is_given) in [
                    ("winrm_transport", transport.is_some()),
                    ("winrm_use_ssl", self.winrm_use_ssl.is_some()),
                    ("winrm_cert_validation", self.winrm_cert_validation.is_some()),
                    ("domain", self.domain.is_some()),
                ] {
                    if is_given {
                        faults.add_hint(name, format!("`{name}` is for `protocol: winrm`"), format!("remove `{name}`"));
                    }
                }
                Protocol::Ssh
            }
        }
    }
}

/// A file's or the database's secret; never both.
fn one_of(
    faults: &mut Faults,
    name: &'static str,
    file: Option<PathBuf>,
    stored: Option<SecretAt>,
) -> Option<SecretAt> {
    if file.is_some() && stored.is_some() {
        faults.add_hint(
            name,
            format!("`{name}` names a file, and the database holds the same secret"),
            "keep one of them: without the file, or with the stored secret set to null",
        );
    }
    file.map(SecretAt::File).or(stored)
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

    fn bastion(&mut self, bastion: String) -> String {
        if bastion.is_empty() || bastion.contains(['@', ':', ',']) || bastion.contains(char::is_whitespace) {
            self.add_hint(
                "bastion",
                format!("`{}` is not the name of a server", bastion.escape_debug()),
                "a bastion is a server of the inventory, with a login and host keys of its own: name it",
            );
        }
        bastion
    }

    fn port(&mut self, port: Option<String>, default: u16) -> u16 {
        let Some(port) = port else { return default };
        match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                self.add("port", format!("`{}` is not a port: 1 to 65535", port.escape_debug()));
                default
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

    fn os_type(&mut self, os_type: Option<String>, protocol: &Protocol) -> OsType {
        match (os_type.as_deref(), protocol) {
            (None, Protocol::Ssh) | (Some("linux"), Protocol::Ssh) => OsType::Linux,
            (None | Some("windows"), Protocol::Winrm(_)) | (Some("windows"), Protocol::Ssh) => OsType::Windows,
            (Some("linux"), Protocol::Winrm(_)) => {
                self.add("os_type", "`protocol: winrm` is for `os_type: windows`");
                OsType::Windows
            }
            (Some(other), _) => {
                self.add("os_type", format!("`{}` is none of linux, windows", other.escape_debug()));
                OsType::Linux
            }
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
