//! The limit of queued jobs: a server that cannot keep up refuses work before its disk is full.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;

use super::{JobState, Kind};
use crate::db::schema::jobs;
use crate::db::{Database, DbError};

/// How long a count is valid. Jobs enqueued through this limit are added to it.
const COUNT_TTL: Duration = Duration::from_secs(1);
/// The same for a count that reached the limit, so that finished jobs free their permits soon.
const FULL_COUNT_TTL: Duration = Duration::from_millis(100);

/// The limit of queued jobs of one kind. A clone shares the count.
///
/// The rows are counted at most once a second and not for each request, so several servers together may exceed the
/// limit by the jobs that they accept within that time.
#[derive(Clone)]
pub struct QueueLimit {
    database: Database,
    kind: Kind,
    max_queued: u64,
    count: Arc<Mutex<Count>>,
    /// Held by the task that counts the rows; the others wait for its result.
    counting: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Count {
    /// When the rows were counted; `None` before the first count.
    at: Option<Instant>,
    queued: u64,
    /// Permits that are held.
    held: u64,
    /// Permits released so far.
    released: u64,
    /// Permits released before the count started. The jobs of later ones may or may not be in the count.
    released_before: u64,
}

impl Count {
    /// Stores a count that started when `released_before` permits had been released.
    ///
    /// The job of a permit that was released during the count may have been written too late for it, so that permit is
    /// added once more.
    fn renew(&mut self, now: Instant, queued: u64, released_before: u64) {
        (self.at, self.queued, self.released_before) = (Some(now), queued, released_before);
    }

    /// The number of jobs that are queued or about to be; at most a few too many.
    fn in_use(&self) -> u64 {
        self.queued + self.held + (self.released - self.released_before)
    }
}

/// The right to enqueue one job; hold it until the row is written.
pub struct Permit(Arc<Mutex<Count>>);

impl Drop for Permit {
    fn drop(&mut self) {
        let mut count = lock(&self.0);
        count.held -= 1;
        count.released += 1;
    }
}

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{queued} {kind} jobs are queued already; the limit is {max_queued}")]
pub struct QueueFull {
    /// The name of the kind.
    pub kind: &'static str,
    /// The number of jobs that are queued or about to be.
    pub queued: u64,
    /// The limit.
    pub max_queued: u64,
}

impl QueueLimit {
    /// A limit of `max_queued` queued jobs of this kind.
    pub fn new(database: Database, kind: Kind, max_queued: u64) -> Self {
        Self { database, kind, max_queued, count: Arc::default(), counting: Arc::default() }
    }

    /// Acquires a permit, unless the limit is reached.
    pub async fn acquire(&self) -> Result<Result<Permit, QueueFull>, DbError> {
        if let Some(acquired) = self.try_acquire(Instant::now(), false) {
            return Ok(acquired);
        }
        let _counting = self.counting.lock().await;
        if let Some(acquired) = self.try_acquire(Instant::now(), false) {
            return Ok(acquired);
        }
        let kind = self.kind.name;
        let released_before = lock(&self.count).released;
        let queued = self
            .database
            .read_soon(move |connection| {
                let queued = jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq(JobState::Queued));
                queued.count().get_result::<i64>(connection)
            })
            .await?;
        let queued = u64::try_from(queued).unwrap_or(0);
        lock(&self.count).renew(Instant::now(), queued, released_before);
        let full = QueueFull { kind, queued, max_queued: self.max_queued };
        Ok(self.try_acquire(Instant::now(), true).unwrap_or(Err(full)))
    }

    /// Acquires at least one permit and at most `count`: fewer if the limit is reached.
    pub(crate) async fn acquire_up_to(&self, count: usize) -> Result<Result<Vec<Permit>, QueueFull>, DbError> {
        let mut permits = Vec::with_capacity(count);
        while permits.len() < count {
            match self.acquire().await? {
                Ok(permit) => permits.push(permit),
                Err(full) if permits.is_empty() => return Ok(Err(full)),
                Err(_) => break,
            }
        }
        Ok(Ok(permits))
    }

    /// Decides by the last count. `None` if it is too old, or, unless `is_new`, too close to the limit.
    fn try_acquire(&self, now: Instant, is_new: bool) -> Option<Result<Permit, QueueFull>> {
        let mut count = lock(&self.count);
        let age = now.duration_since(count.at?);
        let in_use = count.in_use();
        if in_use >= self.max_queued {
            let full = QueueFull { kind: self.kind.name, queued: in_use, max_queued: self.max_queued };
            let is_certain = is_new || (count.queued >= self.max_queued && age <= FULL_COUNT_TTL);
            return is_certain.then_some(Err(full));
        }
        if age > COUNT_TTL {
            return None;
        }
        count.held += 1;
        Some(Ok(Permit(Arc::clone(&self.count))))
    }
}

fn lock(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_released_during_the_count_still_counts() {
        let count = Arc::new(Mutex::new(Count { held: 2, ..Count::default() }));
        let (first, second) = (Permit(Arc::clone(&count)), Permit(Arc::clone(&count)));
        let before = lock(&count).released;
        drop(first);
        // The row of the first permit was written after the count had started, and is missing from it.
        lock(&count).renew(Instant::now(), 0, before);
        assert_eq!(lock(&count).in_use(), 2);
        drop(second);
        assert_eq!(lock(&count).in_use(), 2);
        let before = lock(&count).released;
        lock(&count).renew(Instant::now(), 2, before);
        assert_eq!(lock(&count).in_use(), 2, "both rows are counted once");
    }
}
