//! The end of an attempt: done, retried or dead. Each write is fenced by the lease token: under a lost lease nothing is
//! written.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::claim::{self, held, is_held_under};
use super::environment;
use super::history;
use super::round;
use super::{
    AttemptOutcome, DedupScope, Failure, FailureKind, Handler, Job, JobState, Kind, MAX_CRASHES, Policy, WorkerId,
};
use crate::backoff;
use crate::db::{UnixMillis, cached_update, schema::jobs};
use crate::ids::JobId;

/// Shown to the user when a job is abandoned for a reason other than its input.
pub(super) const GIVEN_UP: &str = "This could not be processed. Please try again with another file.";

/// The result of settling a job.
#[derive(Debug)]
pub(super) enum Settled<E> {
    Done(E),
    Retried,
    Dead(Option<E>),
    /// Another worker holds the job; nothing was written.
    LeaseLost,
}

/// Marks a job as done and writes its effect.
pub(super) fn complete<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    effect: H::Effect,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    let note = H::operator_note(&effect);
    history::record(connection, job.id, job.lease_token, AttemptOutcome::Done, None, now)?;
    let end = End { state: JobState::Done, error: None, note: note.as_deref() };
    if !write_end(connection, H::KIND, job, end, now)? {
        return Ok(Settled::LeaseLost);
    }
    Ok(Settled::Done(H::apply(connection, job, effect, now)?))
}

/// Ends a failed attempt. A failure of the environment is not counted. Any other is: the job is queued again, or dead
/// if the failure is permanent or was the last attempt allowed.
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
    let counted = diesel::update(held(job.id, job.lease_token)).set(jobs::attempts.eq(attempts)).execute(connection)?;
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

/// Queues the job again without counting an attempt. The delay grows with each consecutive failure of the environment.
fn wait_for_environment<E>(
    connection: &mut SqliteConnection,
    job: &Job,
    error: &str,
    policy: &Policy,
    random: f64,
    now: UnixMillis,
) -> QueryResult<Settled<E>> {
    if diesel::update(held(job.id, job.lease_token)).set(jobs::error.eq(error)).execute(connection)? == 0 {
        return Ok(Settled::LeaseLost);
    }
    let failures = environment::count(connection, job.id, error, now)?;
    round::wait_until(connection, job.id, after_backoff(failures, policy, random, now))?;
    claim::release(connection, job.id, job.lease_token)?;
    Ok(Settled::Retried)
}

/// Counts a crash: the worker died, or the attempt exceeded the time limit. The job keeps its place in the queue, or is
/// dead after too many crashes.
pub(super) fn crash<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    error: &str,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    let crashes = job.crashes.saturating_add(1);
    let counted = diesel::update(held(job.id, job.lease_token)).set(jobs::crashes.eq(crashes)).execute(connection)?;
    if counted == 0 {
        return Ok(Settled::LeaseLost);
    }
    environment::clear(connection, job.id)?;
    if crashes >= MAX_CRASHES {
        let error = format!("{error}, after {} earlier crashes", crashes - 1);
        return kill::<H>(connection, job, AttemptOutcome::Crashed, &error, GIVEN_UP, now);
    }
    requeue(connection, job, None, AttemptOutcome::Crashed, error, now)?;
    Ok(Settled::Retried)
}

fn after_backoff(failures: i32, policy: &Policy, random: f64, now: UnixMillis) -> UnixMillis {
    let failures = u32::try_from(failures).unwrap_or(0);
    let delay = backoff::jittered(failures, policy.retry_base, policy.retry_cap, random);
    now.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

/// Marks a claimed job as dead.
fn kill<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    outcome: AttemptOutcome,
    error: &str,
    message: &str,
    now: UnixMillis,
) -> QueryResult<Settled<H::Event>> {
    history::record(connection, job.id, job.lease_token, outcome, Some(error), now)?;
    let end = End { state: JobState::Dead, error: Some(error), note: None };
    if !write_end(connection, H::KIND, job, end, now)? {
        return Ok(Settled::LeaseLost);
    }
    Ok(Settled::Dead(H::on_dead(connection, job, message, now)?))
}

/// Queues a claimed job again, without counting anything; it keeps its place if there is no new due time.
pub(super) fn requeue(
    connection: &mut SqliteConnection,
    job: &Job,
    run_at: Option<UnixMillis>,
    outcome: AttemptOutcome,
    error: &str,
    now: UnixMillis,
) -> QueryResult<()> {
    history::record(connection, job.id, job.lease_token, outcome, Some(error), now)?;
    let rows = diesel::update(held(job.id, job.lease_token))
        .set((
            jobs::state.eq(JobState::Queued),
            jobs::error.eq(error),
            jobs::lease_owner.eq(None::<WorkerId>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::started_at.eq(None::<UnixMillis>),
        ))
        .execute(connection)?;
    match run_at {
        Some(run_at) if rows == 1 => round::wait_until(connection, job.id, run_at),
        _ => Ok(()),
    }
}

/// The columns of a job that has ended.
struct End<'a> {
    state: JobState,
    error: Option<&'a str>,
    note: Option<&'a str>,
}

fn write_end(
    connection: &mut SqliteConnection,
    kind: Kind,
    job: &Job,
    End { state, error, note }: End<'_>,
    now: UnixMillis,
) -> QueryResult<bool> {
    let columns = (
        jobs::state.eq(state),
        jobs::error.eq(error),
        jobs::note.eq(note),
        jobs::lease_owner.eq(None::<WorkerId>),
        jobs::lease_until.eq(None::<UnixMillis>),
        jobs::finished_at.eq(now),
    );
    let rows = cached_update(jobs::table).set(columns, is_held_under(job.id, job.lease_token)).execute(connection)?;
    if rows == 1 {
        environment::clear(connection, job.id)?;
        free_dedup_key(connection, kind, job.id)?;
    }
    Ok(rows == 1)
}

/// Frees the dedup key of a job that has ended, unless keys of its kind block for ever.
pub(super) fn free_dedup_key(connection: &mut SqliteConnection, kind: Kind, job: JobId) -> QueryResult<()> {
    if kind.dedup == DedupScope::WhileActive {
        let has_key = jobs::id.eq(job).and(jobs::dedup.is_not_null());
        cached_update(jobs::table).set(jobs::dedup.eq(None::<String>), has_key).execute(connection)?;
    }
    Ok(())
}
