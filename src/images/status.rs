//! The status of a user's thumbnail or of a job, as an HTTP response.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;
use utoipa::ToSchema;

use super::links::Links;
use super::store::{self, ImageState};
use super::variants::{self, Variants};
use crate::db::read_models::{self, UserThumbnail, VariantEntry};
use crate::db::{Database, DbError};
use crate::events::Outcome;
use crate::http::Problem;
use crate::http::conditional::{self, REVALIDATED_BY_CLIENT};
use crate::http::response::uncached;
use crate::ids::{JobId, UserId};

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
        variants: Vec<VariantEntry>,
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

    /// The response with this status, or 304 if the client has it.
    pub(super) fn revalidated(
        &self,
        request: &HttpRequest,
        status: Status,
        links: &Links,
    ) -> Result<HttpResponse, Problem> {
        let Some(status) = status.into_body(links) else {
            return Ok(uncached(StatusCode::NOT_FOUND, &UnknownUser::new()));
        };
        match *self {
            Self::User(_) => conditional::json(request, REVALIDATED_BY_CLIENT, &status),
            Self::Job(job_id, user_id) => {
                conditional::json(request, REVALIDATED_BY_CLIENT, &JobStatus { job_id, status, user_id })
            }
        }
    }

    /// The response of a long poll that has this status.
    pub(super) fn response(&self, status: Status, links: &Links) -> HttpResponse {
        match status.into_body(links) {
            Some(body) => self.respond(StatusCode::OK, body),
            None => uncached(StatusCode::NOT_FOUND, &UnknownUser::new()),
        }
    }

    /// The response to a long poll whose time is over.
    pub(super) fn timeout_response(&self, retry_after: Option<u64>) -> HttpResponse {
        let body = StatusBody::pending("Request timed out. Please try again.");
        let mut response = self.respond(StatusCode::REQUEST_TIMEOUT, body);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    fn respond(&self, code: StatusCode, status: StatusBody) -> HttpResponse {
        match *self {
            Self::User(_) => uncached(code, &status),
            Self::Job(job_id, user_id) => uncached(code, &JobStatus { job_id, status, user_id }),
        }
    }
}

/// The status of a user's thumbnail.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Status)]
pub(super) enum StatusBody {
    Done(Done),
    Pending(Pending),
    Failed(Failed),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    #[schema(inline)]
    status: DoneTag,
    /// A path on this server, or a URL below `serve.public_url`.
    #[schema(example = "/thumbnails/9f86d0….jpg")]
    thumbnail_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Variants)]
    variants: Option<Variants>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Pending {
    message: &'static str,
    #[schema(inline)]
    status: PendingTag,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Failed {
    /// What is wrong with the image, for the uploader.
    message: String,
    #[schema(inline)]
    status: FailedTag,
}

/// This user has no images.
#[derive(Serialize, ToSchema)]
pub(super) struct UnknownUser {
    #[schema(inline)]
    message: UnknownUserMessage,
    #[schema(inline)]
    status: ErrorTag,
}

/// The status of a job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobStatus {
    job_id: JobId,
    #[serde(flatten)]
    status: StatusBody,
    user_id: UserId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DoneTag {
    Done,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PendingTag {
    Pending,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum FailedTag {
    Failed,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ErrorTag {
    Error,
}

#[derive(Serialize, ToSchema)]
enum UnknownUserMessage {
    #[serde(rename = "User not found")]
    UserNotFound,
}

impl StatusBody {
    fn pending(message: &'static str) -> Self {
        Self::Pending(Pending { message, status: PendingTag::Pending })
    }
}

impl UnknownUser {
    fn new() -> Self {
        Self { message: UnknownUserMessage::UserNotFound, status: ErrorTag::Error }
    }
}

impl Status {
    fn of_user(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Self> {
        Ok(match read_models::thumbnail_of(connection, user.get())? {
            None => Self::Unknown,
            Some(UserThumbnail { url: Some(url), variants, .. }) => Self::done(url, variants),
            Some(UserThumbnail { failure: Some(message), .. }) => Self::Failed { message },
            Some(_) => Self::Pending,
        })
    }

    fn of_job(connection: &mut SqliteConnection, job: JobId) -> QueryResult<Self> {
        let Some(image) = store::by_job(connection, job)? else { return Ok(Self::Unknown) };
        match image.state {
            ImageState::Pending => Ok(Self::Pending),
            ImageState::Done { thumbnail_url } => {
                Ok(Self::done(thumbnail_url, variants::of_image(connection, image.id)?))
            }
            ImageState::Failed { message } => Ok(Self::Failed { message }),
        }
    }

    fn done(thumbnail_url: String, variants: Vec<VariantEntry>) -> Self {
        // Another service on the same table may have replaced the user's thumbnail by its own.
        let is_ours = variants.first().is_some_and(|first| first.url() == thumbnail_url);
        Self::Done { thumbnail_url, variants: if is_ours { variants } else { Vec::new() } }
    }

    /// The outcome in a message of another program's worker, for images without a row of ours.
    pub(super) fn of_message(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { url } => Self::Done { thumbnail_url: url, variants: Vec::new() },
            Outcome::Failed { message } => Self::Failed { message },
        }
    }

    /// The body for a known user or job.
    fn into_body(self, links: &Links) -> Option<StatusBody> {
        match self {
            Self::Done { thumbnail_url, variants } => {
                let (thumbnail_url, variants) = (links.to(thumbnail_url), Variants::new(&variants, links));
                Some(StatusBody::Done(Done { status: DoneTag::Done, thumbnail_url, variants }))
            }
            Self::Pending => Some(StatusBody::pending("Thumbnail is still being generated.")),
            Self::Failed { message } => Some(StatusBody::Failed(Failed { message, status: FailedTag::Failed })),
            Self::Unknown => None,
        }
    }

    /// Whether a long poll ends with it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }
}
