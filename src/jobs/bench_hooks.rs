//! Single steps of the engine, for benchmarks.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::claim::{self, Claimed};
use super::{Job, Kind, Policy, WorkerId, round};
use crate::db::UnixMillis;

const POLICY: Policy = Policy {
    lease: Duration::from_secs(60),
    sweep_interval: Duration::from_secs(60),
    max_attempts: 5,
    retry_base: Duration::from_secs(1),
    retry_cap: Duration::from_secs(60),
    drain: Duration::ZERO,
    time_limit: Duration::from_secs(60),
};

/// Claims up to `free` jobs for a worker that has no other job.
///
/// # Errors
/// When a statement fails.
pub fn claim(connection: &mut SqliteConnection, kind: Kind, free: usize, now: UnixMillis) -> QueryResult<Vec<Job>> {
    let worker = WorkerId::from_file_stem("bench");
    claim::is_due(connection, kind, &POLICY, now)?;
    Ok(match claim::claim(connection, kind, &worker, free, true, &POLICY, now)? {
        Claimed::Together(jobs) => jobs,
        Claimed::Alone(job) => vec![job],
        Claimed::Wait => Vec::new(),
    })
}

/// Admits all due jobs to their rounds.
///
/// # Errors
/// When a statement fails.
pub fn admit(connection: &mut SqliteConnection, kind: Kind, now: UnixMillis) -> QueryResult<()> {
    while round::is_backlog(connection, kind.name, now)? {
        claim::admit(connection, kind, &POLICY, now)?;
    }
    claim::admit(connection, kind, &POLICY, now)
}
