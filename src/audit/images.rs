//! Images with their original, their thumbnails and their thumbnail job.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::report::{Check, Report};
use super::{AuditError, PORTION, Sources};
use crate::db::schema::{asset_references, assets, images, jobs, thumbnails};
use crate::files::{ContentKey, Inventory, ThumbnailName};
use crate::ids::ImagePath;

/// The stored files that rows name.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) originals: Vec<ContentKey>,
    pub(super) thumbnails: Vec<ContentKey>,
}

/// Consecutive images, and the rows that belong to them, from one transaction.
struct Portion {
    images: Vec<Image>,
    thumbnails: Vec<(i64, String, i64)>,
    /// The states of their thumbnail jobs, by the job's id.
    jobs: HashMap<String, String>,
    /// The sizes of their originals as the warehouse has recorded them.
    bytes: HashMap<i64, i64>,
}

#[derive(Queryable)]
struct Image {
    id: i64,
    job_id: String,
    path: String,
    state: String,
}

/// Compares every image, in portions, and returns which stored files have rows.
pub(super) async fn compare(sources: &Sources, report: &mut Report) -> Result<Known, AuditError> {
    let (mut known, mut after) = (Known::default(), 0);
    loop {
        let started = Instant::now();
        let portion = sources.database.read(move |connection| read(connection, after)).await?;
        let Some(last) = portion.images.last() else { return Ok(known) };
        after = last.id;
        let inventory = sources.inventory.clone();
        let portion_report = tokio::task::spawn_blocking(move || examine(&portion, &inventory)).await?;
        portion_report.merge_into(report, &mut known);
        sources.pause(started.elapsed()).await;
    }
}

fn read(connection: &mut SqliteConnection, after: i64) -> QueryResult<Portion> {
    // One snapshot: a job that ends changes its image in the same transaction.
    connection.transaction(|connection| {
        let images: Vec<Image> = images::table
            .filter(images::id.gt(after))
            .order(images::id)
            .limit(PORTION)
            .select((images::id, images::job_id, images::path, images::state))
            .load(connection)?;
        let ids: Vec<i64> = images.iter().map(|image| image.id).collect();
        let job_ids: Vec<&str> = images.iter().map(|image| image.job_id.as_str()).collect();
        let thumbnails = thumbnails::table
            .filter(thumbnails::image_id.eq_any(&ids))
            .select((thumbnails::image_id, thumbnails::name, thumbnails::bytes))
            .load(connection)?;
        let jobs: Vec<(String, String)> =
            jobs::table.filter(jobs::id.eq_any(job_ids)).select((jobs::id, jobs::state)).load(connection)?;
        let bytes: Vec<(i64, i64)> = asset_references::table
            .inner_join(assets::table.on(assets::sha256.eq(asset_references::sha256)))
            .filter(asset_references::image_id.eq_any(&ids))
            .select((asset_references::image_id, assets::bytes))
            .load(connection)?;
        Ok(Portion { images, thumbnails, jobs: jobs.into_iter().collect(), bytes: bytes.into_iter().collect() })
    })
}

/// What one portion came to.
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

fn examine(portion: &Portion, inventory: &Inventory) -> Examined {
    let mut examined = Examined::default();
    let with_thumbnails: HashSet<i64> = portion.thumbnails.iter().map(|(image_id, ..)| *image_id).collect();
    for image in &portion.images {
        let report = &mut examined.report;
        report.checked.images += 1;
        let of = format!("image {}", image.id);
        if let Some(fault) = job_fault(&image.state, portion.jobs.get(&image.job_id).map(String::as_str)) {
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
        // A file that is its owner's may be moved or removed as the owner likes.
        let Some(key) = ContentKey::of_upload(&path) else { continue };
        examined.known.originals.push(key);
        let expected = portion.bytes.get(&image.id).copied();
        if let Some(fault) = file_fault(inventory.original_bytes(&path), expected) {
            report.add(Check::Original, of, format!("{path}: {fault}"));
        }
    }
    for (image_id, name, bytes) in &portion.thumbnails {
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

/// What is wrong between an image and its thumbnail job; a job that has ended may have been removed.
fn job_fault(image: &str, job: Option<&str>) -> Option<String> {
    let is_active = matches!(job, Some("queued" | "running"));
    match (image, job) {
        ("pending", None) => Some("the image is pending, but there is no such job".to_owned()),
        ("pending", Some(state)) if !is_active => Some(format!("the image is pending, but the job is {state}")),
        ("done" | "failed", Some(state)) if is_active => Some(format!("the image is {image}, but the job is {state}")),
        ("done", Some("dead" | "cancelled")) => Some("the image is done, but the job is not".to_owned()),
        ("failed", Some("done")) => Some("the image is failed, but the job is done".to_owned()),
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
    fn an_image_and_its_job_agree_or_the_fault_is_named() {
        for (image, job) in [
            ("pending", Some("queued")),
            ("pending", Some("running")),
            ("done", Some("done")),
            ("done", None),
            ("failed", Some("dead")),
            ("failed", Some("cancelled")),
            ("failed", None),
        ] {
            assert_eq!(job_fault(image, job), None, "{image} {job:?}");
        }
        for (image, job) in [
            ("pending", None),
            ("pending", Some("done")),
            ("pending", Some("dead")),
            ("done", Some("queued")),
            ("done", Some("dead")),
            ("failed", Some("running")),
            ("failed", Some("done")),
        ] {
            assert!(job_fault(image, job).is_some(), "{image} {job:?}");
        }
    }

    #[test]
    fn a_file_of_another_size_is_a_fault_where_the_size_is_known() {
        let missing = || Err(std::io::ErrorKind::NotFound.into());
        assert_eq!(file_fault(missing(), None).unwrap(), "there is no such file");
        assert_eq!(file_fault(Ok(5), Some(7)).unwrap(), "it has 5 bytes instead of 7");
        assert_eq!(file_fault(Ok(5), Some(5)), None);
        assert_eq!(file_fault(Ok(5), None), None);
    }
}
