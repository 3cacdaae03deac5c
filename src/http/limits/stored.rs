//! Limits of stored data. The transactions of the domains decide; a problem names the limit, and is counted here once
//! it is the response.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredLimit {
    UserBytes,
    UserImages,
    Users,
    Players,
    UserIdempotencyKeys,
    UserOrdersPerDay,
    ConfirmEmail,
}

impl StoredLimit {
    const ALL: [Self; 7] = [
        Self::UserBytes,
        Self::UserImages,
        Self::Users,
        Self::Players,
        Self::UserIdempotencyKeys,
        Self::UserOrdersPerDay,
        Self::ConfirmEmail,
    ];

    /// The name in responses and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UserBytes => "user_bytes",
            Self::UserImages => "user_images",
            Self::Users => "users",
            Self::Players => "players",
            Self::UserIdempotencyKeys => "user_idempotency_keys",
            Self::UserOrdersPerDay => "user_orders_per_day",
            Self::ConfirmEmail => "confirm_email",
        }
    }
}

/// The refused requests of each limit, in the order of [`StoredLimit::ALL`].
#[derive(Default)]
pub(super) struct StoredCounts([AtomicU64; StoredLimit::ALL.len()]);

impl StoredCounts {
    pub(super) fn count(&self, limit: StoredLimit) {
        self.0[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The name of each limit, and the number of refused requests.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        StoredLimit::ALL
            .map(StoredLimit::name)
            .into_iter()
            .zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_counted_for_its_limit() {
        for limit in StoredLimit::ALL {
            let counts = StoredCounts::default();
            counts.count(limit);
            let counted: Vec<_> = counts.refused().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(limit.name(), 1)]);
        }
    }
}
