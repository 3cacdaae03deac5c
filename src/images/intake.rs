//! Messages on `image_uploaded`: a doorbell for the worker, and other programs' way to submit an image.
//!
//! A message with a `jobId` already has a row. One without is recorded once, no matter how many processes receive it
//! and how late; see [`Occurrences`]. API servers record messages at once. A thumbnail worker is their fallback: it
//! records at once if no API server runs, and otherwise only messages that the servers have not recorded for a while,
//! so that their configuration decides which mail users get.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::State;
use super::occurrences::Occurrences;
use super::store::{self, Acceptance, Receipt, Submission};
use crate::bus::{self, Received, Recorder};
use crate::db::DbError;
use crate::events::ImageUploaded;
use crate::files::Files;
use crate::ids::{ImagePath, UserId};
use crate::jobs::{Permit, QueueFull, WakeSignal};

/// The maximum number of messages per write.
const BATCH: usize = 128;
/// How long the fallback leaves a message to the API servers.
const FALLBACK_DELAY: Duration = Duration::from_secs(5);
/// The delay between attempts to read the database at the start.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Which messages of other programs a process records.
#[derive(Clone)]
pub(crate) enum Role {
    /// Records all messages: an API server.
    Record,
    /// Records messages that no API server has recorded. The function returns whether an API server runs.
    Fallback(Arc<dyn Fn() -> bool + Send + Sync>),
}

/// Consumes the channel until the shutdown: records images of other programs, and wakes workers on every signal.
pub(crate) async fn listen(state: State, wake: WakeSignal, role: Role, shutdown: CancellationToken) {
    // Read before the subscription: an image that another process records from now on may belong to a message that this
    // process receives too.
    let Some(newest) = newest_image(&state, &shutdown).await else { return };
    let subscription = state.bus.subscribe();
    let wake_on_message = wake.clone();
    let occurrences = Occurrences::after(newest);
    let recorder = ImageRecorder { state, wake, role, occurrences, shutdown: shutdown.clone() };
    bus::record(subscription, recorder, move || wake_on_message.notify(), shutdown).await;
}

