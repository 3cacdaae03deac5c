//! Round-robin among users: the round of each queued job.
//!
//! Jobs of a kind are claimed by round, then by row. A claim first admits the jobs that are due, in the order of their
//! due times: each gets the first round, after that of the last claim, in which its user has no other job. So a user
//! has at most one job in a round, and their jobs stay in order. A claimed job keeps its round, which is its place in
//! the queue if it is released or its worker dies.
//!
//! A queued job without a round is new, or waits for its due time after a failed attempt. It is in an index of its own,
//! so that no claim reads it before. Rounds are given by workers, because finding the user's last round dirties a page
//! for each user, which would slow down requests.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::db::schema::job_queue::jobs;
use crate::db::schema::job_rounds;
use crate::db::{UnixMillis, cached_update};
use crate::ids::JobId;

/// The number of jobs that are admitted in one transaction, so that other writers get their turn.
pub(super) const MAX_ADMITTED: i64 = 256;

// A literal, because SQLite uses a partial index only if it can see that its condition is met.
diesel::postfix_operator!(IsQueued, " = 'queued'", Bool, backend: Sqlite);

#[diesel::declare_sql_function]
extern "SQL" {
    #[sql_name = "max"]
    fn later(a: BigInt, b: BigInt) -> BigInt;
    fn ifnull(a: Nullable<BigInt>, b: BigInt) -> BigInt;
}

#[diesel::dsl::auto_type]
fn queued(kind: &'static str) -> _ {
    let is_queued: IsQueued<jobs::state> = IsQueued::new(jobs::state);
    jobs::table.filter(jobs::kind.eq(kind)).filter(is_queued)
}

/// Queued jobs of this kind that may run now.
#[diesel::dsl::auto_type]
pub(super) fn ready(kind: &'static str) -> _ {
    let jobs_of_kind: queued = queued(kind);
    jobs_of_kind.filter(jobs::round.is_not_null())
}

/// Queued jobs of this kind that are not admitted yet.
#[diesel::dsl::auto_type]
fn waiting(kind: &'static str) -> _ {
    let jobs_of_kind: queued = queued(kind);
    jobs_of_kind.filter(jobs::round.is_null())
}

#[diesel::dsl::auto_type]
fn due(kind: &'static str, now: UnixMillis) -> _ {
    let waiting: waiting = waiting(kind);
    waiting.filter(jobs::run_at.le(now))
}

/// Jobs whose due time is later than any backoff allows: the clock was set back after it was written.
#[diesel::dsl::auto_type]
fn misdated(kind: &'static str, latest: UnixMillis) -> _ {
    let waiting: waiting = waiting(kind);
    waiting.filter(jobs::run_at.gt(latest))
}

/// The round of a job that this user gets next.
#[diesel::dsl::auto_type]
fn next(kind: &'static str, user_id: i64) -> _ {
    let ready: ready = ready(kind);
    let last = ready
        .filter(jobs::user_id.eq(user_id))
        .order(jobs::round.desc())
        .limit(1_i64)
        .select(jobs::round)
        .single_value();
    let current = job_rounds::table.find(kind).select(job_rounds::round).single_value();
    later(ifnull(current, 0_i64), ifnull(last, 0_i64)) + 1_i64
}

/// Records the round of the last claim.
pub(super) fn advance(connection: &mut SqliteConnection, kind: &'static str, round: i64) -> QueryResult<()> {
    use diesel::upsert::excluded;

    diesel::insert_into(job_rounds::table)
        .values((job_rounds::kind.eq(kind), job_rounds::round.eq(round)))
        .on_conflict(job_rounds::kind)
        .do_update()
        // A rescued job has an earlier round.
        .set(job_rounds::round.eq(later(job_rounds::round, excluded(job_rounds::round))))
        .execute(connection)?;
    Ok(())
}

/// Whether more jobs are due than one transaction admits.
pub(super) fn is_backlog(connection: &mut SqliteConnection, kind: &'static str, now: UnixMillis) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(due(kind, now).offset(MAX_ADMITTED))).get_result(connection)
}

/// Whether a job is to be admitted.
pub(super) fn is_any_to_admit(
    connection: &mut SqliteConnection,
    kind: &'static str,
    now: UnixMillis,
    latest: UnixMillis,
) -> QueryResult<bool> {
    Ok(diesel::select(diesel::dsl::exists(due(kind, now))).get_result(connection)?
        || diesel::select(diesel::dsl::exists(misdated(kind, latest))).get_result(connection)?)
}

/// Gives jobs that are due a round, the earliest first.
pub(super) fn admit(
    connection: &mut SqliteConnection,
    kind: &'static str,
    now: UnixMillis,
    latest: UnixMillis,
) -> QueryResult<()> {
    let order = (jobs::run_at, jobs::rowid);
    let due = due(kind, now).order(order).limit(MAX_ADMITTED).select(jobs::id);
    let mut ids: Vec<JobId> = due.load(connection)?;
    let left = MAX_ADMITTED.saturating_sub_unsigned(ids.len() as u64);
    if left > 0 {
        let misdated = misdated(kind, latest).order(order).limit(left).select(jobs::id);
        ids.extend(misdated.load::<JobId>(connection)?);
    }
    ids.into_iter().try_for_each(|id| enter(connection, kind, id))
}

/// Puts a job after the others of its user.
fn enter(connection: &mut SqliteConnection, kind: &'static str, id: JobId) -> QueryResult<()> {
    let user_id = jobs::table.find(id).select(jobs::user_id).get_result(connection)?;
    let round: i64 = diesel::select(next(kind, user_id)).get_result(connection)?;
    cached_update(jobs::table).set(jobs::round.eq(round), jobs::id.eq(id)).execute(connection)?;
    Ok(())
}

/// Takes a job out of its round until it is due.
pub(super) fn wait_until(connection: &mut SqliteConnection, id: JobId, run_at: UnixMillis) -> QueryResult<()> {
    diesel::update(jobs::table.find(id))
        .set((jobs::run_at.eq(run_at), jobs::round.eq(None::<i64>)))
        .execute(connection)?;
    Ok(())
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
