//! The image root. Opening a file and checking that its path stays below the root are one atomic step.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

/// Read only; FIFOs do not block the open, and terminals do not become the controlling one.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let path = path.canonicalize()?;
        let folder = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path, folder })
    }

    /// Absolute, without symbolic links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a relative path. Symbolic links are followed as long as they stay below the root; for others the error is
    /// [`io::ErrorKind::CrossesDevices`].
    pub(super) fn open_file(&self, path: &str) -> io::Result<File> {
        match self.open_beneath(path) {
            Err(Errno::NOSYS | Errno::PERM) => self.open_step_by_step(path),
            opened => opened,
        }
        .map(File::from)
        .map_err(io::Error::from)
    }

    #[cfg(target_os = "linux")]
    fn open_beneath(&self, path: &str) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;

        const TRIES: u32 = 16;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.folder, path, READ, Mode::empty(), inside) {
                // A parent folder was renamed during the open.
                Err(Errno::AGAIN) => {}
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, _path: &str) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    /// For kernels without `openat2`: opens each part without following symbolic links, none of which is therefore
    /// allowed.
    fn open_step_by_step(&self, path: &str) -> Result<OwnedFd, Errno> {
        let refused = |error| if error == Errno::LOOP || error == Errno::MLINK { Errno::XDEV } else { error };
        let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folder = rustix::io::dup(&self.folder)?;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            let step = READ | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            folder = rustix::fs::openat(&folder, part, step, Mode::empty()).map_err(refused)?;
        }
        rustix::fs::openat(&folder, file, READ | OFlags::NOFOLLOW, Mode::empty()).map_err(refused)
    }

    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.folder)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn opens(open: impl Fn(&Root, &str) -> Option<Errno>) {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let root = Root::open(folder.path()).unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/b #?%é.jpg"), "x").unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("a/link")).unwrap();

        assert_eq!(open(&root, "a/b #?%é.jpg"), None);
        assert_eq!(open(&root, "a/missing"), Some(Errno::NOENT));
        assert_eq!(open(&root, "a/link"), Some(Errno::XDEV));
        assert!(matches!(open(&root, "out/secret"), Some(Errno::XDEV | Errno::NOTDIR)));
    }

    #[test]
    fn nothing_outside_of_the_root_can_be_opened_in_one_step() {
        opens(|root, path| root.open_beneath(path).err());
    }

    #[test]
    fn nothing_outside_of_the_root_can_be_opened_step_by_step() {
        opens(|root, path| root.open_step_by_step(path).err());
    }
}
