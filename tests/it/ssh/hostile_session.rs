//! Hosts that mean no good after the login: floods, a window that never opens, answers that never come. What runs there
//! ends in time and keeps its bounds; what runs elsewhere does not notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use douse::inventory::Server;
use douse::transport::ssh::{Options, SshTransport};
use douse::transport::{Ending, Job};
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::net::TcpListener;

use super::{exit, options, run, unheld};
use crate::support::sshd::Sshd;

/// What a host does with a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Evil {
    FloodOfStdout,
    FloodOfStderr,
    /// Takes nothing of what it is sent.
    ClosedWindow,
    NeverOpens,
    NeverAnswers,
    ExitWithoutCommand,
    EndlessWindow,
}

const ALL: [Evil; 7] = [
    Evil::FloodOfStdout,
    Evil::FloodOfStderr,
    Evil::ClosedWindow,
    Evil::NeverOpens,
    Evil::NeverAnswers,
    Evil::ExitWithoutCommand,
    Evil::EndlessWindow,
];

/// A host that lets everybody in.
struct Host {
    address: SocketAddr,
    key: String,
}

#[derive(Clone)]
struct Handler {
    evil: Evil,
}

impl Host {
    async fn start(evil: Evil) -> Self {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let public = key.public_key().to_openssh().unwrap();
        let window_size = if evil == Evil::ClosedWindow { 0 } else { 2_097_152 };
        let config =
            Arc::new(server::Config { keys: vec![key], window_size, nodelay: true, ..server::Config::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(running) = server::run_stream(config, stream, Handler { evil }).await {
                        let _ended = running.await;
                    }
                });
            }
        });
        Self { address, key: public.trim().to_owned() }
    }

    /// This host as a server of the inventory, with the login of `good`.
    fn server(&self, good: &Sshd) -> Server {
        let (hostname, port) = (self.address.ip().to_string(), self.address.port());
        Server { hostname, port, host_keys: vec![self.key.clone()], ..good.server("evil") }
    }
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.evil == Evil::NeverOpens {
            // Neither yes nor no, for longer than anybody waits.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(600)).await;
                reply.accept().await;
                drop(channel);
            });
            return Ok(());
        }
        reply.accept().await;
        let (evil, id, handle) = (self.evil, channel.id(), session.handle());
        tokio::spawn(async move {
            let flood = vec![b'x'; 32 * 1024];
            while evil == Evil::FloodOfStdout && channel.data_bytes(flood.clone()).await.is_ok() {}
            while evil == Evil::FloodOfStderr && channel.extended_data_bytes(1, flood.clone()).await.is_ok() {}
            while evil == Evil::EndlessWindow && handle.channel_success(id).await.is_ok() {
                tokio::task::yield_now().await;
            }
            // Keeps the channel open.
            tokio::time::sleep(Duration::from_secs(600)).await;
            drop(channel);
        });
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, _: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        match self.evil {
            Evil::NeverAnswers => {}
            Evil::ExitWithoutCommand => {
                session.channel_success(channel)?;
                session.exit_status_request(channel, 0)?;
                session.eof(channel)?;
                session.close(channel)?;
            }
            _ => session.channel_success(channel)?,
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_hostile_host_ends_in_time_and_keeps_its_bounds() {
    let good = Sshd::start();
    let options =
        Options { connect_timeout: Duration::from_secs(5), auth_timeout: Duration::from_secs(10), ..options() };
    let transport = Arc::new(SshTransport::new(options, Arc::new(())));
    assert_eq!(exit(&transport, &good.server("good"), "echo warm").await.1, "warm\n");
    let mut runs = Vec::new();
    for evil in ALL {
        let host = Host::start(evil).await;
        let server = host.server(&good);
        let transport = Arc::clone(&transport);
        runs.push((
            evil,
            tokio::spawn(async move {
                let begun = Instant::now();
                let job = Job {
                    timeout: Duration::from_secs(3),
                    output_bytes_max: 64 * 1024,
                    ..unheld(&server, "echo here")
                };
                (run(&transport, job).await, begun.elapsed())
            }),
        ));
    }
    for n in 0..5 {
        let begun = Instant::now();
        let (code, out, _) = exit(&transport, &good.server("good"), &format!("echo {n}")).await;
        assert_eq!((code, out), (0, format!("{n}\n")));
        assert!(begun.elapsed() < Duration::from_secs(15), "the good host was held up for {:?}", begun.elapsed());
    }
    for (evil, run) in runs {
        let limit = Duration::from_secs(90);
        let (finished, took) =
            tokio::time::timeout(limit, run).await.unwrap_or_else(|_| panic!("{evil:?} is never over")).unwrap();
        // Also where a host says exit 0: where no command ran, none has succeeded.
        assert!(!matches!(finished.ending, Ending::Exited(_)), "{evil:?}: {:?}", finished.ending);
        for kept in [&finished.stdout, &finished.stderr] {
            assert!(
                kept.head.len() + kept.tail.len() <= 64 * 1024,
                "{evil:?} left {} bytes",
                kept.head.len() + kept.tail.len()
            );
        }
        println!(
            "{evil:?}: {:?} after {took:?}, {} and {} bytes",
            finished.ending, finished.stdout.total, finished.stderr.total
        );
    }
}
