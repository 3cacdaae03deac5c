//! Temporary files: new files have a temporary name until their bytes are durable.
//!
//! A temporary file is locked (flock) while it is written, so that a starting process removes only the files of dead
//! processes.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use uuid::Uuid;

const FOLDER: &str = ".tmp";
/// The buffer size for comparing files.
const COMPARED_BYTES: usize = 64 << 10;

/// The handling of an existing file with the same name and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// Keeps its modification time, so that the validators that clients have cached stay valid.
    Keep,
    /// Sets its modification time to now.
    Renew,
}

/// An unfinished file in `<folder>/.tmp`; dropping it removes it.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    /// The parent folder of the finished file.
    folder: PathBuf,
}

impl Temporary {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        Self::create_with_mode(folder, 0o666)
    }

    /// Creates a file that only its owner can read and write.
    pub(super) fn create_private(folder: &Path) -> io::Result<Self> {
        Self::create_with_mode(folder, 0o600)
    }

    fn create_with_mode(folder: &Path, mode: u32) -> io::Result<Self> {
        loop {
            let path = Self::unused_name(folder);
            let file = File::options().read(true).write(true).create_new(true).mode(mode).open(&path)?;
            // Between creation and lock, a clean-up of another process may have removed it.
            match file.try_lock() {
                Ok(()) if path.exists() => return Ok(Self { file, path, folder: folder.to_owned() }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // If the file system has no locks, further attempts fail too.
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

    /// Makes the bytes durable, then renames the file to `name` in the folder. An existing file is replaced.
    pub(super) fn replace(self, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, self.folder.join(name))?;
        sync_folder(&self.folder)
    }

    /// Makes the bytes durable, then renames the file to `relative`, of the form `part/name`.
    ///
    /// The name identifies the content. An existing file is reused if all its bytes are equal (a disk that damages a
    /// file does not change its length), and replaced otherwise. Returns whether there was none directly before the
    /// rename; two calls at once may both find none.
    pub(super) fn persist(self, relative: &str, reuse: Reuse) -> io::Result<bool> {
        let target = self.folder.join(relative);
        let parent = target.parent().unwrap_or(&self.folder);
        // Before the file has its name, which it would keep if the folder could not be opened.
        let opened = match File::open(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        let mut is_new = false;
        if !self.reuses(&target, reuse)? {
            self.file.sync_all()?;
            // Not before the comparison and the sync, which take long: the other file may be gone by now.
            is_new = std::fs::symlink_metadata(&target).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            match std::fs::rename(&self.path, &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_part(parent)?;
                    sync_folder(&self.folder)?;
                    std::fs::rename(&self.path, &target)?;
                }
                renamed => renamed?,
            }
        }
        // Even if the file existed: the process that renamed it may not have synced the folder yet.
        match opened {
            Some(parent) => parent.sync_all()?,
            None => sync_folder(parent)?,
        }
        Ok(is_new)
    }

    /// Whether the target has this content, and still exists after it was renewed.
    fn reuses(&self, target: &Path, reuse: Reuse) -> io::Result<bool> {
        let is_file = std::fs::symlink_metadata(target).is_ok_and(|there| there.is_file());
        let Some(mut stored) = is_file.then(|| File::open(target).ok()).flatten() else { return Ok(false) };
        if !self.has_content_of(&mut stored)? {
            tracing::warn!(file = %target.display(), "replacing a damaged file by a new upload of the same content");
            return Ok(false);
        }
        // A file that cannot be renewed is replaced.
        Ok(reuse == Reuse::Keep || renew(&stored, target).is_ok_and(|renewed| renewed))
    }

    /// Compares the bytes. A stored file that cannot be read counts as different.
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

    /// A unique name for a temporary file.
    pub(super) fn unused_name(folder: &Path) -> PathBuf {
        folder.join(FOLDER).join(Uuid::new_v4().to_string())
    }

    /// Creates the folder for temporary files, and removes the files of dead processes.
    pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
        let temporaries = folder.join(FOLDER);
        std::fs::create_dir_all(&temporaries)?;
        for entry in std::fs::read_dir(&temporaries)? {
            let path = entry?.path();
            let abandoned = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            // It fails if another process removes it at the same time, or has renamed it.
            if abandoned && std::fs::remove_file(&path).is_ok() {
                tracing::info!(file = %path.display(), "removed the temporary file of an interrupted write");
            }
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename, this name does not exist.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Durably creates the 256 folders over which names are spread. Syncs them even if they exist, since another process
/// may have created them without having synced them yet.
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

/// Sets the modification time of a stored file to now; false if it has been removed.
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
    fn a_clean_up_removes_leftovers_but_no_files_in_use() {
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

    /// Returns whether the file is new.
    fn persist(folder: &Path, reuse: Reuse) -> bool {
        let mut file = Temporary::create(folder).unwrap();
        file.write(b"whole").unwrap();
        file.persist("ab/cd", reuse).unwrap()
    }

    #[test]
    fn an_existing_file_is_reused_unless_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        let stored = folder.path().join("ab/cd");
        let inode = || std::fs::metadata(&stored).unwrap().ino();
        assert!(persist(folder.path(), Reuse::Keep));
        let first = inode();
        for reuse in [Reuse::Keep, Reuse::Renew] {
            assert!(!persist(folder.path(), reuse));
            assert_eq!((inode(), temporaries(folder.path())), (first, 0));
        }
        for damaged in ["wh", "whXle", ""] {
            std::fs::write(&stored, damaged).unwrap();
            assert!(!persist(folder.path(), Reuse::Keep));
            assert_eq!(std::fs::read(&stored).unwrap(), b"whole", "{damaged:?} is replaced");
        }
    }

    #[test]
    fn repeated_content_renews_the_modification_time_of_uploads_only() {
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
