//! The audit: compares what must agree, and lists what is missing.
//!
//! Owns and publishes nothing. Consumes the database, the stored files and the leaderboard in Redis, and changes none of
//! them. Never holds a read transaction for longer than one portion of rows, so it can run beside a busy installation.
//!
//! - `images`: images with their original, their thumbnails and their thumbnail job
//! - `jobs`: jobs with their subjects, and orders with what was made of them
//! - `files`: stored files with their rows
//! - `board`: the scores in the database with those in Redis
//! - `report`: the result
//! - `periodic`: an audit every hour, whose result is a metric

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

pub use periodic::{LastAudit, keep_auditing};
pub use report::{Check, Checked, Leftovers, Missing, Report};

/// How many rows are read in one transaction.
const PORTION: i64 = 500;

/// The sources that are compared.
#[derive(Clone)]
pub struct Sources {
    /// The rows.
    pub database: Database,
    /// The stored files.
    pub inventory: Inventory,
    /// The board in Redis.
    pub bus: Bus,
    /// For how long finished jobs are kept; older orders may have none any more.
    pub keep_jobs: Duration,
    /// The share of the time that the audit works, from 0 (exclusive) to 1: the rest it sleeps between portions.
    pub share: f64,
}

/// Why an audit cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The rows cannot be read.
    #[error("the database cannot be read: {0}")]
    Database(#[from] DbError),
    /// The folders of stored files cannot be read.
    #[error("the stored files cannot be listed: {0}")]
    Files(#[source] std::io::Error),
    /// A comparison panicked, or the process is ending.
    #[error("the audit was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Compares everything.
///
/// # Errors
/// When the rows or the folders cannot be read. A Redis that is away is no error: the report says so.
pub async fn audit(sources: &Sources) -> Result<Report, AuditError> {
    let mut report = Report::default();
    // Rows before files: a file is there before its row is.
    let known = images::compare(sources, &mut report).await?;
    jobs::compare(sources, &mut report).await?;
    jobs::compare_orders(sources, &mut report).await?;
    files::compare(sources, known, &mut report).await?;
    board::compare(sources, &mut report).await?;
    Ok(report)
}

impl Sources {
    /// Sleeps after a portion that took `worked`, as the share demands.
    async fn pause(&self, worked: Duration) {
        let rest = worked.mul_f64((1.0 / self.share.clamp(0.01, 1.0)) - 1.0);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}
