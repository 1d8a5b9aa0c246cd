//! The live stream, heard by a client that reads the socket itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use douse::audit::{EventKind, NewEvent};
use douse::clock::Clock;
use douse::id::ExecutionId;
use douse::store::{Db, Store, StoreError, audit};
use serde_json::{Value, json};

use super::real::{LIMIT, run, world};
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN};
use crate::support::http;
use crate::support::postgres;
use crate::support::wait::wait_for;

/// A client that listens.
struct Listener {
    reader: BufReader<TcpStream>,
}

/// One event of a stream.
#[derive(Debug)]
struct Told {
    id: i64,
    kind: String,
    data: Value,
}

impl Listener {
    fn connect(engine: &Engine, topics: &str, last: Option<i64>) -> Self {
        let mut stream = TcpStream::connect(engine.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(
            stream,
            "GET /api/v1/stream?topics={topics} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIEWER_TOKEN}\r\n{last}\r\n"
        )
        .unwrap();
        Self { reader: BufReader::new(stream) }
    }

    fn open(engine: &Engine, topics: &str, last: Option<i64>) -> Self {
        let mut listener = Self::connect(engine, topics, last);
        assert!(listener.line().starts_with("HTTP/1.1 200"));
        let mut head = String::new();
        loop {
            let line = listener.line();
            if line.is_empty() {
                break;
            }
            head.push_str(&line.to_lowercase());
            head.push('\n');
        }
        assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"), "{head}");
        listener
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("the stream goes on");
        line.trim_end().to_owned()
    }

    /// The next line that holds `text`; lines of the chunked encoding and others are passed over.
    fn until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
            assert!(begun.elapsed() < LIMIT, "`{text}` does not come");
        }
    }

    fn next(&mut self) -> Told {
        loop {
            let id = self.until("id: ");
            let line = self.line();
            let Some(kind) = line.strip_prefix("event: ") else { continue };
            let data = self.until("data: ");
            return Told {
                id: id.strip_prefix("id: ").unwrap().parse().unwrap(),
                kind: kind.to_owned(),
                data: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
            };
        }
    }

    /// Everything up to the first event of this kind.
    fn collect(&mut self, last: &str) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            told.push(self.next());
            if told.last().unwrap().kind == last {
                return told;
            }
        }
    }
}

fn listens(storage: Option<String>) {
    let (engine, _host) = world(storage);
    let mut all = Listener::open(&engine, "executions", None);
    let mut approvals = Listener::open(&engine, "approvals", None);
    all.until(": Douse");
    approvals.until(": Douse");
    let first = run(&engine, "fails");
    let told = all.collect("failed");
    let kinds: Vec<&str> = told
        .iter()
        .map(|told| told.kind.as_str())
        .filter(|kind| *kind != "decided" && *kind != "manual_requested")
        .collect();
    assert_eq!(kinds, ["planned", "step_started", "step_finished", "status_updated", "failed"], "{told:?}");
    assert!(told.iter().all(|told| told.data["execution"]["id"] == first.as_str()), "{told:?}");
    assert!(told.is_sorted_by_key(|told| told.id));
    let end = &told.last().unwrap().data["execution"];
    assert_eq!((&end["status"], &end["runbook"], &end["server"]), (&json!("failed"), &json!("fails"), &json!("web1")));

    let asked = run(&engine, "asks");
    let waiting = approvals.next();
    assert_eq!((waiting.kind.as_str(), &waiting.data["execution"]["id"]), ("planned", &json!(asked)), "{waiting:?}");
    assert_eq!(waiting.data["execution"]["status"], "pending");

    // A client that was away gets what it missed, and in order.
    let middle = &told[told.len() - 2];
    drop(all);
    let mut back = Listener::open(&engine, "executions", Some(middle.id));
    let mut missed = Vec::new();
    while missed.last().is_none_or(|kind| kind != "planned") {
        // On PostgreSQL what came after a number that was missing is told again.
        let told = back.next();
        if told.data["seq"].as_i64() > middle.data["seq"].as_i64() {
            missed.push(told.kind);
        }
    }
    assert_eq!(missed.first().map(String::as_str), Some("failed"), "{missed:?}");

    // One execution's events only.
    let mut one = Listener::open(&engine, &format!("exec:{asked}"), None);
    one.until(": Douse");
    let other = run(&engine, "fails");
    engine.wait_status(&other, "failed", LIMIT);
    assert_eq!(engine.post(&format!("/api/v1/executions/{asked}/cancel"), &json!({"reason": "no"})).status, 200);
    let heard = one.next();
    assert_eq!(heard.data["execution"]["id"], asked.as_str(), "{heard:?}");
    let heard = approvals.collect("status_updated");
    assert_eq!(heard.last().unwrap().data["execution"]["status"], "cancelled", "{heard:?}");
}

#[test]
fn what_happens_is_heard_as_it_happens_and_resumed_where_it_was_left_on_sqlite() {
    listens(None);
}

