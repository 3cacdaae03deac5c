//! Verified user tokens, so that a client that polls pays for the signature once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::caller::UserToken;

const SHARDS: usize = 16;
/// The most tokens of a generation of a shard: 32,768 tokens in all, of less than 1 KiB each.
const MAX_TOKENS: usize = 1024;

/// The SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// A cache of bounded size. Each shard has two generations: when the newer one is full, it replaces the older one, so
/// tokens in use stay.
#[derive(Default)]
pub(super) struct TokenCache([Mutex<Shard>; SHARDS]);

#[derive(Default)]
struct Shard {
    newer: HashMap<TokenHash, Cached>,
    older: HashMap<TokenHash, Cached>,
}

/// A token with the generation of the keys that have verified it.
type Cached = (u64, Arc<UserToken>);

impl TokenCache {
    /// The token, if these keys have verified it.
    pub(super) fn get(&self, hash: &TokenHash, keys: u64) -> Option<Arc<UserToken>> {
        let mut shard = self.shard(hash);
        if let Some((verified_by, token)) = shard.newer.get(hash) {
            return (*verified_by == keys).then(|| token.clone());
        }
        let (verified_by, token) = shard.older.remove(hash)?;
        if verified_by != keys {
            return None;
        }
        shard.insert(*hash, (keys, token.clone()));
        Some(token)
    }

    pub(super) fn insert(&self, hash: TokenHash, keys: u64, token: Arc<UserToken>) {
        self.shard(&hash).insert(hash, (keys, token));
    }

    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard> {
        // A shard is valid after each of its operations.
        self.0[usize::from(hash[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn insert(&mut self, hash: TokenHash, cached: Cached) {
        if self.newer.len() >= MAX_TOKENS {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash, cached);
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::Scopes;
    use super::*;

    fn token(subject: usize) -> Arc<UserToken> {
        let (subject, scopes) = (subject.to_string(), Scopes::default());
        Arc::new(UserToken { subject, username: None, scopes, not_before: 0.0, expires: 0.0 })
    }

    fn hash(number: usize) -> TokenHash {
        let mut hash = [0; 32];
        hash[24..].copy_from_slice(&(number as u64).to_be_bytes());
        hash
    }

    #[test]
    fn tokens_in_use_stay_and_the_size_is_bounded() {
        let cache = TokenCache::default();
        cache.insert(hash(0), 1, token(0));
        for number in 1..10 * MAX_TOKENS {
            cache.insert(hash(number), 1, token(number));
            if number % (MAX_TOKENS / 2) == 0 {
                assert_eq!(cache.get(&hash(0), 1), Some(token(0)), "{number}");
            }
        }
        let shard = cache.shard(&hash(0));
        assert!(shard.newer.len() + shard.older.len() <= 2 * MAX_TOKENS);
    }

    #[test]
    fn other_keys_must_verify_a_token_again() {
        let cache = TokenCache::default();
        cache.insert(hash(0), 1, token(0));
        assert_eq!(cache.get(&hash(0), 2), None);
        cache.insert(hash(0), 2, token(1));
        assert_eq!(cache.get(&hash(0), 2), Some(token(1)));
    }
}
