//! Checks the free space for images and for the database.

use std::io;
use std::path::Path;

use super::Finding;
use crate::config::Config;
use crate::db::Location;
use crate::files::{free_bytes_below, why_unusable};

pub(super) fn check(config: &Config, location: &Location) -> Vec<Finding> {
    let required = Required { uploads: config.serve.min_free_bytes, jobs: config.jobs.min_free_bytes };
    let folders = [("image disk", config.images.root.as_path()), ("database disk", location.folder())];
    folders.map(|(subject, folder)| check_folder(subject, folder, free_bytes_below(folder), &required)).into()
}

/// The required free bytes.
struct Required {
    uploads: u64,
    jobs: u64,
}

fn check_folder(subject: &'static str, folder: &Path, free: io::Result<u64>, required: &Required) -> Finding {
    if let Some(reason) = why_unusable(folder) {
        let advice = "set images.root and database.url to folders that m3a3 may write to";
        return Finding::error(subject, format!("{}: {reason}", folder.display()), advice);
    }
    let folder = folder.display();
    match free {
        Ok(free) if free < required.jobs => {
            let required = required.jobs;
            let detail = format!("{free} bytes free below {folder}, {required} required; workers claim no jobs");
            Finding::error(subject, detail, "free space, or lower jobs.min_free_bytes")
        }
        Ok(free) if free >= required.uploads => Finding::ok(subject, format!("{} MiB free below {folder}", free >> 20)),
        Ok(free) => {
            let required = required.uploads;
            let detail = format!("{free} bytes free below {folder}, {required} required; uploads are refused");
            Finding::error(subject, detail, "free space, or lower serve.min_free_bytes")
        }
        Err(error) => Finding::error(subject, format!("{folder}: {error}"), "check images.root and database.url"),
    }
}
