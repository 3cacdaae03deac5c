//! The name and the email address of a user, and their changes.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::confirmation::{self, Limited};
use super::{TooManyUsers, User, check_new, ensure, find};
use crate::db::UnixMillis;
use crate::db::schema::users;
use crate::ids::{EmailAddress, UserId, Username};

/// A user's name and email address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contact {
    /// May contain control characters if the replaced service wrote it.
    pub(crate) username: Option<String>,
    /// `None` also if the column contains no valid address.
    pub(crate) email: Option<EmailAddress>,
    /// The address that a user token has set, while it is not confirmed.
    pub(crate) pending_email: Option<EmailAddress>,
}

/// `None` if there is no such user.
pub(crate) fn contact(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Option<Contact>> {
    let row = users::table
        .find(user.get())
        .select((users::username, users::email, users::pending_email))
        .get_result::<(Option<String>, Option<String>, Option<String>)>(connection)
        .optional()?;
    let address = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Ok(row.map(|(username, email, pending_email)| Contact {
        username,
        email: address(email),
        pending_email: address(pending_email),
    }))
}

/// The change of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field<T> {
    Keep,
    Clear,
    Set(T),
}

/// The changes of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) username: Field<Username>,
    pub(super) email: Field<EmailAddress>,
    /// The URL of the link that confirms a new address. `None` if the address takes effect at once.
    pub(super) site: Option<String>,
}

impl Change {
    /// The address that has to be confirmed, with the URL of the link; `None` if it is that of the user already.
    fn to_confirm(&self, current: &Contact) -> Option<(&EmailAddress, &str)> {
        match (&self.email, &self.site) {
            (Field::Set(address), Some(site)) if current.email.as_ref() != Some(address) => Some((address, site)),
            _ => None,
        }
    }

    fn apply_to(&self, current: Contact) -> Contact {
        let (email, pending_email) = match (&self.email, self.to_confirm(&current)) {
            (_, Some((pending, _))) => (current.email, Some(pending.clone())),
            (Field::Keep, _) => (current.email, current.pending_email),
            (Field::Clear, _) => (None, None),
            (Field::Set(address), _) => (Some(address.clone()), None),
        };
        let username = match &self.username {
            Field::Keep => current.username,
            Field::Clear => None,
            Field::Set(username) => Some(username.as_str().to_owned()),
        };
        Contact { username, email, pending_email }
    }
}

/// A changed user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) is_new: bool,
    pub(super) user: User,
}

/// Why a user is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotChanged {
    /// The user is new, and there are too many.
    Full(TooManyUsers),
    /// There were too many mails that confirm an address.
    Limited(Limited),
}

/// Inserts or changes a user, and enqueues the mail that confirms a new address. Changes nothing if the limit of users or
/// of these mails is reached.
pub(super) fn put(
    connection: &mut SqliteConnection,
    user: UserId,
    change: &Change,
    max_users: u64,
    now: UnixMillis,
) -> QueryResult<Result<Changed, NotChanged>> {
    let before = find(connection, user)?;
    let is_new = before.is_none();
    if is_new && let Err(full) = check_new(connection, max_users)? {
        return Ok(Err(NotChanged::Full(full)));
    }
    let User { contact: current, usage } = before.unwrap_or_default();
    let to_confirm = change.to_confirm(&current);
    if let Some((address, _)) = to_confirm
        && let Some(limited) = confirmation::check_limits(connection, user, address, now)?
    {
        return Ok(Err(NotChanged::Limited(limited)));
    }
    let contact = change.apply_to(current);
    ensure(connection, user)?;
    let text = |address: &Option<EmailAddress>| address.as_ref().map(|address| address.as_str().to_owned());
    diesel::update(users::table.find(user.get()))
        .set((
            users::username.eq(&contact.username),
            users::email.eq(text(&contact.email)),
            users::pending_email.eq(text(&contact.pending_email)),
        ))
        .execute(connection)?;
    if let Some((address, site)) = to_confirm {
        confirmation::request(connection, user, address, site, now)?;
    }
    Ok(Ok(Changed { is_new, user: User { contact, usage } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().unwrap()
    }

    fn current() -> Contact {
        Contact {
            username: Some("ada".to_owned()),
            email: Some(address("old@example.org")),
            pending_email: Some(address("pending@example.org")),
        }
    }

    /// The addresses after a change: the one in effect and the pending one.
    fn after(email: Field<EmailAddress>, is_confirmed: bool) -> (Option<String>, Option<String>) {
        let site = is_confirmed.then(|| "http://127.0.0.1:3010".to_owned());
        let contact = Change { username: Field::Keep, email, site }.apply_to(current());
        assert_eq!(contact.username.as_deref(), Some("ada"));
        let text = |address: Option<EmailAddress>| address.map(|address| address.to_string());
        (text(contact.email), text(contact.pending_email))
    }

    #[test]
    fn only_a_new_address_that_must_be_confirmed_is_pending() {
        let some = |text: &str| Some(text.to_owned());
        let (old, pending) = (some("old@example.org"), some("pending@example.org"));
        for is_confirmed in [false, true] {
            assert_eq!(after(Field::Keep, is_confirmed), (old.clone(), pending.clone()));
            assert_eq!(after(Field::Clear, is_confirmed), (None, None));
            assert_eq!(after(Field::Set(address("old@example.org")), is_confirmed), (old.clone(), None));
        }
        let new = || Field::Set(address("new@example.org"));
        assert_eq!(after(new(), false), (some("new@example.org"), None));
        assert_eq!(after(new(), true), (old.clone(), some("new@example.org")));
        assert_eq!(after(Field::Set(address("pending@example.org")), true), (old, pending));
    }
}
