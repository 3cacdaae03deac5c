//! Compares stored files with their rows.

use std::time::{Duration, Instant, SystemTime};

use super::images::Known;
use super::report::{Check, Report};
use super::{AuditError, Sources};
use crate::files::{ContentKey, FOLDERS, StoredFile};

/// A younger original without a row is left over from an upload that was refused or interrupted, which a sweep deletes
/// after a day. An older one has lost its row.
const LEFTOVER_AGE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Compares every stored file, folder by folder.
pub(super) async fn compare(sources: &Sources, mut known: Known, report: &mut Report) -> Result<(), AuditError> {
    known.originals.sort_unstable();
    known.thumbnails.sort_unstable();
    let now = SystemTime::now();
    for folder in FOLDERS {
        let started = Instant::now();
        let inventory = sources.inventory.clone();
        let listed =
            tokio::task::spawn_blocking(move || Ok((inventory.uploads(folder)?, inventory.thumbnails(folder)?)));
        let (originals, thumbnails) = listed.await?.map_err(AuditError::Files)?;
        report.checked.files += (originals.len() + thumbnails.len()) as u64;
        report.leftovers.thumbnails += without_row(&thumbnails, &known.thumbnails).count() as u64;
        for file in without_row(&originals, &known.originals) {
            match is_leftover(file.modified, now) {
                true => report.leftovers.originals += 1,
                false => report.add(Check::Row, file.path.clone(), "no image has this original"),
            }
        }
        sources.pause(started.elapsed()).await;
    }
    Ok(())
}

fn without_row<'a>(files: &'a [StoredFile], known: &'a [ContentKey]) -> impl Iterator<Item = &'a StoredFile> {
    files.iter().filter(|file| known.binary_search(&file.key).is_err())
}

fn is_leftover(modified: Option<SystemTime>, now: SystemTime) -> bool {
    modified.and_then(|modified| now.duration_since(modified).ok()).is_none_or(|age| age < LEFTOVER_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_original_has_lost_its_row() {
        let now = SystemTime::now();
        assert!(is_leftover(Some(now - Duration::from_secs(60)), now));
        assert!(is_leftover(Some(now + Duration::from_secs(60)), now), "the clock was set back");
        assert!(is_leftover(None, now), "it was just deleted");
        assert!(!is_leftover(Some(now - LEFTOVER_AGE), now));
    }
}
