//! The protocols of a server's connections, which share one service on each thread.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpServiceBuilder, Protocol, Request};
use actix_service::{Service, ServiceFactory, fn_factory};
use actix_web::body::BoxBody;
use actix_web::dev::Response;
use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture};

use super::connection::Stream;
use super::draining::Draining;
use super::expectation::Shared;
use super::http2;

/// The longest idle time between the requests of a connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The time limit for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection stays open after its last response while the client is still sending: closing it at once would
/// reset it, and lose the response.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, its protocol and the address of its client.
type Accepted = (Stream, Protocol, Option<SocketAddr>);

/// The settings of HTTP/1.1. The futures of `stopped` complete when the server stops.
pub(super) fn http1<S, F>(stopped: impl Fn() -> F + 'static) -> HttpServiceBuilder<Stream, S>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: fmt::Debug,
    <S::Service as Service<Request>>::Future: 'static,
    F: Future<Output = ()> + 'static,
{
    HttpServiceBuilder::default()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        .h1_allow_half_closed(false)
        // Without it, an idle connection would delay the shutdown by the whole drain time.
        .graceful_shutdown_signal(stopped)
}

/// HTTP/2 for requests to a shared service.
pub(super) struct Http2<S> {
    service: Shared<S>,
    draining: Draining,
}

impl<S> Http2<S>
where
    S: Service<Request> + 'static,
    S::Response: Into<Response<BoxBody>>,
    S::Error: Into<Response<BoxBody>>,
{
    pub(super) fn new(service: Shared<S>, draining: Draining) -> Self {
        Self { service, draining }
    }

    fn serve(&self, stream: Stream, peer: Option<SocketAddr>) -> LocalBoxFuture<'static, Result<(), DispatchError>> {
        // There are no connections before it exists.
        let service = self.service.get().map(Rc::clone);
        let draining = self.draining.clone();
        async move {
            if let Some(service) = service {
                http2::serve(stream, peer, service, draining).await;
            }
            Ok(())
        }
        .boxed_local()
    }
}

/// Serves each connection by its protocol.
pub(super) fn by_protocol<F, S>(
    http1: F,
    http2: Http2<S>,
) -> impl ServiceFactory<Accepted, Config = (), Response = (), Error = DispatchError, InitError = F::InitError>
where
    F: ServiceFactory<Accepted, Config = (), Response = (), Error = DispatchError>,
    S: Service<Request> + 'static,
    S::Response: Into<Response<BoxBody>>,
    S::Error: Into<Response<BoxBody>>,
{
    let http2 = Rc::new(http2);
    fn_factory(move || {
        let (http1, http2) = (http1.new_service(()), Rc::clone(&http2));
        async move { Ok(ByProtocol { http1: http1.await?, http2 }) }
    })
}

struct ByProtocol<H, S> {
    http1: H,
    http2: Rc<Http2<S>>,
}

impl<H, S> Service<Accepted> for ByProtocol<H, S>
where
    H: Service<Accepted, Response = (), Error = DispatchError>,
    S: Service<Request> + 'static,
    S::Response: Into<Response<BoxBody>>,
    S::Error: Into<Response<BoxBody>>,
{
    type Response = ();
    type Error = DispatchError;
    type Future = Either<H::Future, LocalBoxFuture<'static, Result<(), DispatchError>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        self.http1.poll_ready(context)
    }

    fn call(&self, (stream, protocol, peer): Accepted) -> Self::Future {
        match protocol {
            Protocol::Http2 => Either::Right(self.http2.serve(stream, peer)),
            protocol => Either::Left(self.http1.call((stream, protocol, peer))),
        }
    }
}
