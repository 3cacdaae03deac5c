//! Removal of old uploads, in two steps, so that the first one is short enough for a transaction.

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::UPLOADS;
use super::root::Root;
use super::temporary::Temporary;
use super::upload::hash_in_name;
use crate::ids::ImagePath;

/// An unlinked upload. Dropping it removes its bytes, which blocks. After a crash, the next start removes it.
#[derive(Debug)]
#[must_use]
pub struct Discarded(PathBuf);

impl Discarded {
    /// Removes its bytes.
    pub fn remove(self) {}
}

impl Drop for Discarded {
    fn drop(&mut self) {
        // It fails if the start of another process has removed it as a leftover of a crash.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The uploads in one of the 256 folders that have not been uploaded, or uploaded again, within `age`.
pub(super) fn unused(root: &Root, part: u8, age: Duration) -> io::Result<Vec<ImagePath>> {
    let folder = format!("{UPLOADS}/{part:02x}");
    let entries = match std::fs::read_dir(root.path().join(&folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut unused = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{folder}/{name}");
        let is_unused = || entry.metadata().is_ok_and(|metadata| is_unused(&metadata, age));
        if hash_in_name(&path).is_some() && is_unused() {
            unused.extend(ImagePath::new(&path));
        }
    }
    Ok(unused)
}

/// Moves an upload to a temporary name, to be deleted after the transaction, unless it has been uploaded again within
/// `age`.
pub(super) fn discard(root: &Root, path: &ImagePath, age: Duration) -> io::Result<Option<Discarded>> {
    let named = root.path().join(path.as_str());
    match std::fs::symlink_metadata(&named) {
        Ok(metadata) if is_unused(&metadata, age) && hash_in_name(path.as_str()).is_some() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => return Ok(None),
    }
    let discarded = Temporary::unused_name(&root.path().join(UPLOADS));
    std::fs::rename(named, &discarded)?;
    Ok(Some(Discarded(discarded)))
}

/// By the modification time, which uploading the same bytes renews. A time in the future counts as young.
fn is_unused(metadata: &Metadata, age: Duration) -> bool {
    let since = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    metadata.is_file() && since.is_some_and(|since| since >= age)
}
