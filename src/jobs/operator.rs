//! What an operator does to a job: have it tried again, or take it back.
//!
//! The end of a cancelled job is published after the commit, like every other end.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::environment;
use super::history::{self, AttemptOutcome};
use super::settle::free_dedup_key;
use super::{Filter, Handler, Job, JobState, Kind, list, parse_id};
use crate::db::schema::jobs;
use crate::db::{Database, DbError, UnixMillis, now};
use crate::ids::JobId;

/// What the person whose job it was is told.
const CANCELLED: &str = "This was cancelled.";

/// Tells the world how a job ended, once that is durable.
type Publication = Box<dyn FnOnce() + Send>;
type OnDead = dyn Fn(&mut SqliteConnection, &Job, &str, UnixMillis) -> QueryResult<Option<Publication>> + Send + Sync;

/// What an intervention means to the kind whose job it is.
#[derive(Clone)]
pub struct KindHooks {
    kind: Kind,
    on_dead: Arc<OnDead>,
    on_requeued: fn(&mut SqliteConnection, &Job) -> QueryResult<()>,
}

impl KindHooks {
    /// The hooks of this handler's jobs, whose end nobody waits for.
    pub fn of<H: Handler>() -> Self {
        Self::publishing::<H>(drop)
    }

    /// The hooks of this handler's jobs, whose end is published in this way. It must not block.
    pub fn publishing<H: Handler>(publish: impl Fn(H::Event) + Clone + Send + Sync + 'static) -> Self {
        let on_dead = move |connection: &mut SqliteConnection, job: &Job, message: &str, now| {
            let publish = publish.clone();
            let event = H::on_dead(connection, job, message, now)?;
            Ok(event.map(|event| Box::new(move || publish(event)) as Publication))
        };
        Self { kind: H::KIND, on_dead: Arc::new(on_dead), on_requeued: H::on_requeued }
    }
}

/// What came of an intervention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// It is as the operator wants it now.
    Done,
    /// The job is in a state in which that has no meaning.
    Refused(JobState),
    /// There is no such job.
    Unknown,
}

/// Queues a job that is dead or cancelled again, with all its attempts before it; a queued one becomes due now. Whoever
/// waits for it is told as if it had never ended.
///
/// # Errors
/// When a statement fails.
pub fn retry(
    connection: &mut SqliteConnection,
    hooks: &[KindHooks],
    id: JobId,
    now: UnixMillis,
) -> QueryResult<Intervention> {
    let Some((kind, state, job)) = find(connection, id)? else { return Ok(Intervention::Unknown) };
    match state {
        JobState::Dead | JobState::Cancelled => {
            if let Some(kind_hooks) = hooks_of(hooks, &kind) {
                (kind_hooks.on_requeued)(connection, &job)?;
            }
        }
        JobState::Queued => {}
        JobState::Running | JobState::Done => return Ok(Intervention::Refused(state)),
    }
    diesel::update(jobs::table.find(id.to_string()))
        .set((
            jobs::state.eq(JobState::Queued.name()),
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

/// How many jobs [`retry_all`] takes in one transaction, so that other writers get their turn.
const BATCH: i64 = 200;

/// Does [`retry`] to every job that the filter lets through, and says how many there were. Jobs that come to be such
/// meanwhile are left alone.
///
/// # Errors
/// When the database fails; what was done before that stays so.
pub async fn retry_all(database: &Database, hooks: &Arc<[KindHooks]>, mut filter: Filter) -> Result<usize, DbError> {
    let mut retried = 0;
    loop {
        let page = filter.clone();
        let listed = database.read(move |connection| list(connection, &page, BATCH)).await?;
        let ids: Vec<JobId> = listed.iter().map(|listed| parse_id(&listed.id)).collect::<QueryResult<_>>()?;
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

/// Takes a job back that has not ended, and announces it. What a worker is just doing for it is dropped when that ends;
/// what has left the system is not called back.
///
/// # Errors
/// When the database fails.
pub async fn cancel(database: &Database, hooks: &Arc<[KindHooks]>, id: JobId) -> Result<Intervention, DbError> {
    let hooks = hooks.clone();
    let (came, publication) = database.write(move |connection| cancel_in(connection, &hooks, id, now())).await?;
    if let Some(publish) = publication {
        publish();
    }
    Ok(came)
}

fn cancel_in(
    connection: &mut SqliteConnection,
    hooks: &[KindHooks],
    id: JobId,
    now: UnixMillis,
) -> QueryResult<(Intervention, Option<Publication>)> {
    const ERROR: &str = "cancelled by an operator";
    let Some((kind, state, job)) = find(connection, id)? else { return Ok((Intervention::Unknown, None)) };
    if !matches!(state, JobState::Queued | JobState::Running) {
        return Ok((Intervention::Refused(state), None));
    }
    history::record(connection, &id.to_string(), job.lease_token, AttemptOutcome::Cancelled, Some(ERROR), now)?;
    diesel::update(jobs::table.find(id.to_string()))
        .set((
            jobs::state.eq(JobState::Cancelled.name()),
            jobs::error.eq(ERROR),
            jobs::lease_owner.eq(None::<String>),
            jobs::lease_until.eq(None::<UnixMillis>),
            jobs::started_at.eq(None::<UnixMillis>),
            jobs::finished_at.eq(now),
        ))
        .execute(connection)?;
    environment::clear(connection, id)?;
    let Some(kind_hooks) = hooks_of(hooks, &kind) else { return Ok((Intervention::Done, None)) };
    free_dedup_key(connection, kind_hooks.kind, &id.to_string())?;
    Ok((Intervention::Done, (kind_hooks.on_dead)(connection, &job, CANCELLED, now)?))
}

fn hooks_of<'a>(hooks: &'a [KindHooks], kind: &str) -> Option<&'a KindHooks> {
    hooks.iter().find(|kind_hooks| kind_hooks.kind.name == kind)
}

fn find(connection: &mut SqliteConnection, id: JobId) -> QueryResult<Option<(String, JobState, Job)>> {
    type Row = (String, String, String, String, i32, i32, i64);
    let row = jobs::table
        .find(id.to_string())
        .select((jobs::id, jobs::kind, jobs::state, jobs::payload, jobs::attempts, jobs::crashes, jobs::lease_token))
        .first::<Row>(connection)
        .optional()?;
    let Some((id, kind, state, payload, attempts, crashes, lease_token)) = row else { return Ok(None) };
    // The table's own check allows no other state.
    let state = JobState::by_name(&state).ok_or(diesel::result::Error::NotFound)?;
    Ok(Some((kind, state, Job { id: parse_id(&id)?, payload, attempts, crashes, lease_token })))
}
