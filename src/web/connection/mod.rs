//! Connections of our own making under the HTTP server: TLS whose certificate a reload replaces, and an end for every
//! stranger.
//!
//! A connection begins as a stranger's. It becomes known when a request on it has proved who sends it
//! ([`Acquaintance::meet`], called by `web/front`). A stranger's connection is cut off after
//! [`limits::WEB_STRANGER_MAX`], whatever it does: reads slowly, writes slowly, says nothing; and where there are too many
//! of them, the oldest gives way ([`strangers`]). So nobody without a credential can hold this server's door shut.

mod certificate;
mod strangers;
mod stream;
mod tls;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::engine::Engine;
use crate::limits;

pub(super) use certificate::ClientCertificate;
pub(super) use strangers::{Acquaintance, Strangers, files_max};
pub(super) use stream::Connection;

/// Makes connections of what was accepted.
pub(super) struct Door {
    strangers: Arc<Strangers>,
    tls: Option<tls::Acceptor>,
}

impl Door {
    /// Speaks TLS if the configuration names a certificate now; a reload changes the certificate, not that.
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        let strangers = Arc::new(Strangers::new(limits::WEB_STRANGERS_MAX.min(files_max() / 4).max(16)));
        Self { strangers, tls: tls::Acceptor::new(engine) }
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The connection over `stream`, after the handshake of TLS.
    pub(super) async fn open(&self, stream: TcpStream) -> io::Result<Connection> {
        // Answers are small; to wait for more to send costs latency.
        stream.set_nodelay(true)?;
        let stranger = self.strangers.enter();
        let Some(tls) = &self.tls else {
            let acquaintance = Acquaintance::new(stranger, None, false);
            return Ok(Connection::plain(stream, acquaintance));
        };
        let cut = stranger.cut();
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(limits::WEB_HANDSHAKE_TIMEOUT, tls.accept(stream)) => accepted?,
            () = cut.cancelled() => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let (stream, certificate) = accepted.inspect_err(|error| tracing::debug!(%error, "no TLS handshake"))?;
        Ok(Connection::tls(stream, Acquaintance::new(stranger, certificate, true)))
    }
}
