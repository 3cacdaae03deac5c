//! How many jobs may wait: a server that cannot keep up says so before its disk is full.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;

use super::Kind;
use crate::db::schema::jobs;
use crate::db::{Database, DbError};

/// For how long a count is believed, own jobs added.
const FRESH: Duration = Duration::from_secs(1);
/// The same when the count says that there is no room: what workers do is to be seen soon.
const FRESH_WHEN_FULL: Duration = Duration::from_millis(100);

/// The room for queued jobs of one kind; a clone shares it.
///
/// The jobs are counted once a second at most and not at each request, so that several servers together may go beyond the
/// limit by what they accept within that time.
#[derive(Clone)]
pub struct QueueLimit {
    database: Database,
    kind: Kind,
    max_queued: u64,
    count: Arc<Mutex<Count>>,
    /// Who holds it counts; everyone else waits for what comes of it.
    counting: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Count {
    /// `None` before the first.
    at: Option<Instant>,
    queued: u64,
    /// Places that are held.
    held: u64,
    /// Places that were ever given back.
    released: u64,
    /// The same when the count began. What came of those since may wait by now, or be done.
    released_before: u64,
}

impl Count {
    /// Takes over a count that began when so many places had been given back.
    ///
    /// A place that was given back while the jobs were counted may have made its row too late to be among them, so that it
    /// counts once more.
    fn renew(&mut self, now: Instant, queued: u64, released_before: u64) {
        (self.at, self.queued, self.released_before) = (Some(now), queued, released_before);
    }

    /// How many wait, or are about to. At most a few too many.
    fn taken(&self) -> u64 {
        self.queued + self.held + (self.released - self.released_before)
    }
}

/// A place for one job, held until its row is written.
pub struct Permit(Arc<Mutex<Count>>);

impl Drop for Permit {
    fn drop(&mut self) {
        let mut count = lock(&self.0);
        count.held -= 1;
        count.released += 1;
    }
}

/// No more jobs are taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{queued} {kind} jobs wait already, and {max_queued} may")]
pub struct QueueFull {
    /// The kind's name.
    pub kind: &'static str,
    /// How many wait, or are about to.
    pub queued: u64,
    /// How many may.
    pub max_queued: u64,
}

impl QueueLimit {
    /// Room for `max_queued` queued jobs of this kind.
    pub fn new(database: Database, kind: Kind, max_queued: u64) -> Self {
        Self { database, kind, max_queued, count: Arc::default(), counting: Arc::default() }
    }

    /// Takes a place for one job more, if there is one.
    ///
    /// # Errors
    /// When the jobs cannot be counted.
    pub async fn acquire(&self) -> Result<Result<Permit, QueueFull>, DbError> {
        if let Some(admitted) = self.judge(Instant::now(), false) {
            return Ok(admitted);
        }
        let _counting = self.counting.lock().await;
        if let Some(admitted) = self.judge(Instant::now(), false) {
            return Ok(admitted);
        }
        let kind = self.kind.name;
        let released_before = lock(&self.count).released;
        let queued = self
            .database
            .read_soon(move |connection| {
                let queued = jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq("queued"));
                queued.count().get_result::<i64>(connection)
            })
            .await?;
        let queued = u64::try_from(queued).unwrap_or(0);
        lock(&self.count).renew(Instant::now(), queued, released_before);
        let full = QueueFull { kind, queued, max_queued: self.max_queued };
        Ok(self.judge(Instant::now(), true).unwrap_or(Err(full)))
    }

    /// What the last count says; `None` when it is too old, or (unless it is `new`) too near to the limit, to say anything.
    fn judge(&self, now: Instant, new: bool) -> Option<Result<Permit, QueueFull>> {
        let mut count = lock(&self.count);
        let age = now.duration_since(count.at?);
        let taken = count.taken();
        if taken >= self.max_queued {
            let full = QueueFull { kind: self.kind.name, queued: taken, max_queued: self.max_queued };
            let sure = new || (count.queued >= self.max_queued && age <= FRESH_WHEN_FULL);
            return sure.then_some(Err(full));
        }
        if age > FRESH {
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
    fn what_is_released_while_the_jobs_are_counted_is_not_forgotten() {
        let count = Arc::new(Mutex::new(Count { held: 2, ..Count::default() }));
        let (first, second) = (Permit(Arc::clone(&count)), Permit(Arc::clone(&count)));
        let before = lock(&count).released;
        drop(first);
        // The row of the first place was written after the count had begun, and is not among what was counted.
        lock(&count).renew(Instant::now(), 0, before);
        assert_eq!(lock(&count).taken(), 2);
        drop(second);
        assert_eq!(lock(&count).taken(), 2);
        let before = lock(&count).released;
        lock(&count).renew(Instant::now(), 2, before);
        assert_eq!(lock(&count).taken(), 2, "both are among the rows, and counted once");
    }
}
