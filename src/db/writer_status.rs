//! The status of the writer thread, for readiness checks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The status of the writer thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterStatus {
    /// The age of the oldest unfinished write; `None` if there is none.
    pub longest_wait: Option<Duration>,
    /// The error of the last commit; `None` if it succeeded.
    pub failure: Option<String>,
    /// Whether the thread has ended, after which nothing can be written.
    pub has_ended: bool,
}

/// The status that the writer publishes. A clone shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Published(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The time of the request of the oldest unfinished write.
    oldest: Option<Instant>,
    failure: Option<String>,
}

impl Published {
    /// A batch starts; its oldest write was requested at this time.
    pub(super) fn begin(&self, oldest: Instant) {
        self.lock().oldest = Some(oldest);
    }

    /// The transaction of the batch was committed or failed.
    pub(super) fn end(&self, failure: Option<String>) {
        *self.lock() = State { oldest: None, failure };
    }

    pub(super) fn status(&self, has_ended: bool) -> WriterStatus {
        let state = self.lock();
        let longest_wait = state.oldest.map(|oldest| oldest.elapsed());
        WriterStatus { longest_wait, failure: state.failure.clone(), has_ended }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment, so a panic leaves no half-written state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
