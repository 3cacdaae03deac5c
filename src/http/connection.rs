//! The connections of the servers: plain with HTTP/1.1, or over TLS with HTTP/1.1 or HTTP/2.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::draining::{Counted, Draining};
use super::tls::{self, Tls};

/// A connection of a client.
pub(crate) struct Stream {
    inner: Inner,
    /// The drain waits for the connection.
    _counted: Counted,
}

enum Inner {
    Plain(TcpStream),
    /// Boxed, since a plain connection would need its memory.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes connections of the accepted ones: with TLS, after the handshake.
pub(super) fn accept(
    tls: Option<Tls>,
    draining: Draining,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (Stream, Protocol, Option<SocketAddr>),
    Error = DispatchError,
    InitError = (),
> {
    fn_service(move |stream: TcpStream| {
        let (acceptor, counted) = (tls.clone(), draining.connection());
        async move {
            let peer = stream.peer_addr().ok();
            // It fails only on a connection that is closed already.
            let _ = stream.set_nodelay(true);
            let (inner, protocol) = match acceptor {
                None => (Inner::Plain(stream), Protocol::Http1),
                // Boxed, since it is larger than all that follows.
                Some(acceptor) => {
                    let stream = Box::pin(acceptor.accept(stream)).await.map_err(|error| {
                        // Port scanners and clients of plain HTTP cause these.
                        tracing::debug!(peer = peer.map(tracing::field::display), %error, "TLS handshake failed");
                        DispatchError::Io(error)
                    })?;
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
                    (Inner::Tls(Box::new(stream)), if is_http2 { Protocol::Http2 } else { Protocol::Http1 })
                }
            };
            Ok((Stream { inner, _counted: counted }, protocol, peer))
        }
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Inner::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(stream) => stream.is_write_vectored(),
            Inner::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_flush(context),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
