//! The limits of the rows and bytes that uploads add: images of a user, new users, and idempotency keys.
//!
//! The transaction that inserts the rows decides, so that simultaneous uploads never exceed a limit. An upload is also
//! checked as soon as its user is known, so that most are refused before their image is read. Images of other programs'
//! messages are counted, but never refused: nobody would learn of the refusal.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::idempotency::{self, IdempotencyKey, TooManyKeys};
use super::store::{self, Acceptance, Submission};
use crate::db::now;
use crate::ids::UserId;
use crate::users::{self, TooManyUsers};

/// The limits; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotas {
    /// The sum of the sizes of a user's images.
    pub(crate) user_bytes: u64,
    /// The images of a user.
    pub(crate) user_images: u64,
    /// The idempotency keys that a user may use within their lifetime.
    pub(crate) user_keys: u32,
    pub(crate) users: u64,
}

/// A limit that an upload would exceed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QuotaExceeded {
    #[error("the user has {max} images, and no more are accepted")]
    Images { max: u64 },
    #[error("the upload would exceed the user's quota of {max} bytes; {used} are used")]
    Bytes { max: u64, used: u64 },
    #[error(transparent)]
    Keys(#[from] TooManyKeys),
    #[error(transparent)]
    Users(#[from] TooManyUsers),
}

/// The part of an upload that the limits depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand<'a> {
    pub(super) user_id: UserId,
    pub(super) key: Option<&'a str>,
    /// The size of the image, or the least that it can be.
    pub(super) bytes: u64,
}

impl Quotas {
    /// Whether the rows of an upload may be inserted. A repeat, by its idempotency key, inserts none.
    pub(super) fn check(
        &self,
        connection: &mut SqliteConnection,
        demand: Demand<'_>,
    ) -> QueryResult<Result<(), QuotaExceeded>> {
        let Demand { user_id, key, bytes } = demand;
        let at = now();
        if let Some(key) = key
            && idempotency::is_known(connection, user_id, key, at)?
        {
            return Ok(Ok(()));
        }
        let usage = users::usage(connection, user_id)?;
        if usage.is_none()
            && let Err(full) = users::check_new(connection, self.users)?
        {
            return Ok(Err(full.into()));
        }
        let users::Usage { images, bytes: used } = usage.unwrap_or_default();
        if self.user_images > 0 && images >= self.user_images {
            return Ok(Err(QuotaExceeded::Images { max: self.user_images }));
        }
        if self.user_bytes > 0 && used.saturating_add(bytes) > self.user_bytes {
            return Ok(Err(QuotaExceeded::Bytes { max: self.user_bytes, used }));
        }
        if key.is_some() {
            return Ok(idempotency::check_new(connection, user_id, self.user_keys, at)?.map_err(Into::into));
        }
        Ok(Ok(()))
    }

    /// Inserts the rows of an upload, or nothing if it would exceed a limit.
    pub(super) fn accept(
        &self,
        connection: &mut SqliteConnection,
        submission: &Submission,
    ) -> QueryResult<Result<Acceptance, QuotaExceeded>> {
        let key = submission.key.as_ref().map(IdempotencyKey::name);
        let demand = Demand { user_id: submission.user_id, key, bytes: submission.bytes };
        match self.check(connection, demand)? {
            Ok(()) => store::accept(connection, submission).map(Ok),
            Err(exceeded) => Ok(Err(exceeded)),
        }
    }
}
