//! A connection with a timeout for writes: of a websocket, or of HTTP/2.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A connection that fails if the client reads nothing for too long.
///
/// The layers above have no such timeout: a client that sends pongs but reads nothing would keep its session, and the
/// last write, forever.
pub(crate) struct WriteTimeoutStream<S> {
    stream: S,
    write_timeout: Duration,
    /// Runs while a write is pending. Boxed, because most connections never need it.
    timer: Option<Pin<Box<Sleep>>>,
    timed_out: bool,
    drop_guard: Option<DropGuard>,
}

impl<S> WriteTimeoutStream<S> {
    pub(crate) fn new(stream: S, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, timer: None, timed_out: false, drop_guard: None }
    }

    /// Completes when the stream is dropped.
    pub(crate) fn dropped(&mut self) -> impl Future<Output = ()> + use<S> {
        let token = CancellationToken::new();
        self.drop_guard = Some(token.clone().drop_guard());
        token.cancelled_owned()
    }

    /// Applies the timeout to a write. After the first timeout, every later operation fails.
    fn check_timeout<T>(&mut self, write: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.timer = None;
            return write;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(timer.as_mut().poll(context));
        self.timed_out = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Fails after a timeout. The reader is woken together with the writer.
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check_timeout(write, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        self.check_timeout(flush, context)
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

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_times_out_permanently() {
        let (mut client, server) = duplex(4);
        let mut stream = WriteTimeoutStream::new(server, WRITE_TIMEOUT);
        assert_eq!(stream.write_all(b"12345").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        client.read_exact(&mut [0; 4]).await.unwrap();
        client.write_all(b"3").await.unwrap();
        assert_eq!(stream.write_all(b"6").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_does_not_time_out() {
        let (mut client, server) = duplex(4);
        let mut stream = WriteTimeoutStream::new(server, WRITE_TIMEOUT);
        let writing = tokio::spawn(async move { stream.write_all(b"0123456789").await });
        for _ in 0..6 {
            sleep(WRITE_TIMEOUT / 2).await;
            client.read_u8().await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn dropping_the_stream_completes_the_future() {
        let mut stream = WriteTimeoutStream::new(duplex(4).0, WRITE_TIMEOUT);
        let dropped = stream.dropped();
        drop(stream);
        dropped.await;
    }
}
