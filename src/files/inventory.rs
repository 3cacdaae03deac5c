//! A read-only view of the stored files, which creates, repairs and removes nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::root::Root;
use super::upload::stored_hash;
use super::{Files, THUMBNAILS, ThumbnailName, UPLOADS};
use crate::ids::ImagePath;

/// Stored files are spread over one folder per value of the first byte of their hash.
pub const FOLDERS: std::ops::RangeInclusive<u8> = 0..=u8::MAX;

/// The first eight bytes of a stored file's hash, which are sufficient to identify files in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentKey(u64);

impl ContentKey {
    fn of_hash(hash: &str) -> Option<Self> {
        u64::from_str_radix(hash.get(..16)?, 16).ok().map(Self)
    }

    /// The key of an upload; `None` for paths of other files.
    pub fn of_upload(path: &ImagePath) -> Option<Self> {
        stored_hash(path).and_then(Self::of_hash)
    }

    /// The key of a thumbnail.
    pub fn of_thumbnail(name: &ThumbnailName) -> Option<Self> {
        Self::of_hash(name.as_str())
    }
}

/// A file with a content-addressed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The key of its content.
    pub key: ContentKey,
    /// Relative to the image root.
    pub path: String,
    /// The modification time; `None` if the file has been removed, or the file system does not provide it.
    pub modified: Option<SystemTime>,
}

/// The stored files below one image root. Every function blocks.
#[derive(Debug, Clone)]
pub struct Inventory {
    root: Arc<Root>,
}

impl Inventory {
    /// Opens an existing image root.
    ///
    /// # Errors
    /// If it does not exist or cannot be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        match root.metadata()?.is_dir() {
            true => Ok(Self { root: Arc::new(Root::open(root)?) }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The size of an original in bytes.
    ///
    /// # Errors
    /// If it does not exist, is not a file, or cannot be opened.
    pub fn original_bytes(&self, path: &ImagePath) -> io::Result<u64> {
        bytes(&self.root.open_file(path.as_str())?)
    }

    /// The size of a thumbnail in bytes.
    ///
    /// # Errors
    /// As for [`Inventory::original_bytes`].
    pub fn thumbnail_bytes(&self, name: &ThumbnailName) -> io::Result<u64> {
        bytes(&self.root.open_file(&name.path())?)
    }

    /// The uploads in one of the [`FOLDERS`].
    ///
    /// # Errors
    /// If the folder cannot be read. A folder that does not exist is empty.
    pub fn uploads(&self, folder: u8) -> io::Result<Vec<StoredFile>> {
        self.list(UPLOADS, folder, |path| ContentKey::of_upload(&ImagePath::new(path).ok()?))
    }

    /// The thumbnails in one of the [`FOLDERS`].
    ///
    /// # Errors
    /// As for [`Inventory::uploads`].
    pub fn thumbnails(&self, folder: u8) -> io::Result<Vec<StoredFile>> {
        let key = |path: &str| ContentKey::of_thumbnail(&path.rsplit('/').next()?.parse().ok()?);
        self.list(THUMBNAILS, folder, key)
    }

    fn list(&self, parent: &str, folder: u8, key: impl Fn(&str) -> Option<ContentKey>) -> io::Result<Vec<StoredFile>> {
        let relative = format!("{parent}/{folder:02x}");
        let entries = match std::fs::read_dir(self.root.path().join(&relative)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = format!("{relative}/{}", entry.file_name().to_string_lossy());
            // Files with other names do not belong to m3a3.
            let Some(key) = key(&path) else { continue };
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            files.push(StoredFile { key, path, modified });
        }
        Ok(files)
    }
}

impl Files {
    /// A read-only view of the stored files.
    pub fn inventory(&self) -> Inventory {
        Inventory { root: self.root.clone() }
    }
}

fn bytes(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok(metadata.size()),
        false => Err(io::Error::other("it is not a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_content_addressed_names_are_listed_and_nothing_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = Inventory::open(folder.path()).unwrap();
        assert_eq!(inventory.uploads(0x0f).unwrap(), []);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let hash = "0f".repeat(32);
        std::fs::create_dir_all(folder.path().join("uploads/0f")).unwrap();
        std::fs::create_dir_all(folder.path().join("thumbnails/0f")).unwrap();
        for name in
            [format!("uploads/0f/{hash}.jpg"), "uploads/0f/mine.jpg".into(), format!("thumbnails/0f/{hash}.png")]
        {
            std::fs::write(folder.path().join(name), "12345").unwrap();
        }
        let paths = |files: Vec<StoredFile>| files.into_iter().map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(paths(inventory.uploads(0x0f).unwrap()), [format!("uploads/0f/{hash}.jpg")]);
        assert_eq!(paths(inventory.thumbnails(0x0f).unwrap()), [format!("thumbnails/0f/{hash}.png")]);
        let path = ImagePath::new(&format!("uploads/0f/{hash}.jpg")).unwrap();
        assert_eq!(inventory.original_bytes(&path).unwrap(), 5);
        assert!(Inventory::open(&folder.path().join("none")).is_err());
    }
}
