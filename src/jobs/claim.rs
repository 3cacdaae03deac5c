//! Taking due jobs under a lease, marking that one has started, and handing back what has not.
//!
//! Every function runs inside a transaction of the writer thread, so a read and the write that follows it are one step.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::{Job, Kind, Policy, WorkerId, parse_id};
use crate::db::{UnixMillis, schema::jobs};
use crate::ids::JobId;

/// What a claim got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// These jobs, at most as many as there are free slots; they may run side by side.
    Together(Vec<Job>),
    /// A job that took a worker down before: it runs alone.
    Alone(Job),
    /// Such a job waits, and runs when everything else here has ended; until then nothing more is claimed.
    Wait,
}

/// No backoff ends later than this after the longest one: the time between reading the clock and writing the row.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// Whether any job of the kind is due: a cheap read before the claim takes the write lock.
pub(super) fn is_due(
    connection: &mut SqliteConnection,
    kind: Kind,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<bool> {
    Ok(diesel::select(diesel::dsl::exists(due(kind.name, now))).get_result(connection)?
        || diesel::select(diesel::dsl::exists(adrift(kind.name, latest(policy, now)))).get_result(connection)?)
}

/// Claims up to `free` due jobs in the order in which they fell due. A rescued job keeps its place in that order, so it is
/// found at the head without a look at the whole queue.
pub(super) fn claim(
    connection: &mut SqliteConnection,
    kind: Kind,
    owner: &WorkerId,
    free: usize,
    idle: bool,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<Claimed> {
    let mut due: Vec<(String, i32)> = due(kind.name, now)
        .order((jobs::run_at, jobs::id))
        .limit(limit(free))
        .select((jobs::id, jobs::crashes))
        .load(connection)?;
    if due.len() < free {
        let adrift = adrift(kind.name, latest(policy, now))
            .order((jobs::run_at, jobs::id))
            .limit(limit(free - due.len()))
            .select((jobs::id, jobs::crashes));
        due.extend(adrift.load::<(String, i32)>(connection)?);
    }
    let mut lease = |id: &str| lease(connection, id, owner, policy, now);
    match due.first() {
        Some((id, 1..)) if idle => lease(id).map(Claimed::Alone),
        Some((_, 1..)) => Ok(Claimed::Wait),
        _ => {
            let harmless = due.iter().take_while(|(_, crashes)| *crashes == 0);
            harmless.map(|(id, _)| lease(id)).collect::<QueryResult<_>>().map(Claimed::Together)
        }
    }
}

#[diesel::dsl::auto_type]
fn due(kind: &'static str, now: UnixMillis) -> _ {
    jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq("queued")).filter(jobs::run_at.le(now))
}

/// Jobs that are due at a time that no backoff leads to: the clock was set back after it was written.
#[diesel::dsl::auto_type]
fn adrift(kind: &'static str, latest: UnixMillis) -> _ {
    jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq("queued")).filter(jobs::run_at.gt(latest))
}

/// The latest time that a job of now may have to wait for.
fn latest(policy: &Policy, now: UnixMillis) -> UnixMillis {
    let longest = policy.retry_cap.saturating_add(CLOCK_SLACK);
    now.saturating_add(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX))
}

fn limit(jobs: usize) -> i64 {
    i64::try_from(jobs).unwrap_or(i64::MAX)
}

fn lease(
    connection: &mut SqliteConnection,
    id: &str,
    owner: &WorkerId,
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<Job> {
    let (id, payload, attempts, crashes, lease_token) = diesel::update(jobs::table.find(id))
        .set((
            jobs::state.eq("running"),
            jobs::lease_owner.eq(owner.as_str()),
            jobs::lease_until.eq(lease_end(policy, now)),
            jobs::lease_token.eq(jobs::lease_token + 1),
            jobs::started_at.eq(None::<UnixMillis>),
        ))
        .returning((jobs::id, jobs::payload, jobs::attempts, jobs::crashes, jobs::lease_token))
        .get_result::<(String, String, i32, i32, i64)>(connection)?;
    Ok(Job { id: parse_id(&id)?, payload, attempts, crashes, lease_token })
}

fn lease_end(policy: &Policy, now: UnixMillis) -> UnixMillis {
    now.saturating_add(i64::try_from(policy.lease.as_millis()).unwrap_or(i64::MAX))
}

/// Marks that the attempt begins now; `false` when the lease is lost and it must not.
pub(super) fn begin(connection: &mut SqliteConnection, job: &Job, now: UnixMillis) -> QueryResult<bool> {
    let rows =
        diesel::update(held(job.id.to_string(), job.lease_token)).set(jobs::started_at.eq(now)).execute(connection)?;
    Ok(rows == 1)
}

/// Extends the leases of these jobs.
pub(super) fn heartbeat(
    connection: &mut SqliteConnection,
    running: &[(JobId, i64)],
    policy: &Policy,
    now: UnixMillis,
) -> QueryResult<()> {
    for (id, lease_token) in running {
        diesel::update(held(id.to_string(), *lease_token))
            .set(jobs::lease_until.eq(lease_end(policy, now)))
            .execute(connection)?;
    }
    Ok(())
}

/// Hands a job back uncharged, to whoever claims it next.
pub(super) fn release(connection: &mut SqliteConnection, id: JobId, lease_token: i64) -> QueryResult<bool> {
    let rows = diesel::update(held(id.to_string(), lease_token))
        .set((
            jobs::state.eq("queued"),
            jobs::lease_owner.eq(None::<String>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::started_at.eq(None::<UnixMillis>),
        ))
        .execute(connection)?;
    Ok(rows == 1)
}

/// The row of a job, if the claim with this token still holds it.
#[diesel::dsl::auto_type]
pub(super) fn held(id: String, lease_token: i64) -> _ {
    jobs::table.filter(jobs::id.eq(id)).filter(jobs::state.eq("running")).filter(jobs::lease_token.eq(lease_token))
}
