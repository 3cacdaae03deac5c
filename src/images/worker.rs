//! The thumbnail job: reads the original, makes and stores the thumbnails, publishes the outcome.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use m3a3_thumbnail::Spec;
use tokio::sync::Semaphore;

use super::name_key;
use super::store::{self, Image};
use super::variants::{Thumbnail, Thumbnails};
use super::{Limits, State};
use crate::db::{DbError, UnixMillis};
use crate::events::{Finished, Outcome};
use crate::files::{Files, NameKey, OpenError, Original};
use crate::ids::{ImagePath, JobId};
use crate::job_payloads::ThumbnailTask;
use crate::jobs::{self, Failure, Handler, Job, Origin, Slot, causes};

const NOT_STORED: &str = "The thumbnail could not be stored. Please try again.";
const UNREADABLE: &str = "The image could not be read. Please try again.";

/// The most images whose thumbnails are made durable at a time; they share flushes of the file system.
const MAX_FLUSHES: usize = 32;

/// A variant: one of the thumbnails that are made of every image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VariantSpec {
    /// Its name in the API.
    pub(crate) variant: String,
    pub(crate) spec: Spec,
}

/// The worker of thumbnail jobs.
pub(crate) struct ThumbnailWorker {
    state: State,
    variants: Arc<[VariantSpec]>,
    name_key: NameKey,
    /// One permit for each image whose thumbnails may be made durable.
    flushes: Semaphore,
}

impl ThumbnailWorker {
    /// A worker that makes these thumbnails; the first one represents the image.
    ///
    /// # Errors
    /// If the database has no key for names, and none can be read or written.
    pub(crate) async fn open(state: State, variants: Vec<VariantSpec>) -> Result<Self, DbError> {
        let name_key = name_key::open(&state.database).await?;
        Ok(Self { state, variants: variants.into(), name_key, flushes: Semaphore::new(MAX_FLUSHES) })
    }
}

impl Handler for ThumbnailWorker {
    type Task = ThumbnailTask;
    type Effect = (Image, Thumbnails);
    type Event = Finished;

    async fn run(&self, job: &Job, _: ThumbnailTask, slot: Slot) -> Result<Self::Effect, Failure> {
        let id = job.id;
        let image = self
            .state
            .database
            .read_point(|connection| store::by_job(connection, id))
            .map_err(|error| Failure::database(&error, NOT_STORED))?
            .ok_or_else(|| Failure::fail("the job has no image", NOT_STORED))?;
        let (files, limits, path) = (self.state.files.clone(), self.state.limits, image.path.clone());
        let specs = self.variants.iter().map(|variant| variant.spec).collect::<Vec<_>>();
        let made = blocking(UNREADABLE, move || make(&files, &path, &specs, &limits)).await;
        let made = match made {
            Ok(made) => made,
            Err(Unmade::Failed(failure)) => return Err(failure),
            Err(Unmade::Damaged(original)) => return Err(self.quarantine(image.path, *original).await),
        };
        // Before the slot is returned, so that a slow disk keeps further images from being decoded. Never closed.
        let _flush = self.flushes.acquire().await;
        drop(slot);
        let (files, name_key, variants) = (self.state.files.clone(), self.name_key.clone(), self.variants.clone());
        let thumbnails = blocking(NOT_STORED, move || store(&files, &name_key, &variants, &made)).await?;
        Ok((image, thumbnails))
    }

    fn apply(
        connection: &mut SqliteConnection,
        job: &Job,
        (image, thumbnails): Self::Effect,
        now: UnixMillis,
    ) -> QueryResult<Finished> {
        let trace = jobs::trace_of(connection, job.id)?;
        let origin = Origin { now, trace: trace.as_ref() };
        store::done(connection, &image, &thumbnails, &store::mail_of(job), origin)?;
        Ok(finished(&image, job.id, Outcome::Done { url: thumbnails.first.url() }))
    }

    fn on_dead(
        connection: &mut SqliteConnection,
        job: &Job,
        message: &str,
        now: UnixMillis,
    ) -> QueryResult<Option<Finished>> {
        let Some(image) = store::by_job(connection, job.id)? else { return Ok(None) };
        let trace = jobs::trace_of(connection, job.id)?;
        let origin = Origin { now, trace: trace.as_ref() };
        store::failed(connection, &image, message, &store::mail_of(job), origin)?;
        Ok(Some(finished(&image, job.id, Outcome::Failed { message: message.to_owned() })))
    }

    fn on_requeued(connection: &mut SqliteConnection, job: &Job) -> QueryResult<()> {
        match store::by_job(connection, job.id)? {
            Some(image) => store::requeued(connection, &image),
            None => Ok(()),
        }
    }

