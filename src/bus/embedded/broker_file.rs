//! The file by which other m3a3 processes find the embedded broker.
//!
//! Owns `broker.url` in the data directory. The file contains the URL with the password, so only its owner may read it.
//! It is locked while the broker runs: an unlocked file was left behind by a killed process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};
use rustix::fs::OFlags;

const NAME: &str = "broker.url";
/// Longer than the URL of any broker.
const MAX_URL: u64 = 4096;

/// The published address of a running broker. Dropping it removes the file.
#[derive(Debug)]
pub struct BrokerFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl BrokerFile {
    /// Writes `url` into `dir`, and replaces the address of an earlier broker.
    ///
    /// # Errors
    /// If the file cannot be created, locked or renamed.
    pub fn publish(dir: &Path, url: &str) -> io::Result<Self> {
        let path = dir.join(NAME);
        let temporary = dir.join(format!("{NAME}.{}", Alphanumeric.sample_string(&mut rand::rng(), 16)));
        let placed = place(&temporary, &path, url);
        if placed.is_err() {
            // The first error is the relevant one.
            let _ = std::fs::remove_file(&temporary);
        }
        placed.map(|file| Self { path, file })
    }

    /// Whether the path still refers to this file, and not to that of a later broker.
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
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the address of the broker");
        }
    }
}

/// Locks the file before it gets its name, so that no process finds it unlocked while the broker runs.
fn place(temporary: &Path, path: &Path, url: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.try_lock()?;
    writeln!(file, "{url}")?;
    std::fs::rename(temporary, path)?;
    Ok(file)
}

/// The URL of the broker that has published its address in `dir`, if it runs. Read errors are logged.
pub fn discover(dir: &Path) -> Option<String> {
    let path = dir.join(NAME);
    read_if_locked(&path).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "cannot read the address of the broker");
        }
        None
    })
}

fn read_if_locked(path: &Path) -> io::Result<Option<String>> {
    // No broker writes a symlink or a FIFO, and opening a FIFO would block until it has a writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
    }
    // Shared, so that two processes that check at the same time do not take each other for the broker.
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
    fn the_address_of_a_running_broker_is_found_until_it_stops() {
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
    fn the_file_of_a_killed_broker_is_ignored_and_replaced() {
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
    fn a_file_that_no_broker_wrote_is_ignored() {
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
