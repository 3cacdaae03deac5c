//! The board on its way to everyone who watches.
//!
//! One task reads the top ten from Redis and hands it out, so that what anyone sees only ever gets newer. It reads when a
//! message says that the board has changed, at once and then at most once an interval, so that the last state always goes
//! out; and when somebody has come, whose first board is read after that. After a connect, of either connection, everyone
//! keeps the last board until Redis has what it missed; new clients get what Redis holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Fuse;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{Board, TOP};
use super::scoring::Scoring;
use super::view::View;
use crate::bus::{Bus, BusError, Signal, Subscription};
use crate::db::Database;
use crate::events::LeaderboardUpdate;
use crate::socketio::{Socket, Sockets};

/// The event that a socket gets when it has connected.
const CURRENT_EVENT: &str = "current_leaderboard";
/// The event that every socket gets when the board has changed.
const UPDATE_EVENT: &str = "update_leaderboard";
/// How long Redis may take for a reading.
const REDIS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long everyone keeps the last board while Redis is filled.
const REFILL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait before a reading that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Who has come and waits for a first board, each at most once.
#[derive(Default)]
struct PendingSubscribers {
    waiting: Mutex<Vec<PendingSubscriber>>,
    came: Notify,
}

enum PendingSubscriber {
    Socket(Socket),
    Feed(oneshot::Sender<Board>),
}

impl PendingSubscriber {
    fn is_connected(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_connected(),
            Self::Feed(first) => !first.is_closed(),
        }
    }
}

/// Those that wait while the board cannot be read. Who goes away meanwhile is let go, so that there are never many more
/// than are connected.
#[derive(Default)]
struct SubscriberBacklog {
    waiting: Vec<PendingSubscriber>,
    /// How many there were when it was last tidied.
    tidied: usize,
}

impl SubscriberBacklog {
    /// So few are not worth a look.
    const FEW: usize = 64;

    fn admit(&mut self, mut pending: Vec<PendingSubscriber>) {
        self.waiting.append(&mut pending);
        if self.waiting.len() > 2 * self.tidied.max(Self::FEW) {
            self.waiting.retain(PendingSubscriber::is_connected);
            self.waiting.shrink_to_fit();
            self.tidied = self.waiting.len();
        }
    }
}

impl PendingSubscribers {
    fn add(&self, subscriber: PendingSubscriber) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(subscriber);
        self.came.notify_one();
    }

    fn take(&self) -> Vec<PendingSubscriber> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets feeds watch the board; a clone shares the broadcasts.
#[derive(Clone)]
pub struct FeedHandle {
    pending: Arc<PendingSubscribers>,
    updates: watch::Receiver<Option<Board>>,
    /// How many open_feeds are taken.
    open_feeds: Arc<AtomicUsize>,
}

/// What a feed holds for as long as it is open.
pub struct FeedGuard(Arc<AtomicUsize>);

impl FeedGuard {
    pub(super) fn take(open_feeds: &Arc<AtomicUsize>) -> Self {
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
    /// How many feeds are open.
    pub fn open_count(&self) -> usize {
        self.open_feeds.load(Ordering::Relaxed)
    }

    /// Counts a feed until the guard is dropped.
    pub fn open(&self) -> FeedGuard {
        FeedGuard::take(&self.open_feeds)
    }

    /// A first board, read after this call, and the updates. Of those, the ones with a lower reading are older.
    pub fn watch(&self) -> (oneshot::Receiver<Board>, watch::Receiver<Option<Board>>) {
        let (first, reading) = oneshot::channel();
        let updates = self.updates.clone();
        self.pending.add(PendingSubscriber::Feed(first));
        (reading, updates)
    }
}

/// The task that reads and hands out.
pub struct Broadcast {
    bus: Bus,
    view: View,
    scoring: Scoring,
    changes: Subscription<LeaderboardUpdate>,
    interval: Duration,
    pending: Arc<PendingSubscribers>,
    sockets: Sockets,
    updates: watch::Sender<Option<Board>>,
    readings: u64,
    /// Why the board cannot be read has been logged.
    error_logged: bool,
}

impl Broadcast {
    /// The task, which greets whoever connects to `sockets`, and what lets feeds watch.
    pub fn new(
        bus: &Bus,
        database: Database,
        scoring: Scoring,
        interval: Duration,
        sockets: Sockets,
    ) -> (Self, FeedHandle) {
        let pending = Arc::new(PendingSubscribers::default());
        let (updates, watching) = watch::channel(None);
        let registering = Arc::clone(&pending);
        sockets.on_connect(move |socket| registering.add(PendingSubscriber::Socket(socket)));
        let feeds = FeedHandle { pending: Arc::clone(&pending), updates: watching, open_feeds: Arc::default() };
        let (bus, view, changes) = (bus.clone(), View::new(bus, database), bus.subscribe());
        let broadcast =
            Self { bus, view, scoring, changes, interval, pending, sockets, updates, readings: 0, error_logged: false };
        (broadcast, feeds)
    }