#[test]
fn what_happens_is_heard_as_it_happens_and_resumed_where_it_was_left_on_postgresql() {
    listens(Some(postgres::database()));
}

#[test]
fn an_event_that_commits_after_later_ones_is_told_and_not_lost_to_who_comes_back_on_postgresql() {
    let url = postgres::database();
    let (engine, _host) = world(Some(url.clone()));
    let run: ExecutionId = run(&engine, "fails").parse().unwrap();
    engine.wait_status(&run.to_string(), "failed", LIMIT);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(Store::open(&url)).unwrap();
    let append = move |db: &mut Db, note: &str| {
        let event = NewEvent::of_execution(EventKind::Reattached, run, None, json!({ "note": note }));
        audit::append(db, &event, "p1", Clock::System.now())
    };
    let mut listener = Listener::open(&engine, &format!("exec:{run}"), None);
    listener.until(": Douse");
    // One transaction takes its number and stays open, while another one with a higher number commits.
    let (written, is_written) = mpsc::channel();
    let (go_on, waits) = mpsc::channel::<()>();
    let other = store.clone();
    let slow = runtime.spawn(async move {
        let kept = other.write(move |db| {
            append(db, "first")?;
            written.send(()).unwrap();
            waits.recv_timeout(Duration::from_secs(9)).unwrap();
            Ok(())
        });
        kept.await.unwrap();
    });
    is_written.recv_timeout(LIMIT).unwrap();
    runtime.block_on(store.write(move |db| append(db, "second"))).unwrap();
    let second = listener.next();
    assert_eq!(second.data["payload"]["note"], "second", "{second:?}");
    let seq = second.data["seq"].as_i64().unwrap();
    assert!(second.id < seq - 1, "who comes back with this id gets what is missing, too: {second:?}");
    go_on.send(()).unwrap();
    let first = listener.next();
    assert_eq!(first.data["payload"]["note"], "first", "{first:?}");
    runtime.block_on(slow).unwrap();
    drop(listener);
    let mut back = Listener::open(&engine, &format!("exec:{run}"), Some(second.id));
    let notes = [back.next(), back.next()].map(|told| told.data["payload"]["note"].as_str().unwrap().to_owned());
    assert_eq!(notes, ["first", "second"]);

    // A number whose transaction was taken back holds nothing up for long.
    let taken_back = store.write(move |db| {
        append(db, "never")?;
        Err::<(), _>(StoreError::GivenUp("taken back".to_owned()))
    });
    runtime.block_on(taken_back).unwrap_err();
    let begun = Instant::now();
    loop {
        runtime.block_on(store.write(move |db| append(db, "later"))).unwrap();
        let later = back.next();
        if Some(later.id) == later.data["seq"].as_i64() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{later:?}");
    }
}

#[test]
fn a_stream_that_has_nothing_to_tell_says_that_it_is_there_and_ends_with_the_engine() {
    let (mut engine, _host) = world(None);
    let mut listener = Listener::open(&engine, "executions,approvals", None);
    let begun = Instant::now();
    listener.until(": heartbeat");
    assert!((Duration::from_secs(14)..Duration::from_secs(20)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let stopped = Instant::now();
    engine.stop();
    let mut rest = String::new();
    let _ended_or_reset = listener.reader.read_to_string(&mut rest);
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
}

#[test]
fn a_stream_of_nothing_known_is_refused() {
    let (engine, _host) = world(None);
    let get = |query: &str, token: Option<&str>| {
        http::get(&format!("{}/api/v1/stream{query}", engine.url), token).unwrap().status
    };
    assert_eq!(get("?topics=executions", None), 401);
    assert_eq!(get("", Some(ADMIN_TOKEN)), 422);
    assert_eq!(get("?topics=alerts", Some(ADMIN_TOKEN)), 422);
    assert_eq!(get("?topics=exec:0198c1d2-0000-7000-8000-000000000000", Some(ADMIN_TOKEN)), 404);
    let none = http::ask(
        "GET",
        &format!("{}/api/v1/stream?topics=executions", engine.url),
        Some(ADMIN_TOKEN),
        None,
        &[("Last-Event-ID", "abc")],
    );
    assert_eq!(none.status, 422);
}

#[test]
fn an_engine_serves_a_hundred_streams_and_no_more() {
    let (engine, _host) = world(None);
    let mut streams: Vec<Listener> = (0..100).map(|_| Listener::open(&engine, "executions", None)).collect();
    let get = || http::get(&format!("{}/api/v1/stream?topics=executions", engine.url), Some(VIEWER_TOKEN)).unwrap();
    let refused = get();
    assert_eq!((refused.status, refused.code()), (503, "too_many_streams".to_owned()), "{}", refused.text);
    // Everything else is answered, and who goes makes room.
    assert_eq!(engine.get("/api/v1/executions")["items"], json!([]));
    streams.truncate(99);
    wait_for("a place is free", LIMIT, || {
        let mut stream = Listener::connect(&engine, "executions", None);
        stream.line().starts_with("HTTP/1.1 200").then_some(())
    });
}
