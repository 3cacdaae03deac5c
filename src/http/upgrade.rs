//! Websocket upgrades: the request and its connection.

use std::future::Future;
use std::io;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::{BodySize, MessageBody};
use actix_http::ws::{self, HandshakeError};
use actix_http::{ConnectionType, Request, RequestHead, Response, h1};
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use bytes::Bytes;
use futures_util::SinkExt;
use futures_util::future::LocalBoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Problem;
use super::connection::Stream;
use super::draining::{Draining, Held};
use super::limits::{AddressKey, ConcurrencyGuard, Limits};

/// How long a refused client may keep the connection open to read the response.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The handler of a server's websockets.
pub trait Websockets: Clone + Send + 'static {
    /// Makes the handler for one server thread. The handler's future completes when the request is answered; the server
    /// does not track the resulting websocket.
    fn on_this_thread(&self) -> impl Fn(Upgrade) -> LocalBoxFuture<'static, ()> + Clone + use<Self>;

    /// Closes all websockets. The server accepts no more connections, but its threads still run.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A websocket upgrade request.
pub struct Upgrade {
    request: Request,
    connection: Framed<Stream, h1::Codec>,
    limits: Limits,
    draining: Draining,
    key: Option<AddressKey>,
}

impl Upgrade {
    pub(super) fn new(
        request: Request,
        connection: Framed<Stream, h1::Codec>,
        limits: Limits,
        draining: Draining,
    ) -> Self {
        Self { request, connection, limits, draining, key: None }
    }

    /// The same, of a client with this key in the limits.
    pub(super) fn of(self, key: Option<AddressKey>) -> Self {
        Self { key, ..self }
    }

    /// Counts a Socket.IO session of the client, until the guard is dropped.
    ///
    /// # Errors
    /// 429 above the limit.
    pub(crate) fn session(&self) -> Result<Option<ConcurrencyGuard>, Problem> {
        self.limits.session(self.key)
    }

    /// Counts the websocket for the drain, until it is dropped.
    pub(crate) fn hold(&self) -> Held {
        self.draining.hold()
    }

    pub(crate) fn head(&self) -> &RequestHead {
        self.request.head()
    }

    /// Checks the request against RFC 6455, section 4.2.1.
    ///
    /// # Errors
    /// 400 with the violation.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        ws::verify_handshake(self.head()).map_err(|error| {
            let problem = Problem::new(StatusCode::BAD_REQUEST, format!("This is not a websocket request: {error}."));
            match error {
                HandshakeError::UnsupportedVersion | HandshakeError::NoVersionHeader => {
                    problem.with_header(header::SEC_WEBSOCKET_VERSION, "13")
                }
                _ => problem,
            }
        })
    }

    /// Sends 101, after [`check`](Self::check). Returns the connection and the bytes that were already read from it.
    ///
    /// # Errors
    /// If the client has disconnected.
    pub(crate) async fn accept(mut self) -> io::Result<(Stream, Bytes)> {
        let response = ws::handshake_response(self.request.head()).finish().drop_body();
        self.connection.send((response, BodySize::None).into()).await?;
        let connection = self.connection.into_parts();
        Ok((connection.io, connection.read_buf.freeze()))
    }

    /// Sends an error response and closes the connection.
    pub(crate) async fn refuse(mut self, response: HttpResponse) {
        // A client that has disconnected needs no response.
        if self.send(response).await.is_ok() {
            let mut stream = self.connection.into_parts().io;
            let _ = stream.shutdown().await;
            // Closing a connection with unread data resets it, and loses the response.
            let _ = timeout(CLOSE_TIMEOUT, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
        }
    }

    async fn send(&mut self, response: HttpResponse) -> io::Result<()> {
        let (head, body) = response.into_parts();
        let mut head = Response::from(head);
        head.head_mut().set_connection_type(ConnectionType::Close);
        let body = body.try_into_bytes().unwrap_or_default();
        self.connection.feed((head, BodySize::Sized(body.len() as u64)).into()).await?;
        self.connection.feed(h1::Message::Chunk(Some(body))).await?;
        self.connection.send(h1::Message::Chunk(None)).await
    }
}
