//! The command of each alert over a connection that stands, one at a time on each host.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::client::{self, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, Semaphore};

use super::{Job, Write};

/// Runs commands.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    sshd: SocketAddr,
    username: String,
    key: Arc<PrivateKey>,
    /// `{uid}` stands for the alert's.
    command: String,
    hosts: HashMap<String, Mutex<Option<Handle<Accept>>>>,
    /// sshd drops connections at random while more than ten are logging in.
    logins: Semaphore,
    writer: UnboundedSender<Write>,
}

/// Log-ins at a time, and how often a dropped one is tried again: it has started nothing.
const LOGINS_MAX: usize = 5;
const LOGIN_TRIES: u32 = 5;

struct Accept;

impl client::Handler for Accept {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

impl Runner {
    /// What the limit was told: see [`crate::remote::Remote::arguments`].
    pub fn new(remote: &[String], writer: UnboundedSender<Write>) -> Self {
        let [sshd, username, key, command, hosts @ ..] = remote else { panic!("SSHD USER KEY COMMAND HOST…") };
        Self(Arc::new(Inner {
            sshd: sshd.parse().unwrap(),
            username: username.clone(),
            key: Arc::new(load_secret_key(key, None).unwrap()),
            command: command.clone(),
            hosts: hosts.iter().map(|host| (host.clone(), Mutex::new(None))).collect(),
            logins: Semaphore::new(LOGINS_MAX),
            writer,
        }))
    }

    /// In its host's turn.
    pub fn run(&self, job: Job) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            inner.exec(&job).await.unwrap();
            let _ended = inner.writer.send(Write::Done(job.episode));
        });
    }
}

impl Inner {
    async fn exec(&self, job: &Job) -> Result<(), russh::Error> {
        let mut connection = self.hosts.get(&job.host).expect("a host that it was told").lock().await;
        let handle = match &mut *connection {
            Some(handle) => handle,
            none => none.insert(self.log_in().await?),
        };
        let mut channel = handle.channel_open_session().await?;
        channel.exec(true, self.command.replace("{uid}", &job.uid)).await?;
        while channel.wait().await.is_some() {}
        Ok(())
    }

    async fn log_in(&self) -> Result<Handle<Accept>, russh::Error> {
        let _turn = self.logins.acquire().await;
        for _ in 1..LOGIN_TRIES {
            if let Ok(handle) = self.try_log_in().await {
                return Ok(handle);
            }
        }
        self.try_log_in().await
    }

    async fn try_log_in(&self) -> Result<Handle<Accept>, russh::Error> {
        let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
        let mut handle = client::connect(config, self.sshd, Accept).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&self.key), None);
        assert!(handle.authenticate_publickey(&self.username, key).await?.success());
        Ok(handle)
    }
}
