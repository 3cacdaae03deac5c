//! Claims jobs under a lease, renews leases, and releases jobs that have not started.
//!
//! The writes of this module need no flush of their own: a power failure that undoes them ends every worker as well, so
//! it leaves jobs that are queued, or whose lease expires earlier.
//!
//! Every synchronous function runs inside a transaction of the writer thread, so a read and the write that follows it
//! are one step.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::{Clock, Job, JobState, Kind, Policy, WorkerId, round};
use crate::db::schema::job_queue::jobs as queue;
use crate::db::schema::jobs;
use crate::db::{Database, DbError, UnixMillis, cached_update};
use crate::ids::JobId;

/// The result of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// At most as many jobs as are wanted; they may run side by side.
    Together(Vec<Job>),
    /// A job that has crashed a worker before: it runs alone.
    Alone(Job),
    /// Such a job is next. It runs when every other job of this runner has ended; until then nothing is claimed.
    Wait,
}

/// Slack on top of the longest backoff: the time between reading the clock and writing the row.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The number of transactions that admit jobs before a claim; after them, free slots are filled first.
const MAX_PASSES: usize = 16;

/// Whether any job of the kind may run: a cheap read before the claim takes the write lock.
pub(super) fn is_due(
    connection: &mut SqliteConnection,
    kind: Kind,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<bool> {
    Ok(diesel::select(diesel::dsl::exists(round::ready(kind.name))).get_result(connection)?
        || round::is_any_to_admit(connection, kind.name, now, latest(policy, now))?)
}

/// Admits due jobs to their rounds, as many as one transaction may.
pub(super) fn admit(
    connection: &mut SqliteConnection,
    kind: Kind,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<()> {
    round::admit(connection, kind.name, now, latest(policy, now))
}

/// Admits more due jobs than a claim does by itself, so that those of all users are in its order.
pub(super) async fn admit_backlog(
    database: &Database,
    kind: Kind,
    policy: Policy,
    clock: &Arc<dyn Clock>,
) -> Result<(), DbError> {
    for _ in 0..MAX_PASSES {
        let now = clock.wall();
        if !database.read_point(|connection| round::is_backlog(connection, kind.name, now))? {
            break;
        }
        let clock = clock.clone();
        database.write_unsynced(move |connection| admit(connection, kind, &policy, clock.wall())).await?;
    }
    Ok(())
}

/// Claims up to `free` jobs, ordered by their round. A rescued job keeps its round, so it is found at the head without
/// a scan of the queue.
pub(super) fn claim(
    connection: &mut SqliteConnection,
    kind: Kind,
    owner: &WorkerId,
    free: usize,
    idle: bool,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<Claimed> {
    admit(connection, kind, policy, now)?;
    let next: Vec<(JobId, i32, i64)> = first(kind.name, limit(free)).load(connection)?;
    let mut lease = |id: JobId| lease(connection, id, owner, policy, now);
    let (claimed, last) = match next.first() {
        Some(&(id, 1.., round)) if idle => (Claimed::Alone(lease(id)?), Some(round)),
        Some((_, 1.., _)) => (Claimed::Wait, None),
        _ => {
            let harmless: Vec<_> = next.iter().take_while(|(_, crashes, _)| *crashes == 0).collect();
            let jobs = harmless.iter().map(|(id, ..)| lease(*id)).collect::<QueryResult<_>>()?;
            (Claimed::Together(jobs), harmless.last().map(|(.., round)| *round))
        }
    };
    if let Some(round) = last {
        round::advance(connection, kind.name, round)?;
    }
    Ok(claimed)
}

/// The jobs to claim next, in order. A row id grows with every row, whatever the clock.
#[diesel::dsl::auto_type]
pub(super) fn first(kind: &'static str, limit: i64) -> _ {
    let ready: round::ready = round::ready(kind);
    ready.order((queue::round, queue::rowid)).limit(limit).select((
        queue::id,
        queue::crashes,
        queue::round.assume_not_null(),
    ))
}

/// The latest due time that a backoff can lead to.
pub(super) fn latest(policy: &Policy, now: UnixMillis) -> UnixMillis {
    let longest = policy.retry_cap.saturating_add(CLOCK_SLACK);
    now.saturating_add(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX))
}

fn limit(jobs: usize) -> i64 {
    i64::try_from(jobs).unwrap_or(i64::MAX)
}

fn lease(
    connection: &mut SqliteConnection,
    id: JobId,
    owner: &WorkerId,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<Job> {
    let columns = (
        jobs::state.eq(JobState::Running),
        jobs::lease_owner.eq(owner),
        jobs::lease_until.eq(lease_end(policy, now)),
        jobs::lease_token.eq(jobs::lease_token + 1),
        jobs::started_at.eq(now),
    );
    cached_update(jobs::table).set(columns, jobs::id.eq(id)).returning(Job::as_returning()).get_result(connection)
}

fn lease_end(policy: &Policy, now: UnixMillis) -> UnixMillis {
    now.saturating_add(i64::try_from(policy.lease.as_millis()).unwrap_or(i64::MAX))
}

/// Whether the lease with this token still holds the job.
pub(super) fn is_held(connection: &mut SqliteConnection, job: &Job) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(held(job.id, job.lease_token))).get_result(connection)
}

/// Extends the leases of these jobs.
pub(super) fn heartbeat(
    connection: &mut SqliteConnection,
    running: &[(JobId, i64)],
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<()> {
    for &(id, lease_token) in running {
        let lease_until = jobs::lease_until.eq(lease_end(policy, now));
        cached_update(jobs::table).set(lease_until, is_held_under(id, lease_token)).execute(connection)?;
    }
    Ok(())
}

/// Queues a claimed job again without counting an attempt.
pub(super) fn release(connection: &mut SqliteConnection, id: JobId, lease_token: i64) -> QueryResult<bool> {
    let rows = diesel::update(held(id, lease_token))
        .set((
            jobs::state.eq(JobState::Queued),
            jobs::lease_owner.eq(None::<WorkerId>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::started_at.eq(None::<UnixMillis>),
        ))
        .execute(connection)?;
    Ok(rows == 1)
}

/// The row of a job, if the lease with this token still holds it.
#[diesel::dsl::auto_type]
pub(super) fn held(id: JobId, lease_token: i64) -> _ {
    let condition: is_held_under = is_held_under(id, lease_token);
    jobs::table.filter(condition)
}

/// The condition that the lease with this token still holds this job.
#[diesel::dsl::auto_type]
pub(super) fn is_held_under(id: JobId, lease_token: i64) -> _ {
    let running: JobState = JobState::Running;
    jobs::id.eq(id).and(jobs::state.eq(running)).and(jobs::lease_token.eq(lease_token))
}
