//! The mail job: builds a mail and delivers it.

use std::io::Read;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::SetupError;
use super::delivery_error::DeliveryError;
use super::message::{BuildError, Inline, Insert, MailMessage, MessageBuilder, Recipient};
use super::store::{self, Record, State};
use super::templates::Templates;
use super::transport::Transport;
use crate::config::Email;
use crate::db::{Database, UnixMillis, now};
use crate::files::{Files, ThumbnailName};
use crate::ids::{EmailAddress, JobId, UserId};
use crate::job_payloads::{MailKind, MailTask};
use crate::jobs::{Failure, Handler, Job, Slot, Task};
use crate::users::{self, Contact};

const NOT_SENT: &str = "The mail could not be sent.";
/// The largest thumbnail that is embedded in a mail.
const MAX_THUMBNAIL_BYTES: u64 = 1 << 20;

/// Sends mails.
pub(crate) struct EmailWorker {
    database: Database,
    files: Files,
    builder: MessageBuilder,
    transport: Transport,
}

impl EmailWorker {
    /// # Errors
    /// When a template has an error, or the outbox cannot be created.
    pub(crate) fn new(config: &Email, database: Database, files: Files) -> Result<Self, SetupError> {
        let templates = Templates::load(config.templates.as_deref())?;
        let builder = MessageBuilder::new(&config.from, templates).map_err(SetupError::Sender)?;
        let transport = Transport::new(config, &files).map_err(SetupError::Outbox)?;
        Ok(Self { database, files, builder, transport })
    }

    /// The recipient of a mail, or why there is none.
    fn addressee(&self, task: &MailTask) -> Result<Result<Addressee, String>, Failure> {
        let Some(user) = task.user_id() else { return Ok(Err("the customer of the order is not a user".to_owned())) };
        if let MailTask::ConfirmAddress { confirmation_id, expires, .. } = *task {
            return self.unconfirmed(user, confirmation_id, expires);
        }
        let contact = self.database.read_point(|connection| users::contact(connection, user));
        let Some(Contact { username, email, .. }) = contact.map_err(|error| Failure::database(&error, NOT_SENT))?
        else {
            return Ok(Err(format!("there is no user {user}")));
        };
        let addressee = email.map(|address| Addressee { name: username, address });
        Ok(addressee.ok_or_else(|| format!("user {user} has no email address")))
    }

    /// The recipient of a confirmation. The mail has no name, since it is a text that the user has chosen.
    fn unconfirmed(
        &self,
        user: UserId,
        confirmation: i64,
        expires: UnixMillis,
    ) -> Result<Result<Addressee, String>, Failure> {
        if expires <= now() {
            return Ok(Err("the link has expired".to_owned()));
        }
        let address = self.database.read_point(|connection| users::awaited_address(connection, user, confirmation));
        let address = address.map_err(|error| Failure::database(&error, NOT_SENT))?;
        let addressee = address.map(|address| Addressee { name: None, address });
        Ok(addressee.ok_or_else(|| format!("the address of user {user} is not pending any more")))
    }

    async fn build(&self, job: JobId, task: &MailTask, addressee: &Addressee) -> Result<MailMessage, Failure> {
        let insert = self.insert(task, addressee).await?;
        let recipient = Recipient { name: addressee.name.as_deref(), address: &addressee.address };
        self.builder.build(job, task, &recipient, insert).map_err(|error| match error {
            // A corrected template repairs it.
            BuildError::Template(_) => Failure::retry(error, NOT_SENT),
            BuildError::Address(_) | BuildError::Message(_) => Failure::fail(error, NOT_SENT),
        })
    }

    async fn insert(&self, task: &MailTask, addressee: &Addressee) -> Result<Option<Insert>, Failure> {
        let thumbnail = match task {
            MailTask::ThumbnailReady { thumbnail, variants, .. } if variants.is_empty() => {
                self.thumbnail(std::slice::from_ref(thumbnail)).await?
            }
            MailTask::ThumbnailReady { variants, .. } => self.thumbnail(variants).await?,
            MailTask::ConfirmAddress { user_id, site, expires, .. } => {
                let link = users::confirmation_link(&self.database, site, *user_id, &addressee.address, *expires);
                let link = link.await.map_err(|error| Failure::database(&error, NOT_SENT))?;
                return Ok(Some(Insert::Link(link)));
            }
            MailTask::UploadReceived { .. } | MailTask::ThumbnailFailed { .. } | MailTask::OrderConfirmed { .. } => {
                None
            }
        };
        Ok(thumbnail.map(Insert::Thumbnail))
    }

