//! The mail job: tell a user what happened.

use std::io::Read;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::SetupError;
use super::delivery_error::DeliveryError;
use super::message::{BuildError, Inline, MailMessage, MessageBuilder, Recipient};
use super::store::{self, Record, State};
use super::templates::Templates;
use super::transport::Transport;
use crate::config::Email;
use crate::db::{Database, UnixMillis};
use crate::files::{Files, ThumbnailName};
use crate::ids::{JobId, UserId};
use crate::job_payloads::{MailKind, MailTask};
use crate::jobs::{EMAIL, Failure, Handler, Job, Kind};
use crate::users::{self, Contact};

const NOT_SENT: &str = "The mail could not be sent.";
/// The largest thumbnail that a mail contains.
const MAX_THUMBNAIL_BYTES: u64 = 1 << 20;

/// Sends mails.
pub struct EmailWorker {
    database: Database,
    files: Files,
    builder: MessageBuilder,
    transport: Transport,
}

impl EmailWorker {
    /// A worker that sends what this configuration says, the way it says.
    ///
    /// # Errors
    /// When a template cannot be used, or the outbox cannot be made.
    pub fn new(config: &Email, database: Database, files: Files) -> Result<Self, SetupError> {
        let templates = Templates::load(config.templates.as_deref())?;
        let builder = MessageBuilder::new(&config.from, templates).map_err(SetupError::Sender)?;
        let transport = Transport::new(config, &files).map_err(SetupError::Outbox)?;
        Ok(Self { database, files, builder, transport })
    }

    async fn write(&self, job: JobId, task: &MailTask, contact: &Contact) -> Result<Option<MailMessage>, Failure> {
        let Some(address) = &contact.email else { return Ok(None) };
        let picture = match task {
            MailTask::ThumbnailReady { thumbnail, variants, .. } if variants.is_empty() => {
                self.picture(std::slice::from_ref(thumbnail)).await?
            }
            MailTask::ThumbnailReady { variants, .. } => self.picture(variants).await?,
            MailTask::UploadReceived { .. } | MailTask::ThumbnailFailed { .. } | MailTask::OrderConfirmed { .. } => {
                None
            }
        };
        let recipient = Recipient { name: contact.username.as_deref(), address };
        self.builder.build(job, task, &recipient, picture).map(Some).map_err(|error| match error {
            // Another template mends it.
            BuildError::Template(_) => Failure::retry(error, NOT_SENT),
            BuildError::Address(_) | BuildError::Message(_) => Failure::fail(error, NOT_SENT),
        })
    }

    /// The first of these thumbnails that fits into a mail, if any does.
    async fn picture(&self, names: &[String]) -> Result<Option<Inline>, Failure> {
        let names = names.iter().map(|name| name.parse()).collect::<Result<Vec<ThumbnailName>, _>>();
        let names = names.map_err(|error| Failure::fail(error, NOT_SENT))?;
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || read_first_that_fits(&files, &names));
        let read = read.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        // It was stored before this job was made.
        read.map_err(|error| Failure::environment(format!("the thumbnail cannot be read: {error}"), NOT_SENT))
    }
}

fn read_first_that_fits(files: &Files, names: &[ThumbnailName]) -> std::io::Result<Option<Inline>> {
    for name in names {
        let mut file = files.open_thumbnail(name)?;
        if file.metadata()?.len() <= MAX_THUMBNAIL_BYTES {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let extension = name.as_str().rsplit('.').next().unwrap_or_default().to_owned();
            return Ok(Some(Inline { bytes, extension }));
        }
    }
    Ok(None)
}

/// What became of a mail.
#[derive(Debug, Clone)]
pub struct MailOutcome {
    job: JobId,
    notice: MailKind,
    user: Option<UserId>,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Sent { message_id: String },
    Skipped { why: String },
    Failed,
}

impl MailOutcome {
    fn record(&self, connection: &mut SqliteConnection, now: UnixMillis) -> QueryResult<()> {
        let (state, message_id) = match &self.outcome {
            Outcome::Sent { message_id } => (State::Sent, Some(message_id.as_str())),
            Outcome::Skipped { .. } => (State::Skipped, None),
            Outcome::Failed => (State::Failed, None),
        };
        let record = Record { job: self.job, notice: self.notice, user: self.user, state, message_id };
        store::record(connection, &record, now)
    }
}

impl Handler for EmailWorker {
    const KIND: Kind = EMAIL;
    type Effect = MailOutcome;
    type Event = MailOutcome;

    async fn run(&self, job: &Job) -> Result<MailOutcome, Failure> {
        let task = MailTask::parse(&job.payload)
            .map_err(|error| Failure::fail(format!("the job is of no known form: {error}"), NOT_SENT))?;
        let outcome = |outcome| MailOutcome { job: job.id, notice: task.mail_kind(), user: task.user_id(), outcome };
        let skipped = |why| Ok(outcome(Outcome::Skipped { why }));
        let Some(user) = task.user_id() else { return skipped("the order's customer is no user".to_owned()) };
        let contact = self.database.read_point(|connection| users::contact(connection, user));
        let Some(contact) = contact.map_err(|error| Failure::database(&error, NOT_SENT))? else {
            return skipped(format!("there is no user {user}"));
        };
        let Some(message) = self.write(job.id, &task, &contact).await? else {
            return skipped(format!("user {user} has no email address"));
        };
        let message_id = message.message_id.clone();
        self.transport.deliver(job.id, message).await.map_err(failure)?;
        Ok(outcome(Outcome::Sent { message_id }))
    }

    fn operator_note(outcome: &MailOutcome) -> Option<String> {
        match &outcome.outcome {
            Outcome::Skipped { why } => Some(format!("skipped: {why}")),
            Outcome::Sent { .. } | Outcome::Failed => None,
        }
    }

    fn apply(
        connection: &mut SqliteConnection,
        _: &Job,
        outcome: MailOutcome,
        now: UnixMillis,
    ) -> QueryResult<MailOutcome> {
        outcome.record(connection, now)?;
        Ok(outcome)
    }

    fn on_dead(
        connection: &mut SqliteConnection,
        job: &Job,
        _: &str,
        now: UnixMillis,
    ) -> QueryResult<Option<MailOutcome>> {
        // Of a job that says nothing there is nothing to keep.
        let Ok(task) = MailTask::parse(&job.payload) else { return Ok(None) };
        let outcome =
            MailOutcome { job: job.id, notice: task.mail_kind(), user: task.user_id(), outcome: Outcome::Failed };
        outcome.record(connection, now)?;
        Ok(Some(outcome))
    }

    fn on_requeued(connection: &mut SqliteConnection, job: &Job) -> QueryResult<()> {
        store::forget(connection, job.id)
    }

    fn publish(&self, MailOutcome { job, notice, user, outcome }: MailOutcome) {
        let (notice, user) = (notice.name(), user.map(UserId::get));
        match outcome {
            Outcome::Sent { message_id } => {
                tracing::info!(job.id = %job, notice, user.id = user, message.id = message_id, "the mail is on its way");
            }
            Outcome::Skipped { why } => tracing::info!(job.id = %job, notice, why, "no mail is sent"),
            Outcome::Failed => tracing::error!(job.id = %job, notice, user.id = user, "the mail is given up"),
        }
    }
}

fn failure(error: DeliveryError) -> Failure {
    match error {
        DeliveryError::NotKept(_) => Failure::environment(error, NOT_SENT),
        _ if error.is_final() => Failure::fail(error, NOT_SENT),
        _ => Failure::retry(error, NOT_SENT),
    }
}
