//! The statements of the `mails` table. Each runs inside the caller's transaction.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::{UnixMillis, schema::mails};
use crate::ids::{JobId, UserId};
use crate::job_payloads::MailKind;

/// How a mail's job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is on its way.
    Sent,
    /// There was nobody to send it to.
    Skipped,
    /// It was given up.
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

/// What is kept of a mail.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) job: JobId,
    pub(super) notice: MailKind,
    pub(super) user: Option<UserId>,
    pub(super) state: State,
    pub(super) message_id: Option<&'a str>,
}

/// Writes down what became of a mail; a job has one record, and this becomes it.
pub(super) fn record(connection: &mut SqliteConnection, record: &Record<'_>, now: UnixMillis) -> QueryResult<()> {
    diesel::replace_into(mails::table)
        .values((
            mails::job_id.eq(record.job.to_string()),
            mails::notice.eq(record.notice.name()),
            mails::user_id.eq(record.user.map(UserId::get)),
            mails::state.eq(record.state.name()),
            mails::message_id.eq(record.message_id),
            mails::created_at.eq(now),
        ))
        .execute(connection)?;
    Ok(())
}

/// Forgets what became of a mail whose job is to run again.
pub(super) fn forget(connection: &mut SqliteConnection, job: JobId) -> QueryResult<()> {
    diesel::delete(mails::table.find(job.to_string())).execute(connection)?;
    Ok(())
}
