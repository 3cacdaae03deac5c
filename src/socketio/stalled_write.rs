//! The connection below a websocket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A connection that gives up on a client who takes nothing.
///
/// Nothing above it does: who answers pings but reads nothing would keep a session, and the last thing that is written to
/// it, for ever.
pub(super) struct WriteTimeoutStream<S> {
    stream: S,
    /// What was read of it before it became a websocket.
    prefix: Bytes,
    write_timeout: Duration,
    /// Runs while a write waits. Boxed: most wires never have one.
    waiting: Option<Pin<Box<Sleep>>>,
    timed_out: bool,
    gone: Option<DropGuard>,
}

impl<S> WriteTimeoutStream<S> {
    pub(super) fn new(stream: S, prefix: Bytes, write_timeout: Duration) -> Self {
        Self { stream, prefix, write_timeout, waiting: None, timed_out: false, gone: None }
    }

    /// What ends when the stream is dropped.
    pub(super) fn watch(&mut self) -> impl Future<Output = ()> + use<S> {
        let token = CancellationToken::new();
        self.gone = Some(token.clone().drop_guard());
        token.cancelled_owned()
    }

    /// Passes on how a write went; the first to wait too long is an error, and so is everything after it.
    fn judge<T>(&mut self, write: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.waiting = None;
            return write;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(waiting.as_mut().poll(context));
        self.timed_out = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether this is over. Whoever reads is woken with whoever writes, so that both hear of it.
    fn check(&self) -> io::Result<()> {
        if self.timed_out { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let fits = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..fits]);
        self.prefix.advance(fits);
        if self.prefix.is_empty() {
            // Advanced to its end, it would still hold the buffer that the request came in.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(write, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(flush, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (mut client, server) = duplex(64);
        let mut stream = WriteTimeoutStream::new(server, Bytes::from_static(b"prefix "), WRITE_TIMEOUT);
        client.write_all(b"late").await.unwrap();
        drop(client);
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "prefix late");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up_for_good() {
        let (mut client, server) = duplex(4);
        let mut stream = WriteTimeoutStream::new(server, Bytes::new(), WRITE_TIMEOUT);
        assert_eq!(stream.write_all(b"12345").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        client.read_exact(&mut [0; 4]).await.unwrap();
        client.write_all(b"3").await.unwrap();
        assert_eq!(stream.write_all(b"6").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_now_and_then_is_not_given_up() {
        let (mut client, server) = duplex(4);
        let mut stream = WriteTimeoutStream::new(server, Bytes::new(), WRITE_TIMEOUT);
        let writing = tokio::spawn(async move { stream.write_all(b"0123456789").await });
        for _ in 0..6 {
            sleep(WRITE_TIMEOUT / 2).await;
            client.read_u8().await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_wire_says_when_it_is_gone() {
        let mut stream = WriteTimeoutStream::new(duplex(4).0, Bytes::new(), WRITE_TIMEOUT);
        let gone = stream.watch();
        drop(stream);
        gone.await;
    }
}
