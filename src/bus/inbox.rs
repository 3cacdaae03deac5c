//! Messages of other programs that wait to be recorded.
//!
//! Owns the bounded buffer between a subscription and the database, and the retries: a message in it is kept until it
//! is recorded or the process stops. What is lost is counted and logged.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::throttle::Throttle;
use super::{Signal, Subscription};
use crate::events::Event;

/// How many messages may wait.
const CAPACITY: usize = 16_384;
/// How many of them are taken out of the buffer at once.
const MAX_BATCH: usize = 512;
/// The wait before messages that could not be recorded are tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// For how long lost messages are counted before the log says how many there were.
const REPORT_DELAY: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A message and when it was taken from the subscription.
#[derive(Debug, Clone)]
pub struct Received<E> {
    /// The message.
    pub event: E,
    /// When.
    pub at: Instant,
}

/// Writes messages to the database.
pub trait Recorder: Send {
    /// The messages.
    type Event: Event;
    /// Why messages cannot be recorded now.
    type Error: Display + Send;

    /// Whether a message is one that has to be recorded.
    fn accepts(event: &Self::Event) -> bool;

    /// Records messages from the front, and removes those that are recorded. An error leaves the rest for another
    /// attempt.
    fn record(
        &mut self,
        waiting: &mut VecDeque<Received<Self::Event>>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Records the messages of a subscription until `shutdown`, and what waits then once more. `wake` is called after every
/// signal of the subscription.
pub async fn record<R: Recorder>(
    subscription: Subscription<R::Event>,
    recorder: R,
    wake: impl Fn() + Send,
    shutdown: CancellationToken,
) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let receiving = receive(subscription, sender, R::accepts, wake, &shutdown);
    tokio::join!(receiving, drain(receiver, recorder, &shutdown));
    shutdown.cancelled().await;
}

async fn receive<E: Event>(
    mut subscription: Subscription<E>,
    queue: mpsc::Sender<Received<E>>,
    accepts: impl Fn(&E) -> bool,
    wake: impl Fn(),
    shutdown: &CancellationToken,
) {
    let mut lost = LostCounter::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = lost.report_is_due() => lost.report(),
            signal = subscription.next() => {
                match signal {
                    None => break,
                    Some(Signal::Resync) => {}
                    Some(Signal::Event(event)) => if accepts(&event) {
                        let received = Received { event, at: Instant::now() };
                        lost.count(queue.try_send(received).is_err());
                    }
                }
                wake();
            }
        }
    }
    lost.report();
}

async fn drain<R: Recorder>(
    mut queue: mpsc::Receiver<Received<R::Event>>,
    mut recorder: R,
    shutdown: &CancellationToken,
) {
    let throttle = Throttle::new(LOG_INTERVAL);
    let (mut waiting, mut received) = (VecDeque::new(), Vec::new());
    loop {
        if waiting.is_empty() {
            if queue.recv_many(&mut received, MAX_BATCH).await == 0 {
                return;
            }
            waiting.extend(received.drain(..));
        }
        let Err(error) = recorder.record(&mut waiting).await else { continue };
        if shutdown.is_cancelled() {
            let lost = waiting.len() + queue.len();
            tracing::error!(lost, %error, "messages of other programs are lost: the process stops");
            return;
        }
        if throttle.admits(Instant::now().into_std()) {
            let waiting = waiting.len() + queue.len();
            tracing::warn!(waiting, %error, "messages of other programs cannot be recorded, trying again");
        }
        shutdown.run_until_cancelled(sleep(RETRY_DELAY)).await;
    }
}

/// Messages that found the buffer full and are not in the log yet.
#[derive(Default)]
struct LostCounter {
    count: u64,
    report_at: Option<Instant>,
}

impl LostCounter {
    fn count(&mut self, is_lost: bool) {
        if is_lost {
            self.count += 1;
            self.report_at.get_or_insert_with(|| Instant::now() + REPORT_DELAY);
        }
    }

    async fn report_is_due(&self) {
        match self.report_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn report(&mut self) {
        let Self { count: lost, .. } = std::mem::take(self);
        if lost > 0 {
            tracing::error!(lost, "messages of other programs are lost: the buffer is full");
        }
    }
}
