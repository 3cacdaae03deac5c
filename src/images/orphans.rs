//! Removal of uploads without a row: at once if their request is refused after their file was stored; later those of
//! crashes between the file and the row.
//!
//! An upload whose row is about to be inserted never loses its file. Uploading the same image again renews its age, and
//! only files older than [`MIN_AGE`] are removed. A file is unlinked within a write transaction that has found no row
//! with its path, and a request checks in its own write transaction that the file exists; write transactions exclude
//! each other, in all processes.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::store::{self, Submission};
use crate::db::{Database, DbError};
use crate::files::{Discarded, Files};
use crate::ids::ImagePath;

/// The time between sweeps.
const INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);
/// The minimum age of an upload to be removed.
const MIN_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of candidates per pass over all rows.
const MAX_CANDIDATES: usize = 100_000;
/// The number of rows per query.
const ROWS: i64 = 10_000;
/// The number of uploads per transaction, so that other writers are not blocked.
const BATCH: usize = 32;
/// More orphans than this are not removed if they outnumber the uploads with a row: it may be another database, or an
/// old copy.
const MAX_UNEXPLAINED: usize = 100;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the uploads cannot be listed or moved: {0}")]
    Files(#[from] io::Error),
}

/// Removes orphans at the start and every few hours, until the shutdown.
pub(crate) async fn keep_removing_orphans(database: Database, files: Files, shutdown: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sweep = Sweep { database, files };
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        match shutdown.run_until_cancelled(sweep.run()).await {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(removed)) => tracing::info!(removed, "removed uploads without a row"),
            Some(Err(error)) => tracing::warn!(error = %error, "cannot remove uploads without a row"),
        }
    }
}

/// Unlinks the file that a refused upload has created, within the transaction that refuses it: otherwise the refused
/// uploads of a day could fill the disk. A simultaneous upload of the same bytes that has no row yet then finds no file,
/// and is to be sent again.
pub(super) fn discard_refused(
    connection: &mut SqliteConnection,
    files: &Files,
    submission: &Submission,
) -> QueryResult<Option<Discarded>> {
    let Some(newest) = submission.created_after else { return Ok(None) };
    if !store::referenced_after(connection, newest, std::slice::from_ref(&submission.path))?.is_empty() {
        return Ok(None);
    }
    // A file that cannot be moved is left to a later sweep.
    Ok(files.discard_upload(&submission.path, Duration::ZERO).unwrap_or_default())
}

struct Sweep {
    database: Database,
    files: Files,
}

impl Sweep {
    /// Checks all uploads, and returns the number of removed ones.
    async fn run(&self) -> Result<usize, SweepError> {
        let (mut candidates, mut removed) = (HashSet::new(), 0);
        for part in Files::upload_parts() {
            let files = self.files.clone();
            candidates.extend(blocking(move || files.unused_uploads(part, MIN_AGE)).await?);
            if candidates.len() >= MAX_CANDIDATES {
                removed += self.remove_orphans(std::mem::take(&mut candidates)).await?;
            }
        }
        Ok(removed + self.remove_orphans(candidates).await?)
    }

    async fn remove_orphans(&self, mut candidates: HashSet<ImagePath>) -> Result<usize, SweepError> {
        if candidates.is_empty() {
            return Ok(0);
        }
        let examined = candidates.len();
        let last_row = self.remove_referenced(&mut candidates).await?;
        let referenced = examined - candidates.len();
        if candidates.len() > MAX_UNEXPLAINED.max(referenced) {
            let (orphans, uploads) = (candidates.len(), examined);
            tracing::warn!(orphans, uploads, "most uploads have no row, so none is removed (is this their database?)");
            return Ok(0);
        }
        let orphans: Vec<ImagePath> = candidates.into_iter().collect();
        let mut removed = 0;
        for batch in orphans.chunks(BATCH) {
            removed += self.remove(batch.to_vec(), last_row).await?;
        }
        Ok(removed)
    }

    /// Removes candidates with a row from the set. Returns the id of the last row that was read; later rows have higher
    /// ids.
    async fn remove_referenced(&self, candidates: &mut HashSet<ImagePath>) -> Result<i64, DbError> {
        let mut last_row = 0;
        loop {
            let rows = self.database.read(move |connection| store::paths_after(connection, last_row, ROWS)).await?;
            let Some((id, _)) = rows.last() else { return Ok(last_row) };
            last_row = *id;
            for (_, path) in &rows {
                candidates.remove(path.as_str());
            }
        }
    }

