//! What the streams of a connection do: how many there are, and which of their responses wait for the client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The longest idle time after a request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The time limit for the first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time in which a client does not read the next part of a response.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The streams of a connection; a clone shares them.
#[derive(Clone)]
pub(super) struct Activity(Rc<Shared>);

struct Shared {
    open: Cell<usize>,
    had_request: Cell<bool>,
    /// When the last stream ended, or the connection began.
    idle_since: Cell<Instant>,
    emptied: Notify,
    /// The response of the stream that was opened last.
    newest: RefCell<Rc<Unread>>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Rc::new(Shared {
            open: Cell::new(0),
            had_request: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            emptied: Notify::new(),
            newest: RefCell::default(),
        }))
    }

    /// Counts a stream until it is dropped.
    pub(super) fn stream(&self) -> Stream {
        let Shared { open, had_request, newest, .. } = &*self.0;
        open.set(open.get() + 1);
        had_request.set(true);
        let unread = Rc::<Unread>::default();
        newest.replace(Rc::clone(&unread));
        Stream { shared: Rc::clone(&self.0), unread }
    }

    /// The response of the stream that was opened last.
    pub(super) fn newest(&self) -> Rc<Unread> {
        Rc::clone(&self.0.newest.borrow())
    }

    /// Whether the connection has had no stream for too long.
    pub(super) fn is_idle(&self) -> bool {
        self.idle_for() >= if self.0.had_request.get() { KEEP_ALIVE } else { HEAD_TIMEOUT }
    }

    /// How long the connection has had no stream; 0 while it has one.
    pub(super) fn idle_for(&self) -> Duration {
        if self.0.open.get() == 0 { self.0.idle_since.get().elapsed() } else { Duration::ZERO }
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
    unread: Rc<Unread>,
}

impl Stream {
    /// Reports that a part of the response waits for the client.
    pub(super) fn waits_for_client(&self) {
        self.unread.since.set(Some(Instant::now()));
        self.unread.waiting.notify_one();
    }

    /// Reports that the client has read what waited for it.
    pub(super) fn was_read(&self) {
        self.unread.since.set(None);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Shared { open, idle_since, emptied, .. } = &*self.shared;
        open.set(open.get() - 1);
        if open.get() == 0 {
            idle_since.set(Instant::now());
            emptied.notify_one();
        }
    }
}

/// The part of a response that waits for the client.
#[derive(Default)]
pub(super) struct Unread {
    since: Cell<Option<Instant>>,
    /// Notified once a part waits.
    waiting: Notify,
}

impl Unread {
    /// Completes when a part has waited for too long. Cancel safe.
    pub(super) async fn timed_out(&self) {
        loop {
            match self.since.get() {
                None => self.waiting.notified().await,
                Some(since) if since.elapsed() >= READ_TIMEOUT => return,
                Some(since) => sleep_until(since + READ_TIMEOUT).await,
            }
        }
    }
}
