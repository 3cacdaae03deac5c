//! The keys and their values.
//!
//! Owns everything that the broker stores, and reports each change to the watches. Keys have no expiry.

use std::collections::HashMap;

use bytes::Bytes;

use super::command_error::CommandError;
use super::sorted_set::SortedSet;
use super::watches::Watches;

/// The value of a key.
#[derive(Debug)]
pub(crate) enum Value {
    /// A string.
    Text(Bytes),
    /// A sorted set, never empty once its command has ended.
    Sorted(SortedSet),
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    values: HashMap<Bytes, Value>,
    /// The keys that connections watch.
    pub(crate) watches: Watches,
}

impl Keyspace {
    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.values.get(key)
    }

    /// The string at a key.
    ///
    /// # Errors
    /// [`CommandError::WrongType`] if the key holds another type.
    pub(crate) fn text(&self, key: &[u8]) -> Result<Option<&Bytes>, CommandError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Sorted(_)) => Err(CommandError::WrongType),
        }
    }

    /// The sorted set at a key.
    ///
    /// # Errors
    /// [`CommandError::WrongType`] if the key holds another type.
    pub(crate) fn sorted(&self, key: &[u8]) -> Result<Option<&SortedSet>, CommandError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Sorted(set)) => Ok(Some(set)),
            Some(Value::Text(_)) => Err(CommandError::WrongType),
        }
    }

    /// Changes the sorted set at a key. A missing key starts as an empty set; a set that ends up empty is removed.
    ///
    /// # Errors
    /// [`CommandError::WrongType`] if the key holds another type, or the error of `change`.
    pub(crate) fn change_sorted<T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut SortedSet) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let (result, changed, empty) = match self.values.get_mut(key) {
            Some(Value::Text(_)) => return Err(CommandError::WrongType),
            Some(Value::Sorted(set)) => {
                let before = set.changes();
                let result = change(set);
                (result, set.changes() != before, set.is_empty())
            }
            None => {
                let mut set = SortedSet::default();
                let result = change(&mut set);
                if !set.is_empty() {
                    self.put(key, Value::Sorted(set));
                }
                (result, false, false)
            }
        };
        if changed {
            self.watches.touch(key);
        }
        if empty {
            self.remove(key);
        }
        result
    }

    /// Stores a value and replaces the one before.
    pub(crate) fn put(&mut self, key: &[u8], value: Value) {
        self.watches.touch(key);
        // A copy: the bytes of a request keep its whole read buffer alive.
        self.values.insert(Bytes::copy_from_slice(key), value);
    }

    /// Removes a key. Returns whether it existed.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let existed = self.values.remove(key).is_some();
        if existed {
            self.watches.touch(key);
        }
        existed
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        for (key, _) in self.values.drain() {
            self.watches.touch(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_sorted_set_is_no_key() {
        let mut keys = Keyspace::default();
        let _ = keys.change_sorted(b"z", |set| Ok(set.set(b"m", 1.0)));
        assert!(keys.get(b"z").is_some());
        let _ = keys.change_sorted(b"z", |set| Ok(set.remove(b"m")));
        assert!(keys.get(b"z").is_none());
        let _ = keys.change_sorted(b"z", |_| Ok(()));
        assert!(keys.get(b"z").is_none());
    }
}
