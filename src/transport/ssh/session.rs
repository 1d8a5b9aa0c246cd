//! One script on one channel: it goes up, output and the exit status come down. [`run`] runs an attempt that nothing holds
//! on the host; `held` follows one that is held.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::connect::Fate;
use super::pool::{Opened, Pool, Use};
use super::{kill, secret_file};
use crate::inventory::Server;
use crate::limits;
use crate::transport::capture::Capture;
use crate::transport::script::announce::{Groups, Stage, Stripper};
use crate::transport::script::said::{Listener, Report, Said};
use crate::transport::script::{self, Script};
use crate::transport::{Captured, Ending, Finished, Job, Killed, Refusal, RefusalKind};

/// SSH_EXTENDED_DATA_STDERR, RFC 4254 §5.2.
const STDERR: u32 = 1;

/// Runs `job` to its end, its time-out, or its cancellation.
pub(super) async fn run(pool: &Pool, job: &Job, cancel: &CancellationToken) -> Finished {
    let password = match become_password(job).await {
        Ok(password) => password,
        Err(refusal) => return Finished::not_started(refusal),
    };
    let script = match script::compose(job, password.as_ref().map(|p| p.as_str())) {
        Ok(script) => script,
        Err(error) => return Finished::not_started(Refusal::new(RefusalKind::Invalid, error.to_string())),
    };
    let start = async {
        let opened = pool.open(&job.server).await?;
        let session = Session::start(opened, &job.server, &script, job.output_bytes_max).await;
        job.permit.granted().await;
        session
    };
    let mut session = tokio::select! {
        biased;
        // Before the upload nothing has been started.
        () = cancel.cancelled() => return cancelled_before_start(),
        result = start => match result {
            Ok(session) => session,
            Err(refusal) => return Finished::not_started(refusal),
        },
    };
    session.upload(&script, Input::Ends);
    drop(script);
    let stopped = tokio::select! {
        biased;
        () = session.drive() => None,
        () = cancel.cancelled() => Some(Ending::Cancelled as fn(Killed) -> Ending),
        () = sleep(job.timeout) => Some(Ending::TimedOut as fn(Killed) -> Ending),
    };
    if stopped.is_some() {
        session.wait_for_announcement().await;
    }
    // A command that ended in the same moment has ended by itself, and so has one whose connection is gone.
    let ending = match stopped {
        Some(ending) if session.exit.is_none() => Some(ending(session.kill(pool, job, password).await)),
        Some(_) | None => None,
    };
    session.finish(ending).await
}

pub(super) async fn become_password(job: &Job) -> Result<Option<Zeroizing<String>>, Refusal> {
    match (&job.become_user, &job.server.become_password) {
        (Some(_), Some(at)) => secret_file::read_line(at, "the password for sudo").await.map(Some),
        _ => Ok(None),
    }
}

fn cancelled_before_start() -> Finished {
    let mut finished = Finished::not_started(Refusal::new(RefusalKind::Session, ""));
    finished.ending = Ending::Cancelled(Killed::Unsent);
    finished
}

/// A channel on which `/bin/sh` waits for its script, or runs it.
pub(super) struct Session {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    fate: Fate,
    server: String,
    last_stage: Stage,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    exit: Option<Exit>,
    /// The host has closed the channel, or the connection is gone.
    pub(super) is_over: bool,
    /// The script is on its way: from then on it may run, though we never hear that it arrived.
    is_sent: Arc<AtomicBool>,
    upload: Option<JoinHandle<()>>,
    linger: Option<Linger>,
    is_closed: bool,
    /// Of a held attempt: this session was to start it.
    pub(super) is_first: bool,
    /// Given back when the session is dropped.
    _place: (Use, Option<OwnedSemaphorePermit>),
}

enum Exit {
    Code(u32),
    Signal(String),
}

/// Whether the script's shell gets more to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    /// The script is all.
    Ends,
    /// It asks for words ([`Session::say`]).
    Stays,
}

