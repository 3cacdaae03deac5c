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
const CURRENT: &str = "current_leaderboard";
/// The event that every socket gets when the board has changed.
const UPDATE: &str = "update_leaderboard";
/// How long Redis may take for a reading.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long everyone keeps the last board while Redis is filled.
const REFILL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait before a reading that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Who has come and waits for a first board, each at most once.
#[derive(Default)]
struct Newcomers {
    waiting: Mutex<Vec<Newcomer>>,
    came: Notify,
}

enum Newcomer {
    Socket(Socket),
    Feed(oneshot::Sender<Board>),
}

impl Newcomer {
    fn is_there(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_connected(),
            Self::Feed(first) => !first.is_closed(),
        }
    }
}

/// Those that wait while the board cannot be read. Who goes away meanwhile is let go, so that there are never many more
/// than are connected.
#[derive(Default)]
struct WaitingRoom {
    waiting: Vec<Newcomer>,
    /// How many there were when it was last tidied.
    tidied: usize,
}

impl WaitingRoom {
    /// So few are not worth a look.
    const FEW: usize = 64;

    fn admit(&mut self, mut newcomers: Vec<Newcomer>) {
        self.waiting.append(&mut newcomers);
        if self.waiting.len() > 2 * self.tidied.max(Self::FEW) {
            self.waiting.retain(Newcomer::is_there);
            self.waiting.shrink_to_fit();
            self.tidied = self.waiting.len();
        }
    }
}

impl Newcomers {
    fn add(&self, newcomer: Newcomer) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(newcomer);
        self.came.notify_one();
    }

    fn take(&self) -> Vec<Newcomer> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets feeds watch the board; a clone shares the broadcasts.
#[derive(Clone)]
pub struct Audience {
    newcomers: Arc<Newcomers>,
    updates: watch::Receiver<Option<Board>>,
    /// How many seats are taken.
    seats: Arc<AtomicUsize>,
}

/// What a feed holds for as long as it is open.
pub struct Seat(Arc<AtomicUsize>);

impl Seat {
    pub(super) fn take(seats: &Arc<AtomicUsize>) -> Self {
        seats.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(seats))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Audience {
    /// How many feeds are open.
    pub fn feeds(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    /// Counts a feed until the seat is dropped.
    pub fn take_seat(&self) -> Seat {
        Seat::take(&self.seats)
    }

    /// A first board, read after this call, and the updates. Of those, the ones with a lower reading are older.
    pub fn watch(&self) -> (oneshot::Receiver<Board>, watch::Receiver<Option<Board>>) {
        let (first, reading) = oneshot::channel();
        let updates = self.updates.clone();
        self.newcomers.add(Newcomer::Feed(first));
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
    newcomers: Arc<Newcomers>,
    sockets: Sockets,
    updates: watch::Sender<Option<Board>>,
    readings: u64,
    /// Why the board cannot be read has been logged.
    complained: bool,
}

impl Broadcast {
    /// The task, which greets whoever connects to `sockets`, and what lets feeds watch.
    pub fn new(
        bus: &Bus,
        database: Database,
        scoring: Scoring,
        interval: Duration,
        sockets: Sockets,
    ) -> (Self, Audience) {
        let newcomers = Arc::new(Newcomers::default());
        let (updates, watching) = watch::channel(None);
        let greeted = Arc::clone(&newcomers);
        sockets.on_connect(move |socket| greeted.add(Newcomer::Socket(socket)));
        let audience = Audience { newcomers: Arc::clone(&newcomers), updates: watching, seats: Arc::default() };
        let (bus, view, changes) = (bus.clone(), View::new(bus, database), bus.subscribe());
        let broadcast =
            Self { bus, view, scoring, changes, interval, newcomers, sockets, updates, readings: 0, complained: false };
        (broadcast, audience)
    }

    /// Reads and hands out until the shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (mut filled, mut changed) = (false, false);
        let mut refill = std::pin::pin!(Fuse::terminated());
        let mut connects = self.bus.connects();
        let mut refilling = self.scoring.refilling();
        let mut earliest = Instant::now();
        let newcomers = Arc::clone(&self.newcomers);
        let mut room = WaitingRoom::default();
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
                () = newcomers.came.notified() => room.admit(newcomers.take()),
                () = sleep_until(earliest), if due => {
                    let begun = Instant::now();
                    let read = self.read().await;
                    // What is read over a new connection, or while Redis is filled, may be half there.
                    filled &= !connects.is_behind();
                    let whole = filled && !*refilling.borrow();
                    earliest = begun + if read.is_some() { self.interval } else { RETRY };
                    if let Some(board) = read {
                        if whole {
                            self.sockets.renew(UPDATE, &board.json);
                        }
                        self.greet(std::mem::take(&mut room).waiting, &board);
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
        let page = match timeout(PATIENCE, self.view.page(0, TOP)).await {
            Ok(Ok(page)) => page,
            Ok(Err(BusError::Refused(reason))) => return self.complain(&reason),
            // The bus logs by itself that Redis is away.
            Ok(Err(_)) | Err(_) => return None,
        };
        self.complained = false;
        self.readings += 1;
        Some(Board::new(self.readings, page.members))
    }

    fn complain(&mut self, reason: &str) -> Option<Board> {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(reason, "Redis does not let the leaderboard be read; trying again");
        }
        None
    }

    fn greet(&self, waiting: Vec<Newcomer>, board: &Board) {
        for newcomer in waiting {
            match newcomer {
                Newcomer::Socket(socket) => socket.emit(CURRENT, &board.json),
                // The feed may have been closed again.
                Newcomer::Feed(first) => drop(first.send(board.clone())),
            }
        }
    }

    async fn update(&self, board: Board) {
        let json = Arc::clone(&board.json);
        self.updates.send_replace(Some(board));
        self.sockets.broadcast(UPDATE, json).await;
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
        let mut room = WaitingRoom::default();
        let mut staying = Vec::new();
        for number in 0..10_000 {
            let (first, reading) = oneshot::channel();
            if number % 100 == 0 {
                staying.push(reading);
            }
            room.admit(vec![Newcomer::Feed(first)]);
        }
        assert!(room.waiting.len() <= 2 * staying.len() + 1, "{}", room.waiting.len());
        assert_eq!(room.waiting.iter().filter(|newcomer| newcomer.is_there()).count(), staying.len());
    }
}
