//! Clients that take their time: nobody without a credential holds a connection for long, however many there are.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use douse::limits;
use serde_json::json;

use crate::api::engine;
use crate::support::engine::{Engine, WEBHOOK_TOKEN};
use crate::support::{http, raw};

/// The engine's memory that is really there, KiB.
fn memory(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn every_kind_of_slow_stranger_is_cut_off() {
    let signed = "{name: signed, hmac: {secret: Jefe, header: X-Signature}}";
    let engine = Engine::setup().source(signed).start();
    let begun = Instant::now();
    let open = |bytes: &str| {
        let mut stream = raw::connect(engine.address());
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    };
    let dripping = "GET /-/healthy HTTP/1.1\r\nHost: x\r\nX: ";
    let second = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /-/healthy HTTP/1.1\r\nX: ";
    let body = "POST /api/v1/webhooks/signed HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{";
    let chunked = "POST /api/v1/webhooks/signed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{";
    let mut slow = ["", "G", dripping, second, body, chunked].map(|text| (text, open(text)));
    // One that asks for much and reads nothing; what fits into the kernel's buffers is not in the way.
    let greedy = open(&"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50));
    let mut left: Vec<usize> = (0..slow.len()).collect();
    let limit = limits::WEB_STRANGER_MAX + Duration::from_secs(15);
    while !left.is_empty() {
        assert!(
            begun.elapsed() < limit,
            "still open after {limit:?}: {:?}",
            left.iter().map(|at| slow[*at].0).collect::<Vec<_>>()
        );
        left.retain(|at| {
            let stream = &mut slow[*at].1;
            // A byte now and then, as Slowloris sends them.
            let is_gone = stream.write_all(b"a").is_err();
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut buffer = [0; 4_096];
            !is_gone && !matches!(stream.read(&mut buffer), Ok(0))
        });
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(greedy);
    assert_eq!(engine.deliver(&json!({"version": "4", "alerts": []})).status, 200);
}

#[test]
fn more_silent_strangers_than_there_is_room_for_keep_no_webhook_out() {
    let engine = engine();
    let body = json!({"version": "4", "alerts": []});
    let mut strangers: Vec<TcpStream> = Vec::new();
    for number in 0..1_500 {
        // Its own limit of open files may end this before; then there are enough of them.
        let Ok(mut stream) = TcpStream::connect(engine.address()) else { break };
        let _sent = stream.write_all(b"GET /-/healthy HTTP/1.1\r\nX: ");
        strangers.push(stream);
        if number % 100 == 0 {
            assert_eq!(engine.deliver(&body).status, 200, "with {number} strangers");
        }
    }
    assert!(strangers.len() >= 300, "{}", strangers.len());
    assert_eq!(engine.deliver(&body).status, 200);
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[test]
fn strangers_bodies_share_a_bounded_room_and_are_told_to_come_again() {
    let signed = "{name: signed, hmac: {secret: Jefe, header: X-Signature}}";
    let engine = Engine::setup().source(signed).start();
    let before = memory(&engine);
    let length = limits::WEBHOOK_BODY_BYTES_MAX;
    let head = format!("POST /api/v1/webhooks/signed HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let part = vec![b' '; length - 1];
    let mut streams = Vec::new();
    let count = limits::WEB_STRANGERS_KIB_MAX * 1_024 / length + 6;
    for _ in 0..count {
        let mut stream = raw::connect(engine.address());
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&part));
        streams.push(stream);
    }
    let answers: Vec<_> =
        streams.iter_mut().map(|stream| raw::read(stream, Duration::from_millis(500)).statuses()).collect();
    let refused = answers.iter().filter(|answer| answer.as_slice() == [503]).count();
    assert!(refused >= 4, "what has no room is told to come again: {answers:?}");
    assert!(answers.iter().flatten().all(|status| *status == 503), "never a 4xx for what may be honest: {answers:?}");
    // As much again for what the allocator keeps while buffers grow.
    let most = (2 * limits::WEB_STRANGERS_KIB_MAX + 64 * 1_024) as u64;
    assert!(memory(&engine) < before + most, "{} KiB, {before} before", memory(&engine));
    let body = json!({"version": "4", "alerts": []});
    let url = format!("{}/api/v1/webhooks/main", engine.url);
    assert_eq!(http::post(&url, Some(WEBHOOK_TOKEN), Some(&body)).unwrap().status, 200, "who is known has room");
}
