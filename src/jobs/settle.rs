//! How an attempt ends: done, again later, or dead. Each is fenced by the lease's token: under a lost lease nothing is
//! written.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::claim::{self, held};
use super::environment;
use super::history::{self, AttemptOutcome};
use super::{DedupScope, Failure, FailureKind, Handler, Job, Kind, MAX_CRASHES, Policy, backoff};
use crate::db::{UnixMillis, schema::jobs};

/// What the person whose job it was is told when it was given up without a verdict on what it works on.
pub(super) const GIVEN_UP: &str = "This could not be processed. Please try again with another file.";

/// What became of a job.
#[derive(Debug)]
pub(super) enum Settled<N> {
    /// It is done.
    Done(N),
    /// It will be tried again.
    Retried,
    /// It is dead.
    Dead(Option<N>),
    /// The lease was lost meanwhile; nothing was written.
    LeaseLost,
}

/// Makes a job done, with its effect.
pub(super) fn complete<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    effect: H::Effect,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    let note = H::operator_note(&effect);
    history::record(connection, &job.id.to_string(), job.lease_token, AttemptOutcome::Done, None, now)?;
    if !end(connection, H::KIND, job, Ended { state: "done", error: None, note: note.as_deref() }, now)? {
        return Ok(Settled::LeaseLost);
    }
    Ok(Settled::Done(H::apply(connection, job, effect, now)?))
}

/// Counts a failed attempt, which ended in this way: the job is queued again, or dead when nothing more is to be hoped for.
///
/// `random` is uniform in `0.0..1.0`.
pub(super) fn fail<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    failure: &Failure,
    outcome: AttemptOutcome,
    policy: &Policy,
    random: f64,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    if failure.kind == FailureKind::Environment {
        return wait_for_environment(connection, job, &failure.error, policy, random, now);
    }
    let attempts = job.attempts.saturating_add(1);
    let counted = diesel::update(held(job.id.to_string(), job.lease_token))
        .set(jobs::attempts.eq(attempts))
        .execute(connection)?;
    if counted == 0 {
        return Ok(Settled::LeaseLost);
    }
    environment::clear(connection, job.id)?;
    if failure.kind == FailureKind::Retry && attempts < policy.max_attempts {
        let run_at = after_backoff(attempts, policy, random, now);
        requeue(connection, job, Some(run_at), outcome, &failure.error, now)?;
        return Ok(Settled::Retried);
    }
    kill::<H>(connection, job, outcome, &failure.error, &failure.message, now)
}

/// Queues the job again, uncharged; it waits longer each time that the environment fails in a row.
fn wait_for_environment<N>(
    connection: &mut SqliteConnection,
    job: &Job,
    error: &str,
    policy: &Policy,
    random: f64,
    now: UnixMillis,
) -> QueryResult<Settled<N>> {
    if diesel::update(held(job.id.to_string(), job.lease_token)).set(jobs::error.eq(error)).execute(connection)? == 0 {
        return Ok(Settled::LeaseLost);
    }
    let failures = environment::count(connection, job.id, error, now)?;
    diesel::update(jobs::table.find(job.id.to_string()))
        .set(jobs::run_at.eq(after_backoff(failures, policy, random, now)))
        .execute(connection)?;
    claim::release(connection, job.id, job.lease_token)?;
    Ok(Settled::Retried)
}

/// Counts a crash: the job's worker died, or its attempt exceeded the time limit. It keeps its place in the queue, or is
/// dead after too many of them.
pub(super) fn crash<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    error: &str,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    let crashes = job.crashes.saturating_add(1);
    let counted =
        diesel::update(held(job.id.to_string(), job.lease_token)).set(jobs::crashes.eq(crashes)).execute(connection)?;
    if counted == 0 {
        return Ok(Settled::LeaseLost);
    }
    environment::clear(connection, job.id)?;
    if crashes >= MAX_CRASHES {
        let error = format!("{error}, as did {} before it", crashes - 1);
        return kill::<H>(connection, job, AttemptOutcome::Crashed, &error, GIVEN_UP, now);
    }
    requeue(connection, job, None, AttemptOutcome::Crashed, error, now)?;
    Ok(Settled::Retried)
}

fn after_backoff(failures: i32, policy: &Policy, random: f64, now: UnixMillis) -> UnixMillis {
    let delay = backoff::delay(failures, policy.retry_base, policy.retry_cap, random);
    now.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

/// Makes a claimed job dead.
pub(super) fn kill<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    outcome: AttemptOutcome,
    error: &str,
    message: &str,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    history::record(connection, &job.id.to_string(), job.lease_token, outcome, Some(error), now)?;
    if !end(connection, H::KIND, job, Ended { state: "dead", error: Some(error), note: None }, now)? {
        return Ok(Settled::LeaseLost);
    }
    Ok(Settled::Dead(H::on_dead(connection, job, message, now)?))
}

/// Puts a claimed job back into the queue; without a time, into its old place.
pub(super) fn requeue(
    connection: &mut SqliteConnection,
    job: &Job,
    run_at: Option<UnixMillis>,
    outcome: AttemptOutcome,
    error: &str,
    now: UnixMillis,
) -> QueryResult<usize> {
    history::record(connection, &job.id.to_string(), job.lease_token, outcome, Some(error), now)?;
    diesel::update(held(job.id.to_string(), job.lease_token))
        .set((
            jobs::state.eq("queued"),
            run_at.map(|run_at| jobs::run_at.eq(run_at)),
            jobs::error.eq(error),
            jobs::lease_owner.eq(None::<String>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::started_at.eq(None::<UnixMillis>),
        ))
        .execute(connection)
}

/// What stands in the row of a job that has ended.
struct Ended<'a> {
    state: &'a str,
    error: Option<&'a str>,
    note: Option<&'a str>,
}

fn end(
    connection: &mut SqliteConnection,
    kind: Kind,
    job: &Job,
    Ended { state, error, note }: Ended<'_>,
    now: UnixMillis,
) -> QueryResult<bool> {
    let rows = diesel::update(held(job.id.to_string(), job.lease_token))
        .set((
            jobs::state.eq(state),
            jobs::error.eq(error),
            jobs::note.eq(note),
            jobs::lease_owner.eq(None::<String>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::finished_at.eq(now),
        ))
        .execute(connection)?;
    if rows == 1 {
        environment::clear(connection, job.id)?;
        free_dedup_key(connection, kind, &job.id.to_string())?;
    }
    Ok(rows == 1)
}

/// Lets another job of the same dedup key be made, where keys hold no longer than their jobs.
pub(super) fn free_dedup_key(connection: &mut SqliteConnection, kind: Kind, job_id: &str) -> QueryResult<()> {
    if kind.dedup == DedupScope::WhileActive {
        diesel::update(jobs::table.find(job_id).filter(jobs::dedup.is_not_null()))
            .set(jobs::dedup.eq(None::<String>))
            .execute(connection)?;
    }
    Ok(())
}
