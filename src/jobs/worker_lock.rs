//! A kernel lock for each worker process, so that on one host a dead worker is known at once.
//!
//! Owns the folder `workers` beside the database. The kernel drops the lock (flock) when its process ends, however it
//! ends: a lock file that exists and can be locked means that its owner is dead. A missing file means nothing: where no
//! disk is shared, only the lease decides. A worker that ends while it still holds jobs, for whatever reason, leaves its
//! file, so that whoever finds it takes them over. One that has ended in order, and could only not write that down, leaves
//! it under another extension: its jobs did not take it down.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

const FOLDER: &str = "workers";
const EXTENSION: &str = "lock";
/// Of a worker that has ended in order while the database could not be written.
const ENDED: &str = "ended";

/// A worker process: fresh at each start, so that a restarted worker is never taken for its predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(String);

impl WorkerId {
    /// The id as it stands in `jobs.lease_owner` and in the lock file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// This process's lock; dropping it says that the process is dead.
#[derive(Debug)]
pub struct WorkerLock {
    id: WorkerId,
    folder: PathBuf,
    path: PathBuf,
    _locked: File,
}

impl WorkerLock {
    /// Makes a worker id and its lock in `folder`, which is the database's.
    ///
    /// # Errors
    /// When the file cannot be made or the file system has no locks.
    pub fn acquire(folder: &Path) -> io::Result<Self> {
        let folder = folder.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let id = WorkerId(Uuid::now_v7().to_string());
        let path = folder.join(&id.0).with_extension(EXTENSION);
        // Locked before it has the name that others look for, so that nobody ever finds it unlocked while we live.
        let unnamed = folder.join(format!(".{id}.new"));
        let file = File::create_new(&unnamed)?;
        file.try_lock().map_err(io::Error::from)?;
        std::fs::rename(&unnamed, &path)?;
        Ok(Self { id, folder, path, _locked: file })
    }

    /// The id that this process claims jobs under.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Removes the lock's file: the worker holds no job and will claim none, so nobody need look after it.
    pub(super) fn resign(&self) {
        // A file that stays is found dead and removed by the next worker.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Says that this worker ends in order, although the database still shows jobs of it.
    pub(super) fn end_in_order(&self) {
        if let Err(error) = std::fs::rename(&self.path, self.path.with_extension(ENDED)) {
            tracing::warn!(worker = %self.id, error = %error, "this worker's jobs will count as crashed");
        }
    }

    /// The workers whose lock could be taken, because they are dead. Blocks for a few file operations.
    pub(super) fn dead_workers(&self) -> Vec<DeadWorker> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        entries.filter_map(|entry| self.dead_worker(&entry.ok()?.path())).collect()
    }

    fn dead_worker(&self, path: &Path) -> Option<DeadWorker> {
        let stem = path.file_stem()?.to_str()?;
        let in_order = path.extension()? == ENDED;
        if !in_order && path.extension()? != EXTENSION || stem == self.id.0 {
            return None;
        }
        let file = File::open(path).ok()?;
        match file.try_lock() {
            Ok(()) => {
                Some(DeadWorker { id: WorkerId(stem.to_owned()), in_order, path: path.to_owned(), _locked: file })
            }
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => {
                tracing::warn!(worker = stem, error = %error, "a worker's lock cannot be tried");
                None
            }
        }
    }
}

/// A worker known to be dead; its lock is held meanwhile.
#[derive(Debug)]
pub(super) struct DeadWorker {
    pub(super) id: WorkerId,
    /// It has ended in order: what it held did not take it down.
    pub(super) in_order: bool,
    path: PathBuf,
    _locked: File,
}

impl DeadWorker {
    /// Removes the lock file, once the worker's jobs are all taken back.
    pub(super) fn forget(self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(worker = %self.id, error = %error, "a dead worker's lock cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_worker_is_not_dead_and_one_that_resigned_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let one = WorkerLock::acquire(folder.path()).unwrap();
        let other = WorkerLock::acquire(folder.path()).unwrap();
        assert!(one.dead_workers().is_empty());
        other.resign();
        drop(other);
        assert!(one.dead_workers().is_empty());
        assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 1);
    }

    #[test]
    fn a_worker_that_ends_without_resigning_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let one = WorkerLock::acquire(folder.path()).unwrap();
        drop(WorkerLock::acquire(folder.path()).unwrap());
        assert_eq!(one.dead_workers().len(), 1);
    }

    #[test]
    fn a_lock_file_that_nobody_holds_means_dead() {
        let folder = tempfile::tempdir().unwrap();
        let living = WorkerLock::acquire(folder.path()).unwrap();
        std::fs::write(folder.path().join(FOLDER).join("gone.lock"), "").unwrap();
        let mut dead = living.dead_workers();
        assert_eq!(dead.len(), 1);
        let dead = dead.remove(0);
        assert_eq!(dead.id.as_str(), "gone");
        assert!(living.dead_workers().is_empty(), "its lock is held by who rescues");
        dead.forget();
        assert!(living.dead_workers().is_empty());
    }
}
