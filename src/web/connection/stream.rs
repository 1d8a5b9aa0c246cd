//! The bytes of one connection, in plain or by TLS, with an end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Acquaintance;
use crate::limits;

/// One accepted connection.
pub struct Connection {
    io: Io,
    acquaintance: Arc<Acquaintance>,
    /// Runs out, unless somebody proves something meanwhile.
    patience: Option<Patience>,
    /// Since when the other end takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

struct Patience {
    until: Pin<Box<Sleep>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, acquaintance: Arc<Acquaintance>) -> Self {
        Self::new(Io::Plain(stream), acquaintance)
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, acquaintance: Arc<Acquaintance>) -> Self {
        Self::new(Io::Tls(Box::new(stream)), acquaintance)
    }

    fn new(io: Io, acquaintance: Arc<Acquaintance>) -> Self {
        let until = Box::pin(sleep(limits::WEB_STRANGER_MAX));
        let cut = Box::pin(acquaintance.cut().cancelled_owned());
        Self { io, acquaintance, patience: Some(Patience { until, cut }), stalled: None }
    }

    /// What is known of the other end.
    pub(crate) fn acquaintance(&self) -> &Arc<Acquaintance> {
        &self.acquaintance
    }

    /// An error once a stranger's time is over. Whoever is told "pending" is woken then.
    fn bear(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(patience) = &mut self.patience else { return Ok(()) };
        if self.acquaintance.is_known() {
            self.patience = None;
            return Ok(());
        }
        let is_over =
            patience.until.as_mut().poll(context).is_ready() || patience.cut.as_mut().poll(context).is_ready();
        if is_over { Err(io::Error::new(io::ErrorKind::TimedOut, "a stranger's time is over")) } else { Ok(()) }
    }

    /// `polled`, unless the other end has taken nothing for too long.
    fn unless_stalled<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limits::WEB_STALL_MAX)));
        if stalled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end takes nothing")));
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.bear(context)?;
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.bear(context)?;
        let polled = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.unless_stalled(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bear(context)?;
        let polled = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        self.unless_stalled(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bear(context)?;
        let polled = match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        };
        self.unless_stalled(context, polled)
    }
}
