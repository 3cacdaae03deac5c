//! The broadcast of the board.
//!
//! One task reads the top ten from Redis and sends it to all subscribers, so that each receives ever newer boards. It
//! reads when a message reports a change, immediately and then at most once an interval, so that the last state is
//! always sent. It also reads when there are new subscribers, whose first board must be read after they have
//! subscribed. After a reconnect, subscribers keep the last board until Redis has received the missed commits; new
//! subscribers get the content of Redis, or while it is unavailable that of the database.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Fuse;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{Board, TOP};
use super::scoring::Scoring;
use super::subscribers::{FeedHandle, PendingSubscriber, PendingSubscribers, SubscriberBacklog};
use super::view::View;
use crate::bus::{Bus, BusError, Page, Signal, Subscription};
use crate::events::LeaderboardUpdate;
use crate::socketio::Sockets;

/// Sent to a socket that has connected.
const CURRENT_EVENT: &str = "current_leaderboard";
/// Sent to every socket after a change.
const UPDATE_EVENT: &str = "update_leaderboard";
/// For one read of the board, from Redis or the database.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long subscribers keep the last board while Redis is refilled.
const REFILL_TIMEOUT: Duration = Duration::from_secs(60);
/// After a failed read.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The task that reads and sends the board.
pub struct Broadcast {
    bus: Bus,
    view: View,
    scoring: Scoring,
    changes: Subscription<LeaderboardUpdate>,
    interval: Duration,
    pending: Arc<PendingSubscribers>,
    sockets: Sockets,
    updates: watch::Sender<Option<Board>>,
    read_seq: u64,
    /// The current error of Redis has been logged.
    redis_error_logged: bool,
    /// The current error of the database has been logged.
    database_error_logged: bool,
}

impl Broadcast {
    /// Returns the task, which also sends the first board to each socket of `sockets`, and the handle that opens feeds.
    pub fn new(bus: &Bus, view: View, scoring: Scoring, interval: Duration, sockets: Sockets) -> (Self, FeedHandle) {
        let pending = Arc::new(PendingSubscribers::default());
        let (updates, update_receiver) = watch::channel(None);
        let connecting = Arc::clone(&pending);
        sockets.on_connect(move |socket| connecting.add(PendingSubscriber::Socket(socket)));
        let feeds = FeedHandle::new(Arc::clone(&pending), update_receiver);
        let (bus, changes) = (bus.clone(), bus.subscribe());
        let broadcast = Self {
            bus,
            view,
            scoring,
            changes,
            interval,
            pending,
            sockets,
            updates,
            read_seq: 0,
            redis_error_logged: false,
            database_error_logged: false,
        };
        (broadcast, feeds)
    }

    /// Runs until `ended`, when there are no subscribers any more.
    pub async fn run(mut self, ended: CancellationToken) {
        let (mut filled, mut changed) = (false, false);
        let mut refill = std::pin::pin!(Fuse::terminated());
        let mut connects = self.bus.connects();
        let mut refilling = self.scoring.refilling();
        let mut earliest = Instant::now();
        let pending = Arc::clone(&self.pending);
        let mut backlog = SubscriberBacklog::default();
        loop {
            let complete = filled && !*refilling.borrow_and_update();
            let due = (complete && changed) || !backlog.is_empty();
            tokio::select! {
                () = ended.cancelled() => return,
                signal = self.changes.next() => match signal {
                    Some(Signal::Event(_)) => changed = true,
                    Some(Signal::Resync) => {
                        filled = false;
                        refill.set(refilled(self.bus.clone(), self.scoring.clone()).fuse());
                    }
                    None => return ended.cancelled().await,
                },
                () = connects.next() => {
                    filled = false;
                    refill.set(refilled(self.bus.clone(), self.scoring.clone()).fuse());
                }
                () = &mut refill => (filled, changed) = (true, true),
                Ok(()) = refilling.changed() => {}
                () = pending.added() => backlog.add(pending.take()),
                () = sleep_until(earliest), if due => {
                    let start = Instant::now();
                    let board = self.read().await;
                    // A board that was read over a new connection or during a refill may be incomplete.
                    filled &= !connects.has_unseen();
                    let complete = filled && !*refilling.borrow();
                    earliest = start + if board.is_ok() { self.interval } else { RETRY_DELAY };
                    changed = self.send(board, complete, changed, &mut backlog).await;
                }
            }
        }
    }

    /// Sends a board that was read, and returns whether a change is still to be sent.
    async fn send(
        &mut self,
        read: Result<Board, BusError>,
        complete: bool,
        changed: bool,
        backlog: &mut SubscriberBacklog,
    ) -> bool {
        match read {
            Ok(board) => {
                if complete {
                    self.sockets.set_latest(UPDATE_EVENT, &board.json);
                }
                self.send_first(backlog.take(), &board);
                if complete && changed {
                    self.send_update(board).await;
                }
                changed && !complete
            }
            Err(error) if error.is_refusal() || backlog.is_empty() => changed,
            Err(_) => match self.read_database().await {
                Some(board) => {
                    self.send_first(backlog.take(), &board);
                    // They need the board of Redis as soon as it can be read.
                    true
                }
                None => changed,
            },
        }
    }

    /// Reads the top ten from Redis. An error reply is logged once; the bus logs connection errors.
    async fn read(&mut self) -> Result<Board, BusError> {
        let read = timeout(READ_TIMEOUT, self.view.page_of_redis(0, TOP)).await.unwrap_or(Err(BusError::Timeout));
        let page = read.inspect_err(|error| {
            if let BusError::Refused(reason) = error
                && !std::mem::replace(&mut self.redis_error_logged, true)
            {
                tracing::warn!(reason, "Redis refused to read the leaderboard, retrying");
            }
        })?;
        self.redis_error_logged = false;
        Ok(self.board(page))
    }

    /// The top ten of the database, for new subscribers while Redis is unavailable. An error is logged once.
    async fn read_database(&mut self) -> Option<Board> {
        let read = timeout(READ_TIMEOUT, self.view.page_of_database(0, TOP)).await;
        let error = match read {
            Ok(Ok(page)) => {
                self.database_error_logged = false;
                return Some(self.board(page));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took more than {} seconds", READ_TIMEOUT.as_secs()),
        };
        if !std::mem::replace(&mut self.database_error_logged, true) {
            tracing::warn!(error, "cannot read the leaderboard from the database, retrying");
        }
        None
    }

    fn board(&mut self, page: Page) -> Board {
        self.read_seq += 1;
        Board::new(self.read_seq, page.members)
    }

    fn send_first(&self, subscribers: Vec<PendingSubscriber>, board: &Board) {
        for subscriber in subscribers {
            match subscriber {
                PendingSubscriber::Socket(socket) => socket.emit(CURRENT_EVENT, &board.json),
                // Fails if the feed was closed meanwhile.
                PendingSubscriber::Feed(first_board) => drop(first_board.send(board.clone())),
            }
        }
    }

    async fn send_update(&self, board: Board) {
        let json = Arc::clone(&board.json);
        self.updates.send_replace(Some(board));
        self.sockets.broadcast(UPDATE_EVENT, json).await;
    }
}

/// Waits until Redis has received the missed commits, or the timeout has passed: an incomplete board is better than an
/// old one.
async fn refilled(bus: Bus, scoring: Scoring) {
    bus.connected().await;
    let _ = timeout(REFILL_TIMEOUT, scoring.caught_up()).await;
}
