//! What a client is told of a user's thumbnail or of a job.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::store::{Image, State};
use crate::db::{Database, DbError};
use crate::events::Outcome;
use crate::ids::{JobId, UserId};
use crate::users::{self, Standing};

use super::store;

/// Whom a client asks about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// A user: done with any thumbnail.
    User(UserId),
    /// One job, of this user.
    Job(JobId, UserId),
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Done { thumbnail_url: String },
    Pending,
    Failed { message: String },
    Unknown,
}

impl Subject {
    /// Whose news concern it.
    pub(super) fn user(&self) -> UserId {
        match *self {
            Self::User(user) | Self::Job(_, user) => user,
        }
    }

    /// Reads how it stands.
    pub(super) fn status(&self, database: &Database) -> Result<Status, DbError> {
        match *self {
            Self::User(user) => {
                database.read_point(|connection| users::standing(connection, user)).map(Status::of_user)
            }
            Self::Job(job, _) => database.read_point(|connection| store::by_job(connection, job)).map(Status::of_image),
        }
    }

    /// The answer's body, for a job with the job's id.
    pub(super) fn body(&self, status: &Status) -> Value {
        let mut body = match status {
            Status::Done { thumbnail_url } => json!({ "status": "done", "thumbnailUrl": thumbnail_url }),
            Status::Pending => json!({ "status": "pending", "message": "Thumbnail is still being generated." }),
            Status::Failed { message } => json!({ "status": "failed", "message": message }),
            Status::Unknown => json!({ "status": "error", "message": "User not found" }),
        };
        if let Self::Job(job_id, user_id) = self {
            body["jobId"] = json!(job_id);
            body["userId"] = json!(user_id);
        }
        body
    }

    /// The answer to a client that does not wait.
    pub(super) fn answer(&self, status: &Status) -> HttpResponse {
        let mut response = match status {
            Status::Unknown => HttpResponse::NotFound(),
            _ => HttpResponse::Ok(),
        };
        response.insert_header(("Cache-Control", "no-store")).json(self.body(status))
    }

    /// The answer to a client that has waited long enough.
    pub(super) fn timed_out(&self) -> HttpResponse {
        let mut body = self.body(&Status::Pending);
        body["message"] = json!("Request timed out. Please try again.");
        HttpResponse::RequestTimeout().insert_header(("Cache-Control", "no-store")).json(body)
    }
}

impl Status {
    fn of_user(standing: Option<Standing>) -> Self {
        match standing {
            None => Self::Unknown,
            Some(Standing { thumbnail_url: Some(thumbnail_url), .. }) => Self::Done { thumbnail_url },
            Some(Standing { failure: Some(message), .. }) => Self::Failed { message },
            Some(_) => Self::Pending,
        }
    }

    fn of_image(image: Option<Image>) -> Self {
        match image.map(|image| image.state) {
            None => Self::Unknown,
            Some(State::Pending) => Self::Pending,
            Some(State::Done { thumbnail_url }) => Self::Done { thumbnail_url },
            Some(State::Failed { message }) => Self::Failed { message },
        }
    }

    /// What another program's worker said, where there is no row of ours to ask.
    pub(super) fn of_message(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { url } => Self::Done { thumbnail_url: url },
            Outcome::Failed { message } => Self::Failed { message },
        }
    }

    /// Whether there is nothing more to wait for.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }
}
