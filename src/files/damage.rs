//! Damaged uploads: files whose bytes no longer match the hash in their name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::original::{Original, Version};
use super::root::Root;
use super::upload::{hash_in_name, parts};
use super::{UPLOADS, hex};
use crate::ids::ImagePath;

/// The folder for damaged uploads, below [`UPLOADS`]. They stay there until an operator removes them.
const QUARANTINE: &str = ".damaged";

/// The limits of [`sample_uploads`]: the number of files, and the bytes after which no further file is read.
const SAMPLED_FILES: usize = 32;
const SAMPLED_FILES_PER_PART: usize = 4;
const SAMPLED_BYTES: u64 = 64 << 20;

const HASHED_BYTES: usize = 64 << 10;

/// The SHA-256 of the rest of a stream, in hex.
pub(crate) fn sha256(mut from: impl Read) -> io::Result<String> {
    let (mut hash, mut part) = (Sha256::new(), vec![0; HASHED_BYTES]);
    loop {
        match from.read(&mut part) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => hash.update(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Moves a damaged upload to quarantine, unless another file has taken its name since it was opened.
pub(super) fn quarantine(root: &Root, path: &ImagePath, damaged: &Original) -> io::Result<bool> {
    let at = root.path().join(path.as_str());
    let (Some(name), true) = (at.file_name(), damaged.sha256().is_some()) else { return Ok(false) };
    match std::fs::symlink_metadata(&at) {
        Ok(now) if Version::of(&now) == damaged.version() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => return Ok(false),
    }
    let folder = root.path().join(UPLOADS).join(QUARANTINE);
    std::fs::create_dir_all(&folder)?;
    std::fs::rename(&at, folder.join(name))?;
    Ok(true)
}

/// The result of [`sample_uploads`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The number of files with the right hash.
    pub intact: usize,
    /// Files with a wrong hash, by their path below the root.
    pub damaged: Vec<String>,
    /// The first file that could not be read, with the error.
    pub unreadable: Option<String>,
    /// The number of files in quarantine.
    pub quarantined: usize,
}

/// Hashes a sample of the uploads below a root, which need not exist. Changes nothing.
///
/// # Errors
/// If a folder cannot be read.
pub fn sample_uploads(root: &Path) -> io::Result<Sample> {
    let mut sample = Sample { quarantined: names(&root.join(UPLOADS).join(QUARANTINE))?.len(), ..Sample::default() };
    let (mut files, mut bytes) = (0, 0);
    let first: u8 = rand::random();
    for part in parts().map(|part| part.wrapping_add(first)) {
        let folder = format!("{UPLOADS}/{part:02x}");
        for name in names(&root.join(&folder))?.into_iter().take(SAMPLED_FILES_PER_PART) {
            let path = format!("{folder}/{name}");
            let Some(expected) = hash_in_name(&path) else { continue };
            if files == SAMPLED_FILES || bytes >= SAMPLED_BYTES {
                return Ok(sample);
            }
            let opened = File::open(root.join(&path));
            let hashed = opened.and_then(|file| {
                bytes += file.metadata()?.len();
                sha256(file)
            });
            files += 1;
            match hashed {
                Ok(hash) if hash == expected => sample.intact += 1,
                Ok(_) => sample.damaged.push(path),
                // It was moved or removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => sample.unreadable = sample.unreadable.or_else(|| Some(format!("{path}: {error}"))),
            }
        }
    }
    Ok(sample)
}

/// The names in a folder; none if it does not exist.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Files;

    /// A root with an upload of these bytes, and the upload's path.
    fn upload(bytes: &[u8]) -> (tempfile::TempDir, Files, ImagePath) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let hash = sha256(bytes).unwrap();
        let path = format!("{UPLOADS}/{}/{hash}.jpg", &hash[..2]);
        std::fs::write(folder.path().join(&path), bytes).unwrap();
        (folder, files, ImagePath::new(&path).unwrap())
    }

    #[test]
    fn an_upload_whose_bytes_do_not_match_its_name_is_damaged() {
        let (folder, files, path) = upload(b"picture");
        let is_damaged = || files.open_original(&path, 100).unwrap().is_damaged().unwrap();
        assert!(!is_damaged());
        for damaged in ["pictXre", "pic", ""] {
            std::fs::write(folder.path().join(path.as_str()), damaged).unwrap();
            assert!(is_damaged(), "{damaged:?}");
        }
        std::fs::write(folder.path().join("photo.jpg"), b"anything").unwrap();
        let own = ImagePath::new("photo.jpg").unwrap();
        assert!(!files.open_original(&own, 100).unwrap().is_damaged().unwrap(), "its owner's file may be anything");
    }

    #[test]
    fn only_the_damaged_file_is_moved_to_quarantine() {
        let (folder, files, path) = upload(b"picture");
        let at = folder.path().join(path.as_str());
        std::fs::write(&at, b"pictXre").unwrap();
        let damaged = files.open_original(&path, 100).unwrap();
        let good = folder.path().join("good");
        std::fs::write(&good, b"picture").unwrap();
        std::fs::rename(&good, &at).unwrap();
        assert!(!files.quarantine(&path, &damaged).unwrap());
        assert_eq!(std::fs::read(&at).unwrap(), b"picture", "the good bytes that were uploaded since are kept");

        std::fs::write(&at, b"pictXre").unwrap();
        let damaged = files.open_original(&path, 100).unwrap();
        assert!(files.quarantine(&path, &damaged).unwrap());
        assert!(!at.exists());
        assert!(!files.quarantine(&path, &damaged).unwrap(), "another worker was first");
        assert_eq!(sample_uploads(folder.path()).unwrap().quarantined, 1);
    }

    #[test]
    fn a_sample_finds_intact_and_damaged_uploads() {
        let (folder, _, path) = upload(b"picture");
        let sample = || sample_uploads(folder.path()).unwrap();
        assert_eq!(sample(), Sample { intact: 1, ..Sample::default() });
        std::fs::write(folder.path().join(path.as_str()), b"pictXre").unwrap();
        assert_eq!(sample(), Sample { damaged: vec![path.to_string()], ..Sample::default() });
        assert_eq!(sample_uploads(Path::new("/nowhere")).unwrap(), Sample::default());
    }
}
