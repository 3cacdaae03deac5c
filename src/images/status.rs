//! The status of a user's thumbnail or of a job, as an HTTP response.

use actix_web::HttpResponse;
use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use serde_json::{Value, json};

use super::store::{self, ImageState};
use super::variants::{self, Variant};
use crate::db::{Database, DbError};
use crate::events::Outcome;
use crate::ids::{JobId, UserId};
use crate::users::{self, ThumbnailStatus};

/// The subject of a status request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// A user, whose status is done with any thumbnail.
    User(UserId),
    /// A job and its user.
    Job(JobId, UserId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// The variants belong to the same image as the thumbnail, which is one of them; empty for thumbnails of others.
    Done {
        thumbnail_url: String,
        variants: Vec<Variant>,
    },
    Pending,
    Failed {
        message: String,
    },
    Unknown,
}

impl Subject {
    pub(super) fn user(&self) -> UserId {
        match *self {
            Self::User(user) | Self::Job(_, user) => user,
        }
    }

    pub(super) fn status(&self, database: &Database) -> Result<Status, DbError> {
        database.read_point(|connection| match *self {
            Self::User(user) => Status::of_user(connection, user),
            Self::Job(job, _) => Status::of_job(connection, job),
        })
    }

    /// The response body, for a job with the ids of the job and its user.
    pub(super) fn body(&self, status: &Status) -> Value {
        let mut body = match status {
            Status::Done { thumbnail_url, variants } => done(thumbnail_url, variants),
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

    /// The response with this status.
    pub(super) fn response(&self, status: &Status) -> HttpResponse {
        let mut response = match status {
            Status::Unknown => HttpResponse::NotFound(),
            _ => HttpResponse::Ok(),
        };
        response.insert_header(("Cache-Control", "no-store")).json(self.body(status))
    }

    /// The response to a held poll whose time is over.
    pub(super) fn timeout_response(&self) -> HttpResponse {
        let mut body = self.body(&Status::Pending);
        body["message"] = json!("Request timed out. Please try again.");
        HttpResponse::RequestTimeout().insert_header(("Cache-Control", "no-store")).json(body)
    }
}

impl Status {
    fn of_user(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Self> {
        match users::thumbnail_status(connection, user)? {
            None => Ok(Self::Unknown),
            Some(ThumbnailStatus { thumbnail_url: Some(url), image_id, .. }) => Self::done(connection, url, image_id),
            Some(ThumbnailStatus { failure: Some(message), .. }) => Ok(Self::Failed { message }),
            Some(_) => Ok(Self::Pending),
        }
    }

    fn of_job(connection: &mut SqliteConnection, job: JobId) -> QueryResult<Self> {
        let Some(image) = store::by_job(connection, job)? else { return Ok(Self::Unknown) };
        match image.state {
            ImageState::Pending => Ok(Self::Pending),
            ImageState::Done { thumbnail_url } => Self::done(connection, thumbnail_url, Some(image.id)),
            ImageState::Failed { message } => Ok(Self::Failed { message }),
        }
    }

    fn done(connection: &mut SqliteConnection, thumbnail_url: String, image_id: Option<i64>) -> QueryResult<Self> {
        let variants = image_id.map_or_else(|| Ok(Vec::new()), |id| variants::of_image(connection, id))?;
        // Another service on the same table may have replaced the user's thumbnail by its own.
        let is_ours = variants.first().is_some_and(|first| first.url() == thumbnail_url);
        Ok(Self::Done { thumbnail_url, variants: if is_ours { variants } else { Vec::new() } })
    }

    /// The outcome in a message of another program's worker, for images without a row of ours.
    pub(super) fn of_message(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { url } => Self::Done { thumbnail_url: url, variants: Vec::new() },
            Outcome::Failed { message } => Self::Failed { message },
        }
    }

    /// Whether a held poll ends with it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }
}

fn done(thumbnail_url: &str, variants: &[Variant]) -> Value {
    let mut body = json!({ "status": "done", "thumbnailUrl": thumbnail_url });
    if let Some(variants) = variants::shown(variants) {
        body["variants"] = variants;
    }
    body
}
