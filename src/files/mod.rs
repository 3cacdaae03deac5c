//! The only file access: uploads, originals, thumbnails and unsent mail below the image root.
//!
//! Owns `<root>/uploads` (but not `<root>/uploads/thumbs`, which is the replaced service's), `<root>/thumbnails` and
//! `<root>/outbox`; damaged uploads lie in `<root>/uploads/.damaged` until an operator removes them. Consumes and publishes
//! nothing. Never follows a path out of the root, and never shows a name before the bytes behind it are durable. Nothing
//! outside of this module knows how the names map to a disk.
//!
//! Except for [`Upload`], every function blocks.

mod damage;
mod inventory;
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
pub use original::{OpenError, Original, SETTLED_AFTER};
pub use orphans::Discarded;
pub use outbox::Outbox;
use root::Root;
use space::Space;
pub use space::{Reservation, WriteError};
use temporary::{Temporary, make_parts, sync_folder};
pub use thumbnail_file::ThumbnailName;
pub use upload::{Stored, Upload};

const UPLOADS: &str = "uploads";
const THUMBNAILS: &str = "thumbnails";
const OUTBOX: &str = "outbox";
/// Where the replaced service keeps its thumbnails.
const REPLACED_THUMBNAILS: &str = "uploads/thumbs";

/// The files below one root; a clone speaks of the same.
#[derive(Debug, Clone)]
pub struct Files {
    root: Arc<Root>,
    space: Arc<Space>,
}

impl Files {
    /// Opens the root, creating it and its folders durably where there are none, and removes what a crash left half written.
    ///
    /// # Errors
    /// When the root cannot be made or opened.
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

    /// Makes an image path of what a client sent: an absolute path is accepted where it lies below the root.
    ///
    /// # Errors
    /// When it is not as [`ImagePath::new`] wants it.
    pub fn image_path(&self, text: &str) -> Result<ImagePath, Invalid> {
        let below = self.root.path().to_str().and_then(|root| text.strip_prefix(root)?.strip_prefix('/'));
        ImagePath::new(below.unwrap_or(text))
    }

    /// Checks that what lies at the path, if anything does, is a file below the root.
    ///
    /// # Errors
    /// As [`Files::open_original`], except that a missing file is fine.
    pub fn check_original(&self, path: &ImagePath) -> Result<(), OpenError> {
        match original::open(&self.root, path) {
            Ok(_) | Err(OpenError::Missing | OpenError::Unreadable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Opens an original of at most `max_bytes`.
    ///
    /// # Errors
    /// When it is missing, outside of the root, not a file, too large or unreadable.
    pub fn open_original(&self, path: &ImagePath, max_bytes: u64) -> Result<Original, OpenError> {
        original::open_original(&self.root, path, max_bytes)
    }

    /// Reserves room for an upload of this length, if it is known, such that `spare` bytes stay free.
    ///
    /// # Errors
    /// When there is no room, or the file system does not say.
    pub fn reserve(&self, length: Option<u64>, spare: u64) -> Result<Reservation, WriteError> {
        Reservation::new(&self.space, length, spare)
    }

    /// Begins an upload. Does not block for longer than making an empty file takes.
    ///
    /// # Errors
    /// When no file can be made.
    pub async fn begin_upload(&self, room: Reservation) -> Result<Upload, WriteError> {
        Upload::begin(self.root.path().join(UPLOADS), room).await
    }

    /// Whether a path is of the form that only uploads have.
    pub fn names_upload(&self, path: &ImagePath) -> bool {
        upload::stored_hash(path).is_some()
    }

    /// Whether an upload has its name.
    pub fn has_upload(&self, path: &ImagePath) -> bool {
        std::fs::symlink_metadata(self.root.path().join(path.as_str())).is_ok_and(|there| there.is_file())
    }

    /// Moves an upload to `uploads/.damaged` that was found damaged; false if another file has its name by now.
    ///
    /// To be called within a write transaction: an upload of the good bytes checks in its own that its file is there, so
    /// that none is committed whose file is moved away here.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn quarantine(&self, path: &ImagePath, damaged: &Original) -> io::Result<bool> {
        damage::quarantine(&self.root, path, damaged)
    }

    /// The parts into which uploads are divided, for [`Files::unused_uploads`].
    pub fn upload_parts() -> impl Iterator<Item = u8> {
        upload::parts()
    }

    /// The uploads in one of the parts that have neither come nor come again within `age`.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn unused_uploads(&self, part: u8, age: Duration) -> io::Result<Vec<ImagePath>> {
        orphans::unused(&self.root, part, age)
    }

    /// Takes its name from an upload that has neither come nor come again within `age`; `None` if it has.
    ///
    /// To be called within the write transaction that has found no row with this path, for the reason in
    /// [`Files::quarantine`].
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn discard_upload(&self, path: &ImagePath, age: Duration) -> io::Result<Option<Discarded>> {
        orphans::discard(&self.root, path, age)
    }

    /// Stores a thumbnail durably under its content's name; `extension` is without a dot.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_thumbnail(&self, bytes: &[u8], extension: &str) -> io::Result<ThumbnailName> {
        thumbnail_file::save(&self.root, bytes, extension)
    }

    /// Opens a thumbnail.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn open_thumbnail(&self, name: &ThumbnailName) -> io::Result<File> {
        self.root.open_file(&name.path())
    }

    /// Opens the folder for mail that is not sent, creating it where there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn outbox(&self) -> io::Result<Outbox> {
        Outbox::open(self.root.path().join(OUTBOX))
    }

    /// Opens a thumbnail of the replaced service, by what follows `uploads/thumbs/` in its path.
    ///
    /// # Errors
    /// When it is not there, not a file, outside of the root or cannot be read.
    pub fn open_replaced_thumbnail(&self, tail: &str) -> io::Result<File> {
        let path = ImagePath::new(&format!("{REPLACED_THUMBNAILS}/{tail}"))
            .map_err(|invalid| io::Error::new(io::ErrorKind::NotFound, invalid))?;
        let file = self.root.open_file(path.as_str())?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Bytes that are free for us on the root's file system.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.root.free_bytes()
    }
}

/// Why nothing can be kept in this folder, which need not exist yet; `None` when it can.
pub fn why_unusable(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        return Some(format!("{} is no folder", there.display()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let refused = rustix::fs::access(there, access).err();
    refused.map(|error| format!("{} cannot be written to: {error}", there.display()))
}

/// Bytes that are free for us on the file system of this folder, or of the nearest one above it that exists.
///
/// # Errors
/// When the file system does not say.
pub fn free_bytes_below(folder: &Path) -> io::Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let space = rustix::fs::statvfs(if there.as_os_str().is_empty() { Path::new(".") } else { there })?;
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
