//! Connections that are kept and shared, and how many sessions a host gets at once.
//!
//! One connection per server carries up to four sessions. A second one is only made when the host refuses a session on
//! the first (`MaxSessions`), which starts nothing. Whoever waits for a session is served in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::Msg;
use russh::{Channel, ChannelOpenFailure, Disconnect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::{self, Link};
use super::{Observer, Options};
use crate::inventory::{Protocol, Server};
use crate::limits;
use crate::transport::{Refusal, RefusalKind};

/// Connections on which one session is tried before it is given up.
const CONNECTIONS_MAX: usize = 3;

/// All connections of a transport.
pub(super) struct Pool {
    pub(super) options: Arc<Options>,
    observer: Arc<dyn Observer>,
    /// By the server's name.
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One server's share of the pool.
struct Host {
    slots: Arc<Semaphore>,
    /// Held while connecting, so that several sessions that start together make one connection.
    state: tokio::sync::Mutex<HostState>,
}

struct HostState {
    /// As it was when the connections were made: another address, key or login needs new ones.
    server: Arc<Server>,
    connections: Vec<Arc<Connection>>,
}

/// One authenticated connection.
pub(super) struct Connection {
    pub(super) link: Link,
    /// The bastion's, which must not expire before this one.
    _bastion: Option<Use>,
    sessions: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// An open channel, and what it occupies.
pub(super) struct Opened {
    pub(super) channel: Channel<Msg>,
    pub(super) connection: Use,
    /// Sessions that end others have none: they must not wait behind those.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

/// A connection that is in use and does not expire.
pub(super) struct Use(pub(super) Arc<Connection>);

impl Use {
    fn new(connection: &Arc<Connection>) -> Self {
        connection.sessions.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(connection))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pool {
    pub(super) fn new(options: Arc<Options>, observer: Arc<dyn Observer>) -> Self {
        let (hosts, tasks, stop) = (Mutex::default(), TaskTracker::new(), CancellationToken::new());
        Self { options, observer, hosts, tasks, stop }
    }

    /// A session in the host's order of arrival.
    pub(super) async fn open(&self, server: &Arc<Server>) -> Result<Opened, Refusal> {
        let slots = Arc::clone(&self.host(server).slots);
        let Ok(slot) = timeout(limits::SSH_SLOT_TIMEOUT, slots.acquire_owned()).await else {
            let (name, count) = (&server.name, self.options.sessions_per_server);
            let seconds = limits::SSH_SLOT_TIMEOUT.as_secs();
            let message = format!("server `{name}` has {count} commands running; none ended within {seconds} s");
            return Err(Refusal::new(RefusalKind::Session, message));
        };
        let opened = self.open_at_once(server).await?;
        // The semaphore is never closed.
        Ok(Opened { slot: slot.ok(), ..opened })
    }

    /// A session beside the limit, for ending another one.
    pub(super) async fn open_at_once(&self, server: &Arc<Server>) -> Result<Opened, Refusal> {
        let mut refused: Vec<Arc<Connection>> = Vec::new();
        let mut reason = String::new();
        while refused.len() < CONNECTIONS_MAX {
            let connection = self.connection(server, &refused).await?;
            match timeout(limits::SSH_OPEN_TIMEOUT, connection.0.link.handle.channel_open_session()).await {
                Ok(Ok(channel)) => return Ok(Opened { channel, connection, slot: None }),
                // `MaxSessions`: the connection lives on, this one session was not started.
                Ok(Err(russh::Error::ChannelOpenFailure(
                    failure @ (ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage),
                ))) => reason = format!("it refused a session ({failure:?}); is MaxSessions too low?"),
                Ok(Err(error @ russh::Error::ChannelOpenFailure(_))) => {
                    let message = format!("server `{}` ({}) allows no session: {error}", server.name, server.address());
                    return Err(Refusal::new(RefusalKind::Session, message));
                }
                Ok(Err(_)) | Err(_) => {
                    reason = "the connection was dead".to_owned();
                    connection.0.disconnect().await;
                }
            }
            refused.push(Arc::clone(&connection.0));
        }
        let (name, address) = (&server.name, server.address());
        Err(Refusal::new(RefusalKind::Session, format!("server `{name}` ({address}) opened no session: {reason}")))
    }

    /// Makes sure that there is a connection that answers.
    pub(super) async fn reach(&self, server: &Arc<Server>) -> Result<(), Refusal> {
        let connection = self.connection(server, &[]).await?;
        let ping = timeout(limits::SSH_OPEN_TIMEOUT, connection.0.link.handle.send_ping()).await;
        if matches!(ping, Ok(Ok(()))) && !connection.0.has_ended() {
            return Ok(());
        }
        connection.0.disconnect().await;
        self.connection(server, std::slice::from_ref(&connection.0)).await.map(|_| ())
    }

    /// Gives out no connection any more that there is: the next one is made anew.
    pub(super) async fn renew(&self, server: &Arc<Server>) {
        let host = self.host(server);
        host.state.lock().await.connections.clear();
    }

    /// Ends every connection and waits for their tasks.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn host(&self, server: &Arc<Server>) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(server.name.clone()).or_insert_with(|| {
            let state = HostState { server: Arc::clone(server), connections: Vec::new() };
            let slots = Arc::new(Semaphore::new(self.options.sessions_per_server));
            Arc::new(Host { slots, state: tokio::sync::Mutex::new(state) })
        });
        Arc::clone(host)
    }

    /// A connection that is none of `refused`, made if there is no other.
    pub(super) async fn connection(&self, server: &Arc<Server>, refused: &[Arc<Connection>]) -> Result<Use, Refusal> {
        if server.protocol != Protocol::Ssh {
            let message = format!(
                "server `{}` speaks {}, which nothing can be run over yet",
                server.name,
                server.protocol.as_str()
            );
            return Err(Refusal::new(RefusalKind::Protocol, message));
        }
        let host = self.host(server);
        let mut state = host.state.lock().await;
        if state.server != *server {
            // Running sessions hold their connections; the pool only gives them out no more.
            state.connections.clear();
            state.server = Arc::clone(server);
        }
        state.connections.retain(|connection| !connection.has_ended());
        let is_refused = |connection: &Arc<Connection>| refused.iter().any(|other| Arc::ptr_eq(other, connection));
        if let Some(known) = state.connections.iter().find(|connection| !is_refused(connection)) {
            return Ok(Use::new(known));
        }
        if self.stop.is_cancelled() {
            return Err(closed(server));
        }
        let start = Instant::now();
        let (link, bastion) = connect::connect(server, self).await?;
        self.observer.connected(start.elapsed());
        let (sessions, idle_since) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        let connection = Arc::new(Connection { link, _bastion: bastion, sessions, idle_since });
        let used = Use::new(&connection);
        state.connections.push(Arc::clone(&connection));
        drop(state);
        let (expiry, stop) = (self.options.idle_expiry, self.stop.clone());
        self.tasks.spawn(async move { connection.expire(expiry, &stop).await });
        Ok(used)
    }
}

impl Connection {
    /// Waits until the connection was unused for `expiry`, has ended, or everything stops; then it is closed.
    async fn expire(&self, expiry: std::time::Duration, stop: &CancellationToken) {
        loop {
            let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
            let is_used = self.sessions.load(Ordering::SeqCst) > 0;
            let next = if is_used { Instant::now() + expiry } else { since + expiry };
            if !is_used && next <= Instant::now() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.link.fate.ended.cancelled() => return,
                () = stop.cancelled() => break,
            }
        }
        self.disconnect().await;
        // The goodbye has to reach the socket before the runtime may go.
        let _ = timeout(limits::SSH_LINGER, self.link.fate.ended.cancelled()).await;
    }

    pub(super) async fn disconnect(&self) {
        // An error means that it has ended already.
        let goodbye = self.link.handle.disconnect(Disconnect::ByApplication, "done", "");
        let _ = timeout(limits::SSH_LINGER, goodbye).await;
    }

    /// Nothing can be started on it any more.
    pub(super) fn has_ended(&self) -> bool {
        self.link.handle.is_closed() || self.link.fate.ended.is_cancelled()
    }
}

fn closed(server: &Server) -> Refusal {
    Refusal::new(
        RefusalKind::Session,
        format!("server `{}` is not connected to any more: Douse is stopping", server.name),
    )
}
