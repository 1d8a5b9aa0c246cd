//! Bytes over TCP, for requests that no HTTP client would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What came back, and whether the other end closed the connection.
#[derive(Debug)]
pub struct Exchange {
    pub text: String,
    pub is_closed: bool,
}

impl Exchange {
    /// The status codes of all answers in it.
    pub fn statuses(&self) -> Vec<u16> {
        let lines = self.text.split("HTTP/1.").skip(1);
        lines.filter_map(|rest| rest.split_whitespace().nth(1)?.parse().ok()).collect()
    }
}

/// A connection.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("it listens");
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `bytes` on a new connection and reads until the other end closes it, or says nothing more for `silence`.
pub fn exchange(address: SocketAddr, bytes: &[u8], silence: Duration) -> Exchange {
    let mut stream = connect(address);
    // Whoever refuses early may close before all is sent.
    let _sent = stream.write_all(bytes);
    read(&mut stream, silence)
}

/// Reads until the other end closes, or says nothing more for `silence`.
pub fn read(stream: &mut TcpStream, silence: Duration) -> Exchange {
    stream.set_read_timeout(Some(silence)).unwrap();
    let mut found = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let is_closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => found.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break false,
            Err(_) => break true,
        }
    };
    Exchange { text: String::from_utf8_lossy(&found).into_owned(), is_closed }
}

/// How long it takes until the other end closes; fails after `limit`. What it says meanwhile is thrown away.
pub fn closes_within(stream: &mut TcpStream, limit: Duration) -> Duration {
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return begun.elapsed(),
        }
        assert!(begun.elapsed() < limit, "the connection is still open after {limit:?}");
    }
}
