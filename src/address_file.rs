//! The files by which other m3a3 processes on the same data find the servers of this one.
//!
//! Owns these files in the data directory: `broker.url`, `api.url` and `game.url`. A file contains a URL, which may
//! have a password, so only its owner may read it. It is locked while the server runs: an unlocked file was left behind
//! by a killed process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};
use rustix::fs::OFlags;

/// Longer than the URL of any server.
const MAX_URL: u64 = 4096;

/// The random part of the name of a file that is not published yet.
const SUFFIX_CHARS: usize = 16;

/// A server whose address is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// The embedded broker of `m3a3 up`.
    Broker,
    /// The API server.
    Api,
    /// The game server.
    Game,
}

impl Server {
    /// The name of its file.
    fn file_name(self) -> &'static str {
        match self {
            Self::Broker => "broker.url",
            Self::Api => "api.url",
            Self::Game => "game.url",
        }
    }
}

/// The published address of a running server. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct AddressFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl AddressFile {
    /// Writes `url` into `dir`, and replaces the address of an earlier server.
    ///
    /// # Errors
    /// If the file cannot be created, locked or renamed.
    pub(crate) fn publish(dir: &Path, server: Server, url: &str) -> io::Result<Self> {
        let name = server.file_name();
        let path = dir.join(name);
        // A leftover does no harm, and may belong to another user.
        let _ = remove_leftovers(dir, name);
        loop {
            let temporary = dir.join(format!("{name}.{}", Alphanumeric.sample_string(&mut rand::rng(), SUFFIX_CHARS)));
            match place(&temporary, &path, url) {
                Ok(Some(file)) => return Ok(Self { path, file }),
                Ok(None) => {}
                Err(error) => {
                    // The first error is the relevant one.
                    let _ = std::fs::remove_file(&temporary);
                    return Err(error);
                }
            }
        }
    }

    /// Whether the path still refers to this file, and not to that of a later server.
    fn is_in_place(&self) -> io::Result<bool> {
        let (ours, named) = (self.file.metadata()?, std::fs::symlink_metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        if self.is_in_place().unwrap_or(false)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the address of a server");
        }
    }
}

/// Locks the file before it gets its name, so that no process finds it unlocked while the server runs. `None` if
/// another process has taken it for a leftover between its creation and the lock.
fn place(temporary: &Path, path: &Path, url: &str) -> io::Result<Option<File>> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    match file.try_lock() {
        Ok(()) if temporary.exists() => {}
        Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    writeln!(file, "{url}")?;
    std::fs::rename(temporary, path)?;
    Ok(Some(file))
}

/// Removes the temporary files of processes that were killed before the rename.
fn remove_leftovers(dir: &Path, name: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_temporary = entry.file_name().to_str().is_some_and(|found| {
            let suffix = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            suffix.is_some_and(|suffix| {
                suffix.len() == SUFFIX_CHARS && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
        });
        if is_temporary && open_file(&entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The URL of the server that has published its address in `dir`, if it runs. Read errors are logged.
pub(crate) fn discover(dir: &Path, server: Server) -> Option<String> {
    let path = dir.join(server.file_name());
    read_if_locked(&path).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "cannot read the address of a server");
        }
        None
    })
}

fn open_file(path: &Path) -> io::Result<File> {
    // No server writes a symlink or a FIFO, and opening a FIFO would block until it has a writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
    }
    Ok(file)
}

fn read_if_locked(path: &Path) -> io::Result<Option<String>> {
    let file = open_file(path)?;
    // Shared, so that two processes that check at the same time do not take each other for the server.
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

    const NAME: &str = "broker.url";

    #[test]
    fn the_address_of_a_running_server_is_found_until_it_stops() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(discover(dir.path(), Server::Broker), None);
        let published = AddressFile::publish(dir.path(), Server::Broker, "redis://:secret@127.0.0.1:1").unwrap();
        assert_eq!(discover(dir.path(), Server::Broker).as_deref(), Some("redis://:secret@127.0.0.1:1"));
        let mode = std::fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(published);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_of_a_killed_server_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "redis://127.0.0.1:1\n").unwrap();
        assert_eq!(discover(dir.path(), Server::Broker), None);
        let _published = AddressFile::publish(dir.path(), Server::Broker, "redis://127.0.0.1:2").unwrap();
        assert_eq!(discover(dir.path(), Server::Broker).as_deref(), Some("redis://127.0.0.1:2"));
    }

    #[test]
    fn leftovers_of_killed_processes_are_removed_but_no_file_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| std::fs::write(dir.path().join(name), "redis://127.0.0.1:1\n").unwrap();
        let leftover = format!("{NAME}.{}", "a1".repeat(SUFFIX_CHARS / 2));
        let others = [
            format!("{NAME}.{}", "b2".repeat(SUFFIX_CHARS / 2)),
            format!("{NAME}.{}", "a".repeat(SUFFIX_CHARS - 1)),
            format!("{NAME}.{}", "-".repeat(SUFFIX_CHARS)),
            format!("api.url.{}", "a1".repeat(SUFFIX_CHARS / 2)),
            format!("{NAME}.bak"),
        ];
        [&leftover].into_iter().chain(&others).for_each(|name| file(name));
        let in_use = File::open(dir.path().join(&others[0])).unwrap();
        in_use.try_lock().unwrap();
        let _published = AddressFile::publish(dir.path(), Server::Broker, "redis://127.0.0.1:2").unwrap();
        assert!(!dir.path().join(leftover).exists());
        for other in others {
            assert!(dir.path().join(&other).exists(), "{other}");
        }
    }

    #[test]
    fn an_earlier_server_does_not_remove_the_address_of_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let earlier = AddressFile::publish(dir.path(), Server::Broker, "redis://127.0.0.1:1").unwrap();
        let _later = AddressFile::publish(dir.path(), Server::Broker, "redis://127.0.0.1:2").unwrap();
        drop(earlier);
        assert_eq!(discover(dir.path(), Server::Broker).as_deref(), Some("redis://127.0.0.1:2"));
    }

    #[test]
    fn a_file_that_no_server_wrote_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let _published = AddressFile::publish(elsewhere.path(), Server::Broker, "redis://127.0.0.1:1").unwrap();
        symlink(elsewhere.path().join(NAME), dir.path().join(NAME)).unwrap();
        assert_eq!(discover(dir.path(), Server::Broker), None);
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        std::fs::create_dir(dir.path().join(NAME)).unwrap();
        assert_eq!(discover(dir.path(), Server::Broker), None);
        assert!(AddressFile::publish(dir.path(), Server::Broker, "redis://127.0.0.1:2").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn each_server_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let servers = [Server::Broker, Server::Api, Server::Game];
        let _published = servers.map(|server| AddressFile::publish(dir.path(), server, server.file_name()).unwrap());
        for server in servers {
            assert_eq!(discover(dir.path(), server).as_deref(), Some(server.file_name()));
        }
    }
}
