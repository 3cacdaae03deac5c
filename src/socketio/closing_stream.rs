//! The connection of a websocket, which ends in the drain of the server.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::draining::Held;

/// A client's Close frame with the status 1001, going away (RFC 6455, sections 5.2 and 7.4.1), with a mask of zeros. The
/// answer is a Close frame with this status, after which Socket.IO clients reconnect.
const CLOSE_FRAME: Bytes = Bytes::from_static(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);

/// A connection that reads a Close frame when it is to end, and nothing after it.
///
/// engineioxide can close all sessions at once or none. A frame that the client has only begun is cut by the end.
pub(super) struct ClosingStream<S> {
    stream: S,
    /// To be read before the stream: bytes that came with the upgrade request, or the Close frame.
    prefix: Bytes,
    /// When the connection is to end; `None` after that.
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _held: Held,
}

impl<S> ClosingStream<S> {
    pub(super) fn new(stream: S, prefix: Bytes, held: Held) -> Self {
        Self { stream, prefix, turn: Some(Box::pin(held.turn())), _held: held }
    }

    fn read_prefix(&mut self, buffer: &mut ReadBuf<'_>) {
        let fits = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..fits]);
        self.prefix.advance(fits);
        if self.prefix.is_empty() {
            // An exhausted slice would keep the buffer of the request alive.
            self.prefix = Bytes::new();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClosingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty()
            && let Some(turn) = &mut self.turn
        {
            if turn.as_mut().poll(context).is_pending() {
                return Pin::new(&mut self.stream).poll_read(context, buffer);
            }
            self.turn = None;
            self.prefix = CLOSE_FRAME;
        }
        self.read_prefix(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClosingStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::http::draining::{Draining, Settings};

    #[tokio::test]
    async fn the_prefix_is_read_first() {
        let (mut client, server) = duplex(64);
        let held = Draining::new(Settings::default()).hold();
        let mut stream = ClosingStream::new(server, Bytes::from_static(b"prefix "), held);
        client.write_all(b"late").await.unwrap();
        drop(client);
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "prefix late");
    }

    #[tokio::test]
    async fn a_close_frame_is_read_when_the_connection_is_to_end_and_nothing_after_it() {
        let (mut client, server) = duplex(64);
        let draining = Draining::new(Settings::default());
        let mut stream = ClosingStream::new(server, Bytes::new(), draining.hold());
        client.write_all(b"read").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        let reading = tokio::spawn(async move {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            rest
        });
        draining.close_gradually().await;
        client.write_all(b"not read").await.unwrap();
        assert_eq!(reading.await.unwrap(), CLOSE_FRAME);
    }
}
