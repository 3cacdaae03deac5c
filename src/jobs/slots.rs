//! Slots: the right to work on a job. A runner has as many as its concurrency.
//!
//! A claimed job waits for a slot, and returns it before its result is made durable, so that no slot waits for the
//! disk. Meanwhile, jobs are claimed ahead: as many as the slots will probably take within [`AHEAD`]. That is many
//! short jobs, which share the transaction of a claim, and no long ones, which other workers can start earlier.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Clock;

/// How long the jobs that wait for a slot should last. Longer than the transaction of a claim takes.
const AHEAD: Duration = Duration::from_millis(50);
/// The most jobs that wait for each slot.
const MAX_WAITING: usize = 16;
/// The most jobs of a runner that have no slot: they wait for one, or are being made durable.
const MAX_BESIDE: usize = 256;
/// The weight of a job in the average is one of this number.
const WEIGHT: u64 = 4;
/// No job has returned a slot yet.
const UNKNOWN: u64 = u64::MAX;

/// The slots of a runner. A clone shares them.
#[derive(Clone)]
pub(super) struct Slots(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    free: Arc<Semaphore>,
    count: usize,
    waiting: AtomicUsize,
    /// The moving average of the time that a job holds a slot, in nanoseconds.
    held_ns: AtomicU64,
    changed: Notify,
}

/// A place among the jobs that wait for a slot.
pub(super) struct Waiting(Arc<Shared>);

/// The right to work on a job. Dropping it lets another job start.
pub struct Slot {
    shared: Arc<Shared>,
    /// A time of the monotonic clock.
    since: Duration,
    /// Always there until it is dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(count: usize, clock: Arc<dyn Clock>) -> Self {
        let count = count.max(1);
        Self(Arc::new(Shared {
            clock,
            free: Arc::new(Semaphore::new(count)),
            count,
            waiting: AtomicUsize::new(0),
            held_ns: AtomicU64::new(UNKNOWN),
            changed: Notify::new(),
        }))
    }

    /// Adds a job to those that wait.
    pub(super) fn wait(&self) -> Waiting {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.0.clone())
    }

    /// The number of jobs to claim now: none while at least half of the jobs to claim ahead are there.
    pub(super) fn wanted(&self) -> usize {
        let (ahead, free) = (self.0.ahead(), self.0.free.available_permits());
        let waiting = self.0.waiting.load(Ordering::Relaxed);
        if waiting > free + ahead / 2 { 0 } else { (free + ahead).saturating_sub(waiting) }
    }

    /// The same slots with another clock; before any is used.
    pub(super) fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self::new(self.0.count, clock)
    }

    /// The most jobs of the runner at a time: with a slot, waiting for one, or being made durable.
    pub(super) fn max_running(&self) -> usize {
        self.0.count + MAX_BESIDE
    }

    /// Waits until a slot was taken or returned. Cancel safe.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Shared {
    /// How many jobs are claimed ahead of their slots.
    fn ahead(&self) -> usize {
        match self.held_ns.load(Ordering::Relaxed) {
            UNKNOWN => 0,
            held => {
                let jobs = AHEAD.as_nanos() as u64 / held.max(1);
                self.count * usize::try_from(jobs).unwrap_or(MAX_WAITING).min(MAX_WAITING)
            }
        }
    }

    fn record(&self, held: Duration) {
        let held = u64::try_from(held.as_nanos()).unwrap_or(UNKNOWN - 1);
        let average = |old: u64| if old == UNKNOWN { held } else { old - old / WEIGHT + held / WEIGHT };
        // The closure always returns a value.
        let _ = self.held_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(average(old)));
    }
}

impl Waiting {
    /// Waits for a slot, in the order of the calls. Cancel safe.
    pub(super) async fn slot(self) -> Slot {
        let permit = loop {
            // The semaphore is never closed.
            if let Ok(permit) = self.0.free.clone().acquire_owned().await {
                break permit;
            }
        };
        let shared = self.0.clone();
        drop(self);
        shared.changed.notify_one();
        Slot { since: shared.clock.monotonic(), shared, permit: Some(permit) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.record(self.shared.clock.monotonic().saturating_sub(self.since));
        // Before the runner looks for free slots.
        drop(self.permit.take());
        self.shared.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::SystemClock;
    use super::*;

    fn slots(count: usize) -> Slots {
        Slots::new(count, Arc::new(SystemClock::default()))
    }

    /// Slots whose jobs have held them for this long.
    fn used(count: usize, held: Duration) -> Slots {
        let slots = slots(count);
        slots.0.record(held);
        slots
    }

    #[test]
    fn as_many_jobs_are_wanted_as_there_are_free_slots_until_one_has_ended() {
        let slots = slots(3);
        assert_eq!(slots.wanted(), 3);
        let _waiting = [slots.wait(), slots.wait()];
        assert_eq!(slots.wanted(), 1);
    }

    #[test]
    fn short_jobs_are_claimed_ahead_and_long_jobs_are_not() {
        assert_eq!(used(2, 2 * AHEAD).wanted(), 2);
        assert_eq!(used(2, AHEAD).wanted(), 2 + 2);
        assert_eq!(used(2, AHEAD / 5).wanted(), 2 + 10);
        assert_eq!(used(2, Duration::from_nanos(1)).wanted(), 2 + 2 * MAX_WAITING, "within a limit");
        assert_eq!(used(2, Duration::MAX).wanted(), 2);
    }

    #[test]
    fn jobs_are_claimed_ahead_again_once_half_of_them_have_started() {
        let slots = used(1, AHEAD / 10);
        let mut waiting: Vec<_> = (0..slots.wanted()).map(|_| slots.wait()).collect();
        assert_eq!((waiting.len(), slots.wanted()), (11, 0));
        waiting.truncate(7);
        assert_eq!(slots.wanted(), 0);
        waiting.truncate(6);
        assert_eq!(slots.wanted(), 5);
    }

    #[test]
    fn the_average_follows_jobs_that_become_long() {
        let slots = used(1, AHEAD / 10);
        (0..4).for_each(|_| slots.0.record(20 * AHEAD));
        assert_eq!(slots.wanted(), 1);
    }

    #[tokio::test]
    async fn a_slot_is_free_again_when_it_is_dropped_and_a_cancelled_job_waits_no_more() {
        let slots = slots(1);
        let slot = slots.wait().slot().await;
        let (next, cancelled) = (slots.wait(), slots.wait());
        drop(cancelled);
        let next = tokio::spawn(next.slot());
        assert_eq!(slots.0.waiting.load(Ordering::Relaxed), 1);
        drop(slot);
        drop(next.await.unwrap());
        assert_eq!((slots.0.waiting.load(Ordering::Relaxed), slots.0.free.available_permits()), (0, 1));
    }

    #[tokio::test]
    async fn a_runner_is_woken_when_a_slot_is_taken_and_when_it_is_returned() {
        let slots = slots(1);
        let slot = slots.wait().slot().await;
        slots.changed().await;
        assert_eq!(slots.wanted(), 0);
        let woken = tokio::spawn({
            let slots = slots.clone();
            async move {
                slots.changed().await;
                slots.0.free.available_permits()
            }
        });
        drop(slot);
        assert_eq!(woken.await.unwrap(), 1);
    }
}
