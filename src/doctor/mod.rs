//! The doctor: checks the configuration, the database, Redis, the disks and the queues, with advice for each problem.
//!
//! Owns and publishes nothing. Consumes all of these and changes none of them: it creates no file, migrates no schema
//! and claims no job. Never shows a secret.
//!
//! One file per subject: `database`, `redis`, `disk`, `originals` (a sample of the uploads), `queue` (leases, backlogs,
//! jobs that wait for their environment, dead jobs), `clock`.

mod clock;
mod database;
mod disk;
mod originals;
mod queue;
mod redis;

use std::fmt;

use tokio::task::JoinError;

use crate::config::Config;
use crate::db::{Location, now, read_once};
use crate::jobs::operator;

/// The advice for errors of the doctor itself.
const REPORT: &str = "see the log, and report this";

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Ok,
    /// Nothing fails, but it should not stay like this.
    Warning,
    /// Something fails or will fail.
    Error,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) subject: &'static str,
    pub(crate) severity: Severity,
    pub(crate) detail: String,
    /// Empty if there is nothing to do.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn ok(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Ok, detail: detail.into(), advice: String::new() }
    }

    pub(crate) fn warning(subject: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Warning, detail: detail.into(), advice: advice.into() }
    }

    pub(crate) fn error(subject: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Error, detail: detail.into(), advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    /// Formats it as one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Ok => "ok",
            Severity::Warning => "note",
            Severity::Error => "WRONG",
        };
        let detail = self.detail.replace(['\n', '\r'], " ");
        write!(f, "{severity:<6} {:<14} {detail}", self.subject)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, " -> {}", self.advice) }
    }
}

/// Runs all checks, with Redis expected at `redis_url`.
pub(crate) async fn check(config: &Config, redis_url: &str) -> Vec<Finding> {
    let location = Location::new(&config.database.path);
    let path = location.clone();
    // On a blocking thread: the integrity check of a large file takes long.
    let database = tokio::task::spawn_blocking(move || check_database(&path)).await;
    let mut findings = database.unwrap_or_else(|error| vec![Finding::error("database", error.to_string(), REPORT)]);
    // Only an intact database can be compared with Redis.
    let is_intact = findings.iter().any(|finding| finding.subject == "database" && finding.severity == Severity::Ok);
    findings.extend(redis::check(redis_url, is_intact.then_some(&location)).await);
    findings.extend(disk::check(config, &location));
    let root = config.images.root.clone();
    let originals = tokio::task::spawn_blocking(move || originals::check(&root)).await;
    let failed = |error: JoinError| Finding::error("originals", error.to_string(), REPORT);
    findings.push(originals.unwrap_or_else(failed));
    findings
}

fn check_database(location: &Location) -> Vec<Finding> {
    let mut findings = database::check(location);
    // The tables can be read only if the schema is that of this version.
    if findings.iter().any(|finding| finding.subject == "database" && finding.severity != Severity::Ok) {
        return findings;
    }
    let at = now();
    match read_once(location, |connection| {
        let (expired, backlog) = (operator::expired_leases(connection, at)?, operator::backlog(connection)?);
        Ok((expired, backlog, operator::delayed(connection)?, operator::newest_job(connection)?))
    }) {
        Err(error) => findings.push(Finding::error("jobs", error.to_string(), "repair the database first")),
        Ok((expired, backlog, delayed, newest)) => {
            findings.extend(queue::check(&expired, &backlog, &delayed, at));
            findings.push(clock::check(newest, at));
        }
    }
    findings
}
