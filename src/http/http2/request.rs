//! A request as the service of HTTP/1.1 takes it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::{Payload, Request};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri, Version};
use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Incoming};

use crate::http::Problem;

/// Converts a request: the target becomes a path, and the authority the `Host` field (RFC 9113, section 8.3.1), whatever
/// that field contains.
///
/// # Errors
/// 400 for what HTTP/1.1 refuses as well: a target or a method with unusual characters, and several hosts or none.
pub(super) fn convert(request: hyper::Request<Incoming>, peer: Option<SocketAddr>) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let mut request = Request::with_payload(payload(body));
    let head = request.head_mut();
    head.peer_addr = peer;
    head.version = Version::HTTP_2;
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).map_err(|_| invalid("method"))?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = Uri::try_from(target).map_err(|_| invalid("target"))?;
    for (name, value) in &parts.headers {
        append(&mut head.headers, name.as_str(), value.as_bytes())?;
    }
    if let Some(authority) = parts.uri.authority() {
        head.headers.remove(header::HOST);
        append(&mut head.headers, header::HOST.as_str(), authority.as_str().as_bytes())?;
    }
    match head.headers.get_all(header::HOST).count() {
        1 => Ok(request),
        _ => Err(invalid("host")),
    }
}

fn append(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), Problem> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("header"))?;
    headers.append(name, HeaderValue::from_bytes(value).map_err(|_| invalid("header"))?);
    Ok(())
}

fn invalid(part: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("The {part} of the request is invalid."))
}

fn payload(body: Incoming) -> Payload {
    match body.is_end_stream() {
        true => Payload::None,
        false => Payload::Stream { payload: Box::pin(RequestBody(Some(body))) },
    }
}

/// The body of a request, until its end or an error.
struct RequestBody(Option<Incoming>);

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Some(body) = &mut self.0 {
            let end = match ready!(Pin::new(&mut *body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    // Trailers; nothing here uses them.
                    Err(_) => continue,
                },
                Some(Err(error)) => Some(Err(PayloadError::Io(io::Error::other(error)))),
                // A stream that was reset without an error.
                None if !body.is_end_stream() => Some(Err(PayloadError::Incomplete(None))),
                None => None,
            };
            self.0 = None;
            return Poll::Ready(end);
        }
        Poll::Ready(None)
    }
}
