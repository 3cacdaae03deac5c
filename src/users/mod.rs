//! Users: the owners of images, with their current thumbnail, name and email address.
//!
//! Owns the `users` table. Consumes and publishes nothing. Never decides about images or jobs: `images` calls it with
//! their outcomes. Every function runs inside the caller's transaction.

mod routes;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::Database;
use crate::db::schema::users;
use crate::http::Auth;
use crate::ids::{EmailAddress, UserId, Username};

pub(crate) use routes::{USER_ROUTES, openapi, routes};

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) auth: Auth,
}

/// The status of a user's thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThumbnailStatus {
    /// The URL of the newest finished thumbnail.
    pub(crate) thumbnail_url: Option<String>,
    /// The image of that thumbnail; `None` for thumbnails of the replaced service.
    pub(crate) image_id: Option<i64>,
    /// Why the newest upload has failed, for the uploader.
    pub(crate) failure: Option<String>,
}

/// Inserts the user if there is no row.
pub(crate) fn ensure(connection: &mut SqliteConnection, user: UserId) -> QueryResult<()> {
    diesel::insert_or_ignore_into(users::table).values(users::id.eq(user.get())).execute(connection)?;
    Ok(())
}

/// Sets the user's newest image, and clears the failure of an older one.
pub(crate) fn image_accepted(connection: &mut SqliteConnection, user: UserId, image_id: i64) -> QueryResult<()> {
    diesel::update(users::table.find(user.get()))
        .set((users::newest_image_id.eq(image_id), users::failure.eq(None::<String>)))
        .execute(connection)?;
    Ok(())
}

/// Sets the user's thumbnail, unless the current one is of a newer image.
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

/// Sets the user's failure, if this is the newest image.
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

/// Clears the user's failure, if this is the newest image.
pub(crate) fn image_requeued(connection: &mut SqliteConnection, user: UserId, image_id: i64) -> QueryResult<()> {
    diesel::update(users::table.find(user.get()).filter(users::newest_image_id.eq(image_id)))
        .set(users::failure.eq(None::<String>))
        .execute(connection)?;
    Ok(())
}

/// `None` if there is no such user.
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

/// A user's name and email address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contact {
    /// May contain control characters if the replaced service wrote it.
    pub(crate) username: Option<String>,
    /// `None` also if the column contains no valid address.
    pub(crate) email: Option<EmailAddress>,
}

/// `None` if there is no such user.
pub(crate) fn contact(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Option<Contact>> {
    let row = users::table
        .find(user.get())
        .select((users::username, users::email))
        .first::<(Option<String>, Option<String>)>(connection)
        .optional()?;
    Ok(row.map(|(username, email)| Contact { username, email: email.and_then(|email| email.parse().ok()) }))
}

/// The change of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field<T> {
    Keep,
    Clear,
    Set(T),
}

impl<T> Field<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Keep => Field::Keep,
            Self::Clear => Field::Clear,
            Self::Set(value) => Field::Set(map(value)),
        }
    }

    fn apply_to(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// The changes of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) username: Field<Username>,
    pub(crate) email: Field<EmailAddress>,
}

/// Inserts or changes a user. Returns whether the user is new, and the result.
pub(crate) fn put(connection: &mut SqliteConnection, user: UserId, change: &Change) -> QueryResult<(bool, Contact)> {
    let before = contact(connection, user)?;
    ensure(connection, user)?;
    let Contact { username, email } = before.clone().unwrap_or_default();
    let Change { username: new_username, email: new_email } = change.clone();
    let after = Contact {
        username: new_username.map(Username::into_string).apply_to(username),
        email: new_email.apply_to(email),
    };
    diesel::update(users::table.find(user.get()))
        .set((users::username.eq(&after.username), users::email.eq(after.email.as_ref().map(EmailAddress::as_str))))
        .execute(connection)?;
    Ok((before.is_none(), after))
}
