//! Labels to exactly one server.
//!
//! An alert's `instance` names an exporter, not a login: its host part is looked up in the inventory, and what is
//! connected to is always the inventory's own address. No match, or more than one, is a reason to refuse.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Protocol, Server};

/// All servers, by every name under which an alert may call them.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// By lower-case name.
    by_name: BTreeMap<String, Arc<Server>>,
    /// Canonical hostname → lower-case names.
    by_host: BTreeMap<String, Vec<String>>,
    /// Group → number of its servers.
    group_sizes: BTreeMap<Option<String>, usize>,
}

/// Why servers make no inventory.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InventoryError {
    /// Two servers with one name (upper and lower case do not tell names apart).
    #[error("two servers are called `{0}`; rename one")]
    Duplicate(String),
    /// A bastion that is no server.
    #[error(
        "server `{server}` is reached through `{bastion}`, which is not in the inventory: add it, or change `bastion`"
    )]
    UnknownBastion { server: String, bastion: String },
    /// A bastion that cannot be jumped through.
    #[error("server `{server}` is reached through `{bastion}`, which does not speak SSH")]
    BastionProtocol { server: String, bastion: String },
    /// One bastion behind another without end, or nearly so.
    #[error("server `{0}` is reached through a circle of bastions, or through more than {BASTIONS_MAX}")]
    BastionChain(String),
}

/// Bastions between Douse and a server.
pub const BASTIONS_MAX: usize = 4;

/// Why a value does not name exactly one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unresolved {
    /// The reason `unknown_target`; `similar` are names that look like it, for the message only.
    Unknown { value: String, similar: Vec<String> },
    /// The reason `ambiguous_target`.
    Ambiguous { value: String, candidates: Vec<String> },
}

impl Inventory {
    /// An inventory of these servers, each with the bastions through which it is reached.
    pub fn new(servers: impl IntoIterator<Item = Server>) -> Result<Self, InventoryError> {
        let mut inventory = Self::default();
        let mut declared: BTreeMap<String, Server> = BTreeMap::new();
        for server in servers {
            let key = server.name.to_ascii_lowercase();
            inventory.by_host.entry(canonical(&server.hostname)).or_default().push(key.clone());
            *inventory.group_sizes.entry(server.group.clone()).or_default() += 1;
            if let Some(before) = declared.insert(key, server) {
                return Err(InventoryError::Duplicate(before.name));
            }
        }
        for key in declared.keys() {
            inventory.settle(key, &declared, 0)?;
        }
        Ok(inventory)
    }

    /// Puts the server of that name in, after the bastions before it.
    fn settle(
        &mut self,
        key: &str,
        declared: &BTreeMap<String, Server>,
        depth: usize,
    ) -> Result<Arc<Server>, InventoryError> {
        if let Some(known) = self.by_name.get(key) {
            // One that was settled from here before may stand behind bastions of its own.
            let behind = std::iter::successors(known.via.as_ref(), |server| server.via.as_ref()).count();
            return if depth + behind > BASTIONS_MAX {
                Err(InventoryError::BastionChain(known.name.clone()))
            } else {
                Ok(Arc::clone(known))
            };
        }
        let Some(server) = declared.get(key) else { return Err(InventoryError::BastionChain(key.to_owned())) };
        let mut server = server.clone();
        if let Some(bastion) = &server.bastion {
            let names = || (server.name.clone(), bastion.clone());
            if depth >= BASTIONS_MAX {
                return Err(InventoryError::BastionChain(server.name));
            }
            let next = bastion.to_ascii_lowercase();
            match declared.get(&next) {
                None => {
                    let (server, bastion) = names();
                    return Err(InventoryError::UnknownBastion { server, bastion });
                }
                Some(other) if other.protocol != Protocol::Ssh => {
                    let (server, bastion) = names();
                    return Err(InventoryError::BastionProtocol { server, bastion });
                }
                Some(_) => {}
            }
            server.via = Some(self.settle(&next, declared, depth + 1)?);
        }
        let server = Arc::new(server);
        self.by_name.insert(key.to_owned(), Arc::clone(&server));
        Ok(server)
    }

