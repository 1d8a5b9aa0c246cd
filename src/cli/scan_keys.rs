//! `douse servers scan-keys`: the keys that hosts show, as lines for `servers.yml`.
//!
//! Asks the hosts themselves, not the engine. Nothing is pinned here: whether a key is the right one only a person can
//! say, who compares it with the host's own.

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::output::{self, Column, OutputArgs, column, text};
use crate::inventory::resolve::host_and_port;
use crate::inventory::server::PORT_DEFAULT;
use crate::transport::ssh::{HostKey, Options, scan_keys};

/// Print the host keys of hosts, to be compared and pinned in servers.yml
#[derive(Args, Debug)]
pub struct ScanKeys {
    /// Address or DNS name, with `:PORT` if it is not 22; an IPv6 address with a port in brackets
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
}

impl ScanKeys {
    /// Asks each host; ends with an error if one showed nothing.
    pub async fn run(self, output: &OutputArgs) -> Result<Exit, Failure> {
        let options = Options::default();
        let mut exit = Exit::Ok;
        let mut items = Vec::new();
        for host in &self.hosts {
            let (name, port) = host_and_port(host);
            let missing = match scan_keys(name, port.unwrap_or(PORT_DEFAULT), &options).await {
                Ok(keys) if !keys.is_empty() => {
                    if output.is_for_people() {
                        output::write(&output::visible(&yaml(host, &keys)))?;
                    }
                    let lines: Vec<&str> = keys.iter().map(|key| key.line.as_str()).collect();
                    let prints: Vec<&str> = keys.iter().map(|key| key.fingerprint.as_str()).collect();
                    items.push(json!({"host": host, "host_key": lines, "fingerprints": prints}));
                    continue;
                }
                Ok(_) => format!("{host} shows no host key of a type that Douse accepts"),
                Err(refusal) => refusal.message,
            };
            output::note(&output::visible(&missing));
            exit = Exit::Error;
        }
        if !output.is_for_people() {
            output.list(&items, "host", COLUMNS)?;
        }
        if !items.is_empty() {
            output::note(
                "Whoever answered may stand between: compare the fingerprints on the hosts themselves, with\n\
                 `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, before you pin them in servers.yml.",
            );
        }
        Ok(exit)
    }
}

const COLUMNS: &[Column] = &[
    column("host", |i| text(i, "host")),
    column("host key", |i| text(i, "host_key")),
    column("fingerprint", |i| text(i, "fingerprints")),
];

fn yaml(host: &str, keys: &[HostKey]) -> String {
    let mut text = format!("# {host}\nhost_key:\n");
    for key in keys {
        text.push_str(&format!("  - {}  # {}\n", key.line, key.fingerprint));
    }
    text
}
