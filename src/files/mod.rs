//! The only file access: uploads, originals, thumbnails and unsent mail below the image root.
//!
//! Owns `<root>/uploads` (except `<root>/uploads/thumbs`, which belongs to the replaced service), `<root>/thumbnails`
//! and `<root>/outbox`; damaged uploads stay in `<root>/uploads/.damaged` until an operator removes them. Consumes and
//! publishes nothing. Never follows a path out of the root, and never gives a file its name before its bytes are
//! durable. No other module knows how names map to files.
//!
//! All functions block, except those of [`Upload`] and [`CompleteUpload`].

mod damage;
mod inventory;
mod name_key;
mod original;
mod orphans;
mod outbox;
mod root;
mod space;
mod temporary;
mod thumbnail_file;
mod upload;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{ImagePath, Invalid};

pub(crate) use damage::sha256;
pub use damage::{Sample, sample_uploads};
pub use inventory::{ContentKey, FOLDERS, Inventory, StoredFile};
pub use name_key::NameKey;
pub use original::{OpenError, Original, SETTLED_AFTER};
pub use orphans::Discarded;
pub use outbox::Outbox;
use root::Root;
use space::Space;
pub use space::{Reservation, WriteError};
use temporary::{Temporary, make_parts, sync_folder};
pub use thumbnail_file::ThumbnailName;
pub use upload::{CompleteUpload, Stored, Upload};

const UPLOADS: &str = "uploads";
const THUMBNAILS: &str = "thumbnails";
const OUTBOX: &str = "outbox";
/// The folder for thumbnails of the replaced service.
const REPLACED_THUMBNAILS: &str = "uploads/thumbs";

/// The files below one root; a clone shares it.
#[derive(Debug, Clone)]
pub struct Files {
    root: Arc<Root>,
    space: Arc<Space>,
}

impl Files {
    /// Opens the root, durably creates missing folders, and removes temporary files of crashed processes.
    ///
    /// # Errors
    /// If the root cannot be created or opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = Arc::new(Root::open(root)?);
        for folder in [UPLOADS, THUMBNAILS] {
            let folder = root.path().join(folder);
            Temporary::remove_leftovers(&folder)?;
            make_parts(&folder)?;
        }
        sync_folder(root.path())?;
        Ok(Self { space: Arc::new(Space::new(root.clone())), root })
    }

    /// Validates a path from a client. Absolute paths below the root are accepted too.
    ///
    /// # Errors
    /// As for [`ImagePath::new`].
    pub fn image_path(&self, text: &str) -> Result<ImagePath, Invalid> {
        let below = self.root.path().to_str().and_then(|root| text.strip_prefix(root)?.strip_prefix('/'));
        ImagePath::new(below.unwrap_or(text))
    }

    /// Checks that the path leads to a file below the root, or to nothing. Returns its size; 0 if it cannot be read.
    ///
    /// # Errors
    /// As for [`Files::open_original`], except that a missing file is accepted.
    pub fn check_original(&self, path: &ImagePath) -> Result<u64, OpenError> {
        match original::open(&self.root, path) {
            Ok((_, metadata)) => Ok(metadata.len()),
            Err(OpenError::Missing | OpenError::Unreadable(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Opens an original of at most `max_bytes`.
    ///
    /// # Errors
    /// If it is missing, outside of the root, not a file, too large or unreadable.
    pub fn open_original(&self, path: &ImagePath, max_bytes: u64) -> Result<Original, OpenError> {
        original::open_original(&self.root, path, max_bytes)
    }

    /// Reserves disk space for an upload of this length, if it is known, so that `spare` bytes stay free.
    ///
    /// # Errors
    /// If there is not enough space, or it is unknown.
    pub fn reserve(&self, length: Option<u64>, spare: u64) -> Result<Reservation, WriteError> {
        Reservation::new(&self.space, length, spare)
    }

    /// Starts an upload. Its first write creates its file.
    pub fn begin_upload(&self, reservation: Reservation) -> Upload {
        Upload::new(self.root.path().join(UPLOADS), reservation)
    }

    /// Whether the path has the form of an upload's.
    pub fn names_upload(&self, path: &ImagePath) -> bool {
        upload::stored_hash(path).is_some()
    }

    /// Whether the file of an upload exists.
    pub fn has_upload(&self, path: &ImagePath) -> bool {
        std::fs::symlink_metadata(self.root.path().join(path.as_str())).is_ok_and(|file| file.is_file())
    }

    /// Moves a damaged upload to `uploads/.damaged`; false if another file has taken its name.
    ///
    /// Must be called within a write transaction: uploads check in their own write transaction that their file exists,
    /// so that none is committed whose file is moved here.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn quarantine(&self, path: &ImagePath, damaged: &Original) -> io::Result<bool> {
        damage::quarantine(&self.root, path, damaged)
    }

    /// The parts of the uploads, for [`Files::unused_uploads`].
    pub fn upload_parts() -> impl Iterator<Item = u8> {
        upload::parts()
    }

    /// The uploads in one of the parts that have not been uploaded, or uploaded again, within `age`.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn unused_uploads(&self, part: u8, age: Duration) -> io::Result<Vec<ImagePath>> {
        orphans::unused(&self.root, part, age)
    }

    /// Moves an upload to a temporary name, to be deleted after the transaction, unless it has been uploaded, or
    /// uploaded again, within `age` (`None`).
    ///
    /// Must be called within the write transaction that has found no row with this path, for the reason in
    /// [`Files::quarantine`].
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn discard_upload(&self, path: &ImagePath, age: Duration) -> io::Result<Option<Discarded>> {
        orphans::discard(&self.root, path, age)
    }

    /// Durably stores a thumbnail, named by its content under this key; `extension` has no dot.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_thumbnail(&self, key: &NameKey, bytes: &[u8], extension: &str) -> io::Result<ThumbnailName> {
        thumbnail_file::save(&self.root, key, bytes, extension)
    }

    /// # Errors
    /// If it does not exist or cannot be read.
    pub fn open_thumbnail(&self, name: &ThumbnailName) -> io::Result<File> {
        self.root.open_file(&name.path())
    }

    /// Opens the folder for mail that is not sent, and creates it if it is missing.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn outbox(&self) -> io::Result<Outbox> {
        Outbox::open(self.root.path().join(OUTBOX))
    }

    /// Opens a thumbnail of the replaced service, by its path below `uploads/thumbs/`.
    ///
    /// # Errors
    /// If it does not exist, is not a file, is outside of the root, or cannot be read.
    pub fn open_replaced_thumbnail(&self, tail: &str) -> io::Result<File> {
        let path = ImagePath::new(&format!("{REPLACED_THUMBNAILS}/{tail}"))
            .map_err(|invalid| io::Error::new(io::ErrorKind::NotFound, invalid))?;
        let file = self.root.open_file(path.as_str())?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Free bytes on the root's file system.
    ///
    /// # Errors
    /// If the file system does not report them.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.root.free_bytes()
    }
}

/// Why files cannot be stored in this folder, which need not exist yet; `None` if they can.
pub fn why_unusable(folder: &Path) -> Option<String> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    if !existing.is_dir() {
        return Some(format!("{} is not a folder", existing.display()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let refused = rustix::fs::access(existing, access).err();
    refused.map(|error| format!("{} cannot be written to: {error}", existing.display()))
}

/// Free bytes on the file system of this folder, or of its nearest existing ancestor.
///
/// # Errors
/// If the file system does not report them.
pub fn free_bytes_below(folder: &Path) -> io::Result<u64> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let space = rustix::fs::statvfs(if existing.as_os_str().is_empty() { Path::new(".") } else { existing })?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
