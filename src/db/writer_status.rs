//! The state of the writer thread, published for readiness checks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The state of the writer at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterStatus {
    /// How long the oldest unfinished write has been waiting; `None` while nothing is written.
    pub longest_wait: Option<Duration>,
    /// Why the last commit failed; `None` after one that succeeded.
    pub failure: Option<String>,
    /// Whether the thread has ended: nothing will be written any more.
    pub has_ended: bool,
}

/// What the writer publishes; a clone publishes the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Published(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// When the oldest unfinished write was requested.
    oldest: Option<Instant>,
    failure: Option<String>,
}

impl Published {
    /// A batch begins, whose oldest write was requested at this time.
    pub(super) fn begin(&self, oldest: Instant) {
        self.lock().oldest = Some(oldest);
    }

    /// Its transaction was committed, or failed.
    pub(super) fn end(&self, failure: Option<String>) {
        *self.lock() = State { oldest: None, failure };
    }

    pub(super) fn status(&self, has_ended: bool) -> WriterStatus {
        let state = self.lock();
        let longest_wait = state.oldest.map(|oldest| oldest.elapsed());
        WriterStatus { longest_wait, failure: state.failure.clone(), has_ended }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete, whatever panics beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
