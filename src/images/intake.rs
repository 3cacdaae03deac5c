//! Messages on `image_uploaded`: a doorbell for the worker, and other programs' way to submit an image.
//!
//! A message with a `jobId` has its row already. One without is recorded once, however many processes hear it and
//! however late; [`Occurrences`] says how. API servers record at once. A thumbnail worker stands in for them: it
//! records at once where none runs, and else only messages that the servers have left alone for a while, so that
//! their configuration decides what users are told.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::State;
use super::occurrences::Occurrences;
use super::store::{self, Accepted, Receipt, Submission};
use crate::bus::{self, Heard, Recorder};
use crate::db::DbError;
use crate::events::ImageUploaded;
use crate::ids::{ImagePath, UserId};
use crate::jobs::{Permit, QueueFull, WakeSignal};

/// How many messages share one write.
const BATCH: usize = 128;
/// How long a stand-in leaves a message to the API servers.
const FALLBACK_DELAY: Duration = Duration::from_secs(5);
/// The wait before the database is asked again at the start.
const RETRY: Duration = Duration::from_millis(500);

/// What a process does with the messages of other programs.
#[derive(Clone)]
pub(crate) enum Role {
    /// Records them: an API server.
    Record,
    /// Records what no API server has recorded. The function says whether one runs.
    Fallback(Arc<dyn Fn() -> bool + Send + Sync>),
}

/// Hears the channel until the shutdown: records images of other programs, and rings for every sign of work.
pub(crate) async fn listen(state: State, wake: WakeSignal, role: Role, shutdown: CancellationToken) {
    // Before the subscription: an image that another process records from here on may belong to a message that this one
    // hears too.
    let Some(newest) = newest_image(&state, &shutdown).await else { return };
    let subscription = state.bus.subscribe();
    let wake_on_message = wake.clone();
    let occurrences = Occurrences::after(newest);
    let recorder = ImageRecorder { state, wake, role, occurrences, shutdown: shutdown.clone() };
    bus::record(subscription, recorder, move || wake_on_message.notify(), shutdown).await;
}

/// The newest image; `None` when the shutdown came first.
async fn newest_image(state: &State, shutdown: &CancellationToken) -> Option<i64> {
    loop {
        match state.database.read_soon(store::newest).await {
            Ok(newest) => return Some(newest),
            Err(error) => tracing::warn!(%error, "the newest image cannot be read, trying again"),
        }
        shutdown.run_until_cancelled(sleep(RETRY)).await?;
    }
}

/// Why images cannot be recorded now.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    #[error("the free space of the disk is unknown: {0}")]
    Disk(#[from] std::io::Error),
    #[error("{free} bytes are free on the disk, {wanted} are wanted")]
    DiskFull { free: u64, wanted: u64 },
}

struct ImageRecorder {
    state: State,
    wake: WakeSignal,
    role: Role,
    occurrences: Occurrences,
    shutdown: CancellationToken,
}

/// How a message was recorded.
enum Recorded {
    New(Receipt),
    /// Another process had recorded this image of it before.
    AlreadyRecorded(i64),
}

impl Recorder for ImageRecorder {
    type Event = ImageUploaded;
    type Obstacle = Obstacle;

    fn wants(message: &ImageUploaded) -> bool {
        message.job_id.is_none()
    }

    async fn record(&mut self, waiting: &mut VecDeque<Heard<ImageUploaded>>) -> Result<(), Obstacle> {
        self.leave_to_servers(waiting).await;
        self.drop_missing_uploads(waiting).await;
        let unknown = self.remove_known(waiting).await?;
        if unknown > 0 {
            self.record_first(unknown, waiting).await?;
        }
        self.wake.notify();
        Ok(())
    }
}

impl ImageRecorder {
    /// Where this process only stands in for API servers and one runs, gives it time to record the messages.
    async fn leave_to_servers(&self, waiting: &VecDeque<Heard<ImageUploaded>>) {
        let Role::Fallback(is_served) = &self.role else { return };
        if let Some(Heard { at, .. }) = waiting.back()
            && is_served()
        {
            self.shutdown.run_until_cancelled(sleep_until(*at + FALLBACK_DELAY)).await;
        }
    }

    /// Drops the messages that name an upload that does not exist: their jobs would wait for it for ever.
    async fn drop_missing_uploads(&self, waiting: &mut VecDeque<Heard<ImageUploaded>>) {
        let files = self.state.files.clone();
        let uploads = waiting.iter().map(|heard| heard.event.image_path.clone());
        let uploads: Vec<ImagePath> = uploads.filter(|path| files.names_upload(path)).collect();
        if uploads.is_empty() {
            return;
        }
        let looked = tokio::task::spawn_blocking(move || {
            uploads.into_iter().filter(|path| !files.has_upload(path)).collect::<HashSet<_>>()
        });
        // Without an answer they are recorded.
        let missing = looked.await.unwrap_or_default();
        waiting.retain(|heard| !missing.contains(&heard.event.image_path));
        if !missing.is_empty() {
            tracing::warn!(uploads = missing.len(), "messages that name uploads that do not exist are dropped");
        }
    }

