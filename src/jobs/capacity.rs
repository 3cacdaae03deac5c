//! How many jobs may wait: a server that cannot keep up says so before its disk is full.

use std::sync::{Arc, Mutex, PoisonError};
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
pub struct Capacity {
    database: Database,
    kind: Kind,
    max_queued: u64,
    count: Arc<Mutex<Option<Count>>>,
}

#[derive(Clone, Copy)]
struct Count {
    at: Instant,
    queued: u64,
    /// What was admitted here since. It need not have become a job, nor be one that still waits.
    admitted: u64,
}

/// No more jobs are taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{queued} {kind} jobs wait already, and {max_queued} may")]
pub struct Full {
    /// The kind's name.
    pub kind: &'static str,
    /// How many wait.
    pub queued: u64,
    /// How many may.
    pub max_queued: u64,
}

impl Capacity {
    /// Room for `max_queued` queued jobs of this kind.
    pub fn new(database: Database, kind: Kind, max_queued: u64) -> Self {
        Self { database, kind, max_queued, count: Arc::default() }
    }

    /// Says whether there is room for one job more, and counts it as taken.
    ///
    /// # Errors
    /// When the jobs cannot be counted.
    pub async fn admit(&self) -> Result<Result<(), Full>, DbError> {
        if let Some(admitted) = self.judge(Instant::now()) {
            return Ok(admitted);
        }
        let kind = self.kind.name;
        let queued = self
            .database
            .read(move |connection| {
                let queued = jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq("queued"));
                queued.count().get_result::<i64>(connection)
            })
            .await?;
        *self.lock() = Some(Count { at: Instant::now(), queued: u64::try_from(queued).unwrap_or(0), admitted: 0 });
        Ok(self.judge(Instant::now()).unwrap_or(Ok(())))
    }

    /// What the last count says; `None` when it is too old, or too near to the limit, to say anything.
    fn judge(&self, now: Instant) -> Option<Result<(), Full>> {
        let mut count = self.lock();
        let count = count.as_mut()?;
        let age = now.duration_since(count.at);
        if count.queued >= self.max_queued {
            let full = Full { kind: self.kind.name, queued: count.queued, max_queued: self.max_queued };
            return (age <= FRESH_WHEN_FULL).then_some(Err(full));
        }
        if age > FRESH || count.queued + count.admitted >= self.max_queued {
            return None;
        }
        count.admitted += 1;
        Some(Ok(()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Count>> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
