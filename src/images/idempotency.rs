//! Idempotency keys (the `Idempotency-Key` header of the IETF httpapi draft): per user, for 24 hours.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::{UnixMillis, schema::idempotency_keys};
use crate::ids::{Invalid, UserId};

const LIFETIME_MS: UnixMillis = 24 * 60 * 60 * 1000;
/// The number of expired keys that are deleted with each insert: more than one, so that they never accumulate.
const MAX_DELETIONS: i64 = 8;
const MAX_LENGTH: usize = 255;

/// A key with the content of its request.
#[derive(Debug, Clone)]
pub(super) struct IdempotencyKey {
    key: String,
    content: String,
}

impl IdempotencyKey {
    /// `content` distinguishes the submissions of a user.
    pub(super) fn new(key: String, content: String) -> Self {
        Self { key, content }
    }

    /// The value of the header.
    pub(super) fn name(&self) -> &str {
        &self.key
    }

    /// Parses the header's value.
    pub(super) fn parse(value: &[u8]) -> Result<String, Invalid> {
        const EXPECTED: &str = "1 to 255 visible ASCII characters";
        let visible = !value.is_empty() && value.len() <= MAX_LENGTH && value.iter().all(u8::is_ascii_graphic);
        let text = String::from_utf8_lossy(value);
        if visible { Ok(text.into_owned()) } else { Err(Invalid::text(&text, EXPECTED)) }
    }
}

/// A new key beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user has used {max} idempotency keys within 24 hours")]
pub(super) struct TooManyKeys {
    pub(super) max: u32,
    /// Until the next key is accepted.
    pub(super) wait: Duration,
}

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    New,
    Same { image_id: i64 },
    Another,
}

pub(super) fn find(
    connection: &mut SqliteConnection,
    user: UserId,
    key: &IdempotencyKey,
    now: UnixMillis,
) -> QueryResult<Known> {
    let row = idempotency_keys::table
        .find((user.get(), &key.key))
        .filter(idempotency_keys::created_at.gt(now - LIFETIME_MS))
        .select((idempotency_keys::content, idempotency_keys::image_id))
        .get_result::<(String, i64)>(connection)
        .optional()?;
    Ok(match row {
        None => Known::New,
        Some((content, image_id)) if content == key.content => Known::Same { image_id },
        Some(_) => Known::Another,
    })
}

/// Whether the user has used the key, for any content.
pub(super) fn is_known(
    connection: &mut SqliteConnection,
    user: UserId,
    key: &str,
    now: UnixMillis,
) -> QueryResult<bool> {
    let live =
        idempotency_keys::table.find((user.get(), key)).filter(idempotency_keys::created_at.gt(now - LIFETIME_MS));
    diesel::select(diesel::dsl::exists(live)).get_result(connection)
}

/// Whether the user may use a new key; `max` is 0 for any number.
pub(super) fn check_new(
    connection: &mut SqliteConnection,
    user: UserId,
    max: u32,
    now: UnixMillis,
) -> QueryResult<Result<(), TooManyKeys>> {
    let Some(skipped) = max.checked_sub(1) else { return Ok(Ok(())) };
    // The oldest of the newest `max` keys: another one is accepted once it has expired.
    let oldest = idempotency_keys::table
        .filter(idempotency_keys::user_id.eq(user.get()))
        .order(idempotency_keys::created_at.desc())
        .offset(skipped.into())
        .select(idempotency_keys::created_at)
        .first::<UnixMillis>(connection)
        .optional()?;
    let wait = oldest.map_or(0, |oldest| oldest + LIFETIME_MS - now);
    match u64::try_from(wait) {
        Ok(wait) if wait > 0 => Ok(Err(TooManyKeys { max, wait: Duration::from_millis(wait) })),
        _ => Ok(Ok(())),
    }
}

pub(super) fn record(
    connection: &mut SqliteConnection,
    user: UserId,
    key: &IdempotencyKey,
    image_id: i64,
    now: UnixMillis,
) -> QueryResult<()> {
    diesel::replace_into(idempotency_keys::table)
        .values((
            idempotency_keys::user_id.eq(user.get()),
            idempotency_keys::idempotency_key.eq(&key.key),
            idempotency_keys::content.eq(&key.content),
            idempotency_keys::image_id.eq(image_id),
            idempotency_keys::created_at.eq(now),
        ))
        .execute(connection)?;
    let expired = idempotency_keys::table
        .filter(idempotency_keys::created_at.le(now - LIFETIME_MS))
        .order(idempotency_keys::created_at)
        .limit(MAX_DELETIONS)
        .select((idempotency_keys::user_id, idempotency_keys::idempotency_key))
        .load::<(i64, String)>(connection)?;
    for (user, key) in expired {
        diesel::delete(idempotency_keys::table.find((user, key))).execute(connection)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        assert_eq!(IdempotencyKey::parse(b"a-1"), Ok("a-1".to_owned()));
        for bad in [&b""[..], b"a b", b"\xc3\xa9", &[b'x'; 256], b"a\0"] {
            assert!(IdempotencyKey::parse(bad).is_err());
        }
    }
}
