//! The status of the writer thread, for readiness checks and metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::queued_write::Durability;

/// The status of the writer thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterStatus {
    /// The age of the oldest unfinished write; `None` if there is none.
    pub longest_wait: Option<Duration>,
    /// The error of the last commit; `None` if it succeeded.
    pub failure: Option<String>,
    /// Whether the thread has ended, after which nothing can be written.
    pub has_ended: bool,
    /// The commits that were flushed to the disk.
    pub synced_commits: u64,
    /// The other commits.
    pub unsynced_commits: u64,
}

/// The status that the writer publishes. A clone shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Published(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The time of the request of the oldest unfinished write.
    oldest: Option<Instant>,
    failure: Option<String>,
    synced_commits: u64,
    unsynced_commits: u64,
}

impl Published {
    /// A batch starts; its oldest write was requested at this time.
    pub(super) fn begin(&self, oldest: Instant) {
        self.lock().oldest = Some(oldest);
    }

    /// The transaction of the batch was committed or failed.
    pub(super) fn end(&self, durability: Durability, failure: Option<String>) {
        let mut state = self.lock();
        state.oldest = None;
        match durability {
            _ if failure.is_some() => {}
            Durability::Synced => state.synced_commits += 1,
            Durability::Unsynced => state.unsynced_commits += 1,
        }
        state.failure = failure;
    }

    pub(super) fn status(&self, has_ended: bool) -> WriterStatus {
        let state = self.lock();
        let longest_wait = state.oldest.map(|oldest| oldest.elapsed());
        WriterStatus {
            longest_wait,
            failure: state.failure.clone(),
            has_ended,
            synced_commits: state.synced_commits,
            unsynced_commits: state.unsynced_commits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No change can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
