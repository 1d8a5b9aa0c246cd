//! A proxy before PostgreSQL that can cut a connection between a COMMIT and its answer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

/// A simple query (`Q`, its length, its text, NUL) that commits.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// The proxy; it ends with the test's process.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// COMMITs until the one whose answer is lost; negative: none is.
    left: AtomicI64,
    cuts: AtomicUsize,
}

impl Proxy {
    /// Stands before the database of `url`, a [`crate::support::postgres::database`].
    pub fn before(url: &str) -> Self {
        let host = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("a host");
        let socket = PathBuf::from(host.replace("%2F", "/")).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State { left: AtomicI64::new(-1), ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&socket) {
                    serve(client, server, &shared);
                }
            }
        });
        Self { address, state }
    }

    /// URL of the same database through the proxy.
    pub fn url(&self, url: &str) -> String {
        let name = url.rsplit('/').next().expect("a name");
        format!("postgres://postgres@{}/{name}?sslmode=disable", self.address)
    }

    /// The answer to the `nth` COMMIT from now on is lost, though it is done.
    pub fn lose_answer(&self, nth: i64) {
        self.state.left.store(nth, Ordering::SeqCst);
    }

    /// Every answer arrives from now on.
    pub fn heal(&self) {
        self.state.left.store(-1, Ordering::SeqCst);
    }

    /// Answers that were lost so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

fn serve(client: TcpStream, server: UnixStream, state: &Arc<State>) {
    let cut = Arc::new(AtomicBool::new(false));
    let (mut from_client, mut to_server) =
        (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    let (asked, state) = (Arc::clone(&cut), Arc::clone(state));
    let counted = Arc::clone(&state);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut buffer) {
            let some = &buffer[..length];
            let commits = some.windows(COMMIT.len()).any(|window| window == COMMIT);
            if commits && counted.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                asked.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(some).is_err() {
                break;
            }
        }
        let _gone = to_server.shutdown(Shutdown::Both);
    });
    let (mut from_server, mut to_client) = (server, client);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
            if cut.load(Ordering::SeqCst) {
                // What was read is the answer: it is committed, and nobody hears of it.
                state.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if to_client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _gone = (to_client.shutdown(Shutdown::Both), from_server.shutdown(Shutdown::Both));
    });
}
