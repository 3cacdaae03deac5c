//! Recording of messages from other programs.
//!
//! Owns the bounded buffer between a subscription and the database, and the retries. A message is kept until it is
//! recorded or the process stops. Lost messages are counted and logged.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::subscription::{Signal, Subscription};
use super::throttle::Throttle;
use crate::events::Event;

/// The most buffered messages.
const CAPACITY: usize = 16_384;
/// The most messages that are taken from the buffer at once.
const MAX_BATCH: usize = 512;
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long lost messages are counted before they are logged.
const REPORT_DELAY: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A message with the time of its arrival.
#[derive(Debug, Clone)]
pub struct Received<E> {
    /// The message.
    pub event: E,
    /// The time of arrival.
    pub at: Instant,
}

/// Writes messages to the database.
pub trait Recorder: Send {
    /// The type of the messages.
    type Event: Event;
    /// The reason why messages cannot be recorded at the moment.
    type Error: Display + Send;

    /// Whether a message must be recorded.
    fn accepts(event: &Self::Event) -> bool;

    /// Records messages from the front and removes them. After an error, the rest is retried.
    fn record(
        &mut self,
        waiting: &mut VecDeque<Received<Self::Event>>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Records the messages of a subscription until `shutdown`, and then makes one last attempt. Calls `wake` after every
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
            tracing::error!(lost, %error, "lost messages of other programs: the process stops");
            return;
        }
        if throttle.admits(Instant::now().into_std()) {
            let waiting = waiting.len() + queue.len();
            tracing::warn!(waiting, %error, "cannot record messages of other programs, retrying");
        }
        shutdown.run_until_cancelled(sleep(RETRY_DELAY)).await;
    }
}

/// Removes those of the first messages that are recorded already, and returns the number of the others, which are the
/// first messages then. `recorded` has an entry for each of the first messages, which `on_recorded` gets with it.
pub(crate) fn remove_recorded<E, R>(
    waiting: &mut VecDeque<Received<E>>,
    recorded: Vec<Option<R>>,
    mut on_recorded: impl FnMut(E, R),
) -> usize {
    let checked = recorded.len().min(waiting.len());
    let mut others = Vec::new();
    for (received, recorded) in waiting.drain(..checked).zip(recorded) {
        match recorded {
            Some(recorded) => on_recorded(received.event, recorded),
            None => others.push(received),
        }
    }
    let count = others.len();
    others.into_iter().rev().for_each(|received| waiting.push_front(received));
    count
}

/// Counts the messages that did not fit into the buffer until they are logged.
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
            tracing::error!(lost, "lost messages of other programs: the buffer is full");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_are_not_recorded_stay_in_their_order() {
        let mut waiting: VecDeque<_> = ('a'..='e').map(|event| Received { event, at: Instant::now() }).collect();
        let mut removed = Vec::new();
        let others =
            remove_recorded(&mut waiting, vec![None, Some(7), None, Some(8)], |event, row| removed.push((event, row)));
        assert_eq!((others, removed), (2, vec![('b', 7), ('d', 8)]));
        assert_eq!(waiting.iter().map(|received| received.event).collect::<String>(), "ace");
    }
}
