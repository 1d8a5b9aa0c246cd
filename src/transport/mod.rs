//! Running one attempt on one host.
//!
//! `engine/execute` hands a [`Job`] to a [`Transport`] and gets a [`Finished`]. SSH is the first implementation;
//! `fake` is the second, for tests of the engine.

pub mod capture;
pub mod fake;
pub mod probe;
pub mod script;
pub mod ssh;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::id::AttemptId;
use crate::inventory::Server;
use crate::words::words;

/// One attempt, ready to be sent. No template is left in it.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the host may see started at most once.
    pub attempt: AttemptId,
    pub server: Arc<Server>,
    pub action: RemoteAction,
    /// Exported to the command, in order.
    pub environment: Vec<(String, String)>,
    pub workdir: Option<String>,
    /// Run as this user by `sudo`.
    pub become_user: Option<String>,
    pub timeout: Duration,
    pub output_bytes_max: usize,
    pub hold: Hold,
    /// It ends well only when the host has been started anew.
    pub awaits_reboot: bool,
    /// Asked right before the host is given it.
    pub permit: Permit,
}

/// The engine's word that it may still act; without one, it may.
///
/// A process that was stopped and goes on after a while may have lost what it was about to run.
#[derive(Clone, Default)]
pub struct Permit(Option<Arc<dyn Fn() -> Boxed<'static, ()> + Send + Sync>>);

impl Permit {
    /// One that is granted when the future that `asked` makes ends; it is asked each time.
    pub fn when(asked: impl Fn() -> Boxed<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(asked)))
    }

    /// Waits until it is granted.
    pub async fn granted(&self) {
        if let Some(asked) = &self.0 {
            asked().await;
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Permit(asked)" } else { "Permit(given)" })
    }
}

/// What becomes of an attempt when the connection, or the engine, ends before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// It is claimed under its id and goes on; whoever asks for the same id finds it.
    Claim,
    /// The same for an attempt that the host may know already: it is found, or, if it certainly never began, started.
    Attach {
        /// Time since it may have begun.
        age: Duration,
        /// Otherwise what never began is only said to be so.
        may_start: bool,
    },
    /// Nothing is kept on the host: what becomes of it then is unknown.
    None,
}

/// What is to be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RemoteAction {
    Command(String),
    Argv(Vec<String>),
    Script { text: String, interpreter: Option<String> },
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub ending: Ending,
    pub stdout: Captured,
    pub stderr: Captured,
}

/// The reason for an attempt's end. A missing exit status is never success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The command ended by itself.
    Exited(i32),
    /// A signal ended it; the name without `SIG`.
    Signalled(String),
    /// Its time was over; the process group was killed.
    TimedOut(Killed),
    /// It was cancelled; the process group was killed.
    Cancelled(Killed),
    /// Nothing was started: connecting, authenticating or opening a session failed.
    NotStarted(Refusal),
    /// The connection ended while it ran; what became of the command is unknown.
    Lost(String),
    /// The host was started anew while it ran, or since.
    Rebooted(String),
}

/// Whether the end of the remote process group was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Killed {
    /// No process of the group is left.
    Confirmed,
    /// Could not be told; it may still run.
    Unconfirmed,
    /// There was none: nothing was sent to the host yet.
    Unsent,
}

/// Why nothing was started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// What, where, and what to do.
    pub message: String,
}

words! {
    /// What stood in the way of a start; the label `reason` of `douse_ssh_errors_total`.
    RefusalKind {
        /// Name not found, refused, unreachable, timed out.
        Unreachable = "unreachable",
        /// The handshake failed again and again.
        Handshake = "handshake",
        /// No key is pinned for this server.
        HostKeyUnknown = "host_key_unknown",
        /// The host showed another key than the pinned ones.
        HostKeyChanged = "host_key_changed",
        /// Every way to log in was refused.
        Authentication = "authentication",
        /// A key or password file could not be read.
        Credential = "credential",
        /// The host refused a session.
        Session = "session",
        /// The login user's shell ended before the command: a login script, `nologin`, a missing folder.
        Shell = "shell",
        /// `sudo` refused.
        Become = "become",
        /// The host has no place to hold an attempt: nothing was run, and it can be run without.
        Nowhere = "nowhere",
        /// The server speaks a protocol that nothing can be run over yet.
        Protocol = "protocol",
        /// The command cannot be put into a script: a NUL byte, a wrong variable name.
        Invalid = "invalid",
    }
}

impl RefusalKind {
    /// May be gone by itself in a while: the execution stays approved and is tried again.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unreachable | Self::Handshake | Self::Session)
    }
}

impl Refusal {
    /// A refusal with its message.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Finished {
    /// An attempt that started nothing.
    pub fn not_started(refusal: Refusal) -> Self {
        Self { ending: Ending::NotStarted(refusal), stdout: Captured::default(), stderr: Captured::default() }
    }
}

/// One stream's output, bounded: a head and a tail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Captured {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    /// All bytes that came, kept or not.
    pub total: u64,
}

/// A future that a trait object can return.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to reach hosts.
pub trait Transport: Send + Sync {
    /// Connects and authenticates without running anything, so that "cannot be reached" is known before the first step.
    fn reach<'a>(&'a self, server: &'a Arc<Server>) -> Boxed<'a, Result<(), Refusal>>;

    /// Runs one attempt to its end, its time-out, or its cancellation.
    fn run<'a>(&'a self, job: Job, cancel: CancellationToken) -> Boxed<'a, Finished>;

    /// The next connection to this server is a new one, whatever is kept open: for a test of what holds now.
    fn renew<'a>(&'a self, _server: &'a Arc<Server>) -> Boxed<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The outcome of these attempts is durable: what their host keeps of them is not needed any more.
    fn forget(&self, _server: &Arc<Server>, _attempt: AttemptId) {}

    /// Ends what is kept open between attempts. Called once, when the engine stops.
    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