pub(super) struct Stream {
    pub(super) stripper: Stripper,
    /// Of a held attempt: what its host says between the command's bytes.
    listener: Option<Listener>,
    /// Of a held attempt: the announcement of the shell that `sudo` started.
    pub(super) inner: Stripper,
    pub(super) said: Vec<Said>,
    pub(super) capture: Capture,
}

impl Stream {
    fn new(script: &Script, bytes_max: usize) -> Self {
        Self {
            stripper: Stripper::new(script.attempt, script.last_stage),
            listener: (script.last_stage == Stage::Hello).then(|| Listener::new(script.attempt)),
            inner: Stripper::only(script.attempt, script.inner_stage),
            said: Vec::new(),
            capture: Capture::new(bytes_max),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let bytes = self.stripper.push(bytes);
        let Some(listener) = &mut self.listener else { return self.capture.push(&bytes) };
        if self.said.iter().any(|said| matches!(said, Said::End(_))) {
            // What the shells around the script have to say about its end.
            return;
        }
        let (bytes, said) = listener.push(&bytes);
        self.said.extend(said);
        self.capture.push(&self.inner.push(&bytes));
    }

    /// What was kept; `dropped` more bytes came and were not sent.
    pub(super) fn finish(&mut self, dropped: u64) -> Captured {
        if let Some(listener) = &mut self.listener {
            let rest = listener.rest();
            self.capture.push(&self.inner.push(&rest));
        }
        let mut captured = std::mem::replace(&mut self.capture, Capture::new(0)).finish();
        captured.total += dropped;
        captured
    }
}

/// How long output is read after the exit status.
struct Linger {
    silent: Instant,
    last: Instant,
}

impl Session {
    /// Starts the shell. It has no script yet, so nothing of the job can run when this fails.
    pub(super) async fn start(
        opened: Opened,
        server: &Server,
        script: &Script,
        output_bytes_max: usize,
    ) -> Result<Self, Refusal> {
        let Opened { channel, connection, slot } = opened;
        let fate = connection.0.link.fate.clone();
        let (read, write) = channel.split();
        let stream = || Stream::new(script, output_bytes_max);
        let mut session = Self {
            read,
            write: Arc::new(write),
            fate,
            server: format!("server `{}` ({})", server.name, server.address()),
            last_stage: script.last_stage,
            stdout: stream(),
            stderr: stream(),
            exit: None,
            is_over: false,
            is_sent: Arc::default(),
            upload: None,
            linger: None,
            is_closed: false,
            is_first: false,
            _place: (connection, slot),
        };
        let name = session.server.clone();
        let refuse = |reason: &str| Refusal::new(RefusalKind::Session, format!("{name}: {reason}"));
        // The constant: neither values nor secrets are in any argv of the host.
        if session.write.exec(true, "/bin/sh").await.is_err() {
            return Err(refuse("the connection ended before the command was sent"));
        }
        let deadline = Instant::now() + limits::SSH_OPEN_TIMEOUT;
        loop {
            match timeout_at(deadline, session.read.wait()).await {
                Ok(Some(ChannelMsg::Success)) => return Ok(session),
                Ok(Some(ChannelMsg::Failure)) => return Err(refuse("it does not allow to run commands")),
                Ok(Some(_)) => {}
                Ok(None) => return Err(refuse("the connection ended before the command was sent")),
                Err(_) => return Err(refuse("it did not start a shell")),
            }
        }
    }

    /// Sends the script while output is already read: a host that writes before it reads must not block both.
    pub(super) fn upload(&mut self, script: &Script, input: Input) {
        let bytes = script.text.as_bytes().to_vec();
        let (write, is_sent) = (Arc::clone(&self.write), Arc::clone(&self.is_sent));
        self.upload = Some(tokio::spawn(async move {
            is_sent.store(true, Ordering::SeqCst);
            // Errors show as the end of the channel.
            let _ = write.data_bytes(bytes).await;
            if input == Input::Ends {
                let _ = write.eof().await;
            }
        }));
    }

