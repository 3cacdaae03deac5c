//! Turns: fair write locking between the processes on one database.
//!
//! Owns two lock files (flock) beside the database, `-queue` and `-turn`. A turn only decides which connection requests
//! SQLite's write lock next; that lock alone protects the data. SQLite polls it with growing sleeps, so beside a
//! process that commits continuously, a waiting process acquires it only by chance. SQLite's blocking locks are no
//! alternative: on Unix, `SQLITE_ENABLE_SETLK_TIMEOUT` of 3.53 is a placeholder that does not block.
//!
//! A connection that wants to write locks the queue, then the turn, and unlocks the queue. Only the holder of the queue
//! can lock the turn, so a process that has just written is never ahead of the one that waits.
//!
//! Nothing here blocks for ever. The kernel unlocks the files of a process that ends, however it ends. A stopped
//! process (SIGSTOP) keeps its locks; after [`TURN_TIMEOUT`] the others request SQLite's lock directly, as they always
//! do where files cannot be locked.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Location;

/// How long to wait for a turn. Much longer than a transaction: a process that exceeds it is stopped or hangs.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// After a timeout, how long turns are taken only if they are free, so that a stopped process does not delay every
/// transaction.
const TIMEOUT_PAUSE: Duration = Duration::from_secs(10);
/// The time between two attempts to lock a file, because std has no lock with a timeout.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Takes turns for one connection. Every connection needs its own, because flock is per open file.
#[derive(Debug)]
pub(super) struct Turns {
    files: Option<LockFiles>,
    timeout: Duration,
    /// Set after a timeout: until then, a turn is taken only if it is free.
    no_wait_until: Option<Instant>,
}

#[derive(Debug)]
struct LockFiles {
    queue: File,
    turn: File,
}

/// The turn to request SQLite's write lock. Dropping it passes it on.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _turn: Locked<'a>,
}

impl Turns {
    /// Opens or creates the lock files.
    pub(super) fn open(location: &Location) -> Self {
        let files = LockFiles::open(location).inspect_err(|error| {
            tracing::warn!(
                error = %error,
                "cannot create lock files beside the database; processes may delay each other"
            );
        });
        Self { files: files.ok(), timeout: TURN_TIMEOUT, no_wait_until: None }
    }

    /// Waits for a turn. `None` after a timeout: the caller then requests SQLite's lock without a turn. Blocks.
    pub(super) fn take(&mut self) -> Option<Turn<'_>> {
        let files = self.files.as_ref()?;
        let now = Instant::now();
        let no_wait = self.no_wait_until.is_some_and(|until| now < until);
        let deadline = if no_wait { now } else { now + self.timeout };
        match files.turn(deadline) {
            Ok(turn) => {
                self.no_wait_until = None;
                Some(turn)
            }
            Err(TryLockError::WouldBlock) => {
                if !no_wait {
                    tracing::warn!(
                        waited_s = self.timeout.as_secs_f64(),
                        "another process keeps its turn to write; it may be stopped"
                    );
                    self.no_wait_until = Some(Instant::now() + TIMEOUT_PAUSE);
                }
                None
            }
            Err(TryLockError::Error(error)) => {
                tracing::debug!(error = %error, "the database's lock files cannot be locked");
                None
            }
        }
    }
}

impl LockFiles {
    fn open(location: &Location) -> io::Result<Self> {
        // With the owner and mode of the database, as SQLite does for its own files, so that a command run by root does
        // not lock other users out.
        let database = location.path().metadata().ok();
        let mode = database.as_ref().map_or(0o600, |database| database.mode() & 0o666);
        let open = |suffix| {
            let path = location.beside(suffix);
            // m3a3 creates no symlinks, and opening a FIFO would block.
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let mut options = File::options();
            options.write(true).mode(mode).custom_flags(flags);
            match options.clone().create_new(true).open(&path) {
                Ok(file) => {
                    if let Some(database) = &database {
                        // Only root may do this, and only root needs to.
                        let _ = fchown(&file, Some(database.uid()), Some(database.gid()));
                    }
                    Ok(file)
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
                Err(error) => Err(error),
            }
        };
        Ok(Self { queue: open("-queue")?, turn: open("-turn")? })
    }

    fn turn(&self, deadline: Instant) -> Result<Turn<'_>, TryLockError> {
        let _head_of_queue = Locked::before(&self.queue, deadline)?;
        Ok(Turn { _turn: Locked::before(&self.turn, deadline)? })
    }
}

/// A locked file; dropping it unlocks the file.
#[derive(Debug)]
struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    /// Locks a file before a deadline; tries at least once.
    fn before(file: &'a File, deadline: Instant) -> Result<Self, TryLockError> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(POLL_INTERVAL),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(error = %error, "the database's lock file cannot be unlocked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder, and `N` takers with this timeout.
    fn takers<const N: usize>(timeout: Duration) -> (tempfile::TempDir, [Turns; N]) {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        let takers = std::array::from_fn(|_| Turns { timeout, ..Turns::open(&location) });
        (folder, takers)
    }

    #[test]
    fn one_connection_has_the_turn_at_a_time() {
        let (_folder, [mut one, mut other]) = takers(Duration::ZERO);
        let turn = one.take().unwrap();
        assert!(other.take().is_none());
        drop(turn);
        assert!(other.take().is_some(), "a free turn is taken during the pause after a timeout too");
        assert!(other.no_wait_until.is_none());
    }

    #[test]
    fn a_waiting_connection_gets_the_next_turn() {
        let (folder, [mut first, mut second, mut third]) = takers(Duration::from_secs(3600));
        let turn = first.take().unwrap();
        std::thread::scope(|scope| {
            let (release, released) = std::sync::mpsc::channel::<()>();
            let waiter = scope.spawn(move || {
                let turn = second.take();
                let _ = released.recv();
                turn.is_some()
            });
            let files = LockFiles::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
            while files.queue.try_lock().is_ok() {
                files.queue.unlock().unwrap();
                std::thread::yield_now();
            }
            // The second taker is now at the head of the queue.
            drop(turn);
            third.timeout = Duration::ZERO;
            assert!(third.take().is_none());
            drop(release);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn a_stopped_process_delays_only_one_transaction() {
        let (_folder, [mut stopped, mut other]) = takers(Duration::from_millis(20));
        let _kept = stopped.take().unwrap();
        assert!(other.take().is_none());
        other.timeout = Duration::from_secs(3600);
        assert!(other.take().is_none(), "it does not wait again");
    }

    #[test]
    fn the_turn_of_a_process_that_ended_is_free() {
        let (_folder, [mut ended, mut other]) = takers(Duration::from_secs(60));
        std::mem::forget(ended.take());
        drop(ended);
        assert!(other.take().is_some());
    }

    #[test]
    fn without_lock_files_there_are_no_turns() {
        let folder = tempfile::tempdir().unwrap();
        let mut turns = Turns::open(&Location::new(folder.path().join("missing/m3a3.db")));
        assert!(turns.take().is_none());
    }

    #[test]
    fn a_symlink_in_the_place_of_a_lock_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::os::unix::fs::symlink(&target, folder.path().join("m3a3.db-queue")).unwrap();
        let mut turns = Turns::open(&Location::new(folder.path().join("m3a3.db")));
        assert!(turns.take().is_none());
        assert!(!target.exists());
    }
}
