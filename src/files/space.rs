//! Disk space of the image root: the announced lengths of uploads in flight are reserved, so that concurrent uploads do
//! not fill the disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::root::Root;

/// The bytes that an upload writes between checks of the free space, since other programs use the disk too. Uploads of
/// unknown length reserve this much at a time.
const CHECK_BYTES: u64 = 8 << 20;

/// Why an upload cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk is full, or the upload would fill it.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Any other error.
    #[error(transparent)]
    Failed(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error.to_string()),
            _ => Self::Failed(error),
        }
    }
}

/// The reservations of a process.
#[derive(Debug)]
pub(super) struct Space {
    root: Arc<Root>,
    reserved: AtomicU64,
}

impl Space {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self { root, reserved: AtomicU64::new(0) }
    }

    /// Reserves bytes, if `spare` bytes stay free.
    fn take(&self, bytes: u64, spare: u64) -> Result<(), WriteError> {
        let reserved = self.reserved.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let refused = match self.root.free_bytes() {
            Ok(free) if free >= reserved.saturating_add(spare) => return Ok(()),
            Ok(free) => WriteError::Full(format!("{free} bytes are free, {reserved} reserved, {spare} to be left")),
            Err(error) => error.into(),
        };
        self.release(bytes);
        Err(refused)
    }

    fn release(&self, bytes: u64) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Reserved disk space of one upload; dropping it releases the rest.
#[derive(Debug)]
pub struct Reservation {
    space: Arc<Space>,
    /// Reserved bytes that are not yet written.
    left: u64,
    /// Bytes that must stay free.
    spare: u64,
    /// Bytes written since the last check.
    unchecked: u64,
}

impl Reservation {
    /// Reserves the length of an upload, or [`CHECK_BYTES`] if it is unknown.
    pub(super) fn new(space: &Arc<Space>, length: Option<u64>, spare: u64) -> Result<Self, WriteError> {
        let left = length.unwrap_or(CHECK_BYTES);
        space.take(left, spare)?;
        Ok(Self { space: space.clone(), left, spare, unchecked: 0 })
    }

    /// The reserved bytes that are not yet written.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Releases written bytes, which the free space of the disk now reflects.
    pub(super) fn written(&mut self, bytes: u64) -> Result<(), WriteError> {
        let released = bytes.min(self.left);
        self.left -= released;
        self.space.release(released);
        self.unchecked = self.unchecked.saturating_add(bytes);
        if self.unchecked < CHECK_BYTES {
            return Ok(());
        }
        self.unchecked = 0;
        let more = if self.left == 0 { CHECK_BYTES } else { 0 };
        self.space.take(more, self.spare)?;
        self.left += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.space.release(self.left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So much that concurrent changes by other programs do not matter.
    fn tenth(space: &Space) -> u64 {
        space.root.free_bytes().unwrap() / 10
    }

    fn space() -> (tempfile::TempDir, Arc<Space>) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, Arc::new(Space::new(Arc::new(root))))
    }

    #[test]
    fn the_announced_bytes_of_uploads_in_flight_are_reserved() {
        let (_folder, space) = space();
        let tenth = tenth(&space);
        let reserve = || Reservation::new(&space, Some(4 * tenth), 3 * tenth);
        let first = reserve().unwrap();
        assert!(matches!(reserve(), Err(WriteError::Full(_))));
        drop(first);
        let mut again = reserve().unwrap();
        again.written(4 * tenth).unwrap();
        assert_eq!(space.reserved.load(Ordering::Relaxed), CHECK_BYTES, "more than was announced may follow");
        drop(again);
        assert_eq!(space.reserved.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_upload_looks_again_every_8_mib_whether_there_is_room() {
        for length in [Some(50 << 20), None] {
            let (_folder, space) = space();
            let mut upload = Reservation::new(&space, length, 0).unwrap();
            let more_than_any_disk = 1 << 60;
            space.reserved.fetch_add(more_than_any_disk, Ordering::Relaxed);
            upload.written(CHECK_BYTES - 1).unwrap();
            assert!(matches!(upload.written(1), Err(WriteError::Full(_))));
            drop(upload);
            assert_eq!(space.reserved.load(Ordering::Relaxed), more_than_any_disk);
        }
    }

    #[test]
    fn a_write_to_a_full_disk_is_reported_as_such() {
        let full = WriteError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, WriteError::Full(_)));
        assert!(matches!(WriteError::from(io::Error::other("broken")), WriteError::Failed(_)));
    }
}
