//! The sections of `douse.yml`, one function each, in the file's order.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{At, MapReader, Reading};
use super::tree::{Node, Value};
use super::{Config, EngineMode, Global, Retention, Secret, Storage, Web};
use super::{audit, blackouts, encryption, limits, rights, sources, tls, tokens};

/// Prometheus's own ports end here: nobody else's default.
const LISTEN_ADDRESS: &str = "127.0.0.1:9494";
const EXTERNAL_URL: &str = "http://localhost:9494";
const STORAGE_URL: &str = "sqlite://data/douse.db";
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(super) fn config<'r, 'n>(reading: &'r Reading<'r>, top: &mut MapReader<'r, 'n>, path: &Path) -> Config {
    let global = section(reading, top, "global", global);
    let (tokens, rights) =
        section(reading, top, "auth", |map| (tokens::read(reading, map), rights::read(reading, map)));
    let web = section(reading, top, "web", |map| web(reading, map));
    let takes_certificates = web.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let storage = section(reading, top, "storage", |map| storage(reading, map));
    let config = Config {
        path: path.to_owned(),
        blackouts: blackouts::read(reading, top, global.timezone),
        global,
        web,
        encryption: encryption::read(reading, top, &storage),
        storage,
        audit: section(reading, top, "audit", |map| audit::read(reading, map)),
        sources: sources::read(reading, top, takes_certificates),
        prometheus_url: top.map("prometheus", |map| map.url("url")).flatten(),
        outbound_allow: section(reading, top, "outbound", |map| networks(reading, map, "allow")),
        runbook_dirs: section(reading, top, "runbooks", |map| runbooks(reading, map)),
        server_files: section(reading, top, "servers", |map| paths(reading, map, "files")),
        limits: section(reading, top, "limits", limits::read),
        tokens,
        rights,
        warnings: Vec::new(),
    };
    unused(reading, top);
    config
}

/// A section that reads as empty when it is missing, so that its defaults stand in one place.
fn section<'r, 'n, T>(
    reading: &'r Reading<'r>,
    top: &mut MapReader<'r, 'n>,
    name: &'static str,
    read: impl Fn(&mut MapReader<'r, 'n>) -> T,
) -> T {
    match top.map(name, &read) {
        Some(value) => value,
        None => read(&mut MapReader::empty(reading, name)),
    }
}

fn global(map: &mut MapReader<'_, '_>) -> Global {
    let modes = "enforce (decide and run) or observe (decide and record only)";
    Global {
        mode: map.parsed("mode", modes).map_or(EngineMode::Enforce, |at| at.value),
        external_url: map.url("external_url").unwrap_or_else(|| EXTERNAL_URL.to_owned()),
        timezone: map.parsed("timezone", "an IANA zone as in Europe/Berlin").map_or(chrono_tz::UTC, |at| at.value),
    }
}

fn web(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Web {
    let tls = map.map("tls", |map| tls::read(reading, map)).flatten();
    let mut listen_addresses = Vec::new();
    for address in map.text_or_list("listen_addresses") {
        match address.value.split(',').map(|text| listen_address(text.trim())).collect::<Option<Vec<_>>>() {
            Some(addresses) => listen_addresses.extend(addresses),
            None => {
                let message = format!("`web.listen_addresses`: `{}` is not host:port", address.value);
                reading
                    .problem(address.place.problem("E103", message).hint("write it as in 127.0.0.1:9494 or [::]:9494"));
            }
        }
    }
    if listen_addresses.is_empty() {
        listen_addresses.push(LISTEN_ADDRESS.to_owned());
    }
    let metrics_public = map.bool("metrics_public").unwrap_or(false);
    let trusted_proxies = networks(reading, map, "trusted_proxies");
    Web { listen_addresses, metrics_public, tls, trusted_proxies }
}

/// Networks as in `10.0.0.0/8`, or single addresses.
pub(super) fn networks(reading: &Reading<'_>, map: &mut MapReader<'_, '_>, key: &'static str) -> Vec<IpNet> {
    let mut found = Vec::new();
    for text in map.text_or_list(key) {
        let network = text.value.parse::<IpNet>().ok();
        match network.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from)) {
            Some(network) => found.push(network.trunc()),
            None => {
                let message = format!("`{}`: `{}` is no network and no address", map.full(key), text.value);
                reading.problem(text.place.problem("E103", message).hint("write it as in 10.0.0.0/8 or 192.0.2.7"));
            }
        }
    }
    found
}

