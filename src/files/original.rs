//! Reading originals: uploads, and files of other owners.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::damage::sha256;
use super::root::Root;
use super::upload::stored_hash;
use crate::ids::ImagePath;

/// A file younger than this may still be written by its owner.
pub const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// An open original. Reads no further than the file's length when it was opened.
#[derive(Debug)]
pub struct Original {
    file: File,
    opened: Metadata,
    /// The read position.
    at: u64,
    /// Set for uploads, which are named when they are complete.
    sha256: Option<String>,
}

impl Original {
    /// The SHA-256 of an upload in hex, as it was uploaded; `None` for files of other owners.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Whether the hash of an upload is wrong; reads the whole file. False for files of other owners.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_damaged(&mut self) -> io::Result<bool> {
        let Some(expected) = self.sha256.clone() else { return Ok(false) };
        self.rewind()?;
        Ok(sha256(&mut *self)? != expected)
    }

    pub(super) fn version(&self) -> Version {
        Version::of(&self.opened)
    }

    /// Whether the content is probably final; otherwise a file that looks damaged may be incomplete. Must be called
    /// after the file has been read.
    pub fn is_settled(&self) -> bool {
        self.sha256.is_some()
            || self.file.metadata().is_ok_and(|now| self.version() == Version::of(&now) && is_old(&now))
    }
}

impl Read for Original {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.opened.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Original {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::End(offset) => SeekFrom::Start(self.opened.len().saturating_add_signed(offset)),
            other => other,
        };
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// Why an original cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No file exists at the path.
    #[error("there is no such file")]
    Missing,
    /// The path leads out of the image root.
    #[error("it leads out of the image root")]
    Outside,
    /// The path leads to something else than a file.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// The file exceeds the size limit.
    #[error("it has {bytes} bytes, at most {max_bytes} are accepted")]
    TooLarge {
        /// The size of the file.
        bytes: u64,
        /// The size limit.
        max_bytes: u64,
    },
    /// The file exists, but m3a3 cannot read it.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The storage fails or has lost the file: an upload is missing, a disk cannot be read, too many files are open.
    #[error("storage error: {0}")]
    Storage(#[source] io::Error),
}

pub(super) fn open(root: &Root, path: &ImagePath) -> Result<(File, Metadata), OpenError> {
    let file = root.open_file(path.as_str()).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => OpenError::Missing,
        Some(Errno::XDEV | Errno::LOOP) => OpenError::Outside,
        // open(2) returns these for sockets and for devices without a driver.
        Some(Errno::NXIO | Errno::NODEV) => OpenError::NotAFile("a socket or a device"),
        _ => OpenError::Unreadable(error),
    })?;
    let metadata = file.metadata().map_err(OpenError::Unreadable)?;
    match kind(&metadata) {
        None => Ok((file, metadata)),
        Some(other) => Err(OpenError::NotAFile(other)),
    }
}

/// The kind of a file that is not a regular file.
fn kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

pub(super) fn open_original(root: &Root, path: &ImagePath, max_bytes: u64) -> Result<Original, OpenError> {
    let (file, opened) = open(root, path).map_err(|error| match error {
        // An upload was stored before its path was accepted.
        OpenError::Missing if stored_hash(path).is_some() => OpenError::Storage(io::ErrorKind::NotFound.into()),
        OpenError::Unreadable(source) if stored_hash(path).is_some() || !is_of_path(&source) => {
            OpenError::Storage(source)
        }
        other => other,
    })?;
    match opened.len() {
        bytes if bytes > max_bytes => Err(OpenError::TooLarge { bytes, max_bytes }),
        _ => Ok(Original { file, opened, at: 0, sha256: stored_hash(path).map(str::to_owned) }),
    }
}

/// Whether the client's path is wrong, so that no repair of the storage makes it readable.
fn is_of_path(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidFilename)
}

/// Identifies an open file as long as it is neither changed nor replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl Version {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn is_old(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age >= SETTLED_AFTER)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn original(folder: &Path, bytes: &[u8]) -> Original {
        std::fs::write(folder.join("photo.jpg"), bytes).unwrap();
        open_original(&Root::open(folder).unwrap(), &ImagePath::new("photo.jpg").unwrap(), 100).unwrap()
    }

    #[test]
    fn data_appended_after_the_open_is_not_read_and_unsettles_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut original = original(folder.path(), b"half of");
        let long_ago = SystemTime::now() - 2 * SETTLED_AFTER;
        let file = File::options().append(true).open(folder.path().join("photo.jpg")).unwrap();
        file.set_modified(long_ago).unwrap();
        original.opened = original.file.metadata().unwrap();
        assert!(original.is_settled());
        (&file).write_all(b" a picture").unwrap();
        file.set_modified(long_ago).unwrap();
        let mut read = String::new();
        original.read_to_string(&mut read).unwrap();
        assert_eq!(read, "half of");
        assert_eq!(original.seek(SeekFrom::End(-2)).unwrap(), 5);
        read.clear();
        original.read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), original.is_settled()), ("of", false));
    }

    #[test]
    fn a_young_file_is_not_settled_and_a_large_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!original(folder.path(), b"new").is_settled());
        let (root, path) = (Root::open(folder.path()).unwrap(), ImagePath::new("photo.jpg").unwrap());
        assert!(matches!(open_original(&root, &path, 2), Err(OpenError::TooLarge { bytes: 3, max_bytes: 2 })));
    }
}