    /// Sends a word to the script that waits for it. Whoever does not take it in time has gone, which shows elsewhere.
    pub(super) async fn say(&self, word: &str) {
        let _ = timeout(limits::SSH_LINGER, self.write.data_bytes(format!("{word}\n").into_bytes())).await;
    }

    /// Reads the next message, or waits until `at`; `false` when it is that time.
    pub(super) async fn read_until(&mut self, at: Instant) -> bool {
        match timeout_at(at, self.read.wait()).await {
            Ok(Some(message)) => self.take(message),
            Ok(None) => self.is_over = true,
            Err(_) => return false,
        }
        true
    }

    /// The host's last word about a held attempt, once both streams are at their end.
    pub(super) fn last_word(&self) -> Option<Report> {
        let is_end = |said: &Said| matches!(said, Said::End(_));
        let report = self.stdout.said.iter().find_map(|said| match said {
            Said::End(report) => report.clone(),
            Said::Found | Said::Exit | Said::Done => None,
        });
        report.filter(|_| self.stderr.said.iter().any(is_end))
    }

    /// The command of a held attempt ended before it began.
    pub(super) fn refusal_of_command(&mut self, code: Option<i32>, is_become: bool) -> Refusal {
        let said = if is_become {
            [self.stderr.inner.noise(), self.stdout.inner.noise()].join(" ")
        } else {
            self.stderr.capture.text()
        };
        let how = code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        self.refusal(&how, &said, is_become)
    }

    /// The script's shell has ended.
    pub(super) fn has_exited(&self) -> bool {
        self.exit.is_some()
    }

    /// Reads until the session is over. May be dropped and called again.
    pub(super) async fn drive(&mut self) {
        while !self.is_over {
            let message = match &self.linger {
                None => self.read.wait().await,
                Some(linger) => match timeout_at(linger.silent.min(linger.last), self.read.wait()).await {
                    Ok(message) => message,
                    Err(_) => return,
                },
            };
            match message {
                Some(message) => self.take(message),
                None => self.is_over = true,
            }
        }
    }

    /// Reads until the channel is closed, whatever exit status was seen. A channel that nobody reads blocks its
    /// connection.
    async fn drain(&mut self) {
        while !self.is_over {
            match self.read.wait().await {
                Some(message) => self.take(message),
                None => self.is_over = true,
            }
        }
    }