/// `host:port`; a missing host means every address, as in Prometheus.
pub(super) fn listen_address(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match (host, bare) {
        ("", _) => Some(format!("0.0.0.0:{port}")),
        (_, Some(v6)) => v6.parse::<std::net::Ipv6Addr>().ok().map(|_| text.to_owned()),
        (host, None) => (!host.contains([':', '[', ']', ' ', '/'])).then(|| text.to_owned()),
    }
}

fn storage(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Storage {
    let urls = map.secrets("url", "url_file");
    if let [_, second, ..] = urls.as_slice() {
        reading.problem(second.place.problem("E103", "`storage.url` must be one address, not several"));
    }
    let url = match urls.into_iter().next() {
        Some(url) => storage_url(reading, url),
        None => reading
            .base
            .join(STORAGE_URL.trim_start_matches("sqlite://"))
            .to_str()
            .map(|path| Secret::new(format!("sqlite://{path}"))),
    };
    let lease = map.duration("lease").unwrap_or(crate::limits::LEASE).max(crate::limits::LEASE_MIN);
    let kept = map.map("retention", |map| Retention {
        executions: map.duration("executions").map_or(Some(90 * DAY), off),
        output: map.duration("output").map_or(Some(30 * DAY), off),
        audit: map.duration("audit").map_or(Some(730 * DAY), off),
    });
    let retention =
        kept.unwrap_or(Retention { executions: Some(90 * DAY), output: Some(30 * DAY), audit: Some(730 * DAY) });
    Storage { url: url.unwrap_or_else(|| Secret::new(STORAGE_URL.to_owned())), lease, retention }
}

/// Zero switches off.
fn off(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

fn storage_url(reading: &Reading<'_>, url: At<Secret>) -> Option<Secret> {
    let text = url.value.expose();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Some(url.value);
    }
    match text.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => {
            let path = reading.path(&At { value: path.to_owned(), place: url.place });
            Some(Secret::new(format!("sqlite://{}", path.display())))
        }
        _ => {
            let problem = url.place.problem("E103", "`storage.url` names no engine that Douse knows");
            reading.problem(problem.hint("write sqlite://PATH or postgres://USER@HOST/DATABASE"));
            None
        }
    }
}

fn runbooks(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Vec<PathBuf> {
    for node in map.list("git").iter().take(1) {
        let problem = node.place.problem("E131", "`runbooks.git` is not built yet: its runbooks would be missing");
        reading.problem(problem.hint("check the repository out, and name its folder in `runbooks.dirs`"));
    }
    paths(reading, map, "dirs")
}

fn paths(reading: &Reading<'_>, map: &mut MapReader<'_, '_>, key: &'static str) -> Vec<PathBuf> {
    map.text_or_list(key).iter().map(|text| reading.path(text)).collect()
}

/// Sections of releases to come: one file may serve several releases, but nobody shall rely on what is not there.
fn unused(reading: &Reading<'_>, top: &mut MapReader<'_, '_>) {
    unused_key(reading, top, "prometheus", "nobody asks Prometheus whether an alert went away");
    let channels: &[Node] = top.list("notifications");
    if !channels.is_empty() {
        let consequence = format!("{} channel(s) will stay silent", channels.len());
        unused_key(reading, top, "notifications", &consequence);
    }
}

fn unused_key(reading: &Reading<'_>, map: &mut MapReader<'_, '_>, key: &'static str, consequence: &str) {
    if let Some(node) = map.node(key)
        && !matches!(node.value, Value::Null)
    {
        let message = format!("`{}` is read, but this release does nothing with it: {consequence}", map.full(key));
        reading.warning(&node.place, "W231", message);
    }
}
