//! Users: the owners of images, with their current thumbnail, name and email address.
//!
//! Owns the tables `users`, in which triggers keep the numbers of images, `email_confirmations` and
//! `email_confirmation_key`. Enqueues the mail that confirms an address, and consumes and publishes nothing. Never decides
//! about images or their jobs: `images` calls it with their outcomes. Every function on a connection runs inside the
//! caller's transaction.
//!
//! - `contact`: name and email address
//! - `confirmation`: links that confirm addresses
//! - `routes`: the routes of both

mod confirmation;
mod contact;
mod routes;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::schema::users;
use crate::db::{Database, cached_update, row_counts};
use crate::http::Auth;
use crate::ids::UserId;

pub(crate) use confirmation::{Confirmation, awaited_address, confirmation_link};
pub(crate) use contact::{Contact, contact};
pub(crate) use routes::{USER_ROUTES, openapi, routes};

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) auth: Auth,
    /// How user tokens set the email address.
    pub(crate) confirmation: Confirmation,
    /// The limit of users; 0 for none.
    pub(crate) max_users: u64,
}

/// A new user beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {max} users, and no more are accepted")]
pub(crate) struct TooManyUsers {
    max: u64,
}

/// The images of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) images: u64,
    /// The sum of their sizes.
    pub(crate) bytes: u64,
}

/// Whether a new user may be inserted; `max` is 0 for any number.
pub(crate) fn check_new(connection: &mut SqliteConnection, max: u64) -> QueryResult<Result<(), TooManyUsers>> {
    let is_below = max == 0 || row_counts::users(connection)? < max;
    Ok(if is_below { Ok(()) } else { Err(TooManyUsers { max }) })
}

/// `None` if there is no such user.
pub(crate) fn usage(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Option<Usage>> {
    let row = users::table
        .find(user.get())
        .select((users::image_count, users::image_bytes))
        .get_result::<(i64, i64)>(connection)
        .optional()?;
    let number = |number| u64::try_from(number).unwrap_or(0);
    Ok(row.map(|(images, bytes)| Usage { images: number(images), bytes: number(bytes) }))
}

/// Inserts the user if there is no row.
pub(crate) fn ensure(connection: &mut SqliteConnection, user: UserId) -> QueryResult<()> {
    diesel::insert_or_ignore_into(users::table).values(users::id.eq(user.get())).execute(connection)?;
    Ok(())
}

/// Sets the user's newest image, and clears the failure of an older one.
pub(crate) fn image_accepted(connection: &mut SqliteConnection, user: UserId, image_id: i64) -> QueryResult<()> {
    let columns = (users::newest_image_id.eq(image_id), users::failure.eq(None::<String>));
    cached_update(users::table).set(columns, users::id.eq(user.get())).execute(connection)?;
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
    let columns = (users::thumbnail_image.eq(thumbnail_url), users::thumbnail_image_id.eq(image_id));
    cached_update(users::table).set(columns, users::id.eq(user.get()).and(older)).execute(connection)?;
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

/// A user with the use of their quotas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct User {
    pub(crate) contact: Contact,
    pub(crate) usage: Usage,
}

/// `None` if there is no such user.
pub(crate) fn find(connection: &mut SqliteConnection, user: UserId) -> QueryResult<Option<User>> {
    let (contact, usage) = (contact(connection, user)?, usage(connection, user)?);
    Ok(contact.zip(usage).map(|(contact, usage)| User { contact, usage }))
}
