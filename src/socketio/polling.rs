//! The polling transport: clients send packets by POST, and receive them by a GET that is held until there are some.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use http::Method;
use http_body_util::Full;

use super::error::InvalidRequest::{self, BadRequest};
use super::error::RequestError;
use super::handshake::{self, HandshakeQuery, Transport};
use super::session::SessionAcceptor;
use crate::http::{Problem, auth, body, limits};

/// Opens a session, or waits for packets.
pub(super) async fn get(acceptor: web::Data<SessionAcceptor>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    poll(&acceptor, &request).await.or_else(RequestError::into_response)
}

/// Receives packets.
pub(super) async fn post(
    acceptor: web::Data<SessionAcceptor>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    receive(&acceptor, &request, payload).await.or_else(RequestError::into_response)
}

/// Rejects requests with another method.
pub(super) async fn other(acceptor: web::Data<SessionAcceptor>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let error = handshake_query(&acceptor, &request).await.map_or_else(|error| error, |_| BadRequest.into());
    error.into_response()
}

async fn poll(acceptor: &SessionAcceptor, request: &HttpRequest) -> Result<HttpResponse, RequestError> {
    let query = handshake_query(acceptor, request).await?;
    let token = auth::bearer_text(request.headers());
    let request = acceptor.admit(&query, Method::GET, Full::default(), token, || limits::session(request))?;
    let closed = acceptor.sockets.0.closed.clone();
    match closed.run_until_cancelled(acceptor.call(request)).await {
        Some(response) => convert(&response),
        None => Err(Problem::unavailable("the server is shutting down").into()),
    }
}

async fn receive(
    acceptor: &SessionAcceptor,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, RequestError> {
    let query = handshake_query(acceptor, request).await?;
    let packets = body::read_to_end(payload, acceptor.sockets.0.settings.max_payload, "body").await?;
    let request = acceptor.admit(&query, Method::POST, Full::new(packets), None, || limits::session(request))?;
    convert(&acceptor.call(request).await)
}

async fn handshake_query(acceptor: &SessionAcceptor, request: &HttpRequest) -> Result<HandshakeQuery, RequestError> {
    let query = HandshakeQuery::parse(request.query_string(), handshake::Method::of(request.method()))?;
    match (query.transport, query.session) {
        (Transport::Polling, _) => Ok(query),
        (Transport::Websocket, None) => Err(BadRequest.into()),
        (Transport::Websocket, Some(session)) => {
            acceptor.check_session(session).await?;
            Err(BadRequest.into())
        }
    }
}

/// Converts a response of engineioxide. Its errors may be 500 or have no body, but all are caused by the request.
fn convert(response: &http::Response<Bytes>) -> Result<HttpResponse, RequestError> {
    if response.status() != http::StatusCode::OK {
        return Err(InvalidRequest::of(response).unwrap_or(BadRequest).into());
    }
    let mut converted = HttpResponse::Ok();
    if let Some(kind) = response.headers().get(http::header::CONTENT_TYPE) {
        converted.insert_header((header::CONTENT_TYPE, kind.as_bytes()));
    }
    Ok(converted.insert_header((header::CACHE_CONTROL, "no-store")).body(response.body().clone()))
}
