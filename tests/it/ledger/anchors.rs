//! Anchors that leave the machine: to syslog, and to an address. The other ends are doubles, sockets of this test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::KEY;
use crate::support::engine::{Engine, VIEWER_TOKEN};
use crate::support::http;
use crate::support::wait::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

fn engine(anchors: &str) -> Engine {
    let config = format!("audit: {{key_file: audit.key, anchors: {{{anchors}, every: 1s}}}}");
    let mut engine = Engine::setup().config(&config).write();
    std::fs::write(engine.folder().join("audit.key"), KEY).unwrap();
    engine.start();
    engine
}

fn errors(engine: &Engine) -> u64 {
    let metrics = http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).unwrap().text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("douse_audit_anchor_errors_total "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

fn is_of(engine: &Engine, anchor: &Value) {
    let verified = engine.post("/api/v1/audit/verify", &json!({})).json();
    assert!(verified["chained"].as_i64() >= anchor["count"].as_i64(), "{anchor} {verified}");
    assert_eq!((anchor["mac"].as_str().map(str::len), anchor["seq"].is_i64()), (Some(64), true), "{anchor}");
}

/// The JSON in a message as RFC 3164 has it.
fn in_syslog(message: &[u8]) -> Value {
    let text = std::str::from_utf8(message).unwrap();
    let json = text.strip_prefix("<37>douse: audit anchor ").unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(json).unwrap()
}

/// An HTTP server that answers each post with this status, and with silence while it is 0.
struct Poster {
    url: String,
    status: Arc<AtomicU16>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Poster {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let poster = Self {
            url: format!("http://{}/anchors", listener.local_addr().unwrap()),
            status: Arc::new(AtomicU16::new(status)),
            bodies: Arc::default(),
        };
        let (status, bodies) = (Arc::clone(&poster.status), Arc::clone(&poster.bodies));
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                match status.load(Ordering::SeqCst) {
                    0 => silent.push(stream),
                    status => {
                        bodies.lock().unwrap().push(body(&stream));
                        write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                            .unwrap();
                    }
                }
            }
        });
        poster
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

fn body(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn an_anchor_reaches_a_unix_syslog_and_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let syslog = UnixDatagram::bind(&socket).unwrap();
    syslog.set_read_timeout(Some(LIMIT)).unwrap();
    let poster = Poster::start(204);
    let engine = engine(&format!("syslog: {}, url: '{}'", socket.display(), poster.url));
    let mut message = [0; 2_000];
    let length = syslog.recv(&mut message).unwrap();
    is_of(&engine, &in_syslog(&message[..length]));
    let posted = wait_for("an anchor is posted", LIMIT, || poster.bodies().pop());
    is_of(&engine, &posted);
    assert_eq!(errors(&engine), 0);
}

#[test]
fn an_anchor_reaches_a_udp_syslog() {
    let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
    syslog.set_read_timeout(Some(LIMIT)).unwrap();
    let engine = engine(&format!("syslog: 'udp://{}'", syslog.local_addr().unwrap()));
    let mut message = [0; 2_000];
    let length = syslog.recv(&mut message).unwrap();
    is_of(&engine, &in_syslog(&message[..length]));
}

#[test]
fn places_that_take_no_anchor_are_counted_and_asked_again_and_hold_nothing_up() {
    // Nobody listens at the socket, and the server says nothing at all: each costs ten seconds at worst.
    let poster = Poster::start(0);
    let engine = engine(&format!("file: anchors.jsonl, syslog: /nowhere/log, url: '{}'", poster.url));
    wait_until("the syslog is counted", LIMIT, || errors(&engine), |count| *count > 0);
    // Events get their places meanwhile, and the file its anchors.
    let begun = Instant::now();
    for n in 0..3 {
        assert_eq!(engine.post("/api/v1/pause", &json!({"reason": format!("the {n}th")})).status, 201);
        let chained = || engine.post("/api/v1/audit/verify", &json!({})).json();
        wait_until("all but the last events have places", LIMIT, chained, |found| found["waiting"].as_i64() <= Some(1));
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let lines = || std::fs::read_to_string(engine.folder().join("anchors.jsonl")).unwrap_or_default().lines().count();
    wait_until("the file has anchors", LIMIT, lines, |count| *count > 0);

    // An answer that says no counts, too; one that says yes ends it, with the newest anchor.
    poster.status.store(500, Ordering::SeqCst);
    let before = errors(&engine);
    wait_until(
        "the answer is counted",
        LIMIT,
        || (poster.bodies().len(), errors(&engine)),
        |(posted, count)| *posted > 0 && *count > before,
    );
    assert!(engine.log().contains("it answered 500"), "{}", engine.log());
    poster.status.store(204, Ordering::SeqCst);
    let refused = poster.bodies().len();
    let taken = wait_until("it is asked again", LIMIT, || poster.bodies(), |bodies| bodies.len() > refused);
    is_of(&engine, taken.last().unwrap());
}
