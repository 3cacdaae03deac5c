//! The trace context of a request.

use actix_web::http::header::HeaderMap;

use crate::ids::TraceParent;

/// The request's `traceparent`. A malformed or repeated one is ignored (W3C Trace Context, section 3.2).
pub(crate) fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all("traceparent");
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()?.parse().ok()
}
