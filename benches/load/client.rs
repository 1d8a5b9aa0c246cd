//! An HTTP client that costs next to nothing: it shares the machine with what it measures.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::payload::Shape;
use super::support::engine::WEBHOOK_TOKEN;
use super::table::{Measure, percentile};

/// A connection that stands.
pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    input: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, input: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a webhook; answers the status.
    pub async fn post(&mut self, body: &[u8]) -> io::Result<u16> {
        let mut request = format!(
            "POST /api/v1/webhooks/main HTTP/1.1\r\nHost: {}\r\nUser-Agent: Alertmanager/0.28.1\r\n\
             Authorization: Bearer {WEBHOOK_TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> io::Result<u16> {
        self.input.clear();
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.input[..end]).map_err(|_| broken())?;
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                });
                break (end, length.unwrap_or(0));
            }
        };
        let status = std::str::from_utf8(&self.input[9..12]).ok().and_then(|text| text.parse().ok());
        while self.input.len() < head + 4 + length {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        status.ok_or_else(broken)
    }
}

/// The client's only thread.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Answers per second to bodies of `shape`, each posted by one of `concurrency` connections as soon as it has its answer;
/// and how many were refused with 503, which are no answers.
pub fn drive(address: SocketAddr, shape: &Shape, concurrency: usize, length: Duration) -> (Measure, u32) {
    let warm = Instant::now() + length / 4;
    let end = warm + length;
    let (number, refused) = (Cell::new(0_u64), Cell::new(0));
    let connections = (0..concurrency).map(|_| async {
        let mut times: Vec<f64> = Vec::new();
        let mut connection = Connection::open(address).await.unwrap();
        loop {
            let now = number.get();
            number.set(now + 1);
            let body = shape.body(now, &format!("host-{}", now % 1_000));
            let sent = Instant::now();
            let status = connection.post(&body).await.unwrap();
            let answered = Instant::now();
            if answered >= end {
                return times;
            }
            if status != 200 {
                assert_eq!(status, 503, "a webhook was refused for good");
                refused.set(refused.get() + 1);
            } else if answered >= warm {
                times.push((answered - sent).as_secs_f64() * 1_000.0);
            }
        }
    });
    let mut times = runtime().block_on(join_all(connections)).concat();
    times.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(times.len()).unwrap());
    let spread = Some((percentile(&times, 50), percentile(&times, 99)));
    (Measure { value: count / length.as_secs_f64(), spread }, refused.get())
}

/// Posts `bodies` (uid, body) over `concurrency` connections as fast as they are answered; tells `accepted` of each that
/// was. A connection that breaks ends.
pub fn post_all(address: SocketAddr, bodies: &[(u64, Vec<u8>)], concurrency: usize, accepted: impl Fn(u64)) {
    let next = Cell::new(0);
    let connections = (0..concurrency).map(|_| async {
        let mut connection = Connection::open(address).await?;
        while let Some((uid, body)) = bodies.get(next.get()) {
            next.set(next.get() + 1);
            if connection.post(body).await? == 200 {
                accepted(*uid);
            }
        }
        io::Result::Ok(())
    });
    let _broken = runtime().block_on(join_all(connections));
}