    fn publish(&self, notice: Finished) {
        self.state.bus.publish(&notice);
    }
}

impl ThumbnailWorker {
    /// Moves a damaged upload to quarantine, so that uploading the same image again can store good bytes under its
    /// name.
    async fn quarantine(&self, path: ImagePath, damaged: Original) -> Failure {
        let (files, at) = (self.state.files.clone(), path.clone());
        let moved = self.state.database.write(move |_| Ok(files.quarantine(&at, &damaged)));
        let error = match moved.await {
            Ok(Ok(true)) => {
                format!("{path} is damaged: its bytes are not those that were uploaded; it is in quarantine")
            }
            Ok(Ok(false)) => format!("{path} was damaged, and has been replaced since"),
            Ok(Err(error)) => format!("{path} is damaged and cannot be put into quarantine: {error}"),
            Err(error) => format!("{path} is damaged and cannot be put into quarantine: {error}"),
        };
        tracing::error!(image.path = %path, error, "upload is damaged; uploading the same image again repairs it");
        Failure::environment(error, UNREADABLE)
    }
}

/// Why no thumbnail was made.
enum Unmade {
    Failed(Failure),
    /// The file's bytes are not the uploaded ones.
    Damaged(Box<Original>),
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn finished(image: &Image, job_id: JobId, outcome: Outcome) -> Finished {
    Finished { user_id: image.user_id, job_id: Some(job_id), outcome }
}

/// Runs a blocking part of a job.
async fn blocking<T, E>(message: &str, part: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Failure> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(part).await;
    done.unwrap_or_else(|error| {
        // A runtime that stops cancels tasks that have not started; the image may be fine.
        let failure = if error.is_cancelled() { Failure::environment } else { Failure::fail };
        Err(failure(error, message).into())
    })
}

/// Makes the thumbnails.
fn make(
    files: &Files,
    path: &ImagePath,
    specs: &[Spec],
    limits: &Limits,
) -> Result<Vec<m3a3_thumbnail::Thumbnail>, Unmade> {
    let mut original = files.open_original(path, limits.max_upload_bytes).map_err(unreadable)?;
    let made = m3a3_thumbnail::variants_of_file(&mut original, specs, &limits.decoder());
    made.map_err(|error| unmade(original, &error))
}

/// Distinguishes an invalid image from a file that the disk has damaged.
fn unmade(mut original: Original, error: &m3a3_thumbnail::Error) -> Unmade {
    if error.is_of_storage() {
        return Failure::environment(causes(error), error.message()).into();
    }
    match original.is_damaged() {
        Ok(true) => return Unmade::Damaged(Box::new(original)),
        Ok(false) => {}
        Err(error) => return Failure::environment(error, UNREADABLE).into(),
    }
    match error.message() {
        // A file that looks damaged may still be being written by its owner.
        message if matches!(error, m3a3_thumbnail::Error::Read { .. }) || !original.is_settled() => {
            Failure::retry(causes(error), message).into()
        }
        message => Failure::fail(causes(error), message).into(),
    }
}

/// Makes the thumbnails durable.
fn store(
    files: &Files,
    name_key: &NameKey,
    variants: &[VariantSpec],
    made: &[m3a3_thumbnail::Thumbnail],
) -> Result<Thumbnails, Failure> {
    let mut stored = variants.iter().zip(made).map(|(variant, made)| {
        let name = files
            .save_thumbnail(name_key, &made.bytes, made.format.extension())
            .map_err(|error| Failure::environment(error, NOT_STORED))?;
        let variant = variant.variant.clone();
        Ok(Thumbnail { variant, name, width: made.width, height: made.height, bytes: made.bytes.len() })
    });
    let first = stored.next().ok_or_else(|| Failure::fail("no variant is configured", NOT_STORED))??;
    Ok(Thumbnails { first, others: stored.collect::<Result<_, Failure>>()? })
}

fn unreadable(error: OpenError) -> Failure {
    match error {
        OpenError::Storage(_) => Failure::environment(error, UNREADABLE),
        OpenError::Missing => Failure::retry(error, "There is no image at this path."),
        OpenError::Unreadable(_) => Failure::retry(error, UNREADABLE),
        OpenError::Outside | OpenError::NotAFile(_) => Failure::fail(error, "The path does not lead to an image file."),
        OpenError::TooLarge { max_bytes, .. } => {
            let message = format!("The image file is too large; at most {max_bytes} bytes are accepted.");
            Failure::fail(error, message)
        }
    }
}
