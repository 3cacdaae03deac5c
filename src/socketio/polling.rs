//! The polling transport: packets come in by POST, and go out by a GET that is held until there are some.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use http::Method;
use http_body_util::Full;

use super::error::InvalidRequest::{self, BadRequest};
use super::error::RequestError;
use super::handshake::{self, HandshakeQuery, Transport};
use super::session::SessionAcceptor;
use crate::http::{Problem, body};

/// Opens a session, or waits for the packets of one.
pub(super) async fn get(acceptor: web::Data<SessionAcceptor>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    poll(&acceptor, &request).await.or_else(RequestError::answer)
}

/// Takes the packets of a session.
pub(super) async fn post(
    acceptor: web::Data<SessionAcceptor>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    take(&acceptor, &request, payload).await.or_else(RequestError::answer)
}

/// Refuses a request of any other method.
pub(super) async fn other(acceptor: web::Data<SessionAcceptor>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let refusal = handshake_query(&acceptor, &request).await.map_or_else(|refusal| refusal, |_| BadRequest.into());
    refusal.answer()
}

async fn poll(acceptor: &SessionAcceptor, request: &HttpRequest) -> Result<HttpResponse, RequestError> {
    let query = handshake_query(acceptor, request).await?;
    let request = acceptor.admit(&query, Method::GET, Full::default())?;
    let closed = acceptor.sockets.0.closed.clone();
    match closed.run_until_cancelled(acceptor.ask(request)).await {
        Some(response) => answer(&response),
        None => Err(Problem::unavailable("a poll was held when the server stopped").into()),
    }
}

async fn take(
    acceptor: &SessionAcceptor,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, RequestError> {
    let query = handshake_query(acceptor, request).await?;
    let packets = body::read_to_end(payload, acceptor.sockets.0.settings.max_payload, "body").await?;
    let request = acceptor.admit(&query, Method::POST, Full::new(packets))?;
    answer(&acceptor.ask(request).await)
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

/// The response as actix-web takes it. engineioxide says 500 where it does not know better, and some errors say nothing;
/// either way it is the request that was wrong.
fn answer(response: &http::Response<Bytes>) -> Result<HttpResponse, RequestError> {
    if response.status() != http::StatusCode::OK {
        return Err(InvalidRequest::of(response).unwrap_or(BadRequest).into());
    }
    let mut answer = HttpResponse::Ok();
    if let Some(kind) = response.headers().get(http::header::CONTENT_TYPE) {
        answer.insert_header((header::CONTENT_TYPE, kind.as_bytes()));
    }
    Ok(answer.insert_header((header::CACHE_CONTROL, "no-store")).body(response.body().clone()))
}
