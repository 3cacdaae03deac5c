//! The outermost layer of every request: its id, its span, its access-log line, and its errors as problems.
//!
//! The span is created for events only: see [`crate::lazy_span`].

use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, HttpRequest};
use futures_util::TryFutureExt;
use tracing::Span;
use tracing::field::{self, DisplayValue};

use super::client_address::Client;
use super::metrics::Route;
use super::problem;
use super::request_id::RequestId;
use super::response::fit_stream;
use crate::lazy_span::{LazySpan, in_lazy_span, within_lazy_span};

/// Completes the response to a request. Events that `response` logs are in the span of the request.
pub(crate) fn serve(
    pending: Pending,
    response: impl Future<Output = Result<ServiceResponse<BoxBody>, Error>>,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> {
    let pending = Rc::new(pending);
    in_lazy_span(Rc::clone(&pending) as Rc<dyn LazySpan>, response).map_ok(move |response| pending.complete(response))
}

/// A request that is not answered yet. Dropping it means that the client has disconnected, or that the server stops.
#[derive(Debug)]
pub(crate) struct Pending {
    id: RequestId,
    method: &'static str,
    started: Instant,
    client: Option<Client>,
    /// False once the request has been logged.
    access_log: Cell<bool>,
}

impl LazySpan for Pending {
    fn span(&self) -> Span {
        // Errors of the request carry the span at every log level.
        tracing::error_span!("request", method = self.method, request.id = %self.id)
    }
}

impl Pending {
    /// With `access_log`, one line is logged when the request ends.
    pub(crate) fn new(request: &ServiceRequest, access_log: bool, client: Option<Client>) -> Self {
        let id = RequestId::of(request.headers());
        let method = name(request.method());
        Self { id, method, started: Instant::now(), client, access_log: Cell::new(access_log) }
    }

    /// The client's address and scheme, which only lines of the access log contain: they are personal data.
    fn client(&self) -> (Option<DisplayValue<IpAddr>>, Option<&'static str>) {
        (self.client.map(|client| field::display(client.address)), self.client.map(|client| client.scheme.name()))
    }

    fn complete(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let mut response = fit_stream(self.log(response));
        self.id.add_to(response.headers_mut());
        self.access_log.set(false);
        response
    }

    /// Writes an error as a problem, and the access log.
    fn log(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let status = response.status();
        if !(self.access_log.get() || status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let answered = Answered {
            id: self.id.clone(),
            method: self.method,
            request: response.request().clone(),
            status: status.as_u16(),
            duration: self.started.elapsed(),
        };
        within_lazy_span(Rc::new(answered), || {
            let response = problem::with_problem(response, &self.id);
            if self.access_log.get() {
                let (client, scheme) = self.client();
                tracing::info!(client, scheme, "request finished");
            }
            response
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.access_log.get() {
            let duration_ms = milliseconds(self.started.elapsed());
            let (client, scheme) = self.client();
            self.span().in_scope(|| tracing::info!(duration_ms, client, scheme, "request aborted"));
        }
    }
}

/// A request that is answered.
#[derive(Debug)]
struct Answered {
    id: RequestId,
    method: &'static str,
    request: HttpRequest,
    status: u16,
    duration: Duration,
}

impl LazySpan for Answered {
    fn span(&self) -> Span {
        tracing::error_span!(
            "request",
            method = self.method,
            route = self.request.app_data::<Route>().map(Route::pattern),
            status = self.status,
            duration_ms = milliseconds(self.duration),
            request.id = %self.id
        )
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