    /// Reads and hands out until the shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (mut filled, mut changed) = (false, false);
        let mut refill = std::pin::pin!(Fuse::terminated());
        let mut connects = self.bus.connects();
        let mut refilling = self.scoring.refilling();
        let mut earliest = Instant::now();
        let pending = Arc::clone(&self.pending);
        let mut room = SubscriberBacklog::default();
        loop {
            let whole = filled && !*refilling.borrow_and_update();
            let due = (whole && changed) || !room.waiting.is_empty();
            tokio::select! {
                () = shutdown.cancelled() => return,
                signal = self.changes.next() => match signal {
                    Some(Signal::Event(_)) => changed = true,
                    Some(Signal::Resync) => {
                        filled = false;
                        refill.set(refilled(self.bus.clone(), self.scoring.clone()).fuse());
                    }
                    None => return shutdown.cancelled().await,
                },
                () = connects.next() => {
                    filled = false;
                    refill.set(refilled(self.bus.clone(), self.scoring.clone()).fuse());
                }
                () = &mut refill => (filled, changed) = (true, true),
                Ok(()) = refilling.changed() => {}
                () = pending.came.notified() => room.admit(pending.take()),
                () = sleep_until(earliest), if due => {
                    let begun = Instant::now();
                    let read = self.read().await;
                    // What is read over a new connection, or while Redis is filled, may be half there.
                    filled &= !connects.has_unseen();
                    let whole = filled && !*refilling.borrow();
                    earliest = begun + if read.is_some() { self.interval } else { RETRY_DELAY };
                    if let Some(board) = read {
                        if whole {
                            self.sockets.set_latest(UPDATE_EVENT, &board.json);
                        }
                        self.send_first(std::mem::take(&mut room).waiting, &board);
                        if whole && std::mem::take(&mut changed) {
                            self.update(board).await;
                        }
                    }
                }
            }
        }
    }

    /// The top ten; `None` where Redis does not say, which is logged once.
    async fn read(&mut self) -> Option<Board> {
        let page = match timeout(REDIS_TIMEOUT, self.view.page(0, TOP)).await {
            Ok(Ok(page)) => page,
            Ok(Err(BusError::Refused(reason))) => return self.log_refusal(&reason),
            // The bus logs by itself that Redis is away.
            Ok(Err(_)) | Err(_) => return None,
        };
        self.error_logged = false;
        self.readings += 1;
        Some(Board::new(self.readings, page.members))
    }

    fn log_refusal(&mut self, reason: &str) -> Option<Board> {
        if !std::mem::replace(&mut self.error_logged, true) {
            tracing::warn!(reason, "Redis does not let the leaderboard be read; trying again");
        }
        None
    }

    fn send_first(&self, waiting: Vec<PendingSubscriber>, board: &Board) {
        for subscriber in waiting {
            match subscriber {
                PendingSubscriber::Socket(socket) => socket.emit(CURRENT_EVENT, &board.json),
                // The feed may have been closed again.
                PendingSubscriber::Feed(first) => drop(first.send(board.clone())),
            }
        }
    }

    async fn update(&self, board: Board) {
        let json = Arc::clone(&board.json);
        self.updates.send_replace(Some(board));
        self.sockets.broadcast(UPDATE_EVENT, json).await;
    }
}

/// Waits until Redis has what it missed, or the time is up: a board that is half there is better than an old one.
async fn refilled(bus: Bus, scoring: Scoring) {
    bus.connected().await;
    let _ = timeout(REFILL_TIMEOUT, scoring.caught_up()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_away_before_the_first_board_is_let_go() {
        let mut room = SubscriberBacklog::default();
        let mut staying = Vec::new();
        for number in 0..10_000 {
            let (first, reading) = oneshot::channel();
            if number % 100 == 0 {
                staying.push(reading);
            }
            room.admit(vec![PendingSubscriber::Feed(first)]);
        }
        assert!(room.waiting.len() <= 2 * staying.len() + 1, "{}", room.waiting.len());
        assert_eq!(room.waiting.iter().filter(|subscriber| subscriber.is_connected()).count(), staying.len());
    }
}
