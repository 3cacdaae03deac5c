//! The users: whose pictures they are, which thumbnail shows each, and how each is addressed.
//!
//! Owns the `users` table. Consumes and publishes nothing. Never decides what a picture's job does: it is told. Every
//! function runs inside the caller's transaction.

mod routes;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::Database;
use crate::db::schema::users;
use crate::http::Auth;
use crate::ids::{EmailAddress, UserId};

pub(crate) use routes::{OPENAPI, routes};

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) auth: Auth,
}

/// What is known of a user's thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThumbnailStatus {
    /// The newest finished thumbnail's URL.
    pub(crate) thumbnail_url: Option<String>,
    /// Which image that thumbnail shows; `None` for one of the replaced service.
    pub(crate) image_id: Option<i64>,
    /// Why the newest upload has no thumbnail, if that is certain; for the uploader.
    pub(crate) failure: Option<String>,
}

/// Makes the user known.
///
/// # Errors
/// When the statement fails.
pub(crate) fn ensure(connection: &mut SqliteConnection, user: UserId) -> QueryResult<()> {
    diesel::insert_or_ignore_into(users::table).values(users::id.eq(user.get())).execute(connection)?;
    Ok(())
}

/// Notes that this image is now the user's newest, so that what an older one's failure said no longer holds.
///
/// # Errors
/// When the statement fails.
pub(crate) fn image_accepted(connection: &mut SqliteConnection, user: UserId, image_id: i64) -> QueryResult<()> {
    diesel::update(users::table.find(user.get()))
        .set((users::newest_image_id.eq(image_id), users::failure.eq(None::<String>)))
        .execute(connection)?;
    Ok(())
}

/// Shows the user by this image's thumbnail, unless a newer image's is there already.
///
/// # Errors
/// When the statement fails.
pub(crate) fn thumbnail_ready(
    connection: &mut SqliteConnection,
    user: UserId,
    image_id: i64,
    thumbnail_url: &str,
) -> QueryResult<()> {
    let older = users::thumbnail_image_id.is_null().or(users::thumbnail_image_id.lt(image_id));
    diesel::update(users::table.find(user.get()).filter(older))
        .set((users::thumbnail_image.eq(thumbnail_url), users::thumbnail_image_id.eq(image_id)))
        .execute(connection)?;
    Ok(())
}

/// Notes why this image has no thumbnail, if it is the user's newest.
///
/// # Errors
/// When the statement fails.
pub(crate) fn thumbnail_failed(
    connection: &mut SqliteConnection,
    user: UserId,
    image_id: i64,
    message: &str,
) -> QueryResult<()> {
    diesel::update(users::table.find(user.get()).filter(users::newest_image_id.eq(image_id)))
        .set(users::failure.eq(message))
        .execute(connection)?;
    Ok(())
}

/// Takes back that this image has no thumbnail, if it is the user's newest.
///
/// # Errors
/// When the statement fails.
pub(crate) fn image_revived(connection: &mut SqliteConnection, user: UserId, image_id: i64) -> QueryResult<()> {
    diesel::update(users::table.find(user.get()).filter(users::newest_image_id.eq(image_id)))
        .set(users::failure.eq(None::<String>))
        .execute(connection)?;
    Ok(())
}

/// Reads a user's thumbnail status by key; `None` where there is no such user.
///
/// # Errors
/// When the query fails.
pub(crate) fn thumbnail_status(
    connection: &mut SqliteConnection,
    user: UserId,
) -> QueryResult<Option<ThumbnailStatus>> {
    let row = users::table
        .find(user.get())
        .select((users::thumbnail_image, users::thumbnail_image_id, users::failure))
        .first::<(Option<String>, Option<i64>, Option<String>)>(connection)
        .optional()?;
    // The replaced service wrote an empty string for "none" in places.
    let thumbnail = |url: Option<String>| url.filter(|url| !url.is_empty());
    Ok(row.map(|(url, image_id, failure)| ThumbnailStatus { thumbnail_url: thumbnail(url), image_id, failure }))
}

/// How a user is addressed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contact {
    /// What the user is called. One of the replaced service may be any text, control characters included.
    pub(crate) username: Option<String>,
    /// Where mail goes; `None` also where the column holds no address.
    pub(crate) email: Option<EmailAddress>,
}

/// Reads how a user is addressed, by key; `None` where there is no such user.
///
/// # Errors
/// When the query fails.
pub(crate) fn contact(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Option<Contact>> {
    let row = users::table
        .find(user.get())
        .select((users::username, users::email))
        .first::<(Option<String>, Option<String>)>(connection)
        .optional()?;
    Ok(row.map(|(username, email)| Contact { username, email: email.and_then(|email| email.parse().ok()) }))
}

/// What is to become of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// It stays as it is.
    Kept,
    /// It has no value any more.
    Cleared,
    /// It gets this value.
    Set(T),
}

impl<T> Field<T> {
    fn or(self, kept: Option<T>) -> Option<T> {
        match self {
            Self::Kept => kept,
            Self::Cleared => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// What is to become of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// What the user is called.
    pub(crate) username: Field<String>,
    /// Where mail goes.
    pub(crate) email: Field<EmailAddress>,
}

/// Changes how a user is addressed, and makes the user known; says whether that was new, and how it is now.
///
/// # Errors
/// When a statement fails.
pub(crate) fn put(connection: &mut SqliteConnection, user: UserId, change: &Change) -> QueryResult<(bool, Contact)> {
    let before = contact(connection, user)?;
    ensure(connection, user)?;
    let Contact { username, email } = before.clone().unwrap_or_default();
    let Change { username: new_username, email: new_email } = change.clone();
    let after = Contact { username: new_username.or(username), email: new_email.or(email) };
    diesel::update(users::table.find(user.get()))
        .set((users::username.eq(&after.username), users::email.eq(after.email.as_ref().map(EmailAddress::as_str))))
        .execute(connection)?;
    Ok((before.is_none(), after))
}
