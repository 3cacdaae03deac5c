//! The doctor: looks at everything that m3a3 stands on, and says of each thing whether it is well and what to do if not.
//!
//! Owns and publishes nothing. Consumes the configuration, the database, Redis and the disks, and changes nothing in any
//! of them: it makes no file, migrates no schema and takes no job. Never shows a secret.
//!
//! One file for each thing: `database`, `redis`, `disk`, `originals` (a sample of the uploads), `queue` (leases, backlogs,
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
use crate::jobs;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Well.
    Ok,
    /// Not as it should be for long, but nothing fails for it.
    Warning,
    /// Something fails, or will.
    Error,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it is.
    pub severity: Severity,
    /// What was found.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    /// It is well.
    pub fn ok(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Ok, detail: detail.into(), advice: String::new() }
    }

    /// It is worrying, and this is to be done.
    pub fn warning(subject: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Warning, detail: detail.into(), advice: advice.into() }
    }

    /// It is wrong, and this is to be done.
    pub fn error(subject: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Error, detail: detail.into(), advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    /// One line.
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

/// Looks at everything; `redis_url` is where Redis is expected.
pub async fn check(config: &Config, redis_url: &str) -> Vec<Finding> {
    let location = Location::new(&config.database.path);
    let place = location.clone();
    // What SQLite says of a large file takes its time.
    let of_database = tokio::task::spawn_blocking(move || examine_database(&place)).await;
    let mut findings = of_database
        .unwrap_or_else(|error| vec![Finding::error("database", error.to_string(), "see the log, and report this")]);
    // Only a database that is there and whole can be compared with Redis.
    let whole = findings.iter().any(|finding| finding.subject == "database" && finding.severity == Severity::Ok);
    findings.extend(redis::check(redis_url, whole.then_some(&location)).await);
    findings.extend(disk::check(config, &location));
    let root = config.images.root.clone();
    let of_originals = tokio::task::spawn_blocking(move || originals::check(&root)).await;
    let failed = |error: JoinError| Finding::error("originals", error.to_string(), "see the log, and report this");
    findings.push(of_originals.unwrap_or_else(failed));
    findings
}

fn examine_database(location: &Location) -> Vec<Finding> {
    let mut findings = database::check(location);
    // What stands in the tables can be told only where they are as this m3a3 knows them.
    if findings.iter().any(|finding| finding.subject == "database" && finding.severity != Severity::Ok) {
        return findings;
    }
    let at = now();
    match read_once(location, |connection| {
        let (expired, backlog) = (jobs::expired_leases(connection, at)?, jobs::backlog(connection)?);
        Ok((expired, backlog, jobs::delayed(connection)?, jobs::newest_job(connection)?))
    }) {
        Err(error) => findings.push(Finding::error("jobs", error.to_string(), "see to the database first")),
        Ok((expired, backlog, delayed, newest)) => {
            findings.extend(queue::check(&expired, &backlog, &delayed, at));
            findings.push(clock::check(newest, at));
        }
    }
    findings
}
