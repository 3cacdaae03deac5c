//! The rows of images. Every function runs inside the caller's transaction.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::idempotency::{self, IdempotencyKey, Known};
use super::variants::{self, Thumbnails};
use crate::db::schema::images;
use crate::db::{UnixMillis, cached_update, now};
use crate::ids::{ImagePath, JobId, TraceParent, UserId};
use crate::job_payloads::{EMAIL, MailPreferences, MailTask, ThumbnailTask, WarehouseTask};
use crate::jobs::{self, Job, Origin};
use crate::users;

/// An image to accept.
#[derive(Debug, Clone)]
pub(super) struct Submission {
    pub(super) user_id: UserId,
    pub(super) path: ImagePath,
    /// The client's file name.
    pub(super) original_name: Option<String>,
    pub(super) key: Option<IdempotencyKey>,
    /// Whether it was submitted by a message of another program.
    pub(super) from_message: bool,
    /// The mail that the user gets.
    pub(super) mail: MailPreferences,
    /// The trace context of the request.
    pub(super) trace: Option<TraceParent>,
    /// The size of the original; 0 if it is unknown.
    pub(super) bytes: u64,
    /// If the request has created the file of its upload, the newest image before that.
    pub(super) created_after: Option<i64>,
}

/// An accepted image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) image_id: i64,
    pub(super) job_id: JobId,
    pub(super) user_id: UserId,
    pub(super) path: ImagePath,
}

/// The outcome of a submission.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// Its row and jobs are new.
    New(Receipt),
    /// The same submission was accepted before, with the same idempotency key.
    AlreadyAccepted(Receipt),
    /// Its idempotency key belongs to another submission.
    Conflict,
}

/// The state of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageState {
    Pending,
    Done { thumbnail_url: String },
    Failed { message: String },
}

/// An image's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(super) id: i64,
    pub(super) job_id: JobId,
    pub(super) user_id: UserId,
    pub(super) path: ImagePath,
    pub(super) original_name: Option<String>,
    pub(super) state: ImageState,
}

/// Inserts the rows of an image, its user and its jobs, or nothing.
pub(super) fn accept(connection: &mut SqliteConnection, submission: &Submission) -> QueryResult<Acceptance> {
    let (at, user_id) = (now(), submission.user_id);
    let origin = Origin { now: at, trace: submission.trace.as_ref() };
    if let Some(key) = &submission.key {
        match idempotency::find(connection, user_id, key, at)? {
            Known::New => {}
            Known::Same { image_id } => return Ok(Acceptance::AlreadyAccepted(receipt(by_id(connection, image_id)?))),
            Known::Another => return Ok(Acceptance::Conflict),
        }
    }
    let job_id = JobId::generate();
    let task = ThumbnailTask { image_path: submission.path.clone(), mail: submission.mail.clone(), user_id };
    jobs::enqueue_as(connection, job_id, &task, origin)?;
    users::ensure(connection, user_id)?;
    let image_id = diesel::insert_into(images::table)
        .values((
            images::job_id.eq(job_id.to_string()),
            images::user_id.eq(user_id.get()),
            images::path.eq(submission.path.as_str()),
            images::original_name.eq(&submission.original_name),
            images::from_message.eq(submission.from_message),
            images::bytes.eq(i64::try_from(submission.bytes).unwrap_or(i64::MAX)),
            images::created_at.eq(at),
        ))
        .returning(images::id)
        .get_result(connection)?;
    users::image_accepted(connection, user_id, image_id)?;
    let image_path = submission.path.clone();
    jobs::enqueue(connection, &WarehouseTask::Image { image_id, user_id, image_path }, origin)?;
    let file_name = display_name(submission.original_name.as_deref(), &submission.path);
    mail(connection, &submission.mail, &MailTask::UploadReceived { user_id, file_name }, origin)?;
    if let Some(key) = &submission.key {
        idempotency::record(connection, user_id, key, image_id, at)?;
    }
    Ok(Acceptance::New(Receipt { image_id, job_id, user_id, path: submission.path.clone() }))
}

fn mail(
    connection: &mut SqliteConnection,
    preferences: &MailPreferences,
    task: &MailTask,
    origin: Origin<'_>,
) -> QueryResult<()> {
    if !preferences.contains(task.mail_kind()) {
        return Ok(());
    }
    jobs::enqueue(connection, task, origin).map(drop)
}

/// The name of an image in mail: the client's file name, else the last part of its path.
fn display_name(original_name: Option<&str>, path: &ImagePath) -> String {
    let name = original_name.filter(|name| !name.is_empty());
    let last = || path.as_str().rsplit('/').next().unwrap_or_default();
    name.unwrap_or_else(last).to_owned()
}

fn receipt(image: Image) -> Receipt {
    Receipt { image_id: image.id, job_id: image.job_id, user_id: image.user_id, path: image.path }
}

/// The newest image; 0 if there is none.
pub(super) fn newest(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let newest = images::table.select(diesel::dsl::max(images::id)).get_result::<Option<i64>>(connection)?;
    Ok(newest.unwrap_or(0))
}

/// The first image after `last` that a message with this content submitted.
pub(super) fn of_message(
    connection: &mut SqliteConnection,
    user_id: UserId,
    path: &ImagePath,
    last: i64,
) -> QueryResult<Option<i64>> {
    images::table
        .filter(images::from_message)
        .filter(images::user_id.eq(user_id.get()))
        .filter(images::path.eq(path.as_str()))
        .filter(images::id.gt(last))
        .select(diesel::dsl::min(images::id))
        .get_result(connection)
}