    /// The one server that `value` (an `instance`: `host`, `host:port`, `[v6]:port`, a bare IPv6 address, a URL, a
    /// pod's name) names.
    ///
    /// The host part is compared with names and hostnames, upper and lower case alike. A port only decides between
    /// several servers behind one hostname.
    pub fn resolve(&self, value: &str) -> Result<Arc<Server>, Unresolved> {
        let (host, port) = host_and_port(value);
        let mut candidates: Vec<&Arc<Server>> = self.by_name.get(&host.to_ascii_lowercase()).into_iter().collect();
        for name in self.by_host.get(&canonical(host)).into_iter().flatten() {
            if let Some(server) = self.by_name.get(name)
                && !candidates.iter().any(|known| Arc::ptr_eq(known, server))
            {
                candidates.push(server);
            }
        }
        if let (true, Some(port)) = (candidates.len() > 1, port) {
            let behind_port: Vec<&Arc<Server>> = candidates.iter().copied().filter(|s| s.port == port).collect();
            if let [only] = behind_port.as_slice() {
                return Ok(Arc::clone(only));
            }
        }
        match candidates.as_slice() {
            [only] => Ok(Arc::clone(only)),
            [] => Err(Unresolved::Unknown { value: shown(value), similar: self.similar(host) }),
            [..] => {
                let candidates = candidates.iter().map(|server| server.name.clone()).collect();
                Err(Unresolved::Ambiguous { value: shown(value), candidates })
            }
        }
    }

    /// The server of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Server>> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    /// All servers, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// There is none: every alert will be refused as `unknown_target`.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many servers are in `group`; those without one form one group.
    pub fn group_size(&self, group: Option<&str>) -> usize {
        self.group_sizes.get(&group.map(str::to_owned)).copied().unwrap_or(0)
    }

    fn similar(&self, host: &str) -> Vec<String> {
        let host = host.to_ascii_lowercase();
        let first_label = host.split('.').next().unwrap_or(&host);
        let mut near: Vec<(usize, &str)> = self
            .by_name
            .iter()
            .filter(|_| !host.is_empty() && host.len() <= super::server::WORD_BYTES_MAX)
            .map(|(key, server)| {
                let is_short_form = first_label == key.split('.').next().unwrap_or(key);
                let distance = if is_short_form { 0 } else { strsim::damerau_levenshtein(&host, key) };
                (distance, server.name.as_str())
            })
            .filter(|(distance, _)| *distance <= 2)
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }
}

impl Unresolved {
    /// The gate's reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_target",
            Self::Ambiguous { .. } => "ambiguous_target",
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { value, .. } if value.is_empty() => f.write_str(
                "the alert does not say which server it is about; set the runbook's `target.from` to a label that does",
            ),
            Self::Unknown { value, similar } => {
                write!(f, "no server of the inventory is called `{value}` or has that address")?;
                if !similar.is_empty() {
                    write!(f, "; similar: {}", similar.join(", "))?;
                }
                f.write_str("; add it to servers.yml, or set the runbook's `target.from`")
            }
            Self::Ambiguous { value, candidates } => write!(
                f,
                "`{value}` may be any of {}; set the runbook's `target.from` to a label that tells them apart",
                candidates.join(", ")
            ),
        }
    }
}

impl std::error::Error for Unresolved {}

/// The host part of an `instance`, and its port if it has one. Never fails: what is no host matches no server.
pub fn host_and_port(value: &str) -> (&str, Option<u16>) {
    let value = value.trim();
    let authority = match value.split_once("://") {
        Some((_, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            authority.rsplit_once('@').map_or(authority, |(_, host)| host)
        }
        None => value,
    };
    if let Some((host, after)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match after.strip_prefix(':').map(str::parse) {
            Some(Ok(port)) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            // `[::1]9100` or `[::1]:http`: not an address that anything writes.
            None | Some(Err(_)) => (authority, None),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        // No colon, or the several of an IPv6 address.
        _ => (authority, None),
    }
}

/// One spelling for each address: `2001:DB8:0::1` is `2001:db8::1`, `Web1.` is `web1`.
fn canonical(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

/// Bounded and printable: the value comes from outside.
fn shown(value: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut text: String = value.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if value.chars().nth(CHARS_MAX).is_some() {
        text.push('…');
    }
    text
}
