//! The handshake of TLS, with the certificate that is in force when it begins.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ClientCertificate;
use crate::config::Tls;
use crate::engine::Engine;

/// The first byte of every TLS connection: a record of type handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// What a client is told that speaks plain HTTP to this port.
const SPEAK_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 54\r\n\
    Connection: close\r\n\r\nThis port speaks TLS: use https:// instead of http://\n";
/// How long what a plain client still sends is thrown away, so that it gets to read the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Accepts with what the newest configuration names.
pub(super) struct Acceptor {
    engine: Arc<Engine>,
    /// Stays in use where a reload took `web.tls` away: TLS is switched off by a restart only.
    last: RwLock<Tls>,
}

impl Acceptor {
    /// `None` without `web.tls`.
    pub(super) fn new(engine: &Arc<Engine>) -> Option<Self> {
        let tls = engine.policy().config.web.tls.clone()?;
        Some(Self { engine: Arc::clone(engine), last: RwLock::new(tls) })
    }

    /// Shakes hands. A client that speaks plain HTTP is told so.
    pub(super) async fn accept(
        &self,
        mut stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<ClientCertificate>)> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[0] != HANDSHAKE {
            if first[0].is_ascii_uppercase() {
                stream.write_all(SPEAK_TLS).await?;
                stream.shutdown().await?;
                let _rest = tokio::time::timeout(FAREWELL, drain(&mut stream)).await;
            }
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
        }
        let tls = self.current();
        let Some(server) = tls.server() else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = TlsAcceptor::from(server).accept(stream).await?;
        let certificate = tls.clients.and_then(|clients| {
            let shown = stream.get_ref().1.peer_certificates()?.first()?;
            ClientCertificate::read(shown, clients)
        });
        Ok((stream, certificate))
    }

    fn current(&self) -> Tls {
        if let Some(tls) = &self.engine.policy().config.web.tls {
            let is_new = *self.last.read().unwrap_or_else(PoisonError::into_inner) != *tls;
            if is_new {
                *self.last.write().unwrap_or_else(PoisonError::into_inner) = tls.clone();
            }
            return tls.clone();
        }
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn drain(stream: &mut TcpStream) {
    let mut thrown_away = [0; 4_096];
    while matches!(stream.read(&mut thrown_away).await, Ok(1..)) {}
}