type Row = (i64, String, i64, String, Option<String>, String, Option<String>, Option<String>);

const COLUMNS: (
    images::id,
    images::job_id,
    images::user_id,
    images::path,
    images::original_name,
    images::state,
    images::thumbnail_url,
    images::failure,
) = (
    images::id,
    images::job_id,
    images::user_id,
    images::path,
    images::original_name,
    images::state,
    images::thumbnail_url,
    images::failure,
);

fn by_id(connection: &mut SqliteConnection, id: i64) -> QueryResult<Image> {
    images::table.find(id).select(COLUMNS).get_result::<Row>(connection).and_then(image)
}

/// The image of a thumbnail job.
pub(super) fn by_job(connection: &mut SqliteConnection, job_id: JobId) -> QueryResult<Option<Image>> {
    let row = images::table
        .filter(images::job_id.eq(job_id.to_string()))
        .select(COLUMNS)
        .get_result::<Row>(connection)
        .optional()?;
    row.map(image).transpose()
}

fn image((id, job_id, user_id, path, original_name, state, thumbnail_url, failure): Row) -> QueryResult<Image> {
    let unreadable = |error| diesel::result::Error::DeserializationError(Box::new(error));
    let state = match state.as_str() {
        "done" => ImageState::Done { thumbnail_url: thumbnail_url.unwrap_or_default() },
        "failed" => ImageState::Failed { message: failure.unwrap_or_default() },
        _ => ImageState::Pending,
    };
    Ok(Image {
        id,
        job_id: job_id.parse().map_err(unreadable)?,
        user_id: UserId::new(user_id).map_err(unreadable)?,
        path: ImagePath::new(&path).map_err(unreadable)?,
        original_name,
        state,
    })
}

/// Ids and paths of at most `limit` images that were accepted after this one, by id.
pub(super) fn paths_after(connection: &mut SqliteConnection, id: i64, limit: i64) -> QueryResult<Vec<(i64, String)>> {
    images::table
        .filter(images::id.gt(id))
        .order(images::id)
        .limit(limit)
        .select((images::id, images::path))
        .load(connection)
}

/// Those of the paths that belong to images that were accepted after this one.
pub(super) fn referenced_after(
    connection: &mut SqliteConnection,
    id: i64,
    paths: &[ImagePath],
) -> QueryResult<Vec<String>> {
    let paths = paths.iter().map(ImagePath::as_str);
    images::table.filter(images::id.gt(id)).filter(images::path.eq_any(paths)).select(images::path).load(connection)
}

/// The users with an image that finished since `since`.
pub(super) fn finished_since(connection: &mut SqliteConnection, since: UnixMillis) -> QueryResult<Vec<UserId>> {
    let users = images::table
        .filter(images::finished_at.ge(since))
        .select(images::user_id)
        .distinct()
        .load::<i64>(connection)?;
    Ok(users.into_iter().filter_map(|user| UserId::new(user).ok()).collect())
}

/// Stores the thumbnails of an image; the first one becomes its user's.
pub(super) fn done(
    connection: &mut SqliteConnection,
    image: &Image,
    made: &Thumbnails,
    preferences: &MailPreferences,
    origin: Origin<'_>,
) -> QueryResult<()> {
    let at = origin.now;
    variants::insert(connection, image.id, made, at)?;
    let url = made.first.url();
    let columns = (images::state.eq("done"), images::thumbnail_url.eq(&url), images::finished_at.eq(at));
    cached_update(images::table).set(columns, images::id.eq(image.id)).execute(connection)?;
    users::thumbnail_ready(connection, image.user_id, image.id, &url)?;
    let ready = MailTask::ThumbnailReady {
        user_id: image.user_id,
        file_name: display_name(image.original_name.as_deref(), &image.path),
        thumbnail: made.first.name.to_string(),
        variants: made.names_by_size(),
    };
    mail(connection, preferences, &ready, origin)
}

/// The mail that the user gets, as it was set when the image was accepted.
pub(super) fn mail_of(job: &Job) -> MailPreferences {
    job.task::<ThumbnailTask>().map_or_else(|_| MailPreferences::all(), |task| task.mail)
}

/// Marks an image as failed.
pub(super) fn failed(
    connection: &mut SqliteConnection,
    image: &Image,
    message: &str,
    preferences: &MailPreferences,
    origin: Origin<'_>,
) -> QueryResult<()> {
    diesel::update(images::table.find(image.id))
        .set((images::state.eq("failed"), images::failure.eq(message), images::finished_at.eq(origin.now)))
        .execute(connection)?;
    users::thumbnail_failed(connection, image.user_id, image.id, message)?;
    let failed = MailTask::ThumbnailFailed {
        user_id: image.user_id,
        file_name: display_name(image.original_name.as_deref(), &image.path),
        message: message.to_owned(),
        image_id: Some(image.id),
    };
    mail(connection, preferences, &failed, origin)
}

/// Marks a failed image as pending again.
pub(super) fn requeued(connection: &mut SqliteConnection, image: &Image) -> QueryResult<()> {
    diesel::update(images::table.find(image.id))
        .set((images::state.eq("pending"), images::failure.eq(None::<String>), images::finished_at.eq(None::<i64>)))
        .execute(connection)?;
    users::image_requeued(connection, image.user_id, image.id)?;
    // The mail about the failure is obsolete.
    jobs::withdraw(connection, EMAIL, &MailTask::thumbnail_failed_key(image.id))
}
