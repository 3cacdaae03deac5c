//! A request as the service of HTTP/1.1 takes it.

use std::io;
use std::net::SocketAddr;

use actix_http::{Payload, Request};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri, Version};
use futures_util::TryStreamExt;
use http_body_util::BodyDataStream;
use hyper::body::{Body, Incoming};

/// Converts a request: the target becomes a path, and the authority the `Host` field (RFC 9113, section 8.3.1), whatever
/// that field contains.
pub(super) fn convert(request: hyper::Request<Incoming>, peer: Option<SocketAddr>) -> Request {
    let (parts, body) = request.into_parts();
    let mut request = Request::with_payload(payload(body));
    let head = request.head_mut();
    head.peer_addr = peer;
    head.version = Version::HTTP_2;
    // Both accept the same methods and targets, so the defaults are never used.
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = Uri::try_from(target).unwrap_or_default();
    for (name, value) in &parts.headers {
        append(&mut head.headers, name.as_str(), value.as_bytes());
    }
    if let Some(authority) = parts.uri.authority() {
        head.headers.remove(header::HOST);
        append(&mut head.headers, header::HOST.as_str(), authority.as_str().as_bytes());
    }
    request
}

fn append(headers: &mut header::HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

fn payload(body: Incoming) -> Payload {
    if body.is_end_stream() {
        return Payload::None;
    }
    let chunks = BodyDataStream::new(body).map_err(|error| PayloadError::Io(io::Error::other(error)));
    Payload::Stream { payload: Box::pin(chunks) }
}
