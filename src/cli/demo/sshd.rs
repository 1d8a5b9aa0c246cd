//! The demo's hosts: an SSH server inside this process, on a free port of 127.0.0.1.
//!
//! It knows one client key, and runs `/bin/sh` (nothing else) as the user who runs the demo, in a scratch directory, in a
//! process group of its own, with the script on stdin: what `transport/ssh` needs of an sshd. It is no sandbox, and it
//! is started by `douse demo` only.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The one exec string that is taken.
const SHELL: &str = "/bin/sh";
/// After a command's exit its output is read for this long: a background child may hold it open.
const LINGER: Duration = Duration::from_millis(500);

/// What can go wrong while a host is set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoHostError {
    /// No fresh key.
    #[error("cannot make an SSH key: {0}")]
    Key(#[from] russh::keys::ssh_key::Error),
    /// No port, or no file.
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
}

/// The key with which the engine logs in to the demo's hosts.
pub struct ClientKey(PrivateKey);

impl ClientKey {
    /// A fresh one.
    pub fn generate() -> Result<Self, DemoHostError> {
        fresh_key().map(Self)
    }

    /// Writes the private key where only its owner can read it.
    pub fn write(&self, path: &Path) -> Result<(), DemoHostError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let text = self.0.to_openssh(LineEnding::LF)?;
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| DemoHostError::Io { what: path.display().to_string(), error })
    }
}

/// A host of the demo.
pub struct DemoHost {
    address: SocketAddr,
    host_key: String,
    shape: Arc<Shape>,
}

