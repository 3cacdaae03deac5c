//! Whether an API server runs on the same data. Thumbnail workers stand in for it where none does.
//!
//! Owns `api-server.lock` in the data directory: every API server holds a shared kernel lock on it, which ends with its
//! process however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

const NAME: &str = "api-server.lock";

/// Says that an API server runs, until it is dropped.
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
        // Waits for a worker that is just looking at most.
        file.lock_shared()?;
        Ok(Self { _file: file })
    }
}

/// Whether an API server runs. Where that cannot be known, none does: a message is rather recorded by the wrong process
/// than by none.
pub(crate) fn is_served(folder: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).open(folder.join(NAME)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_is_seen_for_as_long_as_one_of_them_runs() {
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
