//! Rejection of invalid requests, with the status, code and body of the engine.io server.

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::http::Problem;

/// An invalid request, with the names and codes of the engine.io server (`Server.errors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidRequest {
    UnknownTransport,
    UnknownSession,
    BadHandshakeMethod,
    BadRequest,
    UnsupportedProtocolVersion,
}

impl InvalidRequest {
    const ALL: [Self; 5] = [
        Self::UnknownTransport,
        Self::UnknownSession,
        Self::BadHandshakeMethod,
        Self::BadRequest,
        Self::UnsupportedProtocolVersion,
    ];

    fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            // 4 is "Forbidden", which is never used here.
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// The error in a response of engineioxide, if it has one.
    pub(super) fn of(response: &http::Response<Bytes>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            message: String,
        }
        let body: Body = serde_json::from_slice(response.body()).ok()?;
        Self::ALL.into_iter().find(|reason| reason.message() == body.message).or(Some(Self::BadRequest))
    }

    fn response(self) -> HttpResponse {
        HttpResponse::BadRequest()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "code": self.code(), "message": self.message() }))
    }
}

/// A rejected request.
#[derive(Debug)]
pub(super) enum RequestError {
    /// Invalid in Engine.IO.
    Invalid(InvalidRequest),
    Problem(Problem),
}

impl RequestError {
    /// The response of a handler.
    pub(super) fn into_response(self) -> Result<HttpResponse, Problem> {
        match self {
            Self::Invalid(invalid) => Ok(invalid.response()),
            Self::Problem(problem) => Err(problem),
        }
    }

    /// The response to a request of `path` without a handler.
    pub(super) fn into_full_response(self, path: &str) -> HttpResponse {
        self.into_response().unwrap_or_else(|problem| problem.response(path))
    }
}

impl From<InvalidRequest> for RequestError {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Problem> for RequestError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
