//! A connection's socket: TCP, or on Unix a unix socket. What is sent over it is the doors' matter.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A socket that was accepted and belongs to no event loop yet.
#[derive(Debug)]
pub enum Accepted {
    /// From an address.
    Tcp(std::net::TcpStream),
    /// From this machine.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

/// A socket of this thread's event loop.
#[derive(Debug)]
pub enum Stream {
    /// From an address.
    Tcp(tokio::net::TcpStream),
    /// The same under TLS.
    Tls(Box<TlsStream<tokio::net::TcpStream>>),
    /// From this machine.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Accepted {
    /// This end's address, if it has one.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Accepted::Tcp(stream) => stream.local_addr().map(Some),
            #[cfg(unix)]
            Accepted::Unix(_) => Ok(None),
        }
    }

    /// Gives it to this thread's event loop.
    ///
    /// # Errors
    /// When the loop does not take it.
    pub fn into_stream(self) -> io::Result<Stream> {
        Ok(match self {
            Accepted::Tcp(stream) => Stream::Tcp(tokio::net::TcpStream::from_std(stream)?),
            #[cfg(unix)]
            Accepted::Unix(stream) => Stream::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }

    /// Sends what fits, to whoever may still listen.
    pub fn say(&mut self, text: &[u8]) {
        let _ = match self {
            Accepted::Tcp(stream) => io::Write::write(stream, text),
            #[cfg(unix)]
            Accepted::Unix(stream) => io::Write::write(stream, text),
        };
    }
}

impl Stream {
    /// Shakes hands, if it is a TCP connection.
    ///
    /// # Errors
    /// When the client speaks no TLS, or none that the server wants.
    pub async fn under_tls(self, acceptor: &TlsAcceptor) -> io::Result<Stream> {
        match self {
            Stream::Tcp(stream) => Ok(Stream::Tls(Box::new(acceptor.accept(stream).await?))),
            other => Ok(other),
        }
    }

    /// Whether it is under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// The common name in the certificate that the client has shown, if it has.
    pub fn certified_name(&self) -> Option<String> {
        let Stream::Tls(stream) = self else { return None };
        crate::tls::common_name(stream.get_ref().1.peer_certificates()?.first()?)
    }
}

/// Calls the method of the socket that it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
            #[cfg(unix)]
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
