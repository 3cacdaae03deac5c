//! An HTTP server on a given listener.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio_util::sync::CancellationToken;

use super::problem;
use super::resource::nothing_here;

/// How many connections may wait to be accepted: thousands of clients may come back at once after a restart.
const BACKLOG: i32 = 4096;
/// How long a connection may idle between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How a server runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Threads that serve connections.
    pub workers: NonZeroUsize,
    /// How long requests in flight may take to end once a shutdown was requested, in whole seconds.
    pub drain: Duration,
}

/// Opens a listener.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // On a socket that listens already this changes the length of its queue only.
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Starts serving on the current runtime; the returned future ends when the server has drained after `shutdown`.
///
/// A request whose client goes away is dropped at once, also where its answer is only waited for.
///
/// # Errors
/// When the listener cannot be used.
pub fn start<F>(
    listener: TcpListener,
    settings: Settings,
    shutdown: CancellationToken,
    routes: F,
) -> io::Result<impl Future<Output = io::Result<()>> + Send>
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    let app = move || {
        App::new().wrap(from_fn(problem::answer)).configure(routes.clone()).default_service(web::to(nothing_here))
    };
    let server = HttpServer::new(app)
        .workers(settings.workers.get())
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .h1_allow_half_closed(false)
        .shutdown_timeout(settings.drain.as_secs())
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    Ok(async move {
        tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
            () = shutdown.cancelled() => {}
        }
        handle.stop(true).await;
        serving.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    })
}
