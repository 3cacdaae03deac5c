//! Retries, leases and limits of the jobs that this process runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::runtime::drain;
use crate::config::Config;
use crate::db::Location;
use crate::files::free_bytes_below;
use crate::jobs::{ClaimGuard, Policy, WorkerLock};

/// The longest wait between two attempts of a job.
const RETRY_CAP: Duration = Duration::from_secs(60 * 60);
/// Attempts and longest wait of jobs that depend on a remote server. It may be down for long: twenty attempts, up to
/// six hours apart, span about a day.
const REMOTE_ATTEMPTS: i32 = 20;
const REMOTE_RETRY_CAP: Duration = Duration::from_secs(6 * 60 * 60);

/// The policy of jobs that need nothing but this machine; `time_limit` is the limit of one attempt.
pub(crate) fn local(config: &Config, time_limit: Duration) -> Policy {
    Policy {
        lease: config.jobs.lease,
        sweep_interval: config.jobs.sweep_interval,
        max_attempts: i32::try_from(config.jobs.max_attempts).unwrap_or(i32::MAX),
        retry_base: config.jobs.retry_base,
        retry_cap: RETRY_CAP,
        drain: drain(config),
        time_limit,
    }
}

/// The policy of jobs that call a remote server.
pub(crate) fn remote(config: &Config, time_limit: Duration) -> Policy {
    Policy { max_attempts: REMOTE_ATTEMPTS, retry_cap: REMOTE_RETRY_CAP, ..local(config, time_limit) }
}

/// Keeps a worker from claiming jobs while a disk below these folders is full.
pub(crate) fn disk_guard(config: &Config, folders: Vec<PathBuf>) -> ClaimGuard {
    let wanted = config.jobs.min_free_bytes;
    Arc::new(move || {
        // A file system that does not report its free space counts as free: a full one then fails the job.
        let is_full = |folder: &&PathBuf| free_bytes_below(folder).is_ok_and(|free| free < wanted);
        let full = folders.iter().find(is_full)?;
        Some(format!("the disk is full: less than {wanted} bytes are free below {}", full.display()))
    })
}

/// Acquires the lock that gives a worker its id.
pub(crate) fn worker_lock(config: &Config) -> anyhow::Result<Arc<WorkerLock>> {
    let location = Location::new(&config.database.path);
    let lock = WorkerLock::acquire(location.folder())
        .with_context(|| format!("cannot lock a file below {}", location.folder().display()))?;
    Ok(Arc::new(lock))
}
