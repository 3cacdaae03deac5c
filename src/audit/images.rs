//! Compares images with their original, their thumbnails and their thumbnail job.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::report::{Check, Report};
use super::{AuditError, BATCH, Sources};
use crate::db::schema::{asset_references, assets, images, jobs, thumbnails};
use crate::files::{ContentKey, Inventory, ThumbnailName};
use crate::ids::{ImagePath, JobId};
use crate::jobs::JobState;

/// The stored files that have rows.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) originals: Vec<ContentKey>,
    pub(super) thumbnails: Vec<ContentKey>,
}

/// Consecutive images with the rows that belong to them, from one transaction.
struct Batch {
    images: Vec<Image>,
    thumbnails: Vec<(i64, String, i64)>,
    /// The states of their thumbnail jobs.
    jobs: HashMap<JobId, JobState>,
    /// The sizes of their originals as recorded by the warehouse.
    bytes: HashMap<i64, i64>,
}

#[derive(Queryable)]
struct Image {
    id: i64,
    job_id: JobId,
    path: String,
    state: String,
}

/// Compares every image, in batches, and returns the stored files that have rows.
pub(super) async fn compare(sources: &Sources, report: &mut Report) -> Result<Known, AuditError> {
    let (mut known, mut after) = (Known::default(), 0);
    loop {
        let started = Instant::now();
        let batch = sources.database.read(move |connection| read(connection, after)).await?;
        let Some(last) = batch.images.last() else { return Ok(known) };
        after = last.id;
        let inventory = sources.inventory.clone();
        let examined = tokio::task::spawn_blocking(move || examine(&batch, &inventory)).await?;
        examined.merge_into(report, &mut known);
        sources.pause(started.elapsed()).await;
    }
}

fn read(connection: &mut SqliteConnection, after: i64) -> QueryResult<Batch> {
    // In one transaction, because the end of a job changes its image in the same transaction.
    connection.transaction(|connection| {
        let images: Vec<Image> = images::table
            .filter(images::id.gt(after))
            .order(images::id)
            .limit(BATCH)
            .select((images::id, images::job_id, images::path, images::state))
            .load(connection)?;
        let ids: Vec<i64> = images.iter().map(|image| image.id).collect();
        let job_ids: Vec<JobId> = images.iter().map(|image| image.job_id).collect();
        let thumbnails = thumbnails::table
            .filter(thumbnails::image_id.eq_any(&ids))
            .select((thumbnails::image_id, thumbnails::name, thumbnails::bytes))
            .load(connection)?;
        let jobs: Vec<(JobId, JobState)> =
            jobs::table.filter(jobs::id.eq_any(job_ids)).select((jobs::id, jobs::state)).load(connection)?;
        let bytes: Vec<(i64, i64)> = asset_references::table
            .inner_join(assets::table.on(assets::sha256.eq(asset_references::sha256)))
            .filter(asset_references::image_id.eq_any(&ids))
            .select((asset_references::image_id, assets::bytes))
            .load(connection)?;
        Ok(Batch { images, thumbnails, jobs: jobs.into_iter().collect(), bytes: bytes.into_iter().collect() })
    })
}

/// The result of one batch.
#[derive(Default)]
struct Examined {
    report: Report,
    known: Known,
}

impl Examined {
    fn merge_into(self, report: &mut Report, known: &mut Known) {
        for missing in self.report.missing {
            report.add(missing.check, missing.of, missing.detail);
        }
        report.checked.images += self.report.checked.images;
        report.checked.thumbnails += self.report.checked.thumbnails;
        known.originals.extend(self.known.originals);
        known.thumbnails.extend(self.known.thumbnails);
    }
}

