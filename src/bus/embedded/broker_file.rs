//! Where the embedded broker is: the file that tells other m3a3 processes beside it.
//!
//! Owns `broker.url` in the data directory. It holds the broker's URL with its password, so only its owner may read it,
//! and it is locked as long as its broker lives: a file that nobody locks was left by a process that was killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};
use rustix::fs::OFlags;

const NAME: &str = "broker.url";
/// Longer than any URL of a broker.
const MAX_URL: u64 = 4096;

/// The published address of a living broker; removed when dropped.
#[derive(Debug)]
pub struct BrokerFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl BrokerFile {
    /// Writes `url` into `dir`, in place of the address of any broker before. Only the file's owner can read it.
    ///
    /// # Errors
    /// When the file cannot be made, locked or moved into place.
    pub fn publish(dir: &Path, url: &str) -> io::Result<Self> {
        let path = dir.join(NAME);
        let temporary = dir.join(format!("{NAME}.{}", Alphanumeric.sample_string(&mut rand::rng(), 16)));
        let placed = place(&temporary, &path, url);
        if placed.is_err() {
            // The first error is the one worth telling.
            let _ = std::fs::remove_file(&temporary);
        }
        placed.map(|file| Self { path, file })
    }

    /// Whether the path still names this file and not that of a broker started later.
    fn is_in_place(&self) -> io::Result<bool> {
        let (ours, named) = (self.file.metadata()?, std::fs::symlink_metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
    }
}

impl Drop for BrokerFile {
    fn drop(&mut self) {
        if self.is_in_place().unwrap_or(false)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the broker's address could not be removed");
        }
    }
}

/// Locked before it has its name, so that nobody ever sees it unlocked while its broker lives.
fn place(temporary: &Path, path: &Path, url: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.try_lock()?;
    writeln!(file, "{url}")?;
    std::fs::rename(temporary, path)?;
    Ok(file)
}

/// The URL of the broker that lives beside `dir`, if there is one. The file of a broker that was killed is ignored; one
/// that cannot be read is logged.
pub fn discover(dir: &Path) -> Option<String> {
    let path = dir.join(NAME);
    read_if_locked(&path).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "the broker's address could not be read");
        }
        None
    })
}

fn read_if_locked(path: &Path) -> io::Result<Option<String>> {
    // Neither a symlink nor a FIFO is a file that a broker wrote, and opening a FIFO would wait for its writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
    }
    // Shared, so that two processes that look at the same time don't take each other for the broker.
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut url = String::new();
    file.take(MAX_URL).read_to_string(&mut url)?;
    let url = url.trim();
    Ok((!url.is_empty()).then(|| url.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_living_brokers_address_is_found_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(discover(dir.path()), None);
        let published = BrokerFile::publish(dir.path(), "redis://:secret@127.0.0.1:1").unwrap();
        assert_eq!(discover(dir.path()).as_deref(), Some("redis://:secret@127.0.0.1:1"));
        let mode = std::fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(published);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_broker_left_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "redis://127.0.0.1:1\n").unwrap();
        assert_eq!(discover(dir.path()), None);
        let _published = BrokerFile::publish(dir.path(), "redis://127.0.0.1:2").unwrap();
        assert_eq!(discover(dir.path()).as_deref(), Some("redis://127.0.0.1:2"));
    }

    #[test]
    fn an_earlier_broker_does_not_remove_the_address_of_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let earlier = BrokerFile::publish(dir.path(), "redis://127.0.0.1:1").unwrap();
        let _later = BrokerFile::publish(dir.path(), "redis://127.0.0.1:2").unwrap();
        drop(earlier);
        assert_eq!(discover(dir.path()).as_deref(), Some("redis://127.0.0.1:2"));
    }

    #[test]
    fn what_no_broker_wrote_is_not_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let _published = BrokerFile::publish(elsewhere.path(), "redis://127.0.0.1:1").unwrap();
        symlink(elsewhere.path().join(NAME), dir.path().join(NAME)).unwrap();
        assert_eq!(discover(dir.path()), None);
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        std::fs::create_dir(dir.path().join(NAME)).unwrap();
        assert_eq!(discover(dir.path()), None);
        assert!(BrokerFile::publish(dir.path(), "redis://127.0.0.1:2").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
