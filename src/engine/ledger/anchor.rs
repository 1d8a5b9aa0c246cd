//! Anchors: the chain's length and last MAC, told outside of the database, so that a cut end is found.
//!
//! A place that takes no anchor does not hold anything up: it is logged and counted, and asked again with the next one.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::audit::verify::Anchor;
use crate::clock::monotonic;
use crate::config::Syslog;
use crate::engine::Engine;
use crate::limits;
use crate::outbound::{Outbound, Request, Url};
use crate::store::audit_links::LinkRow;

/// What was told last, and where.
#[derive(Debug)]
pub struct Anchorer {
    told: Mutex<Told>,
    /// A file or a socket may hang for ever, and a thread with it: one thread for each.
    file: Arc<Semaphore>,
    syslog: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Told {
    tried: Option<Instant>,
    /// The last place of the chain that each of them took.
    positions: BTreeMap<&'static str, i64>,
}

impl Default for Anchorer {
    fn default() -> Self {
        Self { told: Mutex::default(), file: Arc::new(Semaphore::new(1)), syslog: Arc::new(Semaphore::new(1)) }
    }
}

impl Anchorer {
    /// Tells how long the chain is, if that is new and the time has come.
    pub async fn anchor_if_due(&self, engine: &Engine) {
        let every = engine.policy().config.audit.anchors.every;
        let tried = self.told.lock().unwrap_or_else(PoisonError::into_inner).tried;
        if tried.is_none_or(|then| then.elapsed() >= every) {
            self.anchor(engine).await;
        }
    }

    /// Tells how long the chain is wherever that is new.
    pub async fn anchor(&self, engine: &Engine) {
        let Some(head) = engine.sealer.head() else { return };
        let policy = engine.policy();
        let anchors = &policy.config.audit.anchors;
        let Ok(line) = serde_json::to_string(&of(&head, engine.clock.now())) else { return };
        let known = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.tried = Some(monotonic());
            told.positions.clone()
        };
        let is_new = |place: &str| known.get(place) != Some(&head.position);
        let file = anchors.file.clone().filter(|_| is_new("file")).map(|path| {
            let line = line.clone();
            in_time("file", blocking(&self.file, move || add_line(&path, &line)))
        });
        let syslog = anchors.syslog.clone().filter(|_| is_new("syslog")).map(|syslog| {
            let line = line.clone();
            in_time("syslog", blocking(&self.syslog, move || send(&syslog, &line)))
        });
        let url = anchors.url.as_ref().filter(|_| is_new("url")).map(|url| {
            let line = line.clone();
            in_time("url", async { post(&policy.outbound, url, line).await })
        });
        // Side by side: one that does not answer keeps the others waiting neither.
        let told = tokio::join!(maybe(file), maybe(syslog), maybe(url));
        for (place, told) in [told.0, told.1, told.2].into_iter().flatten() {
            match told {
                Ok(()) => {
                    let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.positions.insert(place, head.position);
                }
                Err(problem) => {
                    engine.metrics.anchor_failed();
                    tracing::error!(place, problem, "an anchor of the audit chain could not be told");
                }
            }
        }
    }
}

fn of(head: &LinkRow, at: crate::clock::Timestamp) -> Anchor {
    Anchor { at, count: head.position, seq: head.seq, key_id: head.key_id.clone(), mac: head.mac.clone() }
}

type Answer = (&'static str, Result<(), String>);

async fn maybe(asked: Option<impl Future<Output = Answer>>) -> Option<Answer> {
    match asked {
        Some(asked) => Some(asked.await),
        None => None,
    }
}

async fn in_time(place: &'static str, told: impl Future<Output = Result<(), String>>) -> Answer {
    let told = match tokio::time::timeout(limits::ANCHOR_TIMEOUT, told).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", limits::ANCHOR_TIMEOUT.as_secs())),
    };
    (place, told)
}

async fn blocking(
    turn: &Arc<Semaphore>,
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> Result<(), String> {
    let turn = Arc::clone(turn).try_acquire_owned().map_err(|_| "the one before still hangs".to_owned())?;
    let worked = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    });
    match worked.await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Adds a line, or nothing: a disk that is full must not leave half of one that the next is written behind.
fn add_line(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    let begin = if ends_torn(path, length).unwrap_or(false) { "\n" } else { "" };
    let written = file.write_all(format!("{begin}{line}\n").as_bytes()).and_then(|()| file.sync_data());
    if written.is_err()
        && let Err(error) = file.set_len(length)
    {
        // A file that can only be added to: then the next line begins anew.
        tracing::debug!(%error, "a torn anchor stays in the file");
    }
    written
}

/// Whether the last line has no end.
fn ends_torn(path: &Path, length: u64) -> std::io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    std::fs::File::open(path)?.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
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

/// The anchors of a file, one JSON object a line; syslog's lines are taken as well. A line that ends in the middle is what a
/// full disk or a crash left, and holds none.
pub fn read(path: &Path) -> Result<Vec<Anchor>, AnchorFileError> {
    let failed = |problem: String| AnchorFileError { path: path.to_owned(), problem };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    file.take(limits::ANCHORS_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let mut anchors = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let json = line.find('{').map_or(line, |at| &line[at..]);
        match serde_json::from_str(json) {
            Ok(anchor) => anchors.push(anchor),
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(failed(format!("line {number} is no anchor: {error}"))),
        }
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_full_disk_cut_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors.jsonl");
        let line = |count| {
            let at = "2026-03-03T12:00:00Z".parse().unwrap();
            serde_json::to_string(&Anchor { at, count, seq: count, key_id: "k".to_owned(), mac: "m".to_owned() })
                .unwrap()
        };
        add_line(&path, &line(1)).unwrap();
        add_line(&path, &line(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in whole.len() / 2 + 1..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            add_line(&path, &line(3)).unwrap();
            let counts: Vec<i64> = read(&path).unwrap().iter().map(|anchor| anchor.count).collect();
            let expected: &[i64] = if cut >= whole.len() - 1 { &[1, 2, 3] } else { &[1, 3] };
            assert_eq!(counts, expected, "cut at {cut}");
        }
        std::fs::write(&path, "what is this\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_disk_that_is_full_takes_no_anchor_and_says_so() {
        let error = add_line(Path::new("/dev/full"), "{}").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}
