//! `audit`: the key of the audit chain, and where its anchors go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::key::Keyring;
use crate::limits;

use super::reader::{At, MapReader, Reading};

/// `audit`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// The keys of the chain; without them the log is not chained.
    pub keys: Option<Arc<Keyring>>,
    pub anchors: Anchors,
}

/// Where the chain's length is told, so that a cut end is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchors {
    /// One JSON line each is added to it, resolved.
    pub file: Option<PathBuf>,
    pub syslog: Option<Syslog>,
    /// Each is posted there as JSON.
    pub url: Option<String>,
    /// How often, if there is something new.
    pub every: Duration,
}

impl Default for Anchors {
    fn default() -> Self {
        Self { file: None, syslog: None, url: None, every: limits::ANCHOR_EVERY }
    }
}

/// A syslog that takes datagrams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Syslog {
    /// A socket of this machine, as `/dev/log`.
    Unix(PathBuf),
    /// `host:port`.
    Udp(String),
}

pub(super) fn read(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Audit {
    let keys = map.text("key_file").and_then(|file| keys(reading, &file));
    let anchors = map.map("anchors", |map| Anchors {
        file: map.text("file").map(|file| reading.path(&file)),
        syslog: map.text("syslog").and_then(|address| syslog(reading, address)),
        url: map.url("url"),
        every: map.duration("every").unwrap_or(limits::ANCHOR_EVERY).max(Duration::from_secs(1)),
    });
    Audit { keys: keys.map(Arc::new), anchors: anchors.unwrap_or_default() }
}

fn keys(reading: &Reading<'_>, file: &At<String>) -> Option<Keyring> {
    let path = reading.path(file);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(_) if !reading.reads_secrets => return None,
        Err(error) => {
            let message = format!("`audit.key_file`: {} cannot be read: {error}", path.display());
            reading.problem(file.place.problem("E130", message));
            return None;
        }
    };
    match Keyring::parse(&text) {
        Ok(keys) => Some(keys),
        Err(problem) => {
            let message = format!("`audit.key_file`: {}: {problem}", path.display());
            let hint = "a key file holds 64 hex characters, or lines `id:hex` of which the last one is used";
            reading.problem(file.place.problem("E103", message).hint(hint));
            None
        }
    }
}

fn syslog(reading: &Reading<'_>, address: At<String>) -> Option<Syslog> {
    let text = &address.value;
    if text.starts_with('/') {
        return Some(Syslog::Unix(PathBuf::from(text)));
    }
    let host = text.strip_prefix("udp://").filter(|rest| super::sections::listen_address(rest).is_some());
    if let Some(host) = host {
        return Some(Syslog::Udp(host.to_owned()));
    }
    let message = format!("`audit.anchors.syslog`: `{text}` is neither a socket's path nor udp://HOST:PORT");
    reading.problem(address.place.problem("E103", message).hint("write it as in /dev/log or udp://logs:514"));
    None
}
