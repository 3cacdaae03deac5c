//! Detects a running API server on the same data: a thumbnail worker records images only while none runs.
//!
//! Owns `api-server.lock` in the data directory. Every API server holds a shared lock on it (flock(2)), which the
//! kernel releases when the process ends, also by SIGKILL.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

const NAME: &str = "api-server.lock";

/// A running API server; dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct ApiPresence {
    /// Holds the lock.
    _file: File,
}

impl ApiPresence {
    pub(crate) fn announce(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(folder.join(NAME))?;
        // Blocks at most while a worker checks the lock.
        file.lock_shared()?;
        Ok(Self { _file: file })
    }
}

/// Whether an API server runs. If that is unknown, none does: recording an image twice is harmless, dropping it is not.
pub(crate) fn is_served(folder: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).open(folder.join(NAME)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_is_detected_while_at_least_one_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_served(folder.path()));
        let (one, other) =
            (ApiPresence::announce(folder.path()).unwrap(), ApiPresence::announce(folder.path()).unwrap());
        assert!(is_served(folder.path()));
        drop(one);
        assert!(is_served(folder.path()));
        drop(other);
        assert!(!is_served(folder.path()));
    }
}
