//! Pending addresses, and the rows of `email_confirmations`, which limit the number of mails. Each function runs inside
//! the caller's transaction.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::DAY_MS;
use super::token::Link;
use crate::db::UnixMillis;
use crate::db::schema::{email_confirmations, users};
use crate::ids::{EmailAddress, UserId};
use crate::job_payloads::MailTask;
use crate::jobs::enqueue;
use crate::users::{Contact, contact};

/// The number of confirmation mails of one user, and to one mailbox, in 24 hours.
pub(super) const MAX_MAILS: u32 = 5;
/// The number of old rows that are deleted at once, more than are inserted, so that the table shrinks again.
const PRUNE_BATCH: i64 = 100;

/// The limit of mails is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    /// When the next mail is possible.
    pub(super) wait: Duration,
}

/// `None` if one more mail to this address is possible.
pub(crate) fn check_limits(
    connection: &mut SqliteConnection,
    user: UserId,
    address: &EmailAddress,
    now: UnixMillis,
) -> QueryResult<Option<Limited>> {
    let recent = email_confirmations::table
        .filter(email_confirmations::created_at.gt(now.saturating_sub(DAY_MS)))
        .order(email_confirmations::created_at.desc())
        .select(email_confirmations::created_at)
        .limit(1)
        .offset(i64::from(MAX_MAILS) - 1);
    let of_user = recent.filter(email_confirmations::user_id.eq(user.get()));
    let to_mailbox = recent.filter(email_confirmations::mailbox.eq(address.mailbox()));
    let of_user = of_user.first::<UnixMillis>(connection).optional()?;
    let to_mailbox = to_mailbox.first::<UnixMillis>(connection).optional()?;
    let wait = |since: UnixMillis| u64::try_from(since.saturating_add(DAY_MS) - now).unwrap_or(0);
    Ok(of_user.max(to_mailbox).map(|since| Limited { wait: Duration::from_millis(wait(since)) }))
}

/// Enqueues the mail to an address, which the caller has made pending.
pub(crate) fn request(
    connection: &mut SqliteConnection,
    user: UserId,
    address: &EmailAddress,
    site: &str,
    now: UnixMillis,
) -> QueryResult<()> {
    prune(connection, now)?;
    let confirmation_id = diesel::insert_into(email_confirmations::table)
        .values((
            email_confirmations::user_id.eq(user.get()),
            email_confirmations::mailbox.eq(address.mailbox()),
            email_confirmations::created_at.eq(now),
        ))
        .returning(email_confirmations::id)
        .get_result(connection)?;
    let expires = now.saturating_add(DAY_MS);
    let task = MailTask::ConfirmAddress { user_id: user, confirmation_id, site: site.to_owned(), expires };
    enqueue(connection, &task, now)?;
    Ok(())
}

/// Deletes rows that count no longer. Their links have expired.
fn prune(connection: &mut SqliteConnection, now: UnixMillis) -> QueryResult<()> {
    let old: Vec<i64> = email_confirmations::table
        .filter(email_confirmations::created_at.le(now.saturating_sub(DAY_MS)))
        .order(email_confirmations::created_at)
        .limit(PRUNE_BATCH)
        .select(email_confirmations::id)
        .load(connection)?;
    diesel::delete(email_confirmations::table.filter(email_confirmations::id.eq_any(old))).execute(connection)?;
    Ok(())
}

/// The address that the mail of this row is for. `None` if it is not pending any more.
pub(crate) fn awaited_address(
    connection: &mut SqliteConnection,
    user: UserId,
    confirmation_id: i64,
) -> QueryResult<Option<EmailAddress>> {
    let mailbox: Option<String> = email_confirmations::table
        .find(confirmation_id)
        .filter(email_confirmations::user_id.eq(user.get()))
        .select(email_confirmations::mailbox)
        .get_result(connection)
        .optional()?;
    let pending = contact(connection, user)?.and_then(|contact| contact.pending_email);
    Ok(pending.filter(|pending| mailbox.is_some_and(|mailbox| mailbox == pending.mailbox())))
}

/// The state of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkState {
    /// Its address can be confirmed.
    Pending(EmailAddress),
    /// Its address is that of the user.
    Confirmed(EmailAddress),
    Expired,
    /// Its address is not pending any more.
    Replaced,
    /// Not signed by this installation.
    Invalid,
}

pub(super) fn look_up(connection: &mut SqliteConnection, link: &Link, now: UnixMillis) -> QueryResult<LinkState> {
    let Contact { email, pending_email, .. } = contact(connection, link.user)?.unwrap_or_default();
    let of_link = |address: Option<EmailAddress>| address.filter(|address| link.is_for(address));
    Ok(match (of_link(email), of_link(pending_email)) {
        (Some(address), _) => LinkState::Confirmed(address),
        (None, _) if link.has_expired(now) => LinkState::Expired,
        (None, Some(address)) => LinkState::Pending(address),
        (None, None) => LinkState::Replaced,
    })
}

/// Lets the pending address of a link take effect.
pub(super) fn confirm(connection: &mut SqliteConnection, link: &Link, now: UnixMillis) -> QueryResult<LinkState> {
    match look_up(connection, link, now)? {
        LinkState::Pending(address) => {
            diesel::update(users::table.find(link.user.get()))
                .set((users::email.eq(address.as_str()), users::pending_email.eq(None::<String>)))
                .execute(connection)?;
            Ok(LinkState::Confirmed(address))
        }
        state => Ok(state),
    }
}
