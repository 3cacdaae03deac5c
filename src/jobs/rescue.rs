//! Requeues the jobs of dead workers and of expired leases, and those of a worker that shuts down.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::claim;
use super::settle::{GIVEN_UP, Settled, crash, fail, requeue};
use super::{AttemptOutcome, Failure, Handler, Job, JobState, Policy, WorkerId, WorkerLock};
use crate::db::{Database, UnixMillis, schema::jobs};
use crate::ids::JobId;

/// The result of a rescue.
#[derive(Debug)]
pub(super) struct Rescued<E> {
    /// The number of jobs that are queued again.
    pub(super) requeued: usize,
    /// The events of the jobs that are dead now.
    pub(super) dead: Vec<Option<E>>,
}

impl<E> Rescued<E> {
    fn count(&mut self, settled: Settled<E>) {
        match settled {
            Settled::Dead(event) => self.dead.push(event),
            Settled::Retried => self.requeued += 1,
            Settled::Done(_) | Settled::LeaseLost => {}
        }
    }
}

/// Whether any lease of the kind has expired: a cheap read before the write lock is taken.
pub(super) fn is_expired(connection: &mut SqliteConnection, kind: &str, now: UnixMillis) -> QueryResult<bool> {
    let running = jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq(JobState::Running));
    diesel::select(diesel::dsl::exists(running.filter(jobs::lease_until.lt(now)))).get_result(connection)
}

/// Requeues the jobs of dead workers. Each counts a crash, except for those of workers that shut down cleanly (`true`),
/// and for those that an older version has claimed, but not started.
pub(super) fn of_dead_workers<H: Handler>(
    connection: &mut SqliteConnection,
    dead: &[(WorkerId, bool)],
    now: UnixMillis,
) -> QueryResult<Rescued<H::Event>> {
    let mut rescued = Rescued { requeued: 0, dead: Vec::new() };
    for (owner, in_order) in dead {
        let held = jobs::table
            .filter(jobs::lease_owner.eq(owner))
            .filter(jobs::kind.eq(H::KIND.name))
            .filter(jobs::state.eq(JobState::Running))
            .select((Job::as_select(), jobs::started_at))
            .load::<(Job, Option<UnixMillis>)>(connection)?;
        for (job, started_at) in held {
            let error = format!("worker {owner} died");
            let settled = match started_at {
                _ if *in_order => {
                    claim::release(connection, job.id, job.lease_token)?;
                    Settled::Retried
                }
                None => {
                    requeue(connection, &job, None, AttemptOutcome::Crashed, &error, now)?;
                    Settled::Retried
                }
                Some(_) => crash::<H>(connection, &job, &error, now)?,
            };
            rescued.count(settled);
        }
    }
    Ok(rescued)
}

/// Requeues the jobs whose lease has expired although their worker is not known to be dead. Each counts a
/// failed attempt, except for those that an older version has claimed, but not started. Skips `own`, the jobs that the caller runs.
pub(super) fn of_expired_leases<H: Handler>(
    connection: &mut SqliteConnection,
    own: &[(JobId, i64)],
    policy: &Policy,
    random: f64,
    now: UnixMillis,
) -> QueryResult<Rescued<H::Event>> {
    let mut rescued = Rescued { requeued: 0, dead: Vec::new() };
    let expired = jobs::table
        .filter(jobs::kind.eq(H::KIND.name))
        .filter(jobs::state.eq(JobState::Running))
        .filter(jobs::lease_until.lt(now))
        .select((Job::as_select(), jobs::started_at))
        .load::<(Job, Option<UnixMillis>)>(connection)?;
    let failure = Failure::retry("the lease expired", GIVEN_UP);
    for (job, started_at) in expired {
        if own.contains(&(job.id, job.lease_token)) {
            continue;
        }
        let settled = match started_at {
            None => {
                requeue(connection, &job, None, AttemptOutcome::Expired, &failure.error, now)?;
                Settled::Retried
            }
            Some(_) => fail::<H>(connection, &job, &failure, AttemptOutcome::Expired, policy, random, now)?,
        };
        rescued.count(settled);
    }
    Ok(rescued)
}

/// The workers among these that hold no running job of any kind.
pub(super) fn idle_workers(connection: &mut SqliteConnection, workers: &[WorkerId]) -> QueryResult<Vec<WorkerId>> {
    let mut idle = Vec::new();
    for worker in workers {
        let held = jobs::table.filter(jobs::lease_owner.eq(worker)).filter(jobs::state.eq(JobState::Running));
        if !diesel::select(diesel::dsl::exists(held)).get_result::<bool>(connection)? {
            idle.push(worker.clone());
        }
    }
    Ok(idle)
}

/// Releases the jobs of a worker that shuts down before they have finished, in one transaction.
pub(super) async fn release(database: &Database, jobs: Vec<(JobId, i64)>) {
    let release = move |connection: &mut SqliteConnection| {
        let mut released = Vec::new();
        for (id, lease_token) in jobs {
            if claim::release(connection, id, lease_token)? {
                released.push(id);
            }
        }
        Ok(released)
    };
    match database.write(release).await {
        Ok(released) => {
            released.iter().for_each(|id| tracing::info!(job.id = %id, "released a job that did not finish in time"));
        }
        Err(error) => tracing::warn!(error = %error, "the jobs that did not finish in time could not be released"),
    }
}

/// Gives up the id of a worker that shuts down. If it still owns a job, the lock file stays for the next worker to
/// find.
pub(super) fn resign(database: &Database, lock: &WorkerLock) {
    let own = std::slice::from_ref(lock.id());
    match database.read_point(|connection| idle_workers(connection, own)) {
        Ok(idle) if !idle.is_empty() => lock.resign(),
        Ok(_) => lock.mark_orderly(),
        Err(error) => {
            tracing::warn!(error = %error, "cannot look up the jobs of this worker");
            lock.mark_orderly();
        }
    }
}
