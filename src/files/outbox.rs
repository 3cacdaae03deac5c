//! Mail that is kept in files because there is no server to hand it to.

use std::io;
use std::path::{Path, PathBuf};

use super::temporary::Temporary;
use crate::ids::JobId;

/// The folder of these files.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Makes the folder, and removes what a crash left half written in it.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        Temporary::remove_leftovers(&folder)?;
        Ok(Self { folder })
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores the mail of a job durably, as `{job id}.eml`, for nobody but the owner of the process. A repeat of the job leaves one file. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, job: JobId, mail: &[u8]) -> io::Result<()> {
        let mut file = Temporary::create_private(&self.folder)?;
        file.write(mail)?;
        file.replace(&format!("{job}.eml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_one_file_however_often_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path().join("outbox")).unwrap();
        let job = JobId::generate();
        outbox.keep(job, b"first").unwrap();
        outbox.keep(job, b"other").unwrap();
        let kept = std::fs::read(outbox.folder().join(format!("{job}.eml"))).unwrap();
        assert_eq!(kept, b"other", "the address may be another one by now");
        let file = outbox.folder().join(format!("{job}.eml"));
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file).unwrap());
        assert_eq!(mode & 0o777, 0o600, "it holds addresses");
        let names: Vec<_> =
            std::fs::read_dir(outbox.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "one mail and the folder for temporary files: {names:?}");
    }
}
