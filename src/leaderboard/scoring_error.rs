//! Why a score is not accepted.

use super::player_limit::TooManyPlayers;
use super::store::Rejection;
use crate::db::DbError;
use crate::ids::Invalid;

/// A score that was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ScoringError {
    /// The queue is full.
    #[error("too many scores are queued")]
    Busy,
    /// The process is shutting down.
    #[error("the server is shutting down")]
    Closed,
    /// The sum is not finite.
    #[error("the resulting score is invalid: {0}")]
    Invalid(#[source] Invalid),
    /// The result depends on a score that another program may have written, and Redis is unavailable.
    #[error("cannot read from Redis whether another program has written a score of this player")]
    NeedsRedis,
    /// The player is new, and beyond the limit.
    #[error(transparent)]
    TooManyPlayers(TooManyPlayers),
    /// The commit failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<Rejection> for ScoringError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Invalid(invalid) => Self::Invalid(invalid),
            Rejection::NeedsRedis => Self::NeedsRedis,
            Rejection::TooManyPlayers(full) => Self::TooManyPlayers(full),
        }
    }
}
