//! Socket.IO v4 on `/socket.io/`: the bridge from actix-web to socketioxide.
//!
//! Owns this path, with the client for browsers below it, the sessions and their connections. Consumes updates, and
//! sends them to every socket. Packets of clients are read, limited in size and dropped, because no event is expected
//! from them. Never interprets an event, and never buffers more for a client than the latest update.
//!
//! Polling requests are passed on as ordinary requests. A websocket leaves actix-web with its 101 response: the raw
//! connection is passed to engineioxide, so that no frame is copied. Each socket is handled by the thread that accepted
//! it, and each thread sends to its own sockets, because waking a task of another thread costs a system call.
//!
//! Updates are sent as volatile: engineioxide keeps the latest one for each socket until the client has read the
//! previous one. So a slow client skips intermediate updates but always receives the latest, and does not delay other
//! clients.

mod access;
mod browser_client;
mod closing_stream;
mod error;
mod handshake;
mod polling;
mod rooms;
mod session;
mod session_permit;
mod sockets;
mod websocket;

use actix_web::web;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::http::resource::options;
use crate::http::{Upgrade, Websockets};
pub(crate) use browser_client::BrowserClient;
use handshake::PATHS;
use session::SessionAcceptor;
pub use sockets::{Settings, Socket, Sockets};

/// The path of all requests, and of the client for browsers. Pages of every origin may use it.
pub(crate) const PATH: &str = "/socket.io";

impl Sockets {
    /// Adds the routes of the polling transport. [`Websockets`] is the websocket transport.
    pub fn routes(&self, services: &mut web::ServiceConfig) {
        let resource = web::resource(PATHS)
            .app_data(web::Data::new(SessionAcceptor::open(self)))
            .route(web::get().to(polling::get))
            .route(web::post().to(polling::post))
            .route(options("GET, POST"))
            .default_service(web::to(polling::other));
        services.service(resource);
    }
}

impl Websockets for Sockets {
    fn on_this_thread(&self) -> impl Fn(Upgrade) -> LocalBoxFuture<'static, ()> + Clone + use<> {
        let acceptor = SessionAcceptor::open(self);
        move |upgrade| websocket::accept(acceptor.clone(), upgrade).boxed_local()
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}