    fn take(&mut self, message: ChannelMsg) {
        match message {
            ChannelMsg::Data { data } => self.stdout.push(&data),
            ChannelMsg::ExtendedData { data, ext: STDERR } => self.stderr.push(&data),
            ChannelMsg::ExitStatus { exit_status } => self.exit = Some(Exit::Code(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                let name = format!("{signal_name:?}");
                let name =
                    name.strip_prefix("Custom(\"").and_then(|n| n.strip_suffix("\")")).unwrap_or(&name).to_owned();
                self.exit = Some(Exit::Signal(name));
            }
            ChannelMsg::Close => self.is_over = true,
            _ => {}
        }
        if self.exit.is_some() {
            let now = Instant::now();
            let last = self.linger.as_ref().map_or(now + limits::SSH_LINGER_MAX, |linger| linger.last);
            self.linger = Some(Linger { silent: now + limits::SSH_LINGER, last });
        }
    }

    /// A script that was just sent has no group to end yet, and starts it when it arrives: the shell has to say first
    /// which one it is, or to end.
    async fn wait_for_announcement(&mut self) {
        let deadline = Instant::now() + limits::SSH_ANNOUNCE_TIMEOUT;
        while self.groups().command.is_none() && self.exit.is_none() && !self.is_over {
            match timeout_at(deadline, self.read.wait()).await {
                Ok(Some(message)) => self.take(message),
                Ok(None) => self.is_over = true,
                Err(_) => return,
            }
        }
    }

    /// Ends the command's process group while its output is still read.
    async fn kill(&mut self, pool: &Pool, job: &Job, password: Option<Zeroizing<String>>) -> Killed {
        let write = Arc::clone(&self.write);
        let groups = self.groups();
        let mut killing = pin!(kill::kill(pool, job, password.as_ref().map(|p| p.as_str()), groups, &write));
        loop {
            tokio::select! {
                killed = &mut killing => return killed,
                () = self.drain(), if !self.is_over => {}
            }
        }
    }

    /// The groups that were announced on either stream.
    fn groups(&self) -> Groups {
        let (out, err) = (self.stdout.stripper.groups(), self.stderr.stripper.groups());
        Groups { login: out.login.or(err.login), command: out.command.or(err.command) }
    }

    /// Closes the channel and says how it ended; `ending` is set when we ended it.
    pub(super) async fn finish(mut self, ending: Option<Ending>) -> Finished {
        if ending.is_some() {
            // What the dead command has left in the pipe.
            let _ = timeout(limits::SSH_LINGER, self.drive()).await;
        }
        self.close().await;
        let ending = ending.unwrap_or_else(|| self.ending());
        Finished { ending, stdout: self.stdout.finish(0), stderr: self.stderr.finish(0) }
    }

    /// Gives the session's place back: sshd gives it away only after our CLOSE.
    pub(super) async fn close(&mut self) {
        self.is_closed = timeout(limits::SSH_LINGER, self.write.close()).await.is_ok();
    }

    /// How the script's shell ended, where its exit status says all.
    pub(super) fn ending(&self) -> Ending {
        let has_started = self.stdout.stripper.has_started() || self.stderr.stripper.has_started();
        match &self.exit {
            Some(Exit::Code(code)) if has_started => Ending::Exited(i32::try_from(*code).unwrap_or(i32::MAX)),
            Some(Exit::Signal(name)) if has_started => Ending::Signalled(name.clone()),
            // The shell always announces itself before the command: without that line nothing was run.
            Some(exit) => Ending::NotStarted(self.shell_refusal(exit)),
            None if !self.is_sent.load(Ordering::SeqCst) => {
                let message = format!("{}: the connection ended before the command was sent", self.server);
                Ending::NotStarted(Refusal::new(RefusalKind::Session, message))
            }
            // Invariant: no exit status is never success.
            None if self.fate.ended.is_cancelled() => {
                Ending::Lost(format!("{}: the connection was lost: {}", self.server, self.fate.reason()))
            }
            None => Ending::Lost(format!("{}: the session ended without an exit status", self.server)),
        }
    }

    fn shell_refusal(&self, exit: &Exit) -> Refusal {
        let how = match exit {
            Exit::Code(code) => format!("exit code {code}"),
            Exit::Signal(name) => format!("signal {name}"),
        };
        let said = [self.stderr.stripper.noise(), self.stdout.stripper.noise()].join(" ");
        let is_sudo = self.last_stage == Stage::Become
            && (self.stdout.stripper.has_logged_in() || self.stderr.stripper.has_logged_in());
        self.refusal(&how, &said, is_sudo)
    }

    fn refusal(&self, how: &str, said: &str, is_sudo: bool) -> Refusal {
        let said: String = said.trim().chars().take(400).collect();
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        let (kind, what) = if is_sudo {
            (
                RefusalKind::Become,
                "sudo did not start the command; allow it in sudoers, or give the server its password (`become_password_file`)",
            )
        } else {
            (RefusalKind::Shell, "the login shell ended before the command")
        };
        Refusal::new(kind, format!("{}: {what} ({how}): {said}", self.server))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort();
        }
        // Whoever ran this has gone away. Without a CLOSE sshd would keep the session's place for ever.
        if let (false, Ok(runtime)) = (self.is_closed, tokio::runtime::Handle::try_current()) {
            let write = Arc::clone(&self.write);
            runtime.spawn(async move { timeout(limits::SSH_LINGER, write.close()).await });
        }
    }
}