/// What all connections of a host share.
struct Shape {
    name: String,
    dir: PathBuf,
    client: PublicKey,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl DemoHost {
    /// Starts a host whose home is `dir`; `dir/bin` comes first in its `PATH`.
    pub async fn start(name: &str, dir: &Path, client: &ClientKey) -> Result<Self, DemoHostError> {
        let key = fresh_key()?;
        let host_key = key.public_key().to_openssh()?.trim().to_owned();
        let io = |error| DemoHostError::Io { what: format!("cannot open a port for the demo's host {name}"), error };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        let shape = Arc::new(Shape {
            name: name.to_owned(),
            dir: dir.to_owned(),
            client: client.0.public_key().clone(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let config = Arc::new(server::Config {
            keys: vec![key],
            // A wrong key may be told at once: there is nothing to guess here.
            auth_rejection_time: Duration::from_millis(50),
            inactivity_timeout: None,
            nodelay: true,
            ..server::Config::default()
        });
        shape.tasks.spawn(listen(listener, config, Arc::clone(&shape)));
        Ok(Self { address, host_key, shape })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its public key, as `servers.yml` wants it.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Ends its connections and what still runs on them.
    pub async fn stop(self) {
        self.shape.stop.cancel();
        self.shape.tasks.close();
        // A task that hangs must not keep the demo from ending.
        let _ = timeout(Duration::from_secs(5), self.shape.tasks.wait()).await;
        self.shape.end_held().await;
    }
}

impl Drop for DemoHost {
    fn drop(&mut self) {
        self.shape.stop.cancel();
    }
}

fn fresh_key() -> Result<PrivateKey, DemoHostError> {
    Ok(PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)?)
}

async fn listen(listener: TcpListener, config: Arc<server::Config>, shape: Arc<Shape>) {
    loop {
        let accepted = tokio::select! {
            () = shape.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                shape.tasks.spawn(connection(stream, Arc::clone(&config), Arc::clone(&shape)));
            }
            // Too many open files, perhaps; without a pause this would spin.
            Err(error) => {
                tracing::warn!(host = shape.name, %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, config: Arc<server::Config>, shape: Arc<Shape>) {
    // A refusal only makes the demo a little slower.
    let _ = stream.set_nodelay(true);
    let client = Client { shape: Arc::clone(&shape) };
    let Ok(running) = server::run_stream(config, stream, client).await else { return };
    let handle = running.handle();
    tokio::select! {
        _ = running => {}
        () = shape.stop.cancelled() => {
            // It may be gone already.
            let _ = handle.disconnect(russh::Disconnect::ByApplication, "the demo is over".into(), String::new()).await;
        }
    }
}

struct Client {
    shape: Arc<Shape>,
}

impl Client {
    fn judge(&self, key: &PublicKey) -> Auth {
        if key.key_data() == self.shape.client.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl server::Handler for Client {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(self.judge(offer.public_key))
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(self.judge(key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let (shape, handle) = (Arc::clone(&self.shape), session.handle());
        self.shape.tasks.spawn(serve(channel, handle, shape));
        reply.accept().await;
        Ok(())
    }
}

/// One session. Errors of sending mean that the client has gone; the command is left to end, as an sshd does.
async fn serve(channel: Channel<Msg>, handle: server::Handle, shape: Arc<Shape>) {
    let id = channel.id();
    let (mut read, write) = channel.split();
    let command = loop {
        match read.wait().await {
            Some(ChannelMsg::Exec { command, .. }) => break command,
            Some(
                ChannelMsg::RequestShell { .. } | ChannelMsg::RequestPty { .. } | ChannelMsg::RequestSubsystem { .. },
            ) => {
                let _ = handle.channel_failure(id).await;
            }
            Some(_) => {}
            None => return,
        }
    };
    let child = if command == SHELL.as_bytes() { shape.spawn() } else { Err(io::ErrorKind::Unsupported.into()) };
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(host = shape.name, %error, "no shell was started");
            let _ = handle.channel_failure(id).await;
            let _ = write.close().await;
            return;
        }
    };
    let _ = handle.channel_success(id).await;
    let group = child.id().unwrap_or_default();
    let write = Arc::new(write);
    let input = tokio::spawn(feed(read, child.stdin.take(), group));
    let out = tokio::spawn(pump(child.stdout.take(), Arc::clone(&write), None));
    let err = tokio::spawn(pump(child.stderr.take(), Arc::clone(&write), Some(1)));
    let status = tokio::select! {
        status = child.wait() => status,
        () = shape.stop.cancelled() => {
            kill(group, "KILL").await;
            child.wait().await
        }
    };
    let (abort_out, abort_err) = (out.abort_handle(), err.abort_handle());
    let _ = timeout(LINGER, async { tokio::join!(out, err) }).await;
    abort_out.abort();
    abort_err.abort();
    input.abort();
    if let Ok(status) = status {
        report(status, &write, &handle).await;
    }
    let _ = write.eof().await;
    let _ = write.close().await;
}

impl Shape {
    /// Ends what outlives its connection: `transport/ssh` has each command write its process group down.
    async fn end_held(&self) {
        let marks = std::fs::read_dir(self.dir.join(".cache/douse")).into_iter().flatten().flatten();
        for mark in marks.filter(|entry| entry.path().extension().is_some_and(|name| name == "s")) {
            let text = std::fs::read_to_string(mark.path()).unwrap_or_default();
            let group = text.strip_prefix("start ").and_then(|rest| rest.split(' ').next()?.parse().ok());
            if let Some(group) = group {
                kill(group, "KILL").await;
            }
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let path =
            format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.dir.join("bin").display());
        Command::new(SHELL)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.dir)
            .env("HOSTNAME", &self.name)
            .env("LANG", "C.UTF-8")
            .current_dir(&self.dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// The client's bytes and signals to the shell.
async fn feed(mut read: ChannelReadHalf, stdin: Option<ChildStdin>, group: u32) {
    let mut stdin = stdin;
    while let Some(message) = read.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                // A shell that has ended reads no more.
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            ChannelMsg::Eof => stdin = None,
            ChannelMsg::Signal { signal: Sig::TERM } => kill(group, "TERM").await,
            ChannelMsg::Signal { signal: Sig::KILL } => kill(group, "KILL").await,
            ChannelMsg::Signal { signal: Sig::INT } => kill(group, "INT").await,
            _ => {}
        }
    }
}

/// The shell's bytes to the client; `ext` 1 is standard error.
async fn pump(from: Option<impl AsyncRead + Unpin>, write: Arc<ChannelWriteHalf<Msg>>, ext: Option<u32>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
        let sent = match ext {
            None => write.data_bytes(bytes.to_vec()).await,
            Some(ext) => write.extended_data_bytes(ext, bytes.to_vec()).await,
        };
        // Even when the client has gone: a command that cannot write would be ended by SIGPIPE half-way.
        let _ = sent;
    }
}

async fn report(status: ExitStatus, write: &ChannelWriteHalf<Msg>, handle: &server::Handle) {
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            let _ = write.exit_status(u32::try_from(code).unwrap_or(255)).await;
        }
        (None, signal) => {
            let name = match signal {
                Some(1) => Sig::HUP,
                Some(2) => Sig::INT,
                Some(6) => Sig::ABRT,
                Some(9) => Sig::KILL,
                Some(11) => Sig::SEGV,
                Some(15) => Sig::TERM,
                other => Sig::Custom(other.unwrap_or_default().to_string()),
            };
            let _ = handle.exit_signal_request(write.id(), name, false, String::new(), String::new()).await;
        }
    }
}

/// Signals a process group by the shell's own `kill`: doing it here would take a system call that needs `unsafe`.
async fn kill(group: u32, signal: &str) {
    // Group 0 would be ours.
    if group < 2 {
        return;
    }
    let killed = Command::new(SHELL).args(["-c", &format!("kill -{signal} -{group} 2>/dev/null")]).status().await;
    if let Err(error) = killed {
        tracing::warn!(group, %error, "a process group could not be signalled");
    }
}
