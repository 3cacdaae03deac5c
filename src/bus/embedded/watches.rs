//! Keys that connections watch for changes, for optimistic transactions.
//!
//! Owns which connection watches which key, and whether one of its keys has changed since WATCH. A change is anything that
//! Redis counts as one: a write that alters the value or the deadline, a deletion, an expiry.

use std::collections::HashMap;

use bytes::Bytes;

use super::subscribers::ClientId;

/// The most keys that one connection watches; Redis knows no such limit.
pub const MAX_WATCHED: usize = 1000;

/// The watched keys of all connections.
#[derive(Debug, Default)]
pub struct Watches {
    watchers: HashMap<Bytes, Vec<ClientId>>,
    clients: HashMap<ClientId, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    keys: Vec<Bytes>,
    changed: bool,
}

impl Watches {
    /// Watches a key for a connection; `false` when it watches too many.
    pub fn watch(&mut self, client: ClientId, key: &[u8]) -> bool {
        let watched = self.clients.entry(client).or_default();
        if watched.keys.iter().any(|known| known == key) {
            return true;
        }
        if watched.keys.len() >= MAX_WATCHED {
            return false;
        }
        // A copy of its own: the bytes of a request belong to a whole read buffer.
        let key = Bytes::copy_from_slice(key);
        watched.keys.push(key.clone());
        self.watchers.entry(key).or_default().push(client);
        true
    }

    /// Forgets what a connection watches, and says whether any of it has changed.
    pub fn forget(&mut self, client: ClientId) -> bool {
        let Some(watched) = self.clients.remove(&client) else { return false };
        for key in &watched.keys {
            if let Some(watchers) = self.watchers.get_mut(key) {
                watchers.retain(|watcher| *watcher != client);
                if watchers.is_empty() {
                    self.watchers.remove(key);
                }
            }
        }
        watched.changed
    }

    /// Records that a key has changed.
    pub fn touch(&mut self, key: &[u8]) {
        for client in self.watchers.get(key).into_iter().flatten() {
            if let Some(watched) = self.clients.get_mut(client) {
                watched.changed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_a_connection_that_has_forgotten_its_keys() {
        let mut watches = Watches::default();
        assert!(watches.watch(1, b"a") && watches.watch(1, b"a") && watches.watch(2, b"a"));
        watches.touch(b"a");
        watches.touch(b"other");
        assert!(watches.forget(1));
        assert!(!watches.forget(1));
        assert!(watches.forget(2));
        assert!(watches.watchers.is_empty() && watches.clients.is_empty());
    }

    #[test]
    fn a_connection_watches_a_limited_number_of_keys() {
        let mut watches = Watches::default();
        assert!((0..MAX_WATCHED).all(|number| watches.watch(1, number.to_string().as_bytes())));
        assert!(watches.watch(1, b"0") && !watches.watch(1, b"one more"));
    }
}
