//! Bringing back the jobs of workers that died, and those whose lease ran out.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::history::Ending;
use super::settle::{Settled, fail, kill, requeue};
use super::{Failure, Handler, Job, MAX_CRASHES, Policy, WorkerId, parse_id};
use crate::db::{UnixMillis, schema::jobs};

/// What the uploader is told when a job was given up without a verdict on what it works on.
const GIVEN_UP: &str = "This could not be processed. Please try again with another file.";

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
            Settled::Dead(notice) => self.dead.push(notice),
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

/// Takes back what these dead workers held: a job that had started counts a crash, one that had not is not charged.
pub(super) fn of_dead_workers<H: Handler>(
    connection: &mut SqliteConnection,
    dead: &[WorkerId],
    now: UnixMillis,
) -> QueryResult<Rescued<H::Notice>> {
    let mut rescued = Rescued { requeued: 0, dead: Vec::new() };
    for owner in dead {
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
                None => {
                    requeue(connection, &job, None, Ending::Crashed, &error, now)?;
                    Settled::Retried
                }
                Some(_) => crash::<H>(connection, &job, &error, now)?,
            };
            rescued.count(settled);
        }
    }
    Ok(rescued)
}

fn crash<H: Handler>(
    connection: &mut SqliteConnection,
    job: &Job,
    error: &str,
    now: UnixMillis,
) -> QueryResult<Settled<H::Notice>> {
    let crashes = job.crashes + 1;
    diesel::update(jobs::table.find(job.id.to_string())).set(jobs::crashes.eq(crashes)).execute(connection)?;
    if crashes >= MAX_CRASHES {
        let error = format!("{error}, as did {} before it", crashes - 1);
        return kill::<H>(connection, job, Ending::Crashed, &error, GIVEN_UP, now);
    }
    requeue(connection, job, None, Ending::Crashed, error, now)?;
    Ok(Settled::Retried)
}

/// Takes back jobs whose lease ran out although nobody knows the owner dead: one that had started counts a failed attempt,
/// one that had not is not charged.
pub(super) fn of_expired_leases<H: Handler>(
    connection: &mut SqliteConnection,
    policy: &Policy,
    random: f64,
    now: UnixMillis,
) -> QueryResult<Rescued<H::Notice>> {
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
        let settled = match started_at {
            None => {
                requeue(connection, &job, None, Ending::Expired, &failure.error, now)?;
                Settled::Retried
            }
            Some(_) => fail::<H>(connection, &job, &failure, Ending::Expired, policy, random, now)?,
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
