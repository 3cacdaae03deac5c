//! Bringing back the jobs of workers that died, and those whose lease ran out.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::claim;
use super::history::AttemptOutcome;
use super::settle::{GIVEN_UP, Settled, crash, fail, requeue};
use super::{Failure, Handler, Job, Policy, WorkerId, parse_id};
use crate::db::{UnixMillis, schema::jobs};
use crate::ids::JobId;

/// What a rescue did.
#[derive(Debug)]
pub(super) struct Rescued<N> {
    /// How many jobs are queued again.
    pub(super) requeued: usize,
    /// The announcements of those that are dead now.
    pub(super) dead: Vec<Option<N>>,
}

impl<N> Rescued<N> {
    fn count(&mut self, settled: Settled<N>) {
        match settled {
            Settled::Dead(event) => self.dead.push(event),
            Settled::Retried => self.requeued += 1,
            Settled::Done(_) | Settled::LeaseLost => {}
        }
    }
}

/// Whether any lease of the kind has run out: a cheap read before the write lock is taken.
pub(super) fn is_expired(connection: &mut SqliteConnection, kind: &str, now: UnixMillis) -> QueryResult<bool> {
    let expired =
        jobs::table.filter(jobs::kind.eq(kind)).filter(jobs::state.eq("running")).filter(jobs::lease_until.lt(now));
    diesel::select(diesel::dsl::exists(expired)).get_result(connection)
}

/// Takes back what these dead workers held: a job that had started counts a crash, one that had not is not charged, nor is
/// any of a worker that ended in order (`true`).
pub(super) fn of_dead_workers<H: Handler>(
    connection: &mut SqliteConnection,
    dead: &[(WorkerId, bool)],
    now: UnixMillis,
) -> QueryResult<Rescued<H::Event>> {
    let mut rescued = Rescued { requeued: 0, dead: Vec::new() };
    for (owner, in_order) in dead {
        let held = jobs::table
            .filter(jobs::lease_owner.eq(owner.as_str()))
            .filter(jobs::kind.eq(H::KIND.name))
            .filter(jobs::state.eq("running"))
            .select((Held::as_select(), jobs::started_at))
            .load::<(Held, Option<UnixMillis>)>(connection)?;
        for (job, started_at) in held {
            let job = job.into_job()?;
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

/// Takes back jobs whose lease ran out although nobody knows the owner dead: one that had started counts a failed attempt,
/// one that had not is not charged. Those that the caller runs itself are `own`, and left alone.
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
        .filter(jobs::state.eq("running"))
        .filter(jobs::lease_until.lt(now))
        .select((Held::as_select(), jobs::started_at))
        .load::<(Held, Option<UnixMillis>)>(connection)?;
    let failure = Failure::retry("the lease expired", GIVEN_UP);
    for (job, started_at) in expired {
        let job = job.into_job()?;
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

/// Which of these workers hold no running job of any kind any more.
pub(super) fn holding_nothing(connection: &mut SqliteConnection, workers: &[WorkerId]) -> QueryResult<Vec<WorkerId>> {
    let mut idle = Vec::new();
    for worker in workers {
        let held = jobs::table.filter(jobs::lease_owner.eq(worker.as_str())).filter(jobs::state.eq("running"));
        if !diesel::select(diesel::dsl::exists(held)).get_result::<bool>(connection)? {
            idle.push(worker.clone());
        }
    }
    Ok(idle)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = jobs)]
struct Held {
    id: String,
    payload: String,
    attempts: i32,
    crashes: i32,
    lease_token: i64,
}

impl Held {
    fn into_job(self) -> QueryResult<Job> {
        let Self { id, payload, attempts, crashes, lease_token } = self;
        Ok(Job { id: parse_id(&id)?, payload, attempts, crashes, lease_token })
    }
}
