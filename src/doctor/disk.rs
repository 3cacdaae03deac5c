//! The disks: is there room for pictures and for the database?

use std::io;
use std::path::Path;

use super::Finding;
use crate::config::Config;
use crate::db::Location;
use crate::files::{free_bytes_below, why_unusable};

pub(super) fn check(config: &Config, location: &Location) -> Vec<Finding> {
    let wanted = Wanted { uploads: config.serve.min_free_bytes, jobs: config.jobs.min_free_bytes };
    let places = [("pictures' disk", config.images.root.as_path()), ("database disk", location.folder())];
    places.map(|(what, folder)| judge(what, folder, free_bytes_below(folder), &wanted)).into()
}

/// How many bytes have to be free.
struct Wanted {
    uploads: u64,
    jobs: u64,
}

fn judge(what: &'static str, folder: &Path, free: io::Result<u64>, wanted: &Wanted) -> Finding {
    if let Some(reason) = why_unusable(folder) {
        let advice = "name a folder that m3a3 may write to in images.root and database.url";
        return Finding::error(what, format!("{}: {reason}", folder.display()), advice);
    }
    let folder = folder.display();
    match free {
        Ok(free) if free < wanted.jobs => {
            let detail = format!("{free} bytes free below {folder}, {} are wanted; workers take no jobs", wanted.jobs);
            Finding::error(what, detail, "make room, or lower jobs.min_free_bytes")
        }
        Ok(free) if free >= wanted.uploads => Finding::ok(what, format!("{} MiB free below {folder}", free >> 20)),
        Ok(free) => {
            let detail =
                format!("{free} bytes free below {folder}, {} are wanted; uploads are refused", wanted.uploads);
            Finding::error(what, detail, "make room, or lower serve.min_free_bytes")
        }
        Err(error) => Finding::error(what, format!("{folder}: {error}"), "check images.root and database.url"),
    }
}
