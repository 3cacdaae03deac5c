//! HTTP servers on a given listener, with or without websockets.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use actix_http::{ConnectionType, Request};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{
    AppConfig, Extensions, RequestHead, Server, ServerHandle, Service, ServiceFactory, ServiceRequest, ServiceResponse,
};
use actix_web::{App, Error, HttpMessage, HttpResponse, web};
use futures_util::future::{Either, ready};
use futures_util::{FutureExt, TryFutureExt};

use super::Problem;
use super::auth::{Bearer, ServerTokens};
use super::client_address::{Client, Scheme, TrustedProxies};
use super::connection::accept;
use super::cors::Cors;
use super::draining::Draining;
use super::expectation::{self, Factories};
use super::limits::{self, AddressKey, Limits};
use super::listener::{Closer, Listener};
use super::metrics;
use super::protocols::{Http2, by_protocol, http1};
use super::request_span::{self, Pending};
use super::resource::not_found;
use super::site_guard::SiteGuard;
use super::tls::Tls;
use super::upgrade::{Upgrade, Websockets};

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The number of threads that serve connections.
    pub workers: NonZeroUsize,
    /// The time limit for requests in flight after a shutdown was requested, in whole seconds.
    pub drain: Duration,
    /// Whether one line per request is logged.
    pub access_log: bool,
    /// The pages of other origins that may read responses.
    pub cors: Cors,
    /// The proxies that name the clients.
    pub proxies: TrustedProxies,
    /// The tokens of backends and operators.
    pub tokens: ServerTokens,
    /// How much a client may request.
    pub limits: Limits,
    /// Refuses requests that only web pages of others send.
    pub guard: Option<SiteGuard>,
    /// When and how the server drains.
    pub draining: Draining,
    /// TLS of all connections; `None` for plain HTTP.
    pub tls: Option<Tls>,
}

/// Starts serving on the current runtime; the returned future completes when the server has drained.
///
/// When a client disconnects, its request is dropped at once, even while it waits.
///
/// # Errors
/// When the listener cannot be used.
pub fn start<F>(
    listener: Listener,
    settings: Settings,
    routes: F,
) -> io::Result<impl Future<Output = io::Result<()>> + Send>
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let stopped = move || {
        let stopping = stopping.clone();
        async move { stopping.notified().await }
    };
    let Settings { workers, drain, draining, .. } = settings.clone();
    let (listener, closer) = listener.open()?;
    let http = move || {
        let factories = factories(&routes, settings.clone());
        let http2 = Http2::new(factories.shared(), settings.draining.clone());
        let http1 = http1(stopped.clone()).expect(factories.expectation()).finish(factories.service());
        accept(settings.tls.clone(), settings.draining.clone()).and_then(by_protocol(http1, http2))
    };
    let server = builder
        .workers(workers.get())
        .shutdown_timeout(drain.as_secs())
        .disable_signals()
        .listen("http", listener, http)?
        .run();
    Ok(serve(server, closer, draining, |_| std::future::ready(())))
}

/// Starts a server with websockets: `websockets` takes every upgrade request, on any path.
///
/// In the drain, the last websockets are closed while their threads still run, then the rest ends.
///
/// # Errors
/// When the listener cannot be used.
pub fn start_with_websockets<F, W>(
    listener: Listener,
    settings: Settings,
    routes: F,
    websockets: W,
) -> io::Result<impl Future<Output = io::Result<()>> + Send>
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    W: Websockets,
{
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let stopped = move || {
        let stopping = stopping.clone();
        async move { stopping.notified().await }
    };
    let accepting = websockets.clone();
    let Settings { workers, drain, draining, .. } = settings.clone();
    let (listener, closer) = listener.open()?;
    let http = move || {
        let upgrades = accepting.on_this_thread();
        let admission = settings.clone();
        let factories = factories(&routes, settings.clone());
        let http2 = Http2::new(factories.shared(), settings.draining.clone());
        let http1 = http1(stopped.clone())
            .expect(factories.expectation())
            .upgrade(fn_service(move |(request, connection)| {
                let upgrade = Upgrade::new(request, connection, admission.limits.clone(), admission.draining.clone());
                let (head, client) = (upgrade.head(), admission.client(upgrade.head()));
                let served = match admission.admit(head, head.uri.path(), client) {
                    Ok(admission) => upgrades(upgrade.of(admission.key)),
                    Err(problem) => refuse(upgrade, problem).boxed_local(),
                };
                served.map(Ok::<(), Error>)
            }))
            .finish(factories.service());
        accept(settings.tls.clone(), settings.draining.clone()).and_then(by_protocol(http1, http2))
    };
    let server = builder
        .workers(workers.get())
        .shutdown_timeout(drain.as_secs())
        .disable_signals()
        .listen("http", listener, http)?
        .run();
    Ok(serve(server, closer, draining, async move |server| {
        server.pause().await;
        websockets.close().await;
    }))
}

