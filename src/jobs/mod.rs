//! The job engine: nothing that was accepted is ever lost.
//!
//! Owns the tables `jobs`, `job_attempts` and `job_delays` and the worker locks. Consumes wake-ups (from a channel, a sweep, a reconnect), publishes
//! nothing itself: a [`Handler`] announces what became of its jobs after the commit. Never runs a job's database effect
//! outside of the transaction that completes the job.
//!
//! A job is `queued`, is claimed under a lease (`running`), and ends `done`, `dead` or, by an operator, `cancelled`. Two counters tell failures apart:
//! `attempts` counts errors and expired leases, `crashes` counts workers that died while they ran the job, and attempts
//! that exceeded the time limit. A failure of the environment (storage, the database) counts as neither: the job waits for
//! as long as it takes.
//!
//! A blocking decoder cannot be stopped from outside. When an attempt exceeds its time limit, the job is settled at once as
//! crashed, under its lease; its slot is free, and the thread is abandoned: the result is dropped, as the lease is over.
//!
//! - [`enqueue()`]: rows for new jobs, inside the caller's transaction
//! - [`backlog()`]: what is left to do
//! - `attempt`: one attempt at one job
//! - [`Clock`]: the clocks that all this relies on, and what happens when one of them is set
//! - [`delayed()`]: jobs that wait for their environment
//! - [`by_dedup()`]: what became of a job
//! - `claim`: taking due jobs under a lease, marking the start, handing back
//! - `settle`: done, again later, or dead; fenced by the lease's token
//! - `history`: how each attempt ended
//! - [`list()`], [`show()`], [`retry()`], [`cancel()`]: what an operator sees and does
//! - [`prune()`]: what is removed in the end
//! - [`QueueLimit`]: how many may wait
//! - `kind`: which kinds there are
//! - `rescue`: jobs of dead workers and of expired leases
//! - `runner`: the loop that does all that for one [`Handler`]

mod age;
mod attempt;
mod backlog;
mod backoff;
mod claim;
mod clock;
mod enqueue;
mod environment;
mod health;
mod history;
mod kind;
mod listing;
mod operator;
mod pruning;
mod queue_limit;
mod rescue;
mod runner;
mod settle;
mod status;
mod wake;
mod worker_lock;

use std::future::Future;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::{DbError, UnixMillis};
use crate::ids::JobId;

pub use age::{Age, since};
pub use backlog::{Backlog, backlog};
pub use clock::{Clock, SystemClock};
pub use enqueue::{NewJob, enqueue, withdraw};
pub use environment::{Delayed, delayed};
pub use health::{ExpiredLease, expired_leases, newest_job};
pub use kind::{DedupScope, EMAIL, KINDS, Kind, THUMBNAIL, WAREHOUSE, WEBHOOK};
pub use listing::{AttemptSummary, Filter, JobDetails, JobState, JobSummary, list, show};
pub use operator::{Intervention, KindHooks, cancel, retry, retry_all};
pub use pruning::{Pruned, keep_pruning, prune, purge};
pub use queue_limit::{Permit, QueueFull, QueueLimit};
pub use runner::{ClaimGuard, Runner};
pub use status::{JobStatus, by_dedup};
pub use wake::WakeSignal;
pub use worker_lock::{WorkerId, WorkerLock};

/// How often a job may take its worker down with it before it is given up.
pub const MAX_CRASHES: i32 = 5;

/// When jobs are given up, repeated and taken for lost.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// For how long a claim holds without a heartbeat; heartbeats come three times as often.
    pub lease: Duration,
    /// How often to look for due jobs and dead workers without being woken.
    pub sweep_interval: Duration,
    /// After how many failed attempts a job is dead.
    pub max_attempts: i32,
    /// The wait before the second attempt; it doubles with each further one.
    pub retry_base: Duration,
    /// The longest wait between two attempts.
    pub retry_cap: Duration,
    /// How long running jobs may go on after a shutdown was requested, before they are handed back.
    pub drain: Duration,
    /// How long one attempt may take; after that it counts as a crash.
    pub time_limit: Duration,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// JSON, of the kind's own form.
    pub payload: String,
    /// Failed attempts before this one.
    pub attempts: i32,
    /// Workers that died while they ran it.
    pub crashes: i32,
    /// The fencing token of this claim.
    pub(crate) lease_token: i64,
}

/// What a failure says about the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Another attempt may succeed; this one counts.
    Retry,
    /// No repetition repairs it.
    Fail,
    /// Nothing: storage, the database or the system failed. The job waits until they work, and no attempt is counted.
    Environment,
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it says about the job.
    pub kind: FailureKind,
    /// What happened, for the operator.
    pub error: String,
    /// What is wrong, for the person whose job it is; no path, no library's text.
    pub message: String,
}

impl Failure {
    /// A failure that may pass: a file that its owner has yet to write, a refused connection.
    pub fn retry(error: impl ToString, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Retry, error: error.to_string(), message: message.into() }
    }

    /// A failure that no repetition mends.
    pub fn fail(error: impl ToString, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Fail, error: error.to_string(), message: message.into() }
    }

    /// A failure of what every job needs: a full disk, a missing mount, a locked database, too many open files.
    pub fn environment(error: impl ToString, message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Environment, error: error.to_string(), message: message.into() }
    }

    /// A failure of a statement: one of the environment unless the statement itself is at fault.
    pub fn database(error: &DbError, message: impl Into<String>) -> Self {
        match error.is_environment() {
            true => Self::environment(error, message),
            false => Self::retry(error, message),
        }
    }
}

/// What a kind of job does, and what its end means to the rest.
pub trait Handler: Send + Sync + 'static {
    /// Which jobs.
    const KIND: Kind;
    /// What a successful attempt hands to [`Handler::apply`].
    type Effect: Clone + Send + Sync + 'static;
    /// What is to be announced once a job's end is durable.
    type Event: Send + 'static;

    /// Does the work. It may run more than once for a job, even at the same time when a lease was lost, so whatever it
    /// does outside of the database must bear repetition.
    fn run(&self, job: &Job) -> impl Future<Output = Result<Self::Effect, Failure>> + Send;

    /// What the operator should know of a job that ends with this effect, such as why nothing was sent.
    fn operator_note(_effect: &Self::Effect) -> Option<String> {
        None
    }

    /// Writes the effect, in the transaction that makes the job done.
    ///
    /// # Errors
    /// When a statement fails. Where the database is at fault, the same effect is written again until that succeeds; else
    /// the attempt counts as failed.
    fn apply(
        connection: &mut SqliteConnection,
        job: &Job,
        effect: Self::Effect,
        now: UnixMillis,
    ) -> QueryResult<Self::Event>;

    /// Writes down that the job is dead, in the transaction that makes it so. `message` is for the person whose job it is.
    ///
    /// # Errors
    /// When a statement fails.
    fn on_dead(
        connection: &mut SqliteConnection,
        job: &Job,
        message: &str,
        now: UnixMillis,
    ) -> QueryResult<Option<Self::Event>>;

    /// Takes back what [`Handler::on_dead`] wrote, in the transaction that queues a dead job again.
    ///
    /// # Errors
    /// When a statement fails.
    fn on_requeued(_connection: &mut SqliteConnection, _job: &Job) -> QueryResult<()> {
        Ok(())
    }

    /// Tells the world, after the commit. Must not block.
    fn publish(&self, event: Self::Event);
}

/// Reads a job id out of the database, where every id is one that we made.
fn parse_id(text: &str) -> QueryResult<JobId> {
    text.parse().map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))
}