    /// The first of these thumbnails that fits into a mail, if any does.
    async fn thumbnail(&self, names: &[String]) -> Result<Option<Inline>, Failure> {
        let names = names.iter().map(|name| name.parse()).collect::<Result<Vec<ThumbnailName>, _>>();
        let names = names.map_err(|error| Failure::fail(error, NOT_SENT))?;
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || read_first_that_fits(&files, &names));
        let read = read.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        // The thumbnail was stored before this job was enqueued, so the storage fails.
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

/// The recipient of one mail.
struct Addressee {
    name: Option<String>,
    address: EmailAddress,
}

/// The outcome of a mail.
#[derive(Debug, Clone)]
pub(crate) struct MailOutcome {
    job: JobId,
    kind: MailKind,
    user: Option<UserId>,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Sent { message_id: String },
    Skipped { reason: String },
    Failed,
}

impl MailOutcome {
    fn record(&self, connection: &mut SqliteConnection, now: UnixMillis) -> QueryResult<()> {
        let (state, message_id) = match &self.outcome {
            Outcome::Sent { message_id } => (State::Sent, Some(message_id.as_str())),
            Outcome::Skipped { .. } => (State::Skipped, None),
            Outcome::Failed => (State::Failed, None),
        };
        let record = Record { job: self.job, kind: self.kind, user: self.user, state, message_id };
        store::record(connection, &record, now)
    }
}

impl Handler for EmailWorker {
    type Task = MailTask;
    type Effect = MailOutcome;
    type Event = MailOutcome;

    async fn run(&self, job: &Job, task: MailTask, _slot: Slot) -> Result<MailOutcome, Failure> {
        let outcome = |outcome| MailOutcome { job: job.id, kind: task.mail_kind(), user: task.user_id(), outcome };
        let addressee = match self.addressee(&task)? {
            Ok(addressee) => addressee,
            Err(reason) => return Ok(outcome(Outcome::Skipped { reason })),
        };
        let message = self.build(job.id, &task, &addressee).await?;
        let message_id = message.message_id.clone();
        self.transport.deliver(job.id, message).await.map_err(failure)?;
        Ok(outcome(Outcome::Sent { message_id }))
    }

    fn operator_note(outcome: &MailOutcome) -> Option<String> {
        match &outcome.outcome {
            Outcome::Skipped { reason } => Some(format!("skipped: {reason}")),
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
        // An invalid payload has no kind to record.
        let Ok(task) = job.task::<MailTask>() else { return Ok(None) };
        let outcome =
            MailOutcome { job: job.id, kind: task.mail_kind(), user: task.user_id(), outcome: Outcome::Failed };
        outcome.record(connection, now)?;
        Ok(Some(outcome))
    }

    fn on_requeued(connection: &mut SqliteConnection, job: &Job) -> QueryResult<()> {
        store::delete(connection, job.id)
    }

    fn publish(&self, MailOutcome { job, kind, user, outcome }: MailOutcome) {
        let (notice, user) = (kind.name(), user.map(UserId::get));
        match outcome {
            Outcome::Sent { message_id } => {
                tracing::info!(job.id = %job, notice, user.id = user, message.id = message_id, "mail sent");
            }
            Outcome::Skipped { reason } => tracing::info!(job.id = %job, notice, reason, "mail skipped"),
            Outcome::Failed => tracing::error!(job.id = %job, notice, user.id = user, "mail given up"),
        }
    }
}

fn failure(error: DeliveryError) -> Failure {
    match error {
        DeliveryError::Outbox(_) => Failure::environment(error, NOT_SENT),
        _ if error.is_final() => Failure::fail(error, NOT_SENT),
        _ => Failure::retry(error, NOT_SENT),
    }
}