/// The factories of one thread.
fn factories<F>(
    routes: &F,
    settings: Settings,
) -> Factories<
    impl ServiceFactory<
        Request,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = HttpResponse,
        InitError = (),
        Service: Service<Request, Future: 'static>,
    > + use<F>,
>
where
    F: Fn(&mut web::ServiceConfig) + 'static,
{
    let app = app(routes, settings).into_factory().map_err(|error| error.error_response());
    Factories::new(map_config(app, |()| AppConfig::default()))
}

fn app<F>(
    routes: &F,
    settings: Settings,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>
    + use<F>,
>
where
    F: Fn(&mut web::ServiceConfig),
{
    App::new()
        .app_data(web::Data::new(settings.limits.clone()))
        .app_data(web::Data::new(settings.draining.clone()))
        .wrap_fn(move |request, next| {
            let client = settings.client(request.head());
            let pending = Pending::new(&request, settings.access_log, client);
            let path = request.match_info().as_str();
            let cors = settings.cors.headers(request.head(), path);
            let served = match settings.admit(request.head(), path, client) {
                Ok(admission) => {
                    admission.add_to(&mut request.extensions_mut());
                    Either::Left(next.call(request))
                }
                Err(problem) => Either::Right(ready(Ok(request.error_response(problem)))),
            };
            let draining = settings.draining.clone();
            let served = metrics::measured(served).inspect_ok(limits::count_refusal);
            request_span::serve(pending, served).map_ok(move |response| {
                let mut response = cors.add_to(response);
                if draining.is_closing() {
                    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                }
                response
            })
        })
        .configure(routes)
        .default_service(web::to(not_found))
}

/// An admitted request, for its handler.
struct Admission {
    /// The key for the limits of its connections.
    key: Option<AddressKey>,
    bearer: Option<Bearer>,
}

impl Admission {
    fn add_to(self, extensions: &mut Extensions) {
        // An extension costs memory in each long poll.
        if let Some(key) = self.key {
            extensions.insert(key);
        }
        if let Some(bearer) = self.bearer {
            extensions.insert(bearer);
        }
    }
}

impl Settings {
    fn client(&self, head: &RequestHead) -> Option<Client> {
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        self.proxies.client(head, scheme)
    }

    /// Checks a request before its body is read.
    fn admit(&self, head: &RequestHead, path: &str, client: Option<Client>) -> Result<Admission, Problem> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.check(head, path))?;
        let bearer = self.tokens.identify(&head.headers);
        let is_backend = bearer.is_some_and(|bearer| bearer.is_of_server());
        let key = self.limits.admit(head, path, client, is_backend)?;
        expectation::check(head)?;
        Ok(Admission { key, bearer })
    }
}

async fn refuse(upgrade: Upgrade, problem: Problem) {
    let response = problem.response(upgrade.head().uri.path());
    upgrade.refuse(response).await;
}

/// Runs a server until its drain is requested. Then closes its connections one after the other, awaits `close_rest`, and
/// waits for requests in flight.
async fn serve<G>(
    server: Server,
    listener: Closer,
    draining: Draining,
    close_rest: impl FnOnce(ServerHandle) -> G,
) -> io::Result<()>
where
    G: Future<Output = ()>,
{
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    tokio::select! {
        result = &mut serving => return result.unwrap_or_else(|panic| Err(io::Error::other(panic))),
        () = draining.delayed() => {}
    }
    if draining.is_gradual() {
        handle.pause().await;
        listener.close().await;
    } else {
        drop(listener);
    }
    draining.close_gradually().await;
    close_rest(handle.clone()).await;
    draining.end();
    handle.stop(true).await;
    serving.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