    async fn remove(&self, orphans: Vec<ImagePath>, last_row: i64) -> Result<usize, SweepError> {
        let files = self.files.clone();
        let discarded = self.database.write(move |connection| {
            let referenced = store::referenced_after(connection, last_row, &orphans)?;
            let orphans = orphans.iter().filter(|path| !referenced.iter().any(|other| other == path.as_str()));
            let discarded = orphans.filter_map(|path| files.discard_upload(path, MIN_AGE).transpose());
            Ok(discarded.collect::<Vec<_>>())
        });
        let discarded = discarded.await?;
        let removed = blocking(move || {
            let (mut removed, mut failed) = (0, None);
            for discarded in discarded {
                match discarded {
                    Ok(discarded) => {
                        discarded.remove();
                        removed += 1;
                    }
                    Err(error) => failed = Some(error),
                }
            }
            failed.map_or(Ok(removed), Err)
        });
        Ok(removed.await?)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;
    use crate::db::{Location, WriterThread};
    use crate::ids::UserId;
    use crate::job_payloads::MailPreferences;

    struct Lab {
        root: TempDir,
        sweep: Sweep,
        _writer: WriterThread,
    }

    impl Lab {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let (database, writer) = Database::open(&Location::new(root.path().join("m3a3.db"))).unwrap();
            let files = Files::open(root.path()).unwrap();
            Self { root, sweep: Sweep { database, files }, _writer: writer }
        }

        /// Uploads above the minimum age.
        fn uploads(&self, count: u8) -> Vec<ImagePath> {
            let upload = |n: u8| {
                let hash = format!("{n:02x}").repeat(32);
                let path = ImagePath::new(&format!("uploads/{n:02x}/{hash}.jpg")).unwrap();
                std::fs::write(self.at(&path), [n]).unwrap();
                self.date(&path, SystemTime::now() - 2 * MIN_AGE);
                path
            };
            (0..count).map(upload).collect()
        }

        fn at(&self, path: &ImagePath) -> std::path::PathBuf {
            self.root.path().join(path.as_str())
        }

        fn date(&self, path: &ImagePath, modified: SystemTime) {
            File::options().write(true).open(self.at(path)).unwrap().set_modified(modified).unwrap();
        }

        async fn accept(&self, path: &ImagePath) {
            let submission = submission(path);
            self.sweep.database.write(move |connection| store::accept(connection, &submission)).await.unwrap();
        }
    }

    fn submission(path: &ImagePath) -> Submission {
        Submission {
            user_id: UserId::new(1).unwrap(),
            path: path.clone(),
            original_name: None,
            key: None,
            from_message: false,
            mail: MailPreferences::all(),
            trace: None,
            bytes: 1,
            created_after: None,
        }
    }

    #[tokio::test]
    async fn an_upload_is_kept_if_it_gets_a_row_or_is_repeated_after_the_rows_were_read() {
        let lab = Lab::new();
        let uploads = lab.uploads(4);
        let [with_row, orphan, late_row, again] = uploads.as_slice() else { unreachable!() };
        lab.accept(with_row).await;
        let mut candidates = uploads.iter().cloned().collect();
        let last_row = lab.sweep.remove_referenced(&mut candidates).await.unwrap();
        assert_eq!(candidates, [orphan, late_row, again].into_iter().cloned().collect());
        lab.accept(late_row).await;
        lab.date(again, SystemTime::now());
        assert_eq!(lab.sweep.remove(candidates.into_iter().collect(), last_row).await.unwrap(), 1);
        let left = uploads.iter().filter(|path| lab.at(path).exists()).collect::<Vec<_>>();
        assert_eq!(left, [with_row, late_row, again]);
    }

    #[tokio::test]
    async fn a_refused_upload_removes_its_file_unless_it_was_there_before_or_another_upload_uses_it() {
        let lab = Lab::new();
        let uploads = lab.uploads(3);
        let [used, new, old] = uploads.as_slice() else { unreachable!() };
        lab.accept(used).await;
        for (path, created_after) in [(used, Some(0)), (new, Some(0)), (old, None)] {
            let submission = Submission { created_after, ..submission(path) };
            let files = lab.sweep.files.clone();
            let refuse = move |connection: &mut _| discard_refused(connection, &files, &submission);
            drop(lab.sweep.database.write(refuse).await.unwrap());
        }
        assert_eq!([used, new, old].map(|path| lab.at(path).exists()), [true, false, true]);
    }

    #[tokio::test]
    async fn nothing_is_removed_if_most_uploads_have_no_row() {
        let lab = Lab::new();
        let uploads = lab.uploads(150);
        lab.accept(&uploads[0]).await;
        assert_eq!(lab.sweep.run().await.unwrap(), 0);
        for path in &uploads[1..80] {
            lab.accept(path).await;
        }
        assert_eq!(lab.sweep.run().await.unwrap(), 70);
        assert!(uploads[..80].iter().all(|path| lab.at(path).exists()));
    }
}
