//! The outermost layer of every request: its id, its span, its access-log line, and its errors as problems.
//!
//! A span exists only while the request is polled: the subscriber keeps several hundred bytes for each open span, and
//! held polls number in the tens of thousands.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use tracing::Span;

use super::metrics::Route;
use super::problem;
use super::request_id::RequestId;

/// A request that is not answered yet. Dropping it means that the client has disconnected, or that the server stops.
#[derive(Debug)]
pub(crate) struct Pending {
    id: RequestId,
    method: &'static str,
    started: Instant,
    access_log: bool,
}

impl Pending {
    /// With `access_log`, one line per request is logged.
    pub(crate) fn new(request: &ServiceRequest, access_log: bool) -> Self {
        let id = RequestId::of(request.headers());
        Self { id, method: name(request.method()), started: Instant::now(), access_log }
    }

    /// Completes the response of the inner service.
    ///
    /// # Errors
    /// When the inner service fails without a response.
    pub(crate) async fn respond(
        mut self,
        response: impl Future<Output = Result<ServiceResponse<BoxBody>, Error>>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let mut response = pin!(response);
        let response = poll_fn(|context| self.span().in_scope(|| response.as_mut().poll(context))).await?;
        let mut response = self.log(response);
        self.id.add_to(response.headers_mut());
        self.access_log = false;
        Ok(response)
    }

    fn span(&self) -> Span {
        // Errors of the request carry the span at every log level.
        tracing::error_span!("request", method = self.method, request.id = %self.id)
    }

    /// Writes an error as a problem, and the access log.
    fn log(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let status = response.status();
        if !(self.access_log || status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let span = tracing::error_span!(
            "request",
            method = self.method,
            route = response.request().app_data::<Route>().map(Route::pattern),
            status = status.as_u16(),
            duration_ms = milliseconds(self.started.elapsed()),
            request.id = %self.id
        );
        span.in_scope(|| {
            let response = problem::with_problem(response, &self.id);
            if self.access_log {
                tracing::info!("request finished");
            }
            response
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.access_log {
            let duration_ms = milliseconds(self.started.elapsed());
            self.span().in_scope(|| tracing::info!(duration_ms, "request aborted"));
        }
    }
}

fn name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
