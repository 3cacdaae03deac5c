//! Files that are being written: they have a temporary name until their bytes are durable.
//!
//! A temporary file is locked (flock) for as long as it is written, so that a start beside living processes removes only
//! what a dead one left.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use uuid::Uuid;

const FOLDER: &str = ".tmp";
/// How much of two files is compared at a time.
const COMPARED_BYTES: usize = 64 << 10;

/// What happens to a file that has the name and the content already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// It stays as it is, so that what clients know of it (its date, and what is made of that) holds on.
    Keep,
    /// It counts as written now.
    Renew,
}

/// An unfinished file in `<folder>/.tmp`; dropping it removes it.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    /// The folder that the finished file goes below.
    folder: PathBuf,
}

impl Temporary {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        Self::create_with_mode(folder, 0o666)
    }

    /// The same, but only the owner can read and write it.
    pub(super) fn create_private(folder: &Path) -> io::Result<Self> {
        Self::create_with_mode(folder, 0o600)
    }

    fn create_with_mode(folder: &Path, mode: u32) -> io::Result<Self> {
        loop {
            let path = Self::unused_name(folder);
            let file = File::options().read(true).write(true).create_new(true).mode(mode).open(&path)?;
            // Between the creation and the lock somebody's clean-up may have taken it for a leftover.
            match file.try_lock() {
                Ok(()) if path.exists() => return Ok(Self { file, path, folder: folder.to_owned() }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // Where files cannot be locked, the next one cannot be either.
                Err(TryLockError::Error(error)) => {
                    std::fs::remove_file(&path)?;
                    return Err(error);
                }
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes the bytes durable, and only then gives them their name, which is of the form `name`, in the folder. A file that
    /// has it already is replaced.
    pub(super) fn replace(self, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, self.folder.join(name))?;
        sync_folder(&self.folder)
    }

    /// Makes the bytes durable, and only then gives them their name: `relative` to the folder, of the form `part/name`.
    ///
    /// The name stands for the content. A file that has it already is reused if its bytes are the same, all of which are
    /// compared: a disk that damages a file does not change its length. Otherwise it is replaced.
    pub(super) fn persist(self, relative: &str, reuse: Reuse) -> io::Result<()> {
        let target = self.folder.join(relative);
        let parent = target.parent().unwrap_or(&self.folder);
        if !self.reuses(&target, reuse)? {
            self.file.sync_all()?;
            match std::fs::rename(&self.path, &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_part(parent)?;
                    sync_folder(&self.folder)?;
                    std::fs::rename(&self.path, &target)?;
                }
                renamed => renamed?,
            }
        }
        // Also where the file was there: whoever named it may not have come this far yet.
        sync_folder(parent)
    }

    /// Whether the target has this content already, and keeps its name while it is renewed.
    fn reuses(&self, target: &Path, reuse: Reuse) -> io::Result<bool> {
        let is_file = std::fs::symlink_metadata(target).is_ok_and(|there| there.is_file());
        let Some(mut stored) = is_file.then(|| File::open(target).ok()).flatten() else { return Ok(false) };
        if !self.has_content_of(&mut stored)? {
            tracing::warn!(file = %target.display(), "a damaged file is replaced by a new upload of the same content");
            return Ok(false);
        }
        // What cannot be renewed is replaced.
        Ok(reuse == Reuse::Keep || renew(&stored, target).is_ok_and(|renewed| renewed))
    }

    /// Compares the bytes. A stored file that cannot be read to its end is another one.
    fn has_content_of(&self, stored: &mut File) -> io::Result<bool> {
        if stored.metadata()?.len() != self.file.metadata()?.len() {
            return Ok(false);
        }
        let mut file = &self.file;
        file.rewind()?;
        let (mut own, mut other) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
        loop {
            let read = file.read(&mut own)?;
            if read == 0 {
                return Ok(true);
            }
            if stored.read_exact(&mut other[..read]).is_err() || own[..read] != other[..read] {
                return Ok(false);
            }
        }
    }

    /// A name among the temporary files that no other has.
    pub(super) fn unused_name(folder: &Path) -> PathBuf {
        folder.join(FOLDER).join(Uuid::new_v4().to_string())
    }

    /// Makes the folder for temporary files, and removes from it what dead processes left.
    pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
        let temporaries = folder.join(FOLDER);
        std::fs::create_dir_all(&temporaries)?;
        for entry in std::fs::read_dir(&temporaries)? {
            let path = entry?.path();
            let abandoned = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            // A failure means that another start removes it at the same time, or that it has its name by now.
            if abandoned && std::fs::remove_file(&path).is_ok() {
                tracing::info!(file = %path.display(), "removed what an interrupted write had left");
            }
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the 256 parts of a folder over which names are spread, and makes them durable: also where another process has just
/// made them, since it may not have come so far yet.
pub(super) fn make_parts(folder: &Path) -> io::Result<()> {
    for part in 0..=u8::MAX {
        make_part(&folder.join(format!("{part:02x}")))?;
    }
    sync_folder(folder)
}

fn make_part(part: &Path) -> io::Result<()> {
    match std::fs::create_dir(part) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a stored file as young as a new one; false if it has lost its name meanwhile.
fn renew(stored: &File, target: &Path) -> io::Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(stored, &Timestamps { last_access: now, last_modification: now })?;
    let (stored, named) = (stored.metadata()?, std::fs::symlink_metadata(target)?);
    Ok((stored.dev(), stored.ino()) == (named.dev(), named.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporaries(folder: &Path) -> usize {
        std::fs::read_dir(folder.join(FOLDER)).unwrap().count()
    }

    #[test]
    fn a_clean_up_removes_leftovers_and_spares_what_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        let mut living = Temporary::create(folder.path()).unwrap();
        std::fs::write(folder.path().join(FOLDER).join("left"), "half").unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        assert_eq!(temporaries(folder.path()), 1);
        living.write(b"whole").unwrap();
        living.persist("ab/cd", Reuse::Keep).unwrap();
        assert_eq!(std::fs::read(folder.path().join("ab/cd")).unwrap(), b"whole");
        assert_eq!(temporaries(folder.path()), 0);
    }

    fn persist(folder: &Path, reuse: Reuse) {
        let mut file = Temporary::create(folder).unwrap();
        file.write(b"whole").unwrap();
        file.persist("ab/cd", reuse).unwrap();
    }

    #[test]
    fn content_that_is_there_already_stays_unless_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        let stored = folder.path().join("ab/cd");
        let inode = || std::fs::metadata(&stored).unwrap().ino();
        persist(folder.path(), Reuse::Keep);
        let first = inode();
        for reuse in [Reuse::Keep, Reuse::Renew] {
            persist(folder.path(), reuse);
            assert_eq!((inode(), temporaries(folder.path())), (first, 0));
        }
        for damaged in ["wh", "whXle", ""] {
            std::fs::write(&stored, damaged).unwrap();
            persist(folder.path(), Reuse::Keep);
            assert_eq!(std::fs::read(&stored).unwrap(), b"whole", "{damaged:?} is replaced");
        }
    }

    #[test]
    fn content_that_comes_again_is_as_young_as_new_where_its_age_matters_and_else_keeps_its_date() {
        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        persist(folder.path(), Reuse::Keep);
        let stored = File::open(folder.path().join("ab/cd")).unwrap();
        let modified = || stored.metadata().unwrap().modified().unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        stored.set_modified(long_ago).unwrap();
        persist(folder.path(), Reuse::Keep);
        assert_eq!(modified(), long_ago);
        persist(folder.path(), Reuse::Renew);
        assert!(modified() > long_ago);
    }

    #[test]
    fn an_abandoned_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        drop(Temporary::create(folder.path()).unwrap());
        assert_eq!(temporaries(folder.path()), 0);
    }
}
