//! Rates by key: the generic cell rate algorithm of `governor`.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::{Quota, RateLimiter};

use super::super::Problem;
use super::key_table::KeyTable;
use super::refusal::{self, Quota as Policy};

/// Per window; also the shortest time that a table remembers a key.
const WINDOW: Duration = Duration::from_secs(60);
/// The most keys of one limit.
const MAX_KEYS: usize = 100_000;

/// A rate, and the number of requests that may arrive at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// 0 for no limit.
    pub per_minute: u32,
    /// At least 1 is allowed.
    pub burst: u32,
}

impl Rate {
    pub(super) fn is_on(self) -> bool {
        self.per_minute > 0
    }
}

/// The rate of each key.
pub(super) struct RateLimit {
    name: &'static str,
    subject: &'static str,
    per_minute: u32,
    limiter: Option<RateLimiter<u64, KeyTable, MonotonicClock>>,
    /// Keys are random hashes: they need less memory than names, and no client can choose keys of one shard.
    hasher: RandomState,
    refused: AtomicU64,
}

impl RateLimit {
    pub(super) fn new(name: &'static str, subject: &'static str, rate: Rate) -> Self {
        let limiter = NonZeroU32::new(rate.per_minute).map(|per_minute| {
            let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_minute(per_minute).allow_burst(burst);
            // After this time without a request, a key has its whole burst again.
            let memory = (WINDOW / per_minute.get()).saturating_mul(burst.get()).max(WINDOW);
            RateLimiter::new(quota, KeyTable::new(MAX_KEYS, memory), MonotonicClock)
        });
        let (hasher, refused) = (RandomState::new(), AtomicU64::new(0));
        Self { name, subject, per_minute: rate.per_minute, limiter, hasher, refused }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 above the limit.
    pub(super) fn check(&self, key: &impl Hash) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&self.hasher.hash_one(key)).map_err(|refused| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let wait = refused.wait_time_from(limiter.clock().now());
            refusal::problem(self.name, self.subject, Policy::PerMinute(self.per_minute), wait)
        })
    }

    /// The name, and the number of refused requests.
    pub(super) fn refused(&self) -> (&'static str, u64) {
        (self.name, self.refused.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate_of_each_key() {
        let limit = RateLimit::new("upload", "uploads", Rate { per_minute: 1, burst: 3 });
        for key in ["ada", "bob"] {
            let admitted = (0..5).filter(|_| limit.check(&key).is_ok()).count();
            assert_eq!(admitted, 3, "{key}");
        }
        assert_eq!(limit.refused(), ("upload", 4));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let limit = RateLimit::new("upload", "uploads", Rate { per_minute: 0, burst: 1 });
        assert!((0..1000).all(|_| limit.check(&1).is_ok()));
    }
}
