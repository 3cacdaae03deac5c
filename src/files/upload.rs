//! Uploads: streamed to the disk, hashed, and named by their content.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::space::{Reservation, WriteError};
use super::temporary::{Reuse, Temporary};
use super::{UPLOADS, hex};
use crate::ids::ImagePath;

/// The buffer size before a write, each of which costs a switch to a blocking thread.
const GATHER_BYTES: usize = 512 << 10;

const HASH_DIGITS: usize = 64;
/// Uploads are spread over folders by the first digits of their hash.
const FOLDER_DIGITS: usize = 2;

/// An upload in progress. Dropping it removes its file.
#[derive(Debug)]
pub struct Upload {
    /// `None` only while a blocking thread uses it, and after an error there.
    written: Option<Written>,
    received: u64,
}

#[derive(Debug)]
struct Written {
    folder: PathBuf,
    /// `None` until the first write.
    temporary: Option<Temporary>,
    hash: Sha256,
    room: Reservation,
    /// Received, but not yet in the file. The bytes are copied: a slice would keep the whole buffer that the connection
    /// has read it into, which is thousands of times larger than the chunks that a client may choose.
    gathered: Vec<u8>,
}

/// An upload whose last byte is in its file, which is not durable yet. Dropping it removes the file.
#[derive(Debug)]
pub struct CompleteUpload {
    temporary: Temporary,
    room: Reservation,
    sha256: String,
    bytes: u64,
}

/// A stored upload: durable, named by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The path below the image root.
    pub path: ImagePath,
    /// Whether no file had this content before. Several simultaneous uploads may find none.
    pub is_new: bool,
}

impl Upload {
    pub(super) fn new(folder: PathBuf, room: Reservation) -> Self {
        let written = Written { folder, temporary: None, hash: Sha256::new(), room, gathered: Vec::new() };
        Self { written: Some(written), received: 0 }
    }

    /// The number of bytes so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Appends bytes. Not cancel safe: after a cancelled call, the upload can only be dropped.
    ///
    /// # Errors
    /// If they cannot be written, or the disk is full.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), WriteError> {
        let gathered = self.written.as_ref().ok_or_else(interrupted)?.gathered.len();
        if gathered + chunk.len() > GATHER_BYTES {
            self.write_gathered().await?;
        }
        self.written.as_mut().ok_or_else(interrupted)?.gather(chunk);
        self.received += chunk.len() as u64;
        Ok(())
    }

    /// Ends the upload, and reads its file from the start with `look`, on a blocking thread.
    ///
    /// # Errors
    /// If the file cannot be written or read.
    pub async fn finish<T, F>(mut self, look: F) -> Result<(CompleteUpload, T), WriteError>
    where
        T: Send + 'static,
        F: FnOnce(BufReader<&File>) -> T + Send + 'static,
    {
        let mut written = self.written.take().ok_or_else(interrupted)?;
        let bytes = self.received;
        blocking(move || {
            written.write_gathered()?;
            let Written { temporary, hash, room, .. } = written;
            let temporary = temporary.ok_or_else(interrupted)?;
            let mut file = temporary.file();
            file.rewind()?;
            let seen = look(BufReader::new(file));
            Ok((CompleteUpload { temporary, room, sha256: hex(&hash.finalize()), bytes }, seen))
        })
        .await
    }

    /// Writes the buffer on a blocking thread.
    async fn write_gathered(&mut self) -> Result<(), WriteError> {
        let mut written = self.written.take().ok_or_else(interrupted)?;
        let written = blocking(move || {
            written.write_gathered()?;
            Ok(written)
        });
        self.written = Some(written.await?);
        Ok(())
    }
}

impl CompleteUpload {
    /// The SHA-256 of its bytes, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The number of its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the upload durable, and names it by its content; `extension` has no dot.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn store(self, extension: &'static str) -> Result<Stored, WriteError> {
        blocking(move || {
            let Self { temporary, room, sha256, .. } = self;
            let relative = format!("{}/{sha256}.{extension}", &sha256[..FOLDER_DIGITS]);
            let is_new = temporary.persist(&relative, Reuse::Renew)?;
            drop(room);
            let path = ImagePath::new(&format!("{UPLOADS}/{relative}")).map_err(io::Error::other)?;
            Ok(Stored { path, is_new })
        })
        .await
    }
}

impl Written {
    fn gather(&mut self, chunk: &[u8]) {
        if self.gathered.capacity() == 0 {
            // A buffer that grows is copied.
            let expected = usize::try_from(self.room.left()).unwrap_or(GATHER_BYTES);
            self.gathered.reserve(expected.min(GATHER_BYTES));
        }
        self.gathered.extend_from_slice(chunk);
    }

    fn write_gathered(&mut self) -> Result<(), WriteError> {
        let temporary = match &mut self.temporary {
            Some(temporary) => temporary,
            none => none.insert(Temporary::create(&self.folder)?),
        };
        temporary.write(&self.gathered)?;
        self.hash.update(&self.gathered);
        self.room.written(self.gathered.len() as u64)?;
        self.gathered.clear();
        Ok(())
    }
}

/// The first bytes of all hashes; each has a folder.
pub(super) fn parts() -> impl Iterator<Item = u8> {
    0..=u8::MAX
}

/// The SHA-256 in the path of an upload; `None` for other paths.
pub(super) fn stored_hash(path: &ImagePath) -> Option<&str> {
    hash_in_name(path.as_str())
}

/// As [`stored_hash`], for text.
pub(super) fn hash_in_name(path: &str) -> Option<&str> {
    let (folder, file) = path.strip_prefix(UPLOADS)?.strip_prefix('/')?.split_once('/')?;
    let (hash, _) = file.split_once('.')?;
    let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash && *folder == hash[..FOLDER_DIGITS]).then_some(hash)
}

fn interrupted() -> WriteError {
    WriteError::Failed(io::Error::other("an earlier write of this upload failed"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(WriteError::Failed(io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_with_a_content_hash_belong_to_uploads() {
        let hash = "0f".repeat(32);
        let stored = |path: String| hash_in_name(&path).map(str::to_owned);
        assert_eq!(stored(format!("uploads/0f/{hash}.jpg")), Some(hash.clone()));
        for other in [
            format!("uploads/0e/{hash}.jpg"),
            format!("uploads/{hash}.jpg"),
            format!("photos/0f/{hash}.jpg"),
            format!("uploads/0f/{hash}"),
            format!("uploads/0F/{}.jpg", hash.to_uppercase()),
            format!("uploads/0f/{}.jpg", &hash[1..]),
            "uploads/thumbs/1.jpg".to_owned(),
        ] {
            assert_eq!(stored(other.clone()), None, "{other}");
        }
    }
}
