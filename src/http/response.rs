//! Responses that many routes share.

use actix_http::ConnectionType;
use actix_web::HttpResponse;
use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode, Version, header};
use serde::Serialize;

/// A JSON response that caches must not store, since it changes at any time.
pub(crate) fn uncached(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// Fits a stream to its request: HEAD gets no body. A client of HTTP/1.0, which knows no chunks, gets one that ends
/// with the connection (RFC 9112, sections 6.1 and 6.3).
pub(super) fn fit_stream(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if response.response().body().size() != BodySize::Stream {
        return response;
    }
    if response.request().method() == Method::HEAD {
        return response.map_body(|_, _| BoxBody::new(body::None::new()));
    }
    if response.request().version() < Version::HTTP_11 {
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    response
}
