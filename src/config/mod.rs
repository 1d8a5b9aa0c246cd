//! `douse.yml`: read, laid over by the environment, checked, with all problems at once.
//!
//! Decides what a configuration means; does not read runbooks or servers (`engine/policy` does, from the folders and
//! files named here), and keeps no state: a reload makes a new [`Config`]. Called from `app`, the reload and `check`.
//!
//! A key of a feature that is not built yet is refused where leaving it out would change what the operator expects to
//! happen (`runbooks.git`); others are read and warned of (W231: `prometheus`, `notifications`).

mod audit;
mod blackouts;
mod encryption;
mod environment;
mod limits;
mod reader;
mod rights;
mod secret;
mod sections;
mod sources;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;

pub use crate::rights::Role;
pub use audit::{Anchors, Audit, Syslog};
pub use blackouts::DeclaredBlackout;
pub use limits::Limits;
pub use secret::Secret;
pub use sources::{Credential, Source, Wanted};
pub use tls::{ClientAuth, Tls};
pub use tokens::ApiToken;
pub use tree::Place;

use crate::problem::Problem;
use crate::rights::Rights;
use crate::secrets::{Keyring, redact};
use crate::words::words;

use reader::{MapReader, Reading};
use tree::Node;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    pub global: Global,
    pub web: Web,
    pub storage: Storage,
    pub audit: Audit,
    /// `None`: no secret can be kept in the database.
    pub encryption: Option<Encryption>,
    /// Who may send webhooks; names are unique.
    pub sources: Vec<Source>,
    /// Base address of the Prometheus that verification will ask; nothing uses it yet.
    pub prometheus_url: Option<String>,
    /// Addresses that Douse may connect to although it otherwise would not: loopback, link-local, metadata services.
    pub outbound_allow: Vec<IpNet>,
    /// Folders that are searched for runbooks, resolved.
    pub runbook_dirs: Vec<PathBuf>,
    /// Files that declare servers, resolved.
    pub server_files: Vec<PathBuf>,
    pub blackouts: Vec<DeclaredBlackout>,
    pub limits: Limits,
    /// Tokens of the API; names and values are unique.
    pub tokens: Vec<ApiToken>,
    /// What roles are narrowed to; roles that are not here, not at all. Never the admin.
    pub rights: BTreeMap<Role, Rights>,
    /// What works, but should be looked at; logged at each start and reload.
    pub warnings: Vec<Problem>,
}

words! {
    /// Whether decisions lead to executions.
    EngineMode {
        /// They do.
        Enforce = "enforce",
        /// They are decided and recorded only.
        Observe = "observe",
    }
}

/// `global`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    pub mode: EngineMode,
    /// Where people reach this engine; shown by the API.
    pub external_url: String,
    /// Zone of time windows that name none.
    pub timezone: Tz,
}

/// `web`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Web {
    /// `host:port`, never empty.
    pub listen_addresses: Vec<String>,
    /// `/metrics` needs no token.
    pub metrics_public: bool,
    /// `None` = plain HTTP.
    pub tls: Option<Tls>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// `storage`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Storage {
    /// `sqlite://path` (resolved) or `postgres://…`; may hold a password.
    pub url: Secret,
    /// How long the other replicas believe that this one lives after they heard of it last.
    pub lease: Duration,
    pub retention: Retention,
}

/// How long records are kept; `None` = for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    pub executions: Option<Duration>,
    pub output: Option<Duration>,
    pub audit: Option<Duration>,
}

/// `encryption`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encryption {
    /// `None` where a check reads no secrets.
    pub keys: Option<Arc<Keyring>>,
    /// Where they come from, for messages.
    pub source: String,
    /// Ids of keys that nobody has any more: the engine starts without them.
    pub lost_keys: Vec<String>,
}

/// The password in an address, as it stands there.
fn password_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password)
}

impl Config {
    /// Reads `path` and lays `variables` over it; every problem at once.
    pub fn load(path: &Path, variables: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        Self::read(path, variables, true)
    }

    /// As [`Config::load`] for a machine that does not hold the engine's secrets: files of secrets may be missing, and then
    /// their sources and tokens are missing from the answer.
    pub fn check(path: &Path, variables: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        Self::read(path, variables, false)
    }

    /// Has them taken out of logs and records.
    fn register_secrets(&self) {
        self.tokens.iter().for_each(|token| redact::register(token.token.expose()));
        let credentials = self.sources.iter().flat_map(|source| &source.credentials);
        credentials.filter_map(Credential::secret).for_each(|secret| redact::register(secret.expose()));
        if let Some(password) = password_of(self.storage.url.expose()) {
            redact::register(password);
        }
    }

    /// The variables of this process.
    pub fn environment() -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// What `role` may do at runbooks.
    pub fn rights_of(&self, role: Role) -> Rights {
        self.rights.get(&role).cloned().unwrap_or_default()
    }

    fn read(path: &Path, variables: &[(String, String)], reads_secrets: bool) -> Result<Self, Vec<Problem>> {
        let mut root = Node::read(path).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        environment::overlay(&mut root, variables, &mut problems);
        let reading = Reading {
            base: path.parent().unwrap_or(Path::new("")),
            reads_secrets,
            credentials_directory: variables
                .iter()
                .find(|(name, _)| name == "CREDENTIALS_DIRECTORY")
                .map(|(_, folder)| PathBuf::from(folder)),
            problems: RefCell::new(problems),
            warnings: RefCell::new(Vec::new()),
        };
        let config = MapReader::new(&reading, "", &root).map(|mut top| {
            let config = sections::config(&reading, &mut top, path);
            top.finish();
            config
        });
        let Reading { problems, warnings, .. } = reading;
        let mut problems = problems.into_inner();
        match config {
            Some(config) if problems.is_empty() => {
                config.register_secrets();
                Ok(Self { warnings: warnings.into_inner(), ..config })
            }
            _ => {
                problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
                Err(problems)
            }
        }
    }
}
