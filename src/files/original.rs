//! Reading originals: uploads, and files that stay their owner's.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::root::Root;
use super::upload::is_stored;
use crate::ids::ImagePath;

/// A file younger than this may still be written by its owner.
pub const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// A picture as it was read.
#[derive(Debug)]
pub struct Original {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// Whether the content is final as far as one can tell; where it is not, what looks damaged may be half written.
    /// An upload always is: it got its name when it was whole.
    pub settled: bool,
}

/// Why an original cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing at the path.
    #[error("there is no such file")]
    Missing,
    /// The path leads out of the root.
    #[error("it leads out of the image root")]
    Outside,
    /// What lies there is something else.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// The file is larger than is accepted.
    #[error("it has {bytes} bytes, at most {max_bytes} are accepted")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        max_bytes: u64,
    },
    /// It is there but cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

pub(super) fn open(root: &Root, path: &ImagePath) -> Result<(File, Metadata), OpenError> {
    let file = root.open_file(path.as_str()).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR) => OpenError::Missing,
        Some(Errno::XDEV | Errno::LOOP) => OpenError::Outside,
        // What open(2) says of a socket, and of a device without a driver.
        Some(Errno::NXIO | Errno::NODEV) => OpenError::NotAFile("a socket or a device"),
        _ => OpenError::Unreadable(error),
    })?;
    let metadata = file.metadata().map_err(OpenError::Unreadable)?;
    match kind(&metadata) {
        None => Ok((file, metadata)),
        Some(other) => Err(OpenError::NotAFile(other)),
    }
}

/// What this is, unless it is a plain file.
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

pub(super) fn read(root: &Root, path: &ImagePath, max_bytes: u64) -> Result<Original, OpenError> {
    let (file, before) = open(root, path)?;
    if before.len() > max_bytes {
        return Err(OpenError::TooLarge { bytes: before.len(), max_bytes });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    // One byte more than is allowed, to notice a file that grows while it is read.
    (&file).take(max_bytes + 1).read_to_end(&mut bytes).map_err(OpenError::Unreadable)?;
    let after = file.metadata().map_err(OpenError::Unreadable)?;
    let age = after.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    let unchanged = version(&before) == version(&after) && after.len() == bytes.len() as u64;
    let settled = is_stored(path) || (unchanged && age.is_some_and(|age| age >= SETTLED_AFTER));
    Ok(Original { bytes, settled })
}

fn version(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}
