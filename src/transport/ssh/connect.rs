//! From a server of the inventory to an authenticated connection.
//!
//! sshd drops connections at random while too many are logging in (`MaxStartups`). Nothing has been started by then, so
//! the handshake, and only the handshake, is tried again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelOpenFailure, Preferred, client::Config};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Options;
use super::auth::Credential;
use super::host_key::{self, HostKey, Pins};
use super::pool::{Pool, Use};
use super::socket::Socket;
use crate::inventory::Server;
use crate::transport::{Refusal, RefusalKind};

/// First pause before a handshake is tried again; each is twice as long as the one before, plus up to as much again.
const RETRY_DELAY: Duration = Duration::from_millis(150);

/// An authenticated connection.
pub(super) struct Link {
    pub(super) handle: Handle<Client>,
    pub(super) fate: Fate,
}

/// How a connection ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate {
    reason: Arc<Mutex<Option<String>>>,
    /// Cancelled when the connection's task is over, also by a panic.
    pub(super) ended: CancellationToken,
}

impl Fate {
    /// Why it ended, for a person.
    pub(super) fn reason(&self) -> String {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone().unwrap_or_else(|| "it ended without a reason".to_owned())
    }
}

/// russh's view of us.
pub(super) struct Client {
    judge: Judge,
    fate: Fate,
    _ended: DropGuard,
}

enum Judge {
    Pins(Pins),
    /// Notes the key and goes no further.
    Scan(Arc<Mutex<Option<HostKey>>>),
}

/// Why a connection's task ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Protocol(#[from] russh::Error),
    #[error(transparent)]
    HostKey(Refusal),
    #[error("only the key was wanted")]
    Scanned,
}

impl client::Handler for Client {
    type Error = LinkError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, LinkError> {
        // Certificates are not asked for, so none comes.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        match &self.judge {
            Judge::Pins(pins) => pins.check(key).map(|()| true).map_err(LinkError::HostKey),
            Judge::Scan(seen) => {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(HostKey::new(key));
                Err(LinkError::Scanned)
            }
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<LinkError>) -> Result<(), LinkError> {
        let mut known = self.fate.reason.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                *known = Some(format!("the host said: {}", info.message.escape_debug()));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                *known = Some(error.to_string());
                Err(error)
            }
        }
    }
}

/// Connects and logs in, through the server's bastion if it has one: whose connection is then in use as long as this one.
pub(super) async fn connect(server: &Server, pool: &Pool) -> Result<(Link, Option<Use>), Refusal> {
    let options = &*pool.options;
    let credential = Credential::load(&server.auth, options.agent_socket.as_deref()).await?;
    let pins = Pins::new(server);
    let mut tries = 0;
    loop {
        tries += 1;
        let dialled = match way(server, pool).await {
            Ok((stream, bastion)) => {
                dial(server, stream, &credential, &pins, options).await.map(|link| (link, bastion))
            }
            Err(failure) => Err(failure),
        };
        match dialled {
            Ok(made) => return Ok(made),
            Err(Failure::Final(refusal)) => return Err(refusal),
            Err(Failure::Dropped(reason)) if tries < options.handshake_tries => {
                tracing::debug!(server = server.name, tries, reason, "handshake dropped, trying again");
                tokio::time::sleep(pause(tries)).await;
            }
            Err(Failure::Dropped(reason)) => {
                let (name, address) = (&server.name, server.address());
                let message = format!(
                    "server `{name}` ({address}) dropped the connection before the login, {tries} times: {reason}; its \
                     sshd may be overloaded (MaxStartups) or block this address"
                );
                return Err(Refusal::new(RefusalKind::Handshake, message));
            }
        }
    }
}

/// Bytes to a host and back.
type Way = Box<dyn Duplex>;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// The way to a server: straight, or as a channel of its bastion, which is connected to, checked and logged in to first.
async fn way(server: &Server, pool: &Pool) -> Result<(Way, Option<Use>), Failure> {
    let Some(bastion) = &server.via else {
        let stream = open(&server.hostname, server.port, &pool.options).await?;
        return Ok((Box::new(stream), None));
    };
    // A bastion may stand behind another one.
    let connection = Box::pin(pool.connection(bastion, &[])).await.map_err(|refusal| {
        let message = format!("bastion of server `{}`: {}", server.name, refusal.message);
        Failure::Final(Refusal::new(refusal.kind, message))
    })?;
    let opening = connection.0.link.handle.channel_open_direct_tcpip(
        server.hostname.clone(),
        u32::from(server.port),
        "127.0.0.1",
        0,
    );
    let unreachable = |reason: String| {
        let (name, address, through) = (&server.name, server.address(), &bastion.name);
        let message = format!("server `{name}` ({address}) cannot be reached through bastion `{through}`: {reason}");
        Failure::Final(Refusal::new(RefusalKind::Unreachable, message))
    };
    match timeout(pool.options.connect_timeout, opening).await {
        Ok(Ok(channel)) => Ok((Box::new(channel.into_stream()), Some(connection))),
        Ok(Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited))) => {
            Err(unreachable("it does not allow forwarding (AllowTcpForwarding, PermitOpen)".to_owned()))
        }
        Ok(Err(russh::Error::ChannelOpenFailure(failure))) => {
            Err(unreachable(format!("it says that nobody answers there ({failure:?})")))
        }
        Ok(Err(error)) => {
            connection.0.disconnect().await;
            Err(Failure::Dropped(format!("the connection to bastion `{}` ended: {error}", bastion.name)))
        }
        Err(_) => {
            let seconds = pool.options.connect_timeout.as_secs();
            Err(unreachable(format!("no connection within {seconds} s")))
        }
    }
}

