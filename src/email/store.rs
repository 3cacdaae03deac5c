//! The statements of the `mails` table. Each runs inside the caller's transaction.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::{UnixMillis, schema::mails};
use crate::ids::{JobId, UserId};
use crate::job_payloads::MailKind;

/// The state of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Sent,
    /// There was no recipient.
    Skipped,
    /// The job is dead.
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// The row of a mail.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) job: JobId,
    pub(super) kind: MailKind,
    pub(super) user: Option<UserId>,
    pub(super) state: State,
    pub(super) message_id: Option<&'a str>,
}

/// Stores the outcome of a mail. A job has one row; a second outcome replaces the first.
pub(super) fn record(connection: &mut SqliteConnection, record: &Record<'_>, now: UnixMillis) -> QueryResult<()> {
    diesel::replace_into(mails::table)
        .values((
            mails::job_id.eq(record.job),
            mails::notice.eq(record.kind.name()),
            mails::user_id.eq(record.user),
            mails::state.eq(record.state.name()),
            mails::message_id.eq(record.message_id),
            mails::created_at.eq(now),
        ))
        .execute(connection)?;
    Ok(())
}

/// Deletes the outcome of a mail whose job runs again.
pub(super) fn delete(connection: &mut SqliteConnection, job: JobId) -> QueryResult<()> {
    diesel::delete(mails::table.find(job)).execute(connection)?;
    Ok(())
}
