//! The keys: their values and their deadlines.
//!
//! Owns what the broker stores. Times are milliseconds since the Unix epoch and come from outside; a key whose deadline
//! has passed is gone for every command that follows [`Keyspace::advance`].

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::reply::CommandError;
use super::sorted_set::SortedSet;
use super::watches::Watches;

/// What a key holds.
#[derive(Debug)]
pub enum Value {
    /// A string.
    Text(Bytes),
    /// A sorted set, never empty once its command has ended.
    Sorted(SortedSet),
}

#[derive(Debug)]
struct Entry {
    value: Value,
    deadline: Option<i64>,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Keyspace {
    entries: HashMap<Bytes, Entry>,
    /// Exactly the keys that have a deadline, the next one first.
    deadlines: BTreeSet<(i64, Bytes)>,
    now: i64,
    /// Who watches which key.
    pub watches: Watches,
}

impl Keyspace {
    /// Moves the clock, and removes the keys whose deadline has passed.
    pub fn advance(&mut self, now: i64) {
        self.now = now;
        while self.deadlines.first().is_some_and(|(deadline, _)| *deadline < now) {
            if let Some((_, key)) = self.deadlines.pop_first() {
                self.entries.remove(&key);
                self.watches.touch(&key);
            }
        }
    }

    /// The time of the last [`Keyspace::advance`].
    pub fn now(&self) -> i64 {
        self.now
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys have a deadline.
    pub fn mortal(&self) -> usize {
        self.deadlines.len()
    }

    /// What a key holds.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// A key's text.
    ///
    /// # Errors
    /// When it holds something else.
    pub fn text(&self, key: &[u8]) -> Result<Option<&Bytes>, CommandError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Sorted(_)) => Err(CommandError::WrongType),
        }
    }

    /// A key's sorted set.
    ///
    /// # Errors
    /// When it holds something else.
    pub fn sorted(&self, key: &[u8]) -> Result<Option<&SortedSet>, CommandError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Sorted(set)) => Ok(Some(set)),
            Some(Value::Text(_)) => Err(CommandError::WrongType),
        }
    }

    /// Changes a key's sorted set, which begins empty and is removed when it ends empty.
    ///
    /// # Errors
    /// When it holds something else, or as `change` says.
    pub fn change_sorted<T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut SortedSet) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let (outcome, changed, empty) = match self.entries.get_mut(key) {
            Some(Entry { value: Value::Text(_), .. }) => return Err(CommandError::WrongType),
            Some(Entry { value: Value::Sorted(set), .. }) => {
                let before = set.changes();
                let outcome = change(set);
                (outcome, set.changes() != before, set.is_empty())
            }
            None => {
                let mut set = SortedSet::default();
                let outcome = change(&mut set);
                if !set.is_empty() {
                    self.put(key, Value::Sorted(set), None);
                }
                (outcome, false, false)
            }
        };
        if changed {
            self.watches.touch(key);
        }
        if empty {
            self.remove(key);
        }
        outcome
    }

    /// Stores a value and its deadline, whatever was there.
    pub fn put(&mut self, key: &[u8], value: Value, deadline: Option<i64>) {
        self.remove(key);
        // A copy of its own: the bytes of a request belong to a whole read buffer.
        let key = Bytes::copy_from_slice(key);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key.clone()));
        }
        self.watches.touch(&key);
        self.entries.insert(key, Entry { value, deadline });
    }

    /// Replaces a key's value and keeps its deadline.
    pub fn replace(&mut self, key: &[u8], value: Value) {
        let deadline = self.deadline(key).flatten();
        self.put(key, value, deadline);
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return false };
        self.watches.touch(&key);
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        true
    }

    /// A key's deadline: `None` without the key, `Some(None)` without a deadline.
    pub fn deadline(&self, key: &[u8]) -> Option<Option<i64>> {
        self.entries.get(key).map(|entry| entry.deadline)
    }

    /// Sets or removes a key's deadline; whether there is such a key.
    pub fn set_deadline(&mut self, key: &[u8], deadline: Option<i64>) -> bool {
        let Some((key, mut entry)) = self.entries.remove_entry(key) else { return false };
        if let Some(before) = entry.deadline {
            self.deadlines.remove(&(before, key.clone()));
        }
        entry.deadline = deadline;
        self.watches.touch(&key);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key.clone()));
        }
        self.entries.insert(key, entry);
        true
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        for (key, _) in self.entries.drain() {
            self.watches.touch(&key);
        }
        self.deadlines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_gone_once_its_deadline_has_passed() {
        let mut keys = Keyspace::default();
        keys.put(b"k", Value::Text(Bytes::new()), Some(100));
        keys.advance(100);
        assert!(keys.get(b"k").is_some());
        keys.advance(101);
        assert!(keys.get(b"k").is_none());
        assert_eq!(keys.len() + keys.mortal(), 0);
    }

    #[test]
    fn no_deadline_outlives_its_key() {
        let mut keys = Keyspace::default();
        keys.put(b"k", Value::Text(Bytes::new()), Some(100));
        keys.set_deadline(b"k", Some(200));
        keys.put(b"k", Value::Text(Bytes::new()), None);
        assert_eq!(keys.mortal(), 0);
        keys.advance(300);
        assert_eq!(keys.len(), 1);
        keys.set_deadline(b"k", Some(400));
        assert!(keys.remove(b"k"));
        assert_eq!(keys.mortal(), 0);
    }

    #[test]
    fn an_empty_sorted_set_is_no_key() {
        let mut keys = Keyspace::default();
        let _ = keys.change_sorted(b"z", |set| Ok(set.set(b"m", 1.0)));
        assert_eq!(keys.len(), 1);
        let _ = keys.change_sorted(b"z", |set| Ok(set.remove(b"m")));
        assert_eq!(keys.len(), 0);
        let _ = keys.change_sorted(b"z", |_| Ok(()));
        assert_eq!(keys.len(), 0);
    }
}
