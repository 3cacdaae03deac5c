//! Claims due jobs under a lease, marks that an attempt has started, and releases jobs that have not.
//!
//! Every function runs inside a transaction of the writer thread, so a read and the write that follows it are one step.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::{Job, JobState, Kind, Policy, WorkerId};
use crate::db::{UnixMillis, schema::jobs};
use crate::ids::JobId;

/// The result of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// At most as many jobs as there are free slots; they may run side by side.
    Together(Vec<Job>),
    /// A job that has crashed a worker before: it runs alone.
    Alone(Job),
    /// Such a job is next. It runs when every other job of this runner has ended; until then nothing is claimed.
    Wait,
}

/// Slack on top of the longest backoff: the time between reading the clock and writing the row.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// Whether any job of the kind is due: a cheap read before the claim takes the write lock.
pub(super) fn is_due(
    connection: &mut SqliteConnection,
    kind: Kind,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<bool> {
    Ok(diesel::select(diesel::dsl::exists(due(kind.name, now))).get_result(connection)?
        || diesel::select(diesel::dsl::exists(misdated(kind.name, latest(policy, now)))).get_result(connection)?)
}

/// Claims up to `free` due jobs, ordered by their due time. A rescued job keeps its due time, so it is found at the
/// head without a scan of the queue.
pub(super) fn claim(
    connection: &mut SqliteConnection,
    kind: Kind,
    owner: &WorkerId,
    free: usize,
    idle: bool,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<Claimed> {
    let mut due: Vec<(JobId, i32)> = due(kind.name, now)
        .order((jobs::run_at, jobs::id))
        .limit(limit(free))
        .select((jobs::id, jobs::crashes))
        .load(connection)?;
    if due.len() < free {
        let misdated = misdated(kind.name, latest(policy, now))
            .order((jobs::run_at, jobs::id))
            .limit(limit(free - due.len()))
            .select((jobs::id, jobs::crashes));
        due.extend(misdated.load::<(JobId, i32)>(connection)?);
    }
    let mut lease = |id: JobId| lease(connection, id, owner, policy, now);
    match due.first() {
        Some(&(id, 1..)) if idle => lease(id).map(Claimed::Alone),
        Some((_, 1..)) => Ok(Claimed::Wait),
        _ => {
            let harmless = due.iter().take_while(|(_, crashes)| *crashes == 0);
            harmless.map(|&(id, _)| lease(id)).collect::<QueryResult<_>>().map(Claimed::Together)
        }
    }
}

#[diesel::dsl::auto_type]
fn due(kind: &'static str, now: UnixMillis) -> _ {
    let queued: JobState = JobState::Queued;
    jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq(queued)).filter(jobs::run_at.le(now))
}

/// Jobs whose due time is later than any backoff allows: the clock was set back after it was written.
#[diesel::dsl::auto_type]
fn misdated(kind: &'static str, latest: UnixMillis) -> _ {
    let queued: JobState = JobState::Queued;
    jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq(queued)).filter(jobs::run_at.gt(latest))
}

/// The latest due time that a backoff can lead to.
fn latest(policy: &Policy, now: UnixMillis) -> UnixMillis {
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
    diesel::update(jobs::table.find(id))
        .set((
            jobs::state.eq(JobState::Running),
            jobs::lease_owner.eq(owner),
            jobs::lease_until.eq(lease_end(policy, now)),
            jobs::lease_token.eq(jobs::lease_token + 1),
            jobs::started_at.eq(None::<UnixMillis>),
        ))
        .returning(Job::as_returning())
        .get_result(connection)
}

fn lease_end(policy: &Policy, now: UnixMillis) -> UnixMillis {
    now.saturating_add(i64::try_from(policy.lease.as_millis()).unwrap_or(i64::MAX))
}

/// Marks that the attempt starts now. `false`: the lease is lost, and the attempt must not start.
pub(super) fn begin(connection: &mut SqliteConnection, job: &Job, now: UnixMillis) -> QueryResult<bool> {
    let rows = diesel::update(held(job.id, job.lease_token)).set(jobs::started_at.eq(now)).execute(connection)?;
    Ok(rows == 1)
}

/// Extends the leases of these jobs.
pub(super) fn heartbeat(
    connection: &mut SqliteConnection,
    running: &[(JobId, i64)],
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<()> {
    for &(id, lease_token) in running {
        diesel::update(held(id, lease_token)).set(jobs::lease_until.eq(lease_end(policy, now))).execute(connection)?;
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
    let running: JobState = JobState::Running;
    jobs::table.filter(jobs::id.eq(id)).filter(jobs::state.eq(running)).filter(jobs::lease_token.eq(lease_token))
}
