//! Room on the image root's disk: what uploads in flight have announced counts as taken, so that many of them at once do
//! not fill the disk together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::root::Root;

/// How many bytes an upload writes before the free space is checked again: other programs fill the disk too. Also what an
/// upload reserves at a time if its length is not known.
const CHECK_BYTES: u64 = 8 << 20;

/// Why an upload cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk is full, or would be.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Anything else.
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

    /// Reserves bytes, if `spare` more stay free.
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

/// Room for one upload; dropping it gives back what was not written.
#[derive(Debug)]
pub struct Reservation {
    space: Arc<Space>,
    /// Reserved and not yet on the disk.
    left: u64,
    /// What has to stay free beside it.
    spare: u64,
    /// Written since the last check.
    unchecked: u64,
}

impl Reservation {
    /// Reserves room for so many bytes, or a part of it where the length is not known.
    pub(super) fn new(space: &Arc<Space>, length: Option<u64>, spare: u64) -> Result<Self, WriteError> {
        let left = length.unwrap_or(CHECK_BYTES);
        space.take(left, spare)?;
        Ok(Self { space: space.clone(), left, spare, unchecked: 0 })
    }

    /// Notes that bytes are on the disk, whose free space tells of them from now on.
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

    /// So much that what other programs do to the disk meanwhile does not matter.
    fn tenth(space: &Space) -> u64 {
        space.root.free_bytes().unwrap() / 10
    }

    fn space() -> (tempfile::TempDir, Arc<Space>) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, Arc::new(Space::new(Arc::new(root))))
    }

    #[test]
    fn what_uploads_in_flight_have_announced_is_not_given_away_twice() {
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
    fn a_write_that_finds_the_disk_full_says_so() {
        let full = WriteError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, WriteError::Full(_)));
        assert!(matches!(WriteError::from(io::Error::other("broken")), WriteError::Failed(_)));
    }
}
