//! Other tools' lists of hosts, as servers: what they say about connecting, and what of it could not be carried.
//!
//! Pure: texts in, [`Import`] out. Reading files, asking `ssh -G`, and sending servers to an engine is `cli/import`'s work.

pub mod ansible;
mod ansible_ini;
mod ansible_yaml;
pub mod ssh;
pub mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use zeroize::Zeroizing;

/// One host, as far as it could be carried. It holds secrets, so it does not print itself.
#[derive(Clone, Default)]
pub struct Candidate {
    pub name: String,
    pub hostname: Option<String>,
    pub port: Option<String>,
    pub username: Option<String>,
    pub os_type: Option<String>,
    pub protocol: Option<String>,
    pub tags: BTreeSet<String>,
    pub group: Option<String>,
    pub environment: Option<String>,
    /// Name of the server through which this one is reached.
    pub bastion: Option<String>,
    pub host_keys: Vec<String>,
    /// Files of the machine on which the import runs.
    pub key_file: Option<String>,
    pub certificate_file: Option<String>,
    /// Files in which ssh keeps the keys of hosts, and the name under which this one stands there.
    pub known_hosts: Vec<String>,
    pub known_as: Option<String>,
    pub passphrase: Option<Zeroizing<String>>,
    pub password: Option<Zeroizing<String>>,
    pub become_password: Option<Zeroizing<String>>,
    pub winrm_transport: Option<String>,
    pub winrm_use_ssl: Option<bool>,
    pub winrm_cert_validation: Option<bool>,
    pub domain: Option<String>,
}

/// What could not be carried, of one host or (without one) of the whole file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    pub server: Option<String>,
    pub message: String,
}

/// What an import makes of a file.
#[derive(Default)]
pub struct Import {
    pub servers: Vec<Candidate>,
    pub notes: Vec<Note>,
}

impl Import {
    /// Notes something about one host.
    fn note(&mut self, server: &str, message: impl Into<String>) {
        self.notes.push(Note { server: Some(server.to_owned()), message: message.into() });
    }

    /// Notes something about the file.
    fn note_all(&mut self, message: impl Into<String>) {
        self.notes.push(Note { server: None, message: message.into() });
    }

    /// What could not be carried of `server`.
    pub fn notes_of<'a>(&'a self, server: &'a str) -> impl Iterator<Item = &'a str> {
        self.notes.iter().filter(move |note| note.server.as_deref() == Some(server)).map(|note| note.message.as_str())
    }

    /// Makes the jumps `[user@]host[:port][,…]` (ssh's `ProxyJump`) bastions of `server`: servers of this import where there
    /// are such, else new ones that need a login of their own.
    fn jump(&mut self, server: &str, jumps: &str) {
        let mut before: Option<String> = None;
        for jump in jumps.split(',').map(str::trim).filter(|jump| !jump.is_empty()) {
            let jump = jump.strip_prefix("ssh://").unwrap_or(jump);
            let (user, place) = match jump.rsplit_once('@') {
                Some((user, place)) => (Some(user), place),
                None => (None, jump),
            };
            let (host, port) = crate::inventory::resolve::host_and_port(place);
            let same = |known: &&mut Candidate| {
                known.name.eq_ignore_ascii_case(host) || known.hostname.as_deref() == Some(host)
            };
            let name = match self.servers.iter_mut().find(same) {
                Some(known) => {
                    known.bastion = before.take().filter(|bastion| *bastion != known.name).or(known.bastion.take());
                    known.name.clone()
                }
                None => {
                    let name = host.to_owned();
                    self.servers.push(Candidate {
                        name: name.clone(),
                        hostname: Some(host.to_owned()),
                        port: port.map(|port| port.to_string()),
                        username: user.map(str::to_owned),
                        bastion: before.take(),
                        ..Candidate::default()
                    });
                    self.note(&name, format!("is the bastion of `{server}`, and the file says nothing else of it"));
                    name
                }
            };
            before = Some(name);
        }
        if let Some(server) = self.servers.iter_mut().find(|known| known.name == server) {
            server.bastion = before;
        }
    }

    /// The servers, each behind its bastion.
    pub fn in_order(&self) -> Vec<&Candidate> {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut ordered: Vec<&Candidate> = Vec::new();
        let names: BTreeSet<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
        loop {
            let ready = |server: &&Candidate| {
                let waits = server.bastion.as_deref().is_some_and(|name| names.contains(name) && !done.contains(name));
                !done.contains(server.name.as_str()) && !waits
            };
            let found: Vec<&Candidate> = self.servers.iter().filter(ready).collect();
            if found.is_empty() {
                // A circle: the engine refuses it, with its reason.
                ordered.extend(self.servers.iter().filter(|server| !done.contains(server.name.as_str())));
                return ordered;
            }
            done.extend(found.iter().map(|server| server.name.as_str()));
            ordered.extend(found);
        }
    }
}
