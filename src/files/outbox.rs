//! Mail that is stored in files because no mail server is configured.

use std::io;
use std::path::{Path, PathBuf};

use super::temporary::Temporary;
use crate::ids::JobId;

/// The folder for unsent mail.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Creates the folder, and removes temporary files of crashed processes.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        Temporary::remove_leftovers(&folder)?;
        Ok(Self { folder })
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Durably stores the mail of a job as `{job id}.eml`, readable only by the user of the process. A job that is
    /// repeated replaces its file.
    ///
    /// # Errors
    /// If it cannot be written.
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
    fn a_repeated_job_replaces_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path().join("outbox")).unwrap();
        let job = JobId::generate();
        outbox.keep(job, b"first").unwrap();
        outbox.keep(job, b"other").unwrap();
        let kept = std::fs::read(outbox.folder().join(format!("{job}.eml"))).unwrap();
        assert_eq!(kept, b"other", "the address may have changed");
        let file = outbox.folder().join(format!("{job}.eml"));
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file).unwrap());
        assert_eq!(mode & 0o777, 0o600, "it contains addresses");
        let names: Vec<_> =
            std::fs::read_dir(outbox.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "one mail and the folder for temporary files: {names:?}");
    }
}
