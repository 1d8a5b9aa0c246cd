//! SSH by russh: the transport that runs here and now.
//!
//! | file | decides |
//! | --- | --- |
//! | [`connect`] | TCP, banner, key exchange, when a dropped handshake is tried again |
//! | [`host_key`] | whether the host is the pinned one, before any authentication |
//! | [`auth`] | how to log in; secrets are read here, when a connection is made |
//! | [`certificate`] | the certificate that goes with a key |
//! | [`pool`] | one connection per server, four sessions at most, idle expiry |
//! | [`session`] | one script on one channel: upload, output, exit status |
//! | [`held`] | an attempt that outlives its connection: started, followed, found again |
//! | [`forget`] | removing what a host keeps of attempts whose outcome is stored |
//! | [`kill`] | ending a process group on time-out or cancel, and looking whether it is gone |
//!
//! Each connection is a task of its own inside russh: should it panic, its channels end, and what ran on them is
//! found again, or [`Ending::Lost`] if nothing holds it. Nothing is ever run twice here: only what has certainly not
//! started is tried again.

mod auth;
mod certificate;
mod connect;
mod forget;
mod held;
mod host_key;
mod kill;
mod pool;
mod secret_file;
mod session;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Boxed, Ending, Finished, Hold, Job, Refusal, Transport};
use crate::id::AttemptId;
use crate::inventory::Server;
use crate::limits;

pub use auth::check_private_key;
pub use certificate::check_certificate;
pub use connect::scan_keys;
pub use host_key::HostKey;

/// Bounds and places; the defaults are the documented ones, tests shorten them.
#[derive(Clone, Debug)]
pub struct Options {
    /// TCP and the first byte of the banner.
    pub connect_timeout: Duration,
    /// Key exchange and authentication.
    pub auth_timeout: Duration,
    pub keepalive_interval: Duration,
    pub keepalive_max: usize,
    /// Tries of a handshake that the host drops.
    pub handshake_tries: u32,
    /// Sessions per server at once.
    pub sessions_per_server: usize,
    /// Unused connections are closed after this.
    pub idle_expiry: Duration,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
    /// Where the agent listens.
    pub agent_socket: Option<PathBuf>,
    /// The host's file that names its boot; tests name another one to play a reboot.
    pub boot_id: String,
    /// What a host keeps of an attempt that is not needed any more is removed after this at the latest.
    pub forget_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: limits::SSH_CONNECT_TIMEOUT,
            auth_timeout: limits::SSH_AUTH_TIMEOUT,
            keepalive_interval: limits::SSH_KEEPALIVE_INTERVAL,
            keepalive_max: limits::SSH_KEEPALIVE_MAX,
            handshake_tries: limits::SSH_HANDSHAKE_TRIES,
            sessions_per_server: limits::SSH_SESSIONS_PER_SERVER,
            idle_expiry: limits::SSH_IDLE_EXPIRY,
            kill_grace: limits::KILL_GRACE,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            boot_id: "/proc/sys/kernel/random/boot_id".to_owned(),
            forget_after: limits::HELD_FORGET_AFTER,
        }
    }
}

/// Who counts what happens here; the metrics `douse_ssh_connect_seconds` and `douse_ssh_errors_total`.
pub trait Observer: Send + Sync {
    /// A connection was made, from the first packet to the login.
    fn connected(&self, took: Duration);
    /// Nothing was started ([`super::RefusalKind::as_str`]), or a running command was `lost`.
    fn failed(&self, reason: &'static str);
}

/// Counts nothing.
impl Observer for () {
    fn connected(&self, _: Duration) {}
    fn failed(&self, _: &'static str) {}
}

/// Runs attempts over SSH.
pub struct SshTransport {
    pool: Arc<pool::Pool>,
    forget: forget::Forget,
    observer: Arc<dyn Observer>,
}

impl SshTransport {
    /// A transport without connections.
    pub fn new(options: Options, observer: Arc<dyn Observer>) -> Self {
        let pool = Arc::new(pool::Pool::new(Arc::new(options), Arc::clone(&observer)));
        Self { forget: forget::Forget::new(&pool), pool, observer }
    }

    fn observe(&self, finished: &Finished) {
        match &finished.ending {
            Ending::NotStarted(refusal) => self.observer.failed(refusal.kind.as_str()),
            Ending::Lost(_) => self.observer.failed("lost"),
            Ending::Rebooted(_) => self.observer.failed("rebooted"),
            Ending::Exited(_) | Ending::Signalled(_) | Ending::TimedOut(_) | Ending::Cancelled(_) => {}
        }
    }
}

impl Transport for SshTransport {
    fn reach<'a>(&'a self, server: &'a Arc<Server>) -> Boxed<'a, Result<(), Refusal>> {
        Box::pin(async move {
            self.pool.reach(server).await.inspect_err(|refusal| self.observer.failed(refusal.kind.as_str()))
        })
    }

    fn run<'a>(&'a self, job: Job, cancel: CancellationToken) -> Boxed<'a, Finished> {
        Box::pin(async move {
            let finished = match job.hold {
                Hold::None => session::run(&self.pool, &job, &cancel).await,
                Hold::Claim | Hold::Attach { .. } => held::run(&self.pool, &job, &cancel).await,
            };
            self.observe(&finished);
            finished
        })
    }

    fn renew<'a>(&'a self, server: &'a Arc<Server>) -> Boxed<'a, ()> {
        Box::pin(self.pool.renew(server))
    }

    fn forget(&self, server: &Arc<Server>, attempt: AttemptId) {
        self.forget.later(server, attempt);
    }

    /// Ends all connections, whatever runs on them, and waits until they are closed.
    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(self.pool.close())
    }
}
