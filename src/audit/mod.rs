//! The audit: compares the database, the stored files and the leaderboard in Redis, and lists what is missing.
//!
//! Owns and publishes nothing. Consumes all three, and changes none of them. Never holds a read transaction for longer
//! than one batch of rows, so it can run beside a busy installation.
//!
//! - `images`: each image has its original, its thumbnails and its job
//! - `jobs`: each job has its image or order, each order its fulfilment or job
//! - `files`: each stored file has a row
//! - `board`: Redis has the scores of the database
//! - `report`: the result
//! - `periodic`: an hourly audit, whose result is a metric

mod board;
mod files;
mod images;
mod jobs;
mod periodic;
mod report;

use std::time::Duration;

use crate::bus::Bus;
use crate::db::{Database, DbError};
use crate::files::Inventory;

pub(crate) use periodic::{LastAudit, keep_auditing};
pub(crate) use report::{Missing, Report};

/// The number of rows read in one transaction.
const BATCH: i64 = 500;

/// The sources that are compared.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) database: Database,
    pub(crate) inventory: Inventory,
    pub(crate) bus: Bus,
    /// The retention of finished jobs: older orders may have none.
    pub(crate) keep_jobs: Duration,
    /// The share of the time that the audit works, above 0 and up to 1. The rest of the time it sleeps between batches.
    pub(crate) share: f64,
}

/// Why an audit was not finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error("the database cannot be read: {0}")]
    Database(#[from] DbError),
    #[error("the stored files cannot be listed: {0}")]
    Files(#[source] std::io::Error),
    /// A comparison panicked, or the process is shutting down.
    #[error("the audit was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Compares everything.
///
/// # Errors
/// When the rows or the folders cannot be read. An unreachable Redis is not an error but an entry of the report.
pub(crate) async fn audit(sources: &Sources) -> Result<Report, AuditError> {
    let mut report = Report::default();
    // Rows before files: a file is stored before its row.
    let known = images::compare(sources, &mut report).await?;
    jobs::compare(sources, &mut report).await?;
    jobs::compare_orders(sources, &mut report).await?;
    files::compare(sources, known, &mut report).await?;
    board::compare(sources, &mut report).await?;
    Ok(report)
}

impl Sources {
    /// Sleeps after a batch that took `worked`, according to the share.
    async fn pause(&self, worked: Duration) {
        let rest = worked.mul_f64((1.0 / self.share.clamp(0.01, 1.0)) - 1.0);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}
