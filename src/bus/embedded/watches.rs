//! Watched keys, for optimistic transactions.
//!
//! Owns the watched keys of each connection, and whether one of them has changed since WATCH. As in Redis, a change is
//! a write that alters the value, or a deletion.

use std::collections::HashMap;

use bytes::Bytes;

use super::subscribers::ClientId;

/// The most watched keys of one connection. Redis has no such limit.
const MAX_WATCHED: usize = 1000;

/// The watched keys of all connections.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watchers: HashMap<Bytes, Vec<ClientId>>,
    clients: HashMap<ClientId, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    keys: Vec<Bytes>,
    changed: bool,
}

impl Watches {
    /// Watches a key for a connection. Returns `false` if the connection watches too many.
    pub(crate) fn watch(&mut self, client: ClientId, key: &[u8]) -> bool {
        let watched = self.clients.entry(client).or_default();
        if watched.keys.iter().any(|known| known == key) {
            return true;
        }
        if watched.keys.len() >= MAX_WATCHED {
            return false;
        }
        // A copy: the bytes of a request keep its whole read buffer alive.
        let key = Bytes::copy_from_slice(key);
        watched.keys.push(key.clone());
        self.watchers.entry(key).or_default().push(client);
        true
    }

    /// Forgets the watched keys of a connection. Returns whether one of them has changed.
    pub(crate) fn forget(&mut self, client: ClientId) -> bool {
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

    /// Records a change of a key.
    pub(crate) fn touch(&mut self, key: &[u8]) {
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
    fn forgetting_removes_all_traces_of_a_connection() {
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
    fn the_number_of_watched_keys_is_limited() {
        let mut watches = Watches::default();
        assert!((0..MAX_WATCHED).all(|number| watches.watch(1, number.to_string().as_bytes())));
        assert!(watches.watch(1, b"0") && !watches.watch(1, b"one more"));
    }
}
