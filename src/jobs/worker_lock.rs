//! A file lock for each worker process, by which a dead worker on the same host is detected at once.
//!
//! Owns the folder `workers` beside the database. The kernel releases the lock (flock) when its process ends, however
//! it ends: a lock file that exists and can be locked means that its owner is dead. A missing file does not mean that
//! the owner is dead: without a shared disk, only the lease decides. A worker that ends while it holds jobs leaves its
//! file, and the next worker that finds it rescues them. A worker that shut down cleanly but could not release its jobs
//! in the database renames its file: those jobs did not crash it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::WorkerId;

const FOLDER: &str = "workers";
const EXTENSION: &str = "lock";
/// The extension of a worker that shut down cleanly while the database could not be written.
const ENDED: &str = "ended";

/// The lock of this process. Dropping it without `resign` marks the process as dead.
#[derive(Debug)]
pub struct WorkerLock {
    id: WorkerId,
    folder: PathBuf,
    path: PathBuf,
    _locked: File,
}

impl WorkerLock {
    /// Creates a worker id and its lock in the folder of the database.
    ///
    /// # Errors
    /// When the file cannot be created or the file system has no locks.
    pub fn acquire(folder: &Path) -> io::Result<Self> {
        let folder = folder.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let id = WorkerId::generate();
        let path = folder.join(id.as_str()).with_extension(EXTENSION);
        // Locked before it gets its final name, so that no other worker finds it unlocked while this one is alive.
        let unnamed = folder.join(format!(".{id}.new"));
        let file = File::create_new(&unnamed)?;
        file.try_lock().map_err(io::Error::from)?;
        std::fs::rename(&unnamed, &path)?;
        Ok(Self { id, folder, path, _locked: file })
    }

    /// The id under which this process claims jobs.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Deletes the lock file: the worker holds no job and will claim none.
    pub(super) fn resign(&self) {
        // The next worker deletes a file that is left over.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Marks this worker as shut down cleanly, although the database still has jobs under its id.
    pub(super) fn mark_orderly(&self) {
        if let Err(error) = std::fs::rename(&self.path, self.path.with_extension(ENDED)) {
            tracing::warn!(
                worker = %self.id,
                error = %error,
                "cannot rename the lock file; the jobs of this worker will count as crashed"
            );
        }
    }

    /// The dead workers: those whose lock can be taken. Does blocking file operations.
    pub(super) fn dead_workers(&self) -> Vec<DeadWorker> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        entries.filter_map(|entry| self.dead_worker(&entry.ok()?.path())).collect()
    }

    fn dead_worker(&self, path: &Path) -> Option<DeadWorker> {
        let stem = path.file_stem()?.to_str()?;
        let in_order = path.extension()? == ENDED;
        if !in_order && path.extension()? != EXTENSION || stem == self.id.as_str() {
            return None;
        }
        let file = File::open(path).ok()?;
        match file.try_lock() {
            Ok(()) => {
                Some(DeadWorker { id: WorkerId::from_file_stem(stem), in_order, path: path.to_owned(), _locked: file })
            }
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => {
                tracing::warn!(worker = stem, error = %error, "cannot try the lock of a worker");
                None
            }
        }
    }
}

/// A dead worker. Its lock is held meanwhile.
#[derive(Debug)]
pub(super) struct DeadWorker {
    pub(super) id: WorkerId,
    /// It shut down cleanly: its jobs did not crash it.
    pub(super) in_order: bool,
    path: PathBuf,
    _locked: File,
}

impl DeadWorker {
    /// Deletes the lock file. Call it once all jobs of the worker are rescued.
    pub(super) fn forget(self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(worker = %self.id, error = %error, "cannot delete the lock file of a dead worker");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_worker_is_not_dead_and_a_resigned_one_leaves_no_file() {
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
    fn an_unlocked_lock_file_means_a_dead_worker() {
        let folder = tempfile::tempdir().unwrap();
        let living = WorkerLock::acquire(folder.path()).unwrap();
        std::fs::write(folder.path().join(FOLDER).join("gone.lock"), "").unwrap();
        let mut dead = living.dead_workers();
        assert_eq!(dead.len(), 1);
        let dead = dead.remove(0);
        assert_eq!(dead.id.as_str(), "gone");
        assert!(living.dead_workers().is_empty(), "the rescuer holds its lock");
        dead.forget();
        assert!(living.dead_workers().is_empty());
    }
}
