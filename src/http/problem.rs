//! Problems: every error response, as RFC 9457 `application/problem+json`.
//!
//! For clients of the replaced service the body also has `message`, equal to `detail`. A 5xx hides its cause from the
//! client; the cause is logged once, with the same `requestId`.

use std::fmt;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};

use super::limits::StoredLimit;
use super::openapi::schemas::{FieldError, ProblemBody, ProblemType};
use super::request_id::RequestId;
use crate::ids::Invalid;

/// An error response.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Parts>);

/// Boxed, since the size of an error is part of the size of every result.
#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(header::HeaderName, String)>,
    /// For the log only.
    cause: Option<String>,
    limit: Option<StoredLimit>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
            cause: None,
            limit: None,
        }))
    }

    /// 400: a field of the body, the query or the path, or a header is wrong.
    pub(crate) fn field(name: &str, invalid: &Invalid) -> Self {
        Self::fields(StatusCode::BAD_REQUEST, &[(name, invalid)])
    }

    /// 400: those of the fields that are wrong.
    pub(crate) fn wrong_fields<const N: usize>(fields: [(&str, Option<Invalid>); N]) -> Self {
        let wrong: Vec<_> = fields.iter().filter_map(|(name, invalid)| Some((*name, invalid.as_ref()?))).collect();
        Self::fields(StatusCode::BAD_REQUEST, &wrong)
    }

    /// Several wrong fields at once; the detail names each.
    pub(crate) fn fields(status: StatusCode, fields: &[(&str, &Invalid)]) -> Self {
        let detail = fields.iter().map(|(name, invalid)| format!("{name}: {invalid}")).collect::<Vec<_>>().join("; ");
        let errors = fields
            .iter()
            .map(|(name, invalid)| FieldError {
                field: (*name).to_owned(),
                got: invalid.got.clone(),
                expected: invalid.expected.to_owned(),
            })
            .collect();
        let mut problem = Self::new(status, detail);
        problem.0.errors = errors;
        problem
    }

    /// 400: fields, or parameters of the query, that do not exist. Names the first ones.
    pub(crate) fn unknown_fields(kind: &str, unknown: &[&str], known: &[&str]) -> Self {
        const MAX_NAMED: usize = 5;
        const MAX_NAME_CHARS: usize = 40;
        let known: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
        let expected = match known.split_last() {
            None => "none".to_owned(),
            Some((last, [])) => format!("only {last}"),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        };
        let errors: Vec<FieldError> = unknown
            .iter()
            .take(MAX_NAMED)
            .map(|name| FieldError {
                field: name.escape_debug().take(MAX_NAME_CHARS).collect(),
                got: format!("an unknown {kind}"),
                expected: expected.clone(),
            })
            .collect();
        let described =
            |FieldError { field, got, expected }: &FieldError| format!("{field}: got {got}, expected {expected}");
        let detail = errors.iter().map(described).collect::<Vec<_>>().join("; ");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, detail);
        problem.0.errors = errors;
        problem
    }

    /// 400: a field occurs more than once.
    pub(crate) fn repeated_field(name: &str) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, format!("{name}: given twice"));
        problem.0.errors =
            vec![FieldError { field: name.to_owned(), got: "two values".to_owned(), expected: "one value".to_owned() }];
        problem
    }

    /// 404.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405, with the methods that are allowed.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("Only {allowed} is allowed here."))
            .with_header(header::ALLOW, allowed)
    }

    /// 503 with `Retry-After: 1`, for a dependency that is unavailable. The cause is logged.
    pub(crate) fn unavailable(cause: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "This cannot be done right now. Please try again.")
            .with_header(header::RETRY_AFTER, "1")
            .caused_by(cause)
    }

    /// 500. The cause is logged.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.").caused_by(cause)
    }

    /// Adds the cause, for the log only.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Names the limit of stored data that refuses the request, for the metrics.
    #[must_use]
    pub(crate) fn above(mut self, limit: StoredLimit) -> Self {
        self.0.limit = Some(limit);
        self
    }

    pub(super) fn limit(&self) -> Option<StoredLimit> {
        self.0.limit
    }

    /// The message for the client.
    pub(crate) fn into_detail(self) -> String {
        self.0.detail
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// The problem for an error of the framework, by its status.
    fn of_status(status: StatusCode, error: Option<&actix_web::Error>) -> Self {
        if status.is_server_error() {
            let cause = error.map_or_else(|| status.to_string(), ToString::to_string);
            let mut problem = Self::internal(cause);
            problem.0.status = status;
            return problem;
        }
        let detail = match (status, error) {
            (StatusCode::NOT_FOUND, _) => "There is nothing at this address.".to_owned(),
            (StatusCode::PRECONDITION_FAILED, _) => {
                "The file has another ETag or date than If-Match or If-Unmodified-Since requires.".to_owned()
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => "The range is outside of this file.".to_owned(),
            (_, Some(error)) => error.to_string(),
            (_, None) => status.canonical_reason().unwrap_or("The request was refused.").to_owned(),
        };
        Self::new(status, detail)
    }

    /// The complete response, for requests that bypass [`with_problem`].
    pub(crate) fn response(&self, path: &str) -> HttpResponse {
        let id = RequestId::assign();
        let mut response = self.written_to(self.error_response(), &id, path);
        id.add_to(response.headers_mut());
        response
    }

    /// Sets this problem as the body of a response.
    fn written_to(&self, mut response: HttpResponse, id: &RequestId, path: &str) -> HttpResponse {
        let request_id = id.to_string();
        log(self, &request_id, path);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response.set_body(BoxBody::new(self.render(&request_id)))
    }

    fn render(&self, request_id: &str) -> String {
        let body = ProblemBody {
            detail: self.0.detail.clone(),
            errors: self.0.errors.clone(),
            message: self.0.detail.clone(),
            request_id: request_id.to_owned(),
            status: self.0.status.as_u16(),
            title: self.0.status.canonical_reason().unwrap_or("Error").to_owned(),
            kind: ProblemType::AboutBlank,
        };
        // Strings and numbers can always be serialized.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// Status and headers; [`with_problem`] writes the body, which contains the request id.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.0.status);
        for (name, value) in &self.0.headers {
            response.insert_header((name.clone(), value.as_str()));
        }
        response.finish()
    }
}

/// The response, with a problem as its body if it is an error without a body.
pub(super) fn with_problem(response: ServiceResponse<BoxBody>, id: &RequestId) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let error = response.response().error();
    let has_body = !response.response().body().size().is_eof();
    if error.is_none() && has_body {
        return response;
    }
    let problem = match error.and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => problem.clone(),
        None => Problem::of_status(status, error),
    };
    let (request, response) = response.into_parts();
    let response = problem.written_to(response, id, request.path());
    ServiceResponse::new(request, response)
}

fn log(problem: &Problem, request_id: &str, path: &str) {
    let status = problem.0.status.as_u16();
    match &problem.0.cause {
        Some(cause) => tracing::error!(request.id = request_id, path, status, error = cause, "request failed"),
        None => {
            tracing::debug!(request.id = request_id, path, status, detail = problem.0.detail, "request refused")
        }
    }
}
