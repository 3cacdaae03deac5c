//! Retries and cancels jobs. The event of a cancelled job is published after the commit, as for every other end.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::hooks::{KindHooks, Publish};
use super::listing::{Filter, list};
use crate::db::schema::jobs;
use crate::db::{Database, DbError, UnixMillis, now};
use crate::ids::JobId;
use crate::jobs::environment;
use crate::jobs::history;
use crate::jobs::round;
use crate::jobs::settle::free_dedup_key;
use crate::jobs::{AttemptOutcome, Job, JobState, WorkerId};

/// The user's message for a cancelled job.
const CANCELLED_MESSAGE: &str = "This was cancelled.";
/// The error of a cancelled job, for the operator.
const CANCELLED_ERROR: &str = "cancelled by an operator";
/// The number of jobs that [`retry_all`] changes in one transaction, so that other writers get their turn.
const BATCH: i64 = 200;

/// The result of a retry or a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// The job was changed.
    Done,
    /// Not possible in this state.
    Refused(JobState),
    /// There is no such job.
    Unknown,
}

/// Queues a dead or cancelled job again with its full attempt budget, and reverts what its end changed elsewhere. A
/// queued job becomes due now; if it was due before, it keeps its place.
pub(crate) fn retry(
    connection: &mut SqliteConnection,
    hooks: &[KindHooks],
    id: JobId,
    now: UnixMillis,
) -> QueryResult<Intervention> {
    let Some((kind, state, job)) = find(connection, id)? else { return Ok(Intervention::Unknown) };
    match state {
        JobState::Dead | JobState::Cancelled => {
            // The next claim gives it a round.
            round::wait_until(connection, id, now)?;
            if let Some(hooks) = hooks_of(hooks, &kind) {
                (hooks.on_requeued)(connection, &job)?;
            }
        }
        JobState::Queued => {}
        JobState::Running | JobState::Done => return Ok(Intervention::Refused(state)),
    }
    diesel::update(jobs::table.find(id))
        .set((
            jobs::state.eq(JobState::Queued),
            jobs::run_at.eq(now),
            jobs::attempts.eq(0),
            jobs::crashes.eq(0),
            jobs::error.eq(None::<String>),
            jobs::finished_at.eq(None::<UnixMillis>),
        ))
        .execute(connection)?;
    environment::clear(connection, id)?;
    Ok(Intervention::Done)
}

/// Retries every job that matches the filter, in batches, and returns their number. Jobs that match only later are left
/// alone. After a database error, the batches before it stay queued.
pub(crate) async fn retry_all(
    database: &Database,
    hooks: &Arc<[KindHooks]>,
    mut filter: Filter,
) -> Result<usize, DbError> {
    let mut retried = 0;
    loop {
        let page = filter.clone();
        let listed = database.read(move |connection| list(connection, &page, BATCH)).await?;
        let ids: Vec<JobId> = listed.iter().map(|job| job.id).collect();
        let Some(&last) = ids.last() else { return Ok(retried) };
        let hooks = hooks.clone();
        retried += database
            .write(move |connection| {
                let mut done = 0;
                for id in ids {
                    done += usize::from(retry(connection, &hooks, id, now())? == Intervention::Done);
                }
                Ok(done)
            })
            .await?;
        if listed.len() < BATCH as usize {
            return Ok(retried);
        }
        filter.before = Some(last);
    }
}

/// Cancels an unfinished job and publishes its event. The result of an attempt that is running is dropped; a request or
/// a mail that has left the system is not recalled.
pub async fn cancel(database: &Database, hooks: &Arc<[KindHooks]>, id: JobId) -> Result<Intervention, DbError> {
    let hooks = hooks.clone();
    let (result, publish) = database.write(move |connection| write_cancel(connection, &hooks, id, now())).await?;
    if let Some(publish) = publish {
        publish();
    }
    Ok(result)
}

fn write_cancel(
    connection: &mut SqliteConnection,
    hooks: &[KindHooks],
    id: JobId,
    now: UnixMillis,
) -> QueryResult<(Intervention, Option<Publish>)> {
    let Some((kind, state, job)) = find(connection, id)? else { return Ok((Intervention::Unknown, None)) };
    if !matches!(state, JobState::Queued | JobState::Running) {
        return Ok((Intervention::Refused(state), None));
    }
    history::record(connection, id, job.lease_token, AttemptOutcome::Cancelled, Some(CANCELLED_ERROR), now)?;
    diesel::update(jobs::table.find(id))
        .set((
            jobs::state.eq(JobState::Cancelled),
            jobs::error.eq(CANCELLED_ERROR),
            jobs::lease_owner.eq(None::<WorkerId>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::started_at.eq(None::<UnixMillis>),
            jobs::finished_at.eq(now),
        ))
        .execute(connection)?;
    environment::clear(connection, id)?;
    let Some(hooks) = hooks_of(hooks, &kind) else { return Ok((Intervention::Done, None)) };
    free_dedup_key(connection, hooks.kind, id)?;
    Ok((Intervention::Done, (hooks.on_dead)(connection, &job, CANCELLED_MESSAGE, now)?))
}

fn hooks_of<'a>(hooks: &'a [KindHooks], kind: &str) -> Option<&'a KindHooks> {
    hooks.iter().find(|hooks| hooks.kind.name == kind)
}

fn find(connection: &mut SqliteConnection, id: JobId) -> QueryResult<Option<(String, JobState, Job)>> {
    jobs::table.find(id).select((jobs::kind, jobs::state, Job::as_select())).get_result(connection).optional()
}
