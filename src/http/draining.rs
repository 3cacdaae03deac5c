//! The drain of a server at a shutdown, so that clients move to another server without an error and not all at once.
//!
//! `/readyz` answers 503 from the request on, while the server accepts connections for a delay, until load balancers
//! have noticed. Then it stops accepting, and each held response and socket ends at a random time within a window.
//! Connections without one stay open until the end of the window, and a response tells their clients to close them, so
//! that no request is lost on a connection that is being closed.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The window is no longer than this for each held response and socket: a few need not wait.
const INTERVAL: Duration = Duration::from_millis(10);

/// How a server drains.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Cancelled when the server is to drain.
    pub requested: CancellationToken,
    /// Cancelled when it is to drain without a delay and a window.
    pub urgent: CancellationToken,
    /// How long it accepts connections after the request.
    pub delay: Duration,
    /// The longest window.
    pub spread: Duration,
}

/// The drain of one server; a clone shares it.
#[derive(Debug, Clone)]
pub struct Draining(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    window: OnceLock<Window>,
    window_begun: CancellationToken,
    ended: CancellationToken,
    held: AtomicUsize,
    connections: AtomicUsize,
    /// Notified when one of these numbers becomes 0.
    emptied: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    start: Instant,
    length: Duration,
}

impl Draining {
    /// Of a server that drains with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            settings,
            window: OnceLock::new(),
            window_begun: CancellationToken::new(),
            ended: CancellationToken::new(),
            held: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            emptied: Notify::new(),
        }))
    }

    /// Whether the server is to drain, or drains already.
    pub(super) fn is_requested(&self) -> bool {
        self.0.settings.requested.is_cancelled()
    }

    /// Waits for the request, and for the delay. Cancel safe.
    pub(super) async fn delayed(&self) {
        let Settings { requested, urgent, delay, .. } = &self.0.settings;
        requested.cancelled().await;
        urgent.run_until_cancelled(tokio::time::sleep(*delay)).await;
    }

    /// Whether connections are to end one after the other.
    pub(super) fn is_gradual(&self) -> bool {
        !self.0.settings.spread.is_zero() && !self.0.settings.urgent.is_cancelled()
    }

    /// Whether clients are to close their connections.
    pub(super) fn is_closing(&self) -> bool {
        self.0.window_begun.is_cancelled()
    }

    /// Begins the window, and waits until it has ended or no connection is left. Cancel safe.
    pub(crate) async fn close_gradually(&self) {
        let Shared { settings, held, emptied, .. } = &*self.0;
        let few = INTERVAL.saturating_mul(u32::try_from(held.load(Ordering::Relaxed)).unwrap_or(u32::MAX));
        let start = Instant::now();
        let _ = self.0.window.set(Window { start, length: settings.spread.min(few) });
        self.0.window_begun.cancel();
        let left = async {
            loop {
                let emptied = emptied.notified();
                if self.is_empty() {
                    return;
                }
                emptied.await;
            }
        };
        tokio::select! {
            () = left => {}
            () = sleep_until(start + settings.spread) => {}
            () = settings.urgent.cancelled() => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.0.held.load(Ordering::Relaxed) == 0 && self.0.connections.load(Ordering::Relaxed) == 0
    }

    /// Reports that no held response and no socket is left.
    pub(super) fn end(&self) {
        self.0.ended.cancel();
    }

    /// Completes when no held response and no socket is left. Cancel safe.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.0.ended.clone()
    }

    /// Counts a connection, until the guard is dropped.
    pub(super) fn connection(&self) -> Counted {
        Counted::new(&self.0, |shared| &shared.connections)
    }

    /// Counts a held response or a socket, until it is dropped.
    pub(crate) fn hold(&self) -> Held {
        Held { counted: Counted::new(&self.0, |shared| &shared.held), share: rand::rng().random() }
    }
}

/// A held response or a socket.
#[derive(Debug)]
pub(crate) struct Held {
    counted: Counted,
    /// The part of the window after which it ends, from 0 to 1.
    share: f64,
}

impl Held {
    /// Completes when it is to end; at once, if it began after that. Cancel safe.
    pub(crate) fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        let (shared, share) = (self.counted.shared.clone(), self.share);
        async move {
            shared.window_begun.cancelled().await;
            if let Some(Window { start, length }) = shared.window.get() {
                let end = sleep_until(*start + length.mul_f64(share));
                shared.settings.urgent.run_until_cancelled(end).await;
            }
        }
    }

    /// When the client may send its request again, in seconds from now: at random up to the longest window, so that
    /// clients that were answered together do not return together.
    pub(crate) fn retry_after(&self) -> u64 {
        let longest = self.counted.shared.settings.spread.as_secs_f64().ceil().max(1.0);
        rand::rng().random_range(1..=longest as u64)
    }
}

/// One of a number of connections or held responses.
#[derive(Debug)]
pub(super) struct Counted {
    shared: Arc<Shared>,
    number: fn(&Shared) -> &AtomicUsize,
}

impl Counted {
    fn new(shared: &Arc<Shared>, number: fn(&Shared) -> &AtomicUsize) -> Self {
        number(shared).fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone(), number }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if (self.number)(&self.shared).fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPREAD: Duration = Duration::from_secs(5);

    fn draining() -> Draining {
        Draining::new(Settings { spread: SPREAD, ..Settings::default() })
    }

    /// The times after which each of so many turns comes.
    async fn turns(draining: &Draining, count: usize) -> Vec<Duration> {
        let held: Vec<_> = (0..count).map(|_| draining.hold()).collect();
        let start = Instant::now();
        let turns = held.into_iter().map(|held| async move {
            held.turn().await;
            start.elapsed()
        });
        let (turns, ()) = tokio::join!(futures_util::future::join_all(turns), draining.close_gradually());
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn many_end_all_over_the_window_and_a_few_within_a_short_one() {
        let many = turns(&draining(), 10_000).await;
        for second in 0..5 {
            let ended = many.iter().filter(|turn| turn.as_secs() == second).count();
            assert!((1_500..2_500).contains(&ended), "{ended} in second {second}");
        }
        let few = turns(&draining(), 10).await;
        assert!(few.iter().all(|turn| *turn <= INTERVAL * 10 + Duration::from_millis(1)), "{few:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_ends_when_nothing_is_left_and_at_the_latest_after_its_longest_time() {
        let draining = draining();
        let (held, connection) = (draining.hold(), draining.connection());
        let start = Instant::now();
        drop(held);
        draining.close_gradually().await;
        assert_eq!(start.elapsed(), SPREAD, "an idle connection stays until the end");

        drop(connection);
        let again = Instant::now();
        draining.close_gradually().await;
        assert_eq!(again.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_urgent_drain_ends_everything_at_once() {
        let draining = draining();
        let held: Vec<_> = (0..1_000).map(|_| draining.hold()).collect();
        draining.0.settings.urgent.cancel();
        let start = Instant::now();
        draining.close_gradually().await;
        futures_util::future::join_all(held.iter().map(Held::turn)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_after_the_window_ends_at_once() {
        let draining = draining();
        draining.close_gradually().await;
        let start = Instant::now();
        draining.hold().turn().await;
        assert!(start.elapsed() <= Duration::from_millis(1), "{:?}", start.elapsed());
    }

    #[test]
    fn clients_return_at_any_second_up_to_the_longest_window() {
        let draining = draining();
        let held = draining.hold();
        let mut seconds: Vec<u64> = (0..1_000).map(|_| held.retry_after()).collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert_eq!(seconds, [1, 2, 3, 4, 5]);
    }
}
