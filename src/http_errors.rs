//! Errors of the database and of the job engine as HTTP problems: the one file where these modules meet `http`.
//!
//! Owns, consumes and publishes nothing. Errors that belong to one domain are converted in that domain's routes.

use actix_web::http::{StatusCode, header};

use crate::db::DbError;
use crate::http::Problem;
use crate::jobs::QueueFull;

impl From<QueueFull> for Problem {
    fn from(full: QueueFull) -> Self {
        const SECONDS: &str = "5";
        let QueueFull { kind, queued, max_queued } = full;
        let detail =
            format!("{queued} {kind} jobs wait already, and {max_queued} may. Please try again in {SECONDS} seconds.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(header::RETRY_AFTER, SECONDS)
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy
            | DbError::Closed
            | DbError::Commit(_)
            | DbError::Newer(_)
            | DbError::Open { .. }
            | DbError::Statement(_) => Self::unavailable(error),
            DbError::Panicked | DbError::Migration(_) => Self::internal(error),
        }
    }
}
