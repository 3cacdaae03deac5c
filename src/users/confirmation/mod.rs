//! Confirms the email addresses that user tokens set: a mail to the new address has a link with a signed, expiring
//! token, and the address takes effect once the form behind the link was sent. Until then, no other mail is sent there.
//!
//! - `token`: the signed token
//! - `key`: the key of the installation
//! - `store`: pending addresses, and the limits of mails
//! - `page`: the page behind the link

mod key;
pub(super) mod page;
mod store;
mod token;

use std::sync::Arc;

use crate::db::{Database, DbError, UnixMillis};
use crate::http::limits::{self, Quota, StoredLimit};
use crate::http::{Caller, Problem};
use crate::ids::{EmailAddress, UserId};

pub(crate) use store::awaited_address;
pub(super) use store::{Limited, check_limits, request};

/// The path of the page, as in the link.
const PATH: &str = "/confirm-email";
/// How long a link is valid, and the period of the limits of mails.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How user tokens set the email address. Other callers are trusted to have confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Directly.
    Off,
    /// By a link below this URL, which has no slash at its end.
    Links(Arc<str>),
    /// Not at all, since this server does not know the URL of links.
    NoUrl,
}

impl Confirmation {
    /// The URL of the link that confirms an address of this caller. `None` if the address needs no confirmation.
    ///
    /// # Errors
    /// 403 for a user token while the URL is unknown.
    pub(super) fn site_for(&self, caller: &Caller) -> Result<Option<String>, Problem> {
        match (self, caller) {
            (_, Caller::Trusted) | (Self::Off, _) => Ok(None),
            (Self::Links(site), Caller::User(_)) => Ok(Some(site.to_string())),
            (Self::NoUrl, Caller::User(_)) => {
                let what = "while serve.public_url is not set, with which confirmation links begin, changing the email \
                            address";
                caller.check_trusted(what).map(|()| None)
            }
        }
    }
}

impl From<Limited> for Problem {
    fn from(Limited { wait }: Limited) -> Self {
        let subject = "confirmation mails for this user or to this address";
        limits::refused(StoredLimit::ConfirmEmail, subject, Quota::PerDay(store::MAX_MAILS), wait)
    }
}

/// The link that confirms this address. It is a secret of the mailbox, so it is in the mail alone.
///
/// # Errors
/// If the key cannot be read, or a new one cannot be written.
pub(crate) async fn confirmation_link(
    database: &Database,
    site: &str,
    user: UserId,
    address: &EmailAddress,
    expires: UnixMillis,
) -> Result<String, DbError> {
    let token = key::open(database).await?.sign(user, address, expires);
    Ok(format!("{site}{PATH}?token={token}"))
}
