//! Read connections, opened on first use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::{DbError, Location, connection};

/// Connections for reads by key, which take microseconds: one per thread, up to this many.
const POINT_CONNECTIONS: usize = 8;
/// Connections for longer reads, so that these never delay the short ones.
const LONG_CONNECTIONS: usize = 4;

type Slot = Mutex<Option<SqliteConnection>>;

pub(super) struct Readers {
    location: Location,
    point: Vec<Slot>,
    long: Vec<Slot>,
}

impl Readers {
    pub(super) fn new(location: Location) -> Self {
        let slots = |count| (0..count).map(|_| Slot::default()).collect();
        Self { location, point: slots(POINT_CONNECTIONS), long: slots(LONG_CONNECTIONS) }
    }

    pub(super) fn read_point<T>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        self.read(&self.point, query)
    }

    pub(super) fn read_long<T>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        self.read(&self.long, query)
    }

    fn read<T>(
        &self,
        slots: &[Slot],
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        let mut slot = lock_any(slots);
        let connection = match &mut *slot {
            Some(connection) => connection,
            empty => empty.insert(connection::open_for_reading(&self.location)?),
        };
        Ok(query(connection)?)
    }
}

/// Locks the slot of this thread if it is free, else any free slot, else waits for that of this thread.
fn lock_any(slots: &[Slot]) -> MutexGuard<'_, Option<SqliteConnection>> {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed));

    let own = THREAD.with(|thread| thread % slots.len());
    for slot in slots[own..].iter().chain(&slots[..own]) {
        match slot.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return discarded(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    slots[own].lock().unwrap_or_else(|poisoned: PoisonError<_>| discarded(poisoned.into_inner()))
}

/// Closes a connection on which a panic may have left an unfinished statement. The next read opens a new one.
fn discarded(mut guard: MutexGuard<'_, Option<SqliteConnection>>) -> MutexGuard<'_, Option<SqliteConnection>> {
    *guard = None;
    guard
}
