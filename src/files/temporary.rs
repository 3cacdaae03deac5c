//! Files that are being written: they have a temporary name until their bytes are durable.
//!
//! A temporary file is locked (flock) for as long as it is written, so that a start beside living processes removes only
//! what a dead one left.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

const FOLDER: &str = ".tmp";

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
            let path = folder.join(FOLDER).join(Uuid::new_v4().to_string());
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
    /// The name stands for the content: a file that has it already stays as it is, so that what clients know of it (its
    /// date, and what is made of that) holds on.
    pub(super) fn persist(self, relative: &str) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let target = self.folder.join(relative);
        let parent = target.parent().unwrap_or(&self.folder);
        match std::fs::create_dir(parent) {
            Ok(()) => sync_folder(&self.folder)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let is_there = std::fs::symlink_metadata(&target).is_ok_and(|there| there.is_file() && there.len() == length);
        if !is_there {
            self.file.sync_all()?;
            std::fs::rename(&self.path, &target)?;
        }
        // Also where the file was there: whoever named it may not have come this far yet.
        sync_folder(parent)
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

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
        living.persist("ab/cd").unwrap();
        assert_eq!(std::fs::read(folder.path().join("ab/cd")).unwrap(), b"whole");
        assert_eq!(temporaries(folder.path()), 0);
    }

    #[test]
    fn content_that_is_there_already_stays_unless_it_is_cut_off() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        let inode = || std::fs::metadata(folder.path().join("ab/cd")).unwrap().ino();
        let persist = || {
            let mut file = Temporary::create(folder.path()).unwrap();
            file.write(b"whole").unwrap();
            file.persist("ab/cd").unwrap();
        };
        persist();
        let first = inode();
        persist();
        assert_eq!((inode(), temporaries(folder.path())), (first, 0));
        std::fs::write(folder.path().join("ab/cd"), "wh").unwrap();
        persist();
        assert_eq!(std::fs::read(folder.path().join("ab/cd")).unwrap(), b"whole");
    }

    #[test]
    fn an_abandoned_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Temporary::remove_leftovers(folder.path()).unwrap();
        drop(Temporary::create(folder.path()).unwrap());
        assert_eq!(temporaries(folder.path()), 0);
    }
}
