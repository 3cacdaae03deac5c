//! Numbers of held connections by key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::Problem;
use super::address_key::AddressKey;
use super::refusal::{self, Quota};

const SHARDS: usize = 64;
/// A guess: the end of a connection cannot be predicted.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(super) struct ConcurrencyLimit {
    name: &'static str,
    subject: &'static str,
    max: u32,
    held: Arc<Held>,
    refused: AtomicU64,
}

/// The number of each key that has any; so their number is bounded by that of connections.
#[derive(Debug)]
struct Held {
    shards: Vec<Mutex<HashMap<AddressKey, u32>>>,
    hasher: RandomState,
}

/// A held connection, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ConcurrencyGuard {
    held: Arc<Held>,
    key: AddressKey,
}

impl ConcurrencyLimit {
    /// At most `max` for each key; 0 for any number.
    pub(super) fn new(name: &'static str, subject: &'static str, max: u32) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let held = Arc::new(Held { shards, hasher: RandomState::new() });
        Self { name, subject, max, held, refused: AtomicU64::new(0) }
    }

    /// Counts a connection, unless it has no key.
    ///
    /// # Errors
    /// 429 above the limit.
    pub(super) fn acquire(&self, key: Option<AddressKey>) -> Result<Option<ConcurrencyGuard>, Problem> {
        let Some(key) = key.filter(|_| self.max > 0) else { return Ok(None) };
        match self.held.add(key, self.max) {
            true => Ok(Some(ConcurrencyGuard { held: Arc::clone(&self.held), key })),
            false => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(refusal::problem(self.name, self.subject, Quota::AtOnce(self.max), RETRY_AFTER))
            }
        }
    }

    /// The name, and the number of refused connections.
    pub(super) fn refused(&self) -> (&'static str, u64) {
        (self.name, self.refused.load(Ordering::Relaxed))
    }
}

impl Held {
    fn shard(&self, key: AddressKey) -> MutexGuard<'_, HashMap<AddressKey, u32>> {
        let index = self.hasher.hash_one(key) % SHARDS as u64;
        self.shards[index as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one to the number of a key; false if that is the maximum already.
    fn add(&self, key: AddressKey, max: u32) -> bool {
        let mut shard = self.shard(key);
        let number = shard.entry(key).or_default();
        let is_below = *number < max;
        *number += u32::from(is_below);
        is_below
    }
}

impl Drop for ConcurrencyGuard {
    fn drop(&mut self) {
        let mut shard = self.held.shard(self.key);
        if let Entry::Occupied(mut number) = shard.entry(self.key) {
            *number.get_mut() -= 1;
            if *number.get() == 0 {
                number.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<AddressKey> {
        Some(AddressKey::of(text.parse().unwrap()))
    }

    #[test]
    fn a_dropped_guard_admits_another_connection_and_leaves_no_key() {
        let limit = ConcurrencyLimit::new("poll", "long polls", 2);
        let held: Vec<_> = (0..2).map(|_| limit.acquire(key("192.0.2.1")).unwrap()).collect();
        assert!(limit.acquire(key("192.0.2.1")).is_err());
        let other = limit.acquire(key("192.0.2.2")).unwrap();
        assert!(limit.acquire(None).unwrap().is_none(), "no limit concerns it");
        drop(held);
        assert!(limit.acquire(key("192.0.2.1")).is_ok());
        drop(other);
        assert!(limit.held.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
        assert_eq!(limit.refused(), ("poll", 1));
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limit = ConcurrencyLimit::new("poll", "long polls", 0);
        assert!(limit.acquire(key("192.0.2.1")).unwrap().is_none());
    }
}
