//! HTTP/2 (RFC 9113) on a connection whose client chose it in the TLS handshake.
//!
//! hyper speaks the protocol, with limits on what one connection may use. The requests are served by the same service as
//! those of HTTP/1.1. A connection ends when it is idle, when its client does not answer pings or does not read a
//! response, and in the drain: GOAWAY at a random time within the window, then the end once its requests are answered.
//! Never serves websockets: browsers use HTTP/1.1 for them unless a server offers RFC 8441.
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
use std::rc::Rc;
use std::time::Duration;

use actix_http::Request;
use actix_service::Service;
use actix_web::body::BoxBody;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::activity::{Activity, Verdict};
use super::draining::Draining;

/// Requests that a connection has in progress. RFC 9113, section 6.5.2, recommends no fewer.
const MAX_STREAMS: u32 = 100;
/// The size of a request's head after decompression, in bytes, with 32 for each field (RFC 9113, section 6.5.2).
const MAX_HEAD_BYTES: u32 = 16 << 10;
/// The body bytes that a connection may send before they are read, so also its memory for them: 10 MB/s at 50 ms.
const WINDOW_BYTES: u32 = 512 << 10;
/// The response bytes of a stream that wait for the client.
const MAX_SEND_BYTES: usize = 64 << 10;
/// A client that answers no ping within the second time is gone, or reads nothing.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the activity of a connection is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a connection may take to end after GOAWAY, when it has no stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the requests of a connection until it ends. Dropping the future ends it, and drops its requests.
pub(super) async fn serve<I, S>(io: I, peer: Option<SocketAddr>, service: Rc<S>, draining: Draining)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request> + 'static,
    S::Response: Into<actix_http::Response<BoxBody>>,
    S::Error: Into<actix_http::Response<BoxBody>>,
{
    let activity = Activity::new();
    let requests = service_fn({
        let activity = activity.clone();
        move |request: hyper::Request<Incoming>| {
            let is_head = request.method() == hyper::Method::HEAD;
            let (stream, service) = (activity.stream(), Rc::clone(&service));
            async move {
                let response = match service.call(request::convert(request, peer)).await {
                    Ok(response) => response.into(),
                    Err(error) => error.into(),
                };
                Ok::<_, Infallible>(response::convert(response, is_head, stream))
            }
        }
    });
    let mut connection = pin!(builder().serve_connection(TokioIo::new(io), requests));
    let (held, ended) = (draining.hold(), draining.ended());
    let mut turn = pin!(held.turn());
    let mut drained = pin!(async {
        ended.cancelled().await;
        activity.no_stream().await;
    });
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_going_away = false;
    loop {
        tokio::select! {
            // A broken connection concerns nobody else; its requests are dropped.
            _ = &mut connection => return,
            () = &mut turn, if !is_going_away => {
                is_going_away = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut drained => break,
            _ = checks.tick() => match activity.verdict() {
                Verdict::Active => {}
                Verdict::Idle => break,
                Verdict::Unread => return,
            },
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(CLOSE_TIMEOUT, connection).await;
}

fn builder() -> Builder<Streams> {
    let mut builder = Builder::new(Streams::default());
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

/// The tasks of a connection's streams, which end with it.
#[derive(Clone, Default)]
struct Streams(Rc<RefCell<JoinSet<()>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut streams = self.0.borrow_mut();
        // Frees the ended ones.
        while streams.try_join_next().is_some() {}
        streams.spawn_local(stream);
    }
}