/// The keys that a host shows, one per type; nothing is sent that proves who asks.
pub async fn scan_keys(host: &str, port: u16, options: &Options) -> Result<Vec<HostKey>, Refusal> {
    let mut keys: Vec<HostKey> = Vec::new();
    let mut failure = None;
    for algorithm in host_key::order() {
        let seen = Arc::default();
        let preferred = Preferred { key: vec![algorithm].into(), ..Preferred::DEFAULT };
        let stream = open(host, port, options).await.map_err(|failure| failure.refusal(&format!("{host}:{port}")))?;
        let (client, _) = Client::new(Judge::Scan(Arc::clone(&seen)));
        let exchange = client::connect_stream(config(preferred, options), stream, client);
        if let Ok(Err(error)) = timeout(options.auth_timeout, exchange).await
            && !matches!(error, LinkError::Scanned | LinkError::Protocol(russh::Error::NoCommonAlgo { .. }))
        {
            failure = Some(error.to_string());
        }
        let key = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
    match failure {
        Some(reason) if keys.is_empty() => {
            let message = format!("{host}:{port} showed no host key: {reason}");
            Err(Refusal::new(RefusalKind::Handshake, message))
        }
        _ => Ok(keys),
    }
}

enum Failure {
    /// Trying again at once would end in the same way.
    Final(Refusal),
    /// The host dropped the connection before the login.
    Dropped(String),
}

impl Failure {
    fn refusal(self, address: &str) -> Refusal {
        match self {
            Self::Final(refusal) => refusal,
            Self::Dropped(reason) => {
                Refusal::new(RefusalKind::Handshake, format!("{address} dropped the connection: {reason}"))
            }
        }
    }
}

impl Client {
    fn new(judge: Judge) -> (Self, Fate) {
        let fate = Fate::default();
        (Self { judge, fate: fate.clone(), _ended: fate.ended.clone().drop_guard() }, fate)
    }
}

async fn dial(
    server: &Server,
    stream: Way,
    credential: &Credential,
    pins: &Pins,
    options: &Options,
) -> Result<Link, Failure> {
    let deadline = Instant::now() + options.auth_timeout;
    let (client, fate) = Client::new(Judge::Pins(pins.clone()));
    let config = config(pins.preferred(), options);
    let late = |what: &str| {
        let (name, address, limit) = (&server.name, server.address(), options.auth_timeout.as_secs());
        let message = format!("server `{name}` ({address}) did not finish the {what} within {limit} s");
        Failure::Final(Refusal::new(RefusalKind::Handshake, message))
    };
    let mut handle = match timeout_at(deadline, client::connect_stream(config, stream, client)).await {
        Ok(Ok(handle)) => handle,
        Ok(Err(LinkError::HostKey(refusal))) => return Err(Failure::Final(refusal)),
        Ok(Err(error)) if is_drop(&error) => return Err(Failure::Dropped(error.to_string())),
        Ok(Err(error)) => {
            let message = format!("server `{}` ({}): {error}", server.name, server.address());
            return Err(Failure::Final(Refusal::new(RefusalKind::Handshake, message)));
        }
        Err(_) => return Err(late("key exchange")),
    };
    match timeout_at(deadline, credential.log_in(&mut handle, server)).await {
        Ok(result) => result.map_err(Failure::Final)?,
        Err(_) => return Err(late("authentication")),
    }
    Ok(Link { handle, fate })
}

/// TCP, and the first byte from the host: a frozen sshd accepts connections and says nothing.
async fn open(host: &str, port: u16, options: &Options) -> Result<Socket, Failure> {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let unreachable = |reason: String| {
        Failure::Final(Refusal::new(RefusalKind::Unreachable, format!("{address} cannot be reached: {reason}")))
    };
    let limit = options.connect_timeout;
    let deadline = Instant::now() + limit;
    let stream = match timeout_at(deadline, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable(format!("no answer within {} s", limit.as_secs()))),
    };
    let mut first = [0; 32];
    match timeout_at(deadline, stream.peek(&mut first)).await {
        Ok(Ok(0)) => Err(Failure::Dropped("it closed without a banner".into())),
        Ok(Ok(count)) if first.get(..count).is_some_and(|seen| seen.starts_with(b"Exceeded")) => {
            Err(Failure::Dropped("it said `Exceeded MaxStartups`".into()))
        }
        Ok(Ok(_)) => Ok(Socket::new(stream)),
        Ok(Err(error)) => Err(Failure::Dropped(error.to_string())),
        Err(_) => {
            Err(unreachable(format!("it accepted the connection, but no SSH banner came within {} s", limit.as_secs())))
        }
    }
}

fn config(preferred: Preferred, options: &Options) -> Arc<Config> {
    Arc::new(Config {
        preferred,
        keepalive_interval: Some(options.keepalive_interval),
        keepalive_max: options.keepalive_max,
        // It would also end quiet long commands; the keepalive is what notices a dead host.
        inactivity_timeout: None,
        ..Config::default()
    })
}

fn is_drop(error: &LinkError) -> bool {
    use russh::Error;
    matches!(
        error,
        LinkError::Protocol(Error::Disconnect | Error::HUP | Error::IO(_) | Error::SendError | Error::RecvError)
    )
}

/// Doubles, and is spread, so that the many who were dropped together do not come back together.
fn pause(tries: u32) -> Duration {
    let base = RETRY_DELAY * 2_u32.saturating_pow(tries.saturating_sub(1)).min(32);
    let random = RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 1_000).unwrap_or(0);
    base + base * share / 1_000
}
