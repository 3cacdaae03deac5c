//! The way from HTTP to a websocket: a request that asks for one, and the connection it came on.

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
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Problem;

/// How long a client may take to read that it was refused.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Who takes a server's websockets.
pub trait Websockets: Clone + Send + 'static {
    /// What takes the requests of one thread of the server; called once on each. Its future ends when the request is
    /// answered: a websocket that comes of it no longer belongs to the server.
    fn on_this_thread(&self) -> impl Fn(Upgrade) -> LocalBoxFuture<'static, ()> + Clone + use<Self>;

    /// Closes them all. The server accepts no connection any more, and its threads still live.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A request that asks to speak websocket.
pub struct Upgrade {
    request: Request,
    connection: Framed<TcpStream, h1::Codec>,
}

impl Upgrade {
    pub(super) fn new(request: Request, connection: Framed<TcpStream, h1::Codec>) -> Self {
        Self { request, connection }
    }

    /// Its head.
    pub(crate) fn head(&self) -> &RequestHead {
        self.request.head()
    }

    /// Whether it follows RFC 6455, section 4.2.1.
    ///
    /// # Errors
    /// 400 and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        ws::verify_handshake(self.head()).map_err(|error| {
            let problem = Problem::new(StatusCode::BAD_REQUEST, format!("This is no websocket request: {error}."));
            match error {
                HandshakeError::UnsupportedVersion | HandshakeError::NoVersionHeader => {
                    problem.with_header(header::SEC_WEBSOCKET_VERSION, "13")
                }
                _ => problem,
            }
        })
    }

    /// Says 101, after [`check`](Self::check). The connection is the caller's then, with what was read of it already.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) async fn accept(mut self) -> io::Result<(TcpStream, Bytes)> {
        let response = ws::handshake_response(self.request.head()).finish().drop_body();
        self.connection.send((response, BodySize::None).into()).await?;
        let connection = self.connection.into_parts();
        Ok((connection.io, connection.read_buf.freeze()))
    }

    /// Answers with a refusal, and closes the connection.
    pub(crate) async fn refuse(mut self, response: HttpResponse) {
        // A client that does not stay for the answer is not missed.
        if self.answer(response).await.is_ok() {
            let mut stream = self.connection.into_parts().io;
            let _ = stream.shutdown().await;
            // What is still unread when a connection closes resets it, and the answer with it.
            let _ = timeout(CLOSE_TIMEOUT, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
        }
    }

    async fn answer(&mut self, response: HttpResponse) -> io::Result<()> {
        let (head, body) = response.into_parts();
        let mut head = Response::from(head);
        head.head_mut().set_connection_type(ConnectionType::Close);
        let body = body.try_into_bytes().unwrap_or_default();
        self.connection.feed((head, BodySize::Sized(body.len() as u64)).into()).await?;
        self.connection.feed(h1::Message::Chunk(Some(body))).await?;
        self.connection.send(h1::Message::Chunk(None)).await
    }
}