/// The newest image; `None` after a shutdown.
async fn newest_image(state: &State, shutdown: &CancellationToken) -> Option<i64> {
    loop {
        match state.database.read_soon(store::newest).await {
            Ok(newest) => return Some(newest),
            Err(error) => tracing::warn!(%error, "cannot read the newest image, retrying"),
        }
        shutdown.run_until_cancelled(sleep(RETRY_INTERVAL)).await?;
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
    #[error("{free} bytes are free on the disk, {required} are required")]
    DiskFull { free: u64, required: u64 },
}

struct ImageRecorder {
    state: State,
    wake: WakeSignal,
    role: Role,
    occurrences: Occurrences,
    shutdown: CancellationToken,
}

/// The outcome of recording a message.
enum Outcome {
    New(Receipt),
    /// Another process has recorded it as this image.
    AlreadyRecorded(i64),
    /// It names an upload that does not exist. Its job would wait forever.
    MissingUpload,
}

impl Recorder for ImageRecorder {
    type Event = ImageUploaded;
    type Error = Obstacle;

    fn accepts(message: &ImageUploaded) -> bool {
        message.job_id.is_none()
    }

    async fn record(&mut self, waiting: &mut VecDeque<Received<ImageUploaded>>) -> Result<(), Obstacle> {
        self.leave_to_servers(waiting).await;
        let others = self.remove_recorded(waiting).await?;
        if others > 0 {
            self.record_first(others, waiting).await?;
        }
        self.wake.notify();
        Ok(())
    }
}

impl ImageRecorder {
    /// If this process is the fallback and an API server runs, gives it time to record the messages.
    async fn leave_to_servers(&self, waiting: &VecDeque<Received<ImageUploaded>>) {
        let Role::Fallback(is_served) = &self.role else { return };
        if let Some(Received { at, .. }) = waiting.back()
            && is_served()
        {
            self.shutdown.run_until_cancelled(sleep_until(*at + FALLBACK_DELAY)).await;
        }
    }

    /// Removes those of the first messages that are already recorded, and returns the number of the others.
    async fn remove_recorded(&mut self, waiting: &mut VecDeque<Received<ImageUploaded>>) -> Result<usize, DbError> {
        let keys: Vec<_> = waiting.iter().take(distinct(waiting)).map(|received| self.key(&received.event)).collect();
        let recorded: Vec<Option<i64>> = self
            .state
            .database
            .read_soon(move |connection| {
                let find = |(user, path, last): (_, ImagePath, _)| store::of_message(connection, user, &path, last);
                keys.into_iter().map(find).collect()
            })
            .await?;
        Ok(bus::remove_recorded(waiting, recorded, |ImageUploaded { user_id, image_path, .. }, image| {
            self.occurrences.matched(user_id, image_path, image);
        }))
    }

    /// Records up to `count` of the first messages, within the limits of uploads.
    async fn record_first(
        &mut self,
        count: usize,
        waiting: &mut VecDeque<Received<ImageUploaded>>,
    ) -> Result<(), Obstacle> {
        // Held until the rows are written.
        let permits = self.acquire(count).await?;
        let submissions: Vec<_> = waiting
            .iter()
            .take(permits.len())
            .map(|Received { event, .. }| {
                let (user_id, path, last) = self.key(event);
                let mail = self.state.mail.clone();
                let submission = Submission {
                    user_id,
                    path,
                    original_name: None,
                    key: None,
                    from_message: true,
                    mail,
                    trace: None,
                    bytes: 0,
                    created_after: None,
                };
                (submission, last)
            })
            .collect();
        let files = self.state.files.clone();
        let recorded = self
            .state
            .database
            .write(move |connection| {
                submissions
                    .iter()
                    .map(|(submission, last)| record(connection, &files, submission, *last))
                    .collect::<QueryResult<Vec<_>>>()
            })
            .await?;
        let missing = recorded.iter().filter(|recorded| matches!(recorded, Outcome::MissingUpload)).count();
        if missing > 0 {
            tracing::warn!(uploads = missing, "dropped messages with uploads that do not exist");
        }
        for (received, recorded) in waiting.drain(..recorded.len()).zip(recorded) {
            self.settle(received.event, recorded);
        }
        Ok(())
    }

    /// Acquires permits for new images, at least one.
    async fn acquire(&self, count: usize) -> Result<Vec<Permit>, Obstacle> {
        let (free, required) = (self.state.files.free_bytes()?, self.state.limits.min_free_bytes);
        if free < required {
            return Err(Obstacle::DiskFull { free, required });
        }
        Ok(self.state.queue_limit.acquire_up_to(count).await??)
    }

    /// The content of a message, and the image of the previous message with this content.
    fn key(&self, message: &ImageUploaded) -> (UserId, ImagePath, i64) {
        let last = self.occurrences.last(message.user_id, &message.image_path);
        (message.user_id, message.image_path.clone(), last)
    }

    fn settle(&mut self, message: ImageUploaded, recorded: Outcome) {
        let image = match &recorded {
            Outcome::New(receipt) => receipt.image_id,
            Outcome::AlreadyRecorded(image) => *image,
            Outcome::MissingUpload => return,
        };
        if let Outcome::New(Receipt { job_id, user_id, path, .. }) = recorded {
            tracing::info!(job.id = %job_id, user.id = user_id.get(), "recorded another program's image");
            // Workers received the message before the image had its row.
            self.state.bus.publish(&ImageUploaded { user_id, image_path: path, job_id: Some(job_id) });
        }
        self.occurrences.matched(message.user_id, message.image_path, image);
    }
}

/// The number of first messages that can share one write: up to the first repeated content.
fn distinct(waiting: &VecDeque<Received<ImageUploaded>>) -> usize {
    let mut contents = HashSet::new();
    waiting
        .iter()
        .take(BATCH)
        .take_while(|Received { event, .. }| contents.insert((event.user_id, &event.image_path)))
        .count()
}

/// Accepts the image of a message, unless another process has done so since the lookup.
fn record(
    connection: &mut SqliteConnection,
    files: &Files,
    submission: &Submission,
    last: i64,
) -> QueryResult<Outcome> {
    if let Some(image) = store::of_message(connection, submission.user_id, &submission.path, last)? {
        return Ok(Outcome::AlreadyRecorded(image));
    }
    // Files are removed in write transactions too: either the removal sees this row, or this sees the removal.
    if files.names_upload(&submission.path) && !files.has_upload(&submission.path) {
        return Ok(Outcome::MissingUpload);
    }
    match store::accept(connection, submission)? {
        Acceptance::New(receipt) => Ok(Outcome::New(receipt)),
        // Only a submission with an idempotency key can be a repeat.
        Acceptance::AlreadyAccepted(receipt) => Ok(Outcome::AlreadyRecorded(receipt.image_id)),
        Acceptance::Conflict => Err(diesel::result::Error::RollbackTransaction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Database, Location};
    use crate::job_payloads::MailPreferences;

    #[tokio::test]
    async fn an_image_of_a_message_is_recorded_only_while_its_upload_exists() {
        let root = tempfile::tempdir().unwrap();
        let (database, _writer) = Database::open(&Location::new(root.path().join("m3a3.db"))).unwrap();
        let files = Files::open(root.path()).unwrap();
        let path = ImagePath::new(&format!("uploads/0f/{}.jpg", "0f".repeat(32))).unwrap();
        let submission = Submission {
            user_id: UserId::new(1).unwrap(),
            path: path.clone(),
            original_name: None,
            key: None,
            from_message: true,
            mail: MailPreferences::all(),
            trace: None,
            bytes: 0,
            created_after: None,
        };
        let record = async || {
            let (files, submission) = (files.clone(), submission.clone());
            database.write(move |connection| record(connection, &files, &submission, 0)).await.unwrap()
        };
        assert!(matches!(record().await, Outcome::MissingUpload));
        std::fs::write(root.path().join(path.as_str()), "image").unwrap();
        assert!(matches!(record().await, Outcome::New(_)));
        std::fs::remove_file(root.path().join(path.as_str())).unwrap();
        assert!(matches!(record().await, Outcome::AlreadyRecorded(_)), "another process has recorded it");
    }
}
