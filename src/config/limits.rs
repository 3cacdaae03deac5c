//! `[limits]`: how much one client address, and one user, may request, and what may be stored for them.

use super::error::ConfigError;
use super::reader::Reader;

/// A rate, and the number of requests that may arrive at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// 0 for no limit.
    pub(crate) per_minute: u32,
    /// At least 1.
    pub(crate) burst: u32,
}

/// `[limits]`. Rates and numbers of connections are at most a million; 0 is no limit.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Uploads of a client address.
    pub(crate) uploads: Rate,
    /// Scores of a client address.
    pub(crate) scores: Rate,
    /// Orders of a client address.
    pub(crate) orders: Rate,
    /// All other requests of a client address.
    pub(crate) requests: Rate,
    /// Long polls that a client address holds.
    pub(crate) polls: u32,
    /// Open feeds of a client address.
    pub(crate) feeds: u32,
    /// Socket.IO sessions of a client address.
    pub(crate) sockets: u32,
    /// Uploads of a client address that are in progress.
    pub(crate) held_uploads: u32,
    /// Uploads for a user.
    pub(crate) user_uploads: Rate,
    /// Scores for a user.
    pub(crate) user_scores: Rate,
    /// Orders for a user.
    pub(crate) user_orders: Rate,
    /// The sum of the sizes of a user's images.
    pub(crate) user_bytes: u64,
    /// Images of a user.
    pub(crate) user_images: u64,
    /// Idempotency keys of a user that have not expired.
    pub(crate) user_idempotency_keys: u32,
    /// Orders of a user within 24 hours.
    pub(crate) user_orders_per_day: u32,
    /// All users.
    pub(crate) users: u64,
    /// All players.
    pub(crate) players: u64,
}

impl Limits {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            uploads: rate(from, "uploads")?,
            scores: rate(from, "scores")?,
            orders: rate(from, "orders")?,
            requests: rate(from, "requests")?,
            polls: number(from, "polls", 0)?,
            feeds: number(from, "feeds", 0)?,
            sockets: number(from, "sockets", 0)?,
            held_uploads: number(from, "held_uploads", 0)?,
            user_uploads: rate(from, "user_uploads")?,
            user_scores: rate(from, "user_scores")?,
            user_orders: rate(from, "user_orders")?,
            user_bytes: from.integer("limits.user_bytes", 0..=1 << 60)?,
            user_images: from.integer("limits.user_images", 0..=1 << 40)?,
            user_idempotency_keys: number(from, "user_idempotency_keys", 0)?,
            user_orders_per_day: number(from, "user_orders_per_day", 0)?,
            users: from.integer("limits.users", 0..=1 << 40)?,
            players: from.integer("limits.players", 0..=1 << 40)?,
        })
    }
}

fn rate(from: &mut Reader, name: &str) -> Result<Rate, ConfigError> {
    Ok(Rate {
        per_minute: number(from, &format!("{name}_per_minute"), 0)?,
        burst: number(from, &format!("{name}_burst"), 1)?,
    })
}

fn number(from: &mut Reader, name: &str, min: i64) -> Result<u32, ConfigError> {
    from.integer(&format!("limits.{name}"), min..=1_000_000)
}