    /// Removes those of the first messages that are recorded already, and returns how many of them are left.
    async fn remove_known(&mut self, waiting: &mut VecDeque<Heard<ImageUploaded>>) -> Result<usize, DbError> {
        let asked: Vec<_> = waiting.iter().take(distinct(waiting)).map(|heard| self.asked(&heard.event)).collect();
        let count = asked.len();
        let known: Vec<Option<i64>> = self
            .state
            .database
            .read_soon(move |connection| {
                let find = |(user, path, last): (_, ImagePath, _)| store::of_message(connection, user, &path, last);
                asked.into_iter().map(find).collect()
            })
            .await?;
        let mut unknown = Vec::new();
        for (heard, known) in waiting.drain(..count).zip(known) {
            match known {
                Some(image) => self.occurrences.matched(heard.event.user_id, heard.event.image_path, image),
                None => unknown.push(heard),
            }
        }
        let left = unknown.len();
        unknown.into_iter().rev().for_each(|heard| waiting.push_front(heard));
        Ok(left)
    }

    /// Records the first messages, at most `count`: as many as the limits of uploads allow.
    async fn record_first(
        &mut self,
        count: usize,
        waiting: &mut VecDeque<Heard<ImageUploaded>>,
    ) -> Result<(), Obstacle> {
        // Held until the rows are written.
        let permits = self.acquire(count).await?;
        let submissions: Vec<_> = waiting
            .iter()
            .take(permits.len())
            .map(|Heard { event, .. }| {
                let (user_id, path, last) = self.asked(event);
                let mail = self.state.mail.clone();
                (Submission { user_id, path, original_name: None, key: None, from_message: true, mail }, last)
            })
            .collect();
        let recorded = self
            .state
            .database
            .write(move |connection| {
                submissions
                    .iter()
                    .map(|(submission, last)| record(connection, submission, *last))
                    .collect::<QueryResult<Vec<_>>>()
            })
            .await?;
        for (heard, recorded) in waiting.drain(..recorded.len()).zip(recorded) {
            self.settle(heard.event, recorded);
        }
        Ok(())
    }

    /// Takes permits for new images, at least one.
    async fn acquire(&self, count: usize) -> Result<Vec<Permit>, Obstacle> {
        let (free, wanted) = (self.state.files.free_bytes()?, self.state.limits.min_free_bytes);
        if free < wanted {
            return Err(Obstacle::DiskFull { free, wanted });
        }
        let mut permits = Vec::with_capacity(count);
        while permits.len() < count {
            match self.state.queue_limit.acquire().await? {
                Ok(permit) => permits.push(permit),
                Err(full) if permits.is_empty() => return Err(full.into()),
                Err(_) => break,
            }
        }
        Ok(permits)
    }

    /// The content of a message, and the image that the one before belongs to.
    fn asked(&self, message: &ImageUploaded) -> (UserId, ImagePath, i64) {
        let last = self.occurrences.last(message.user_id, &message.image_path);
        (message.user_id, message.image_path.clone(), last)
    }

    fn settle(&mut self, message: ImageUploaded, recorded: Recorded) {
        let image = match &recorded {
            Recorded::New(receipt) => receipt.image_id,
            Recorded::AlreadyRecorded(image) => *image,
        };
        if let Recorded::New(Receipt { job_id, user_id, path, .. }) = recorded {
            tracing::info!(job.id = %job_id, user.id = %user_id, "recorded another program's image");
            // Workers heard of the image before it had its row.
            self.state.bus.publish(&ImageUploaded { user_id, image_path: path, job_id: Some(job_id) });
        }
        self.occurrences.matched(message.user_id, message.image_path, image);
    }
}

/// How many of the first messages share one write: those up to the first whose content occurs again.
fn distinct(waiting: &VecDeque<Heard<ImageUploaded>>) -> usize {
    let mut contents = HashSet::new();
    waiting
        .iter()
        .take(BATCH)
        .take_while(|Heard { event, .. }| contents.insert((event.user_id, &event.image_path)))
        .count()
}

/// Accepts the image of a message, unless another process has done so meanwhile.
fn record(connection: &mut SqliteConnection, submission: &Submission, last: i64) -> QueryResult<Recorded> {
    if let Some(image) = store::of_message(connection, submission.user_id, &submission.path, last)? {
        return Ok(Recorded::AlreadyRecorded(image));
    }
    match store::accept(connection, submission)? {
        Accepted::New(receipt) => Ok(Recorded::New(receipt)),
        // Only a submission with an idempotency key can be a repeat.
        Accepted::AlreadyAccepted(receipt) => Ok(Recorded::AlreadyRecorded(receipt.image_id)),
        Accepted::Conflict => Err(diesel::result::Error::RollbackTransaction),
    }
}
