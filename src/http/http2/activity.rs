//! What the streams of a connection do: how many there are, and which responses wait for the client.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The longest idle time after a request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The time limit for the first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time in which a client reads nothing of a response that waits for it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Active,
    /// It had no stream for too long.
    Idle,
    /// The client does not read a response.
    Unread,
}

/// The streams of a connection; a clone shares them.
#[derive(Clone)]
pub(super) struct Activity(Rc<Shared>);

struct Shared {
    open: Cell<usize>,
    /// The number of streams so far, by which they are named.
    opened: Cell<u64>,
    /// When the last stream ended, or the connection began.
    idle_since: Cell<Instant>,
    /// The responses that wait for the client, and since when.
    unread: RefCell<HashMap<u64, Instant>>,
    emptied: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Rc::new(Shared {
            open: Cell::new(0),
            opened: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            unread: RefCell::default(),
            emptied: Notify::new(),
        }))
    }

    /// Counts a stream until it is dropped.
    pub(super) fn stream(&self) -> Stream {
        let (shared, id) = (Rc::clone(&self.0), self.0.opened.get());
        shared.opened.set(id + 1);
        shared.open.set(shared.open.get() + 1);
        Stream { shared, id }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let Shared { open, opened, idle_since, unread, .. } = &*self.0;
        let longest = if opened.get() == 0 { HEAD_TIMEOUT } else { KEEP_ALIVE };
        if open.get() == 0 && idle_since.get().elapsed() >= longest {
            Verdict::Idle
        } else if unread.borrow().values().any(|since| since.elapsed() >= READ_TIMEOUT) {
            Verdict::Unread
        } else {
            Verdict::Active
        }
    }

    /// Completes while there is no stream. Cancel safe.
    pub(super) async fn no_stream(&self) {
        while self.0.open.get() > 0 {
            self.0.emptied.notified().await;
        }
    }
}

/// A stream of a connection.
pub(super) struct Stream {
    shared: Rc<Shared>,
    id: u64,
}

impl Stream {
    /// Reports that a part of the response waits for the client.
    pub(super) fn waits_for_client(&self) {
        self.shared.unread.borrow_mut().insert(self.id, Instant::now());
    }

    /// Reports that the client has read what waited for it.
    pub(super) fn was_read(&self) {
        self.shared.unread.borrow_mut().remove(&self.id);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Shared { open, idle_since, unread, emptied, .. } = &*self.shared;
        unread.borrow_mut().remove(&self.id);
        open.set(open.get() - 1);
        if open.get() == 0 {
            idle_since.set(Instant::now());
            emptied.notify_one();
        }
    }
}
