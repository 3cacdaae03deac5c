//! Subscribers of the board: sockets and feeds that wait for their first board, and the count of open feeds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use super::board::Board;
use crate::socketio::Socket;

/// The new subscribers that the broadcast task has not taken over yet, each at most once.
#[derive(Default)]
pub(super) struct PendingSubscribers {
    subscribers: Mutex<Vec<PendingSubscriber>>,
    added: Notify,
}

pub(super) enum PendingSubscriber {
    Socket(Socket),
    Feed(oneshot::Sender<Board>),
}

impl PendingSubscriber {
    pub(super) fn is_connected(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_connected(),
            Self::Feed(first_board) => !first_board.is_closed(),
        }
    }
}

impl PendingSubscribers {
    pub(super) fn add(&self, subscriber: PendingSubscriber) {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(subscriber);
        self.added.notify_one();
    }

    /// Waits for new subscribers. Cancel safe.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    pub(super) fn take(&self) -> Vec<PendingSubscriber> {
        std::mem::take(&mut *self.subscribers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The subscribers that wait while the board cannot be read. Disconnected ones are removed now and then, so that memory
/// is proportional to the connected ones.
#[derive(Default)]
pub(super) struct SubscriberBacklog {
    subscribers: Vec<PendingSubscriber>,
    /// The length after the last cleanup.
    cleaned_len: usize,
}

impl SubscriberBacklog {
    /// Below this length, a cleanup is not worth it.
    const MIN_CLEANUP: usize = 64;

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    pub(super) fn add(&mut self, mut subscribers: Vec<PendingSubscriber>) {
        self.subscribers.append(&mut subscribers);
        if self.subscribers.len() > 2 * self.cleaned_len.max(Self::MIN_CLEANUP) {
            self.subscribers.retain(PendingSubscriber::is_connected);
            self.subscribers.shrink_to_fit();
            self.cleaned_len = self.subscribers.len();
        }
    }

    pub(super) fn take(&mut self) -> Vec<PendingSubscriber> {
        std::mem::take(self).subscribers
    }
}

/// Opens feeds of the board; a clone shares them.
#[derive(Clone)]
pub struct FeedHandle {
    pending: Arc<PendingSubscribers>,
    updates: watch::Receiver<Option<Board>>,
    open_feeds: Arc<AtomicUsize>,
}

/// Counts an open feed until it is dropped.
pub struct FeedGuard(Arc<AtomicUsize>);

impl FeedGuard {
    pub(super) fn new(open_feeds: &Arc<AtomicUsize>) -> Self {
        open_feeds.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open_feeds))
    }
}

impl Drop for FeedGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FeedHandle {
    pub(super) fn new(pending: Arc<PendingSubscribers>, updates: watch::Receiver<Option<Board>>) -> Self {
        Self { pending, updates, open_feeds: Arc::default() }
    }

    /// The number of open feeds.
    pub fn open_count(&self) -> usize {
        self.open_feeds.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> FeedGuard {
        FeedGuard::new(&self.open_feeds)
    }

    /// The first board, which is read after this call, and the updates. An update with a lower read sequence is older
    /// than the first board.
    pub(super) fn subscribe(&self) -> (oneshot::Receiver<Board>, watch::Receiver<Option<Board>>) {
        let (sender, first_board) = oneshot::channel();
        let updates = self.updates.clone();
        self.pending.add(PendingSubscriber::Feed(sender));
        (first_board, updates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribers_that_disconnect_before_their_first_board_are_removed() {
        let mut backlog = SubscriberBacklog::default();
        let mut connected = Vec::new();
        for number in 0..10_000 {
            let (sender, first_board) = oneshot::channel();
            if number % 100 == 0 {
                connected.push(first_board);
            }
            backlog.add(vec![PendingSubscriber::Feed(sender)]);
        }
        let subscribers = backlog.take();
        assert!(subscribers.len() <= 2 * connected.len() + 1, "{}", subscribers.len());
        assert_eq!(subscribers.iter().filter(|subscriber| subscriber.is_connected()).count(), connected.len());
    }
}
