//! The state of a rate limit: a bounded map from keys to times, in shards with a lock each.
//!
//! Each shard has two generations. A used key moves to the current generation. When the current generation is full, or
//! old, it replaces the previous one. This drops about the least recently used half of the keys in constant time.
//!
//! So a full table forgets the oldest keys, which only gives them their burst again. The alternative, one bucket for
//! all new keys, would lock out other clients: an attacker with an IPv6 /32 has four billion keys, fills the table, and
//! uses up that bucket. Such an attacker is not limited by address in either case.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::nanos::Nanos;
use governor::state::StateStore;

const SHARDS: usize = 64;

pub(super) struct KeyTable {
    shards: Vec<Mutex<Shard>>,
    /// The capacity of a generation of a shard.
    capacity: usize,
    /// The shortest time that an unused key is remembered if the table does not get full.
    memory: Duration,
}

struct Shard {
    current: HashMap<u64, Nanos>,
    previous: HashMap<u64, Nanos>,
    started: Instant,
}

impl KeyTable {
    pub(super) fn new(max_keys: usize, memory: Duration) -> Self {
        let shard = || Mutex::new(Shard { current: HashMap::new(), previous: HashMap::new(), started: Instant::now() });
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { shards, capacity: (max_keys / SHARDS / 2).max(1), memory }
    }
}

impl Shard {
    /// The time of a key, which is then used.
    fn time(&mut self, key: u64, capacity: usize, memory: Duration) -> Option<Nanos> {
        if let Some(time) = self.current.get(&key) {
            return Some(*time);
        }
        let known = self.previous.remove(&key);
        if self.current.len() >= capacity || self.started.elapsed() >= memory {
            self.previous = std::mem::take(&mut self.current);
            self.started = Instant::now();
        }
        if let Some(time) = known {
            self.current.insert(key, time);
        }
        known
    }
}

impl StateStore for KeyTable {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let index = (key % SHARDS as u64) as usize;
        let mut shard = self.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        let (result, time) = measure(shard.time(*key, self.capacity, self.memory))?;
        shard.current.insert(*key, time);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_KEYS: usize = 12_800;

    fn table(memory: Duration) -> KeyTable {
        KeyTable::new(MAX_KEYS, memory)
    }

    /// The time that is stored for a key, which is set if there is none.
    fn touch(table: &KeyTable, key: u64) -> Option<Nanos> {
        let known = |time: Option<Nanos>| Ok::<_, ()>((time, time.unwrap_or(Nanos::new(key))));
        table.measure_and_replace(&key, known).unwrap()
    }

    fn keys(table: &KeyTable) -> usize {
        let shards = table.shards.iter().map(|shard| shard.lock().unwrap());
        shards.map(|shard| shard.current.len() + shard.previous.len()).sum()
    }

    #[test]
    fn no_number_of_keys_exceeds_the_bound_and_a_key_in_use_is_never_forgotten() {
        let table = table(Duration::from_secs(3600));
        touch(&table, 7);
        for key in 1000..1_000_000 {
            touch(&table, key);
            if key % 1000 == 0 {
                assert_eq!(touch(&table, 7), Some(Nanos::new(7)), "{key}");
            }
        }
        assert!(keys(&table) <= MAX_KEYS, "{}", keys(&table));
        assert_eq!(touch(&table, 1000), None, "the oldest is forgotten");
        assert!(touch(&table, 999_999).is_some());
    }

    #[test]
    fn a_refused_request_keeps_its_key_in_use() {
        let table = table(Duration::from_secs(3600));
        touch(&table, 7);
        for key in 1000..100_000 {
            touch(&table, key);
            let refused = table.measure_and_replace(&7, Err::<((), Nanos), _>);
            assert_eq!(refused, Err(Some(Nanos::new(7))));
        }
    }

    #[test]
    fn unused_keys_are_forgotten_after_a_while() {
        let table = table(Duration::ZERO);
        for key in 0..10 {
            touch(&table, key * SHARDS as u64);
        }
        assert!(keys(&table) <= 2, "{}", keys(&table));
    }
}
