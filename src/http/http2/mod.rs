//! HTTP/2 (RFC 9113) on a connection whose client chose it in the TLS handshake.
//!
//! hyper speaks the protocol, with limits on what one connection may use. The requests are served by the same service as
//! those of HTTP/1.1. A stream ends when its client does not read the response; a connection, when it is idle, when its
//! client does not answer pings or reads nothing, and in the drain: GOAWAY at a random time within the window, then the
//! end once its requests are answered. Never serves websockets: browsers use HTTP/1.1 for them unless a server offers
//! RFC 8441.
//!
//! - `activity`: what the streams of a connection do
//! - `request`, `response`: conversion from hyper and to it

mod activity;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_http::Request;
use actix_service::Service;
use actix_web::body::BoxBody;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::activity::Activity;
use super::draining::Draining;
use super::stalled_write::WriteTimeoutStream;

/// Requests that a connection has in progress. RFC 9113, section 6.5.2, recommends no fewer.
const MAX_STREAMS: u32 = 100;
/// The size of a request's head after decompression, in bytes, with 32 for each field (RFC 9113, section 6.5.2).
const MAX_HEAD_BYTES: u32 = 16 << 10;
/// The body bytes that a connection may send before they are read, so also its memory for them: 10 MB/s at 50 ms.
const WINDOW_BYTES: u32 = 512 << 10;
/// The response bytes of a stream that wait for the client, in bytes.
const MAX_SEND_BYTES: usize = 64 << 10;
/// A client that answers no ping within the second time is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest time in which a client reads nothing at all while something waits for it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the activity of a connection is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a connection may stay without a stream after GOAWAY: until its client has everything, and has answered.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the requests of a connection until it ends. Dropping the future ends it, and drops its requests.
pub(super) async fn serve<I, S>(io: I, peer: Option<SocketAddr>, service: Rc<S>, draining: Draining)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request> + 'static,
    S::Response: Into<actix_http::Response<BoxBody>>,
    S::Error: Into<actix_http::Response<BoxBody>>,
{
    let mut io = WriteTimeoutStream::new(io, WRITE_TIMEOUT);
    if serve_requests(&mut io, peer, service, &draining).await.is_ok() {
        // Closing a connection with unread data, such as a window update, resets it, and loses the last response.
        let _ = timeout(CLOSE_TIMEOUT, async {
            io.shutdown().await?;
            tokio::io::copy(&mut io, &mut tokio::io::sink()).await
        })
        .await;
    }
}

/// A connection that was broken, or whose client did not answer after GOAWAY.
struct Lost;

async fn serve_requests<I, S>(io: I, peer: Option<SocketAddr>, service: Rc<S>, draining: &Draining) -> Result<(), Lost>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request> + 'static,
    S::Response: Into<actix_http::Response<BoxBody>>,
    S::Error: Into<actix_http::Response<BoxBody>>,
{
    let (activity, streams) = (Activity::new(), Rc::default());
    let requests = service_fn({
        let activity = activity.clone();
        move |request: hyper::Request<Incoming>| {
            let is_head = request.method() == hyper::Method::HEAD;
            let (stream, service) = (activity.stream(), Rc::clone(&service));
            async move {
                let response = answer(&*service, request, peer).await;
                Ok::<_, Infallible>(response::convert(response, is_head, stream))
            }
        }
    });
    let executor = Streams { tasks: Rc::downgrade(&streams), activity: activity.clone() };
    let mut connection = pin!(builder(executor).serve_connection(TokioIo::new(io), requests));
    let (held, ended) = (draining.hold(), draining.ended());
    let mut turn = pin!(held.turn());
    let mut drained = pin!(async {
        ended.cancelled().await;
        activity.no_stream().await;
    });
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut going_away: Option<Instant> = None;
    loop {
        let is_leaving = tokio::select! {
            // A broken connection concerns nobody else; its requests are dropped.
            result = &mut connection => return result.map_err(|_| Lost),
            () = &mut turn, if going_away.is_none() => true,
            () = &mut drained, if going_away.is_none() => true,
            _ = checks.tick() => activity.is_idle(),
        };
        if is_leaving && going_away.is_none() {
            connection.as_mut().graceful_shutdown();
            going_away = Some(Instant::now());
            checks.reset_after(CLOSE_TIMEOUT);
        }
        let left_for = going_away.map_or(Duration::ZERO, |since| since.elapsed());
        if activity.idle_for().min(left_for) >= CLOSE_TIMEOUT {
            return Err(Lost);
        }
    }
}

/// The response of the service, or a refusal of what only HTTP/2 accepts.
async fn answer<S>(
    service: &S,
    request: hyper::Request<Incoming>,
    peer: Option<SocketAddr>,
) -> actix_http::Response<BoxBody>
where
    S: Service<Request>,
    S::Response: Into<actix_http::Response<BoxBody>>,
    S::Error: Into<actix_http::Response<BoxBody>>,
{
    let path = request.uri().path().to_owned();
    match request::convert(request, peer) {
        Ok(request) => service.call(request).await.map_or_else(Into::into, Into::into),
        Err(problem) => problem.response(&path).into(),
    }
}

fn builder(executor: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .max_send_buf_size(MAX_SEND_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Runs the streams of a connection, which end with it.
#[derive(Clone)]
struct Streams {
    /// Weak, since each stream has a clone.
    tasks: Weak<RefCell<JoinSet<()>>>,
    activity: Activity,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    /// hyper calls it with a stream directly after it has called the service.
    fn execute(&self, stream: F) {
        let Some(tasks) = self.tasks.upgrade() else { return };
        let unread = self.activity.newest();
        let mut tasks = tasks.borrow_mut();
        // Frees the ended ones.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(async move {
            tokio::select! {
                () = stream => {}
                // Dropping a stream resets it.
                () = unread.timed_out() => {}
            }
        });
    }
}
