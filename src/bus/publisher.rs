//! Publishing of messages.
//!
//! Owns the queue between publishers on any thread and the task that sends. The task sends queued messages in one
//! pipeline and waits for the replies before the next. So the work in flight is bounded, and a burst takes few round
//! trips.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionState;
use super::reason::reason;
use super::throttle::Throttle;

/// The most queued messages.
const QUEUE_CAPACITY: usize = 16_384;
/// The most messages of one pipeline.
const MAX_PIPELINE: usize = 512;
/// For the last messages after the shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Queues messages; a clone shares the queue.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Message>,
    drops: Arc<DropCounter>,
}

#[derive(Debug)]
struct Message {
    channel: String,
    payload: String,
}

impl Publisher {
    /// Returns the publisher and its task, which sends until `shutdown` and then sends the queued messages.
    pub(super) fn new(
        client: Client,
        state: watch::Receiver<ConnectionState>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
        let drops = Arc::new(DropCounter::default());
        let sending = SendTask { client, state, queue, drops: Arc::clone(&drops), stalled: false };
        (Self { queue: sender, drops }, sending.run(shutdown))
    }

    /// Queues a message, or drops it if the queue is full or closed.
    pub(super) fn publish(&self, channel: String, payload: String) {
        if self.queue.try_send(Message { channel, payload }).is_err() {
            self.drops.count(1, "the queue is full or closed");
        }
    }

    /// The number of dropped messages.
    pub(super) fn dropped(&self) -> u64 {
        self.drops.total.load(Ordering::Relaxed)
    }
}

/// Counts and logs dropped messages.
#[derive(Debug)]
struct DropCounter {
    total: AtomicU64,
    throttle: Throttle,
}

impl Default for DropCounter {
    fn default() -> Self {
        Self { total: AtomicU64::new(0), throttle: Throttle::new(LOG_INTERVAL) }
    }
}

impl DropCounter {
    fn count(&self, messages: usize, reason: &str) {
        // An empty batch: the queue is closed.
        if messages == 0 {
            return;
        }
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        let total = self.total.fetch_add(messages, Ordering::Relaxed).saturating_add(messages);
        if self.throttle.admits(Instant::now()) {
            tracing::warn!(reason, total, "dropped messages to Redis; the next sweep finds their jobs");
        }
    }
}

/// The task that sends.
struct SendTask {
    client: Client,
    state: watch::Receiver<ConnectionState>,
    queue: mpsc::Receiver<Message>,
    drops: Arc<DropCounter>,
    /// The last pipeline failed. The next is only sent after a successful PING, so that a Redis that hangs receives at
    /// most one pipeline.
    stalled: bool,
}

impl SendTask {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        while shutdown.run_until_cancelled(self.gather(&mut batch)).await.is_some() {
            self.send(&mut batch).await;
        }
        self.queue.close();
        // Cancelling `gather` has removed nothing from the queue.
        let flushed = timeout(FLUSH_TIMEOUT, async {
            while self.gather(&mut batch).await > 0 {
                self.send(&mut batch).await;
            }
        });
        if flushed.await.is_err() {
            self.drops.count(self.queue.len(), "Redis did not accept them before the shutdown");
        }
    }

    /// Waits for the first connection attempt, so that messages published during the start are not lost, and for
    /// messages.
    async fn gather(&mut self, batch: &mut Vec<Message>) -> usize {
        // The task of the connection outlives this one.
        let _ = self.state.wait_for(|state| *state != ConnectionState::Connecting).await;
        self.queue.recv_many(batch, MAX_PIPELINE).await
    }

    async fn send(&mut self, batch: &mut Vec<Message>) {
        let count = batch.len();
        if !self.state.borrow().is_connected() {
            batch.clear();
            self.drops.count(count, "Redis is disconnected");
            return;
        }
        if self.stalled && self.client.ping::<Value>(None).await.is_err() {
            batch.clear();
            self.drops.count(count, "Redis does not reply");
            return;
        }
        let sent = self.pipeline(batch).await;
        self.stalled = sent.is_err();
        if let Err(error) = sent {
            self.drops.count(count, &reason(&error));
        }
    }

    async fn pipeline(&self, batch: &mut Vec<Message>) -> Result<(), Error> {
        let pipeline = self.client.pipeline();
        for Message { channel, payload } in batch.drain(..) {
            // Only adds to the pipeline.
            let _: Value = pipeline.publish(channel, payload).await?;
        }
        let _: Value = pipeline.all().await?;
        Ok(())
    }
}