fn examine(batch: &Batch, inventory: &Inventory) -> Examined {
    let mut examined = Examined::default();
    let with_thumbnails: HashSet<i64> = batch.thumbnails.iter().map(|(image_id, ..)| *image_id).collect();
    for image in &batch.images {
        let report = &mut examined.report;
        report.checked.images += 1;
        let of = format!("image {}", image.id);
        if let Some(fault) = job_fault(&image.state, batch.jobs.get(&image.job_id).copied()) {
            report.add(Check::Job, of.clone(), format!("job {}: {fault}", image.job_id));
        }
        if image.state == "done" && !with_thumbnails.contains(&image.id) {
            report.add(Check::Thumbnail, of.clone(), "it is done, but no thumbnail is recorded");
        }
        let path = match ImagePath::new(&image.path) {
            Ok(path) => path,
            Err(invalid) => {
                report.add(Check::Original, of, invalid.to_string());
                continue;
            }
        };
        // A file outside of the uploads belongs to its user, who may move or delete it.
        let Some(key) = ContentKey::of_upload(&path) else { continue };
        examined.known.originals.push(key);
        let expected = batch.bytes.get(&image.id).copied();
        if let Some(fault) = file_fault(inventory.original_bytes(&path), expected) {
            report.add(Check::Original, of, format!("{path}: {fault}"));
        }
    }
    for (image_id, name, bytes) in &batch.thumbnails {
        examined.report.checked.thumbnails += 1;
        let (of, detail) = (format!("image {image_id}"), |fault: &str| format!("thumbnail {name}: {fault}"));
        let Ok(parsed) = name.parse::<ThumbnailName>() else {
            examined.report.add(Check::Thumbnail, of, detail("this is not a thumbnail's name"));
            continue;
        };
        examined.known.thumbnails.extend(ContentKey::of_thumbnail(&parsed));
        if let Some(fault) = file_fault(inventory.thumbnail_bytes(&parsed), Some(*bytes)) {
            examined.report.add(Check::Thumbnail, of, detail(&fault));
        }
    }
    examined
}

/// The contradiction between an image and its thumbnail job. A finished job may have been pruned.
fn job_fault(image: &str, job: Option<JobState>) -> Option<String> {
    let is_active = matches!(job, Some(JobState::Queued | JobState::Running));
    match (image, job) {
        ("pending", None) => Some("the image is pending, but there is no such job".to_owned()),
        ("pending", Some(state)) if !is_active => {
            Some(format!("the image is pending, but the job is {}", state.name()))
        }
        ("done" | "failed", Some(state)) if is_active => {
            Some(format!("the image is {image}, but the job is {}", state.name()))
        }
        ("done", Some(JobState::Dead | JobState::Cancelled)) => {
            Some("the image is done, but the job is not".to_owned())
        }
        ("failed", Some(JobState::Done)) => Some("the image is failed, but the job is done".to_owned()),
        _ => None,
    }
}

fn file_fault(found: std::io::Result<u64>, expected: Option<i64>) -> Option<String> {
    match (found, expected.and_then(|bytes| u64::try_from(bytes).ok())) {
        (Err(error), _) if error.kind() == std::io::ErrorKind::NotFound => Some("there is no such file".to_owned()),
        (Err(error), _) => Some(error.to_string()),
        (Ok(found), Some(expected)) if found != expected => Some(format!("it has {found} bytes instead of {expected}")),
        (Ok(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contradiction_between_an_image_and_its_job_is_found() {
        for (image, job) in [
            ("pending", Some(JobState::Queued)),
            ("pending", Some(JobState::Running)),
            ("done", Some(JobState::Done)),
            ("done", None),
            ("failed", Some(JobState::Dead)),
            ("failed", Some(JobState::Cancelled)),
            ("failed", None),
        ] {
            assert_eq!(job_fault(image, job), None, "{image} {job:?}");
        }
        for (image, job) in [
            ("pending", None),
            ("pending", Some(JobState::Done)),
            ("pending", Some(JobState::Dead)),
            ("done", Some(JobState::Queued)),
            ("done", Some(JobState::Dead)),
            ("failed", Some(JobState::Running)),
            ("failed", Some(JobState::Done)),
        ] {
            assert!(job_fault(image, job).is_some(), "{image} {job:?}");
        }
    }

    #[test]
    fn a_file_of_another_size_is_a_fault_if_the_size_is_known() {
        let missing = || Err(std::io::ErrorKind::NotFound.into());
        assert_eq!(file_fault(missing(), None).unwrap(), "there is no such file");
        assert_eq!(file_fault(Ok(5), Some(7)).unwrap(), "it has 5 bytes instead of 7");
        assert_eq!(file_fault(Ok(5), Some(5)), None);
        assert_eq!(file_fault(Ok(5), None), None);
    }
}
