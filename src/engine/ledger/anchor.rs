//! Anchors: the chain's length and last MAC, told outside of the database, so that a cut end is found.
//!
//! A place that takes no anchor does not hold anything up: it is logged and counted, and gets the next one.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::audit::verify::Anchor;
use crate::clock::monotonic;
use crate::config::{Anchors, Syslog};
use crate::engine::Engine;
use crate::limits;
use crate::outbound::{Outbound, Request, Url};
use crate::store::audit_links::LinkRow;

/// What was told last.
#[derive(Debug, Default)]
pub struct Anchorer(Mutex<Option<(Instant, i64)>>);

impl Anchorer {
    /// Tells how long the chain is, if that is new and the time has come.
    pub async fn anchor_if_due(&self, engine: &Engine) {
        let every = engine.policy().config.audit.anchors.every;
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|(then, _)| then.elapsed() >= every) {
            self.anchor(engine).await;
        }
    }

    /// Tells how long the chain is, if that is new.
    pub async fn anchor(&self, engine: &Engine) {
        let Some(head) = engine.sealer.head() else { return };
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|(_, position)| position == head.position) {
            return;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((monotonic(), head.position));
        let policy = engine.policy();
        let anchors = &policy.config.audit.anchors;
        let anchor = of(&head, engine.clock.now());
        for (place, told) in tell(&policy.outbound, anchors, &anchor).await {
            if let Err(problem) = told {
                engine.metrics.anchor_failed();
                tracing::error!(place, problem, "an anchor of the audit chain could not be told");
            }
        }
    }
}

fn of(head: &LinkRow, at: crate::clock::Timestamp) -> Anchor {
    Anchor { at, count: head.position, seq: head.seq, key_id: head.key_id.clone(), mac: head.mac.clone() }
}

/// Tells every place; answers what became of it at each.
async fn tell(outbound: &Outbound, anchors: &Anchors, anchor: &Anchor) -> Vec<(&'static str, Result<(), String>)> {
    let mut told = Vec::new();
    let Ok(line) = serde_json::to_string(anchor) else { return told };
    if let Some(path) = &anchors.file {
        told.push((
            "file",
            in_time(blocking({
                let (path, line) = (path.clone(), line.clone());
                move || add_line(&path, &line)
            }))
            .await,
        ));
    }
    if let Some(syslog) = &anchors.syslog {
        let (syslog, line) = (syslog.clone(), line.clone());
        told.push(("syslog", in_time(blocking(move || send(&syslog, &line))).await));
    }
    if let Some(url) = &anchors.url {
        told.push(("url", in_time(post(outbound, url, line)).await));
    }
    told
}

async fn in_time(told: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(limits::ANCHOR_TIMEOUT, told).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", limits::ANCHOR_TIMEOUT.as_secs())),
    }
}

async fn blocking(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn add_line(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

/// RFC 3164's short form, which every syslog takes: facility `auth`, severity `notice`.
fn send(syslog: &Syslog, line: &str) -> std::io::Result<()> {
    let message = format!("<37>douse: audit anchor {line}");
    let sent = match syslog {
        Syslog::Unix(path) => std::os::unix::net::UnixDatagram::unbound()?.send_to(message.as_bytes(), path)?,
        Syslog::Udp(address) => {
            let socket = std::net::UdpSocket::bind("[::]:0").or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"))?;
            socket.send_to(message.as_bytes(), address.as_str())?
        }
    };
    if sent == message.len() { Ok(()) } else { Err(std::io::Error::other("it was cut on the way")) }
}

async fn post(outbound: &Outbound, url: &str, line: String) -> Result<(), String> {
    let url: Url = url.parse().map_err(|error| format!("{error}"))?;
    let request = Request::post(url, line, limits::ANCHOR_TIMEOUT, limits::ANCHOR_ANSWER_BYTES_MAX);
    let answer = outbound.send(request).await.map_err(|error| error.to_string())?;
    if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("it answered {}", answer.status)) }
}

/// Why a file of anchors cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct AnchorFileError {
    path: PathBuf,
    problem: String,
}

/// The anchors of a file, one JSON object a line; syslog's lines are taken as well. A file that is not there holds none.
pub fn read(path: &Path) -> Result<Vec<Anchor>, AnchorFileError> {
    let failed = |problem: String| AnchorFileError { path: path.to_owned(), problem };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return Err(failed(error.to_string())),
    };
    let mut text = String::new();
    file.take(limits::ANCHORS_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let json = line.find('{').map_or(line, |at| &line[at..]);
            serde_json::from_str(json).map_err(|error| failed(format!("line {number} is no anchor: {error}")))
        })
        .collect()
}
