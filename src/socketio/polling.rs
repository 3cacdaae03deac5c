//! The polling transport: packets come in by POST, and go out by a GET that is held until there are some.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use http::Method;
use http_body_util::Full;

use super::asked::{self, Asked, Transport};
use super::entrance::Entrance;
use super::refusal::InvalidRequest::{self, BadRequest};
use super::refusal::Refusal;
use crate::http::{Problem, body};

/// Opens a session, or waits for the packets of one.
pub(super) async fn get(entrance: web::Data<Entrance>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    poll(&entrance, &request).await.or_else(Refusal::answer)
}

/// Takes the packets of a session.
pub(super) async fn post(
    entrance: web::Data<Entrance>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    take(&entrance, &request, payload).await.or_else(Refusal::answer)
}

/// Refuses a request of any other method.
pub(super) async fn other(entrance: web::Data<Entrance>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let refusal = asked(&entrance, &request).await.map_or_else(|refusal| refusal, |_| BadRequest.into());
    refusal.answer()
}

async fn poll(entrance: &Entrance, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let asked = asked(entrance, request).await?;
    let request = entrance.admit(&asked, Method::GET, Full::default())?;
    let closed = entrance.sockets.0.closed.clone();
    match closed.run_until_cancelled(entrance.ask(request)).await {
        Some(response) => answer(&response),
        None => Err(Problem::unavailable("a poll was held when the server stopped").into()),
    }
}

async fn take(entrance: &Entrance, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refusal> {
    let asked = asked(entrance, request).await?;
    let packets = body::read_to_end(payload, entrance.sockets.0.settings.max_payload, "body").await?;
    let request = entrance.admit(&asked, Method::POST, Full::new(packets))?;
    answer(&entrance.ask(request).await)
}

async fn asked(entrance: &Entrance, request: &HttpRequest) -> Result<Asked, Refusal> {
    let asked = Asked::parse(request.query_string(), asked::Method::of(request.method()))?;
    match (asked.transport, asked.session) {
        (Transport::Polling, _) => Ok(asked),
        (Transport::Websocket, None) => Err(BadRequest.into()),
        (Transport::Websocket, Some(session)) => {
            entrance.check_session(session).await?;
            Err(BadRequest.into())
        }
    }
}

/// The response as actix-web takes it. engineioxide says 500 where it does not know better, and some errors say nothing;
/// either way it is the request that was wrong.
fn answer(response: &http::Response<Bytes>) -> Result<HttpResponse, Refusal> {
    if response.status() != http::StatusCode::OK {
        return Err(InvalidRequest::of(response).unwrap_or(BadRequest).into());
    }
    let mut answer = HttpResponse::Ok();
    if let Some(kind) = response.headers().get(http::header::CONTENT_TYPE) {
        answer.insert_header((header::CONTENT_TYPE, kind.as_bytes()));
    }
    Ok(answer.insert_header((header::CACHE_CONTROL, "no-store")).body(response.body().clone()))
}
