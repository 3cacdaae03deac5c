//! The polling transport: packets come in by POST, and go out by a GET that is held until there are some.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use serde::Deserialize;

use super::asked::{Asked, Transport};
use super::entrance::Entrance;
use crate::http::{Problem, body};

/// Opens a session, or waits for the packets of one.
pub(super) async fn get(entrance: web::Data<Entrance>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asked = asked(&request)?;
    let request = entrance.admit(&asked, Method::GET, Full::default())?;
    let closed = entrance.sockets.0.closed.clone();
    match closed.run_until_cancelled(entrance.ask(request)).await {
        Some(response) => answer(&response, "Two polls of one session at once; it is closed."),
        None => Err(Problem::unavailable("a poll was held when the server stopped")),
    }
}

/// Takes the packets of a session.
pub(super) async fn post(
    entrance: web::Data<Entrance>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let asked = asked(&request)?;
    if asked.session.is_none() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "A session is opened by GET; a POST names one by its sid."));
    }
    let packets = body::whole(payload, entrance.sockets.0.settings.max_payload, "body").await?;
    let request = entrance.admit(&asked, Method::POST, Full::new(packets))?;
    answer(&entrance.ask(request).await, "The body is not made of packets that a client may send.")
}

fn asked(request: &HttpRequest) -> Result<Asked, Problem> {
    let asked = Asked::parse(request.query_string())?;
    match asked.transport {
        Transport::Polling => Ok(asked),
        Transport::Websocket => {
            let detail = "transport=websocket needs the header fields of a websocket request (RFC 6455).";
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
    }
}

/// The response as actix-web takes it. engineioxide says 500 where it does not know better, and some errors say nothing;
/// either way it is the request that was wrong.
fn answer(response: &http::Response<Bytes>, refusal: &str) -> Result<HttpResponse, Problem> {
    if response.status() != http::StatusCode::OK {
        return Err(refused(response).unwrap_or_else(|| Problem::new(StatusCode::BAD_REQUEST, refusal)));
    }
    let mut answer = HttpResponse::Ok();
    if let Some(kind) = response.headers().get(http::header::CONTENT_TYPE) {
        answer.insert_header((header::CONTENT_TYPE, kind.as_bytes()));
    }
    Ok(answer.insert_header((header::CACHE_CONTROL, "no-store")).body(response.body().clone()))
}

/// Why engineioxide refuses a request, where it says so.
pub(super) fn refused(response: &http::Response<Bytes>) -> Option<Problem> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(response.body()).ok()?;
    Some(Problem::new(StatusCode::BAD_REQUEST, format!("{}.", refusal.message)))
}
