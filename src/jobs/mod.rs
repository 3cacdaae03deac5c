//! The job engine: an accepted job is never lost.
//!
//! Owns the tables `jobs`, `job_attempts`, `job_delays` and `job_rounds` and the worker locks. Consumes wake-ups (a
//! channel, a sweep, a reconnect). Publishes nothing itself: a [`Handler`] publishes its events after the commit. Never
//! writes a job's effect outside of the transaction that completes the job, and never names a kind of job of the
//! product.
//!
//! A job is `queued`, then claimed under a lease (`running`), and ends as `done`, `dead` or, by an operator,
//! `cancelled`. Two counters keep failures apart: `attempts` counts errors and expired leases, `crashes` counts workers
//! that died while they ran the job and attempts that exceeded the time limit. A failure of the environment (storage,
//! the database) counts as neither: the job waits for as long as it lasts.
//!
//! A blocking decoder cannot be interrupted. When an attempt exceeds its time limit, its slot is freed and its job is
//! settled as crashed; the thread is abandoned, and its result is dropped because the lease is gone.
//!
//! Producing jobs:
//! - `task`: typed payloads and [`enqueue()`]
//! - [`QueueLimit`]: the limit of queued jobs
//! - `status`: the status of a job, for the module that enqueued it
//!
//! Running jobs:
//! - `runner`, `running_jobs`: the loop that claims, runs and settles the jobs of one [`Handler`]
//! - `slots`: how many jobs are worked on, and how many are claimed ahead
//! - `attempt`: one attempt at one job
//! - `claim`: claims jobs under a lease, renews leases, releases jobs
//! - `round`: round-robin among users
//! - `settle`: the end of an attempt, fenced by the lease token
//! - `rescue`: jobs of dead workers and of expired leases
//! - `worker_id`, `worker_lock`: file locks by which a dead worker on the same host is detected at once
//! - `environment`: failures of the environment
//! - `history`, `attempt_outcome`: a row for each attempt
//! - `clock`: detects that the wall clock was set
//! - `wake`: the signal that wakes an idle runner
//! - `pruning`: deletes old jobs
//!
//! [`operator`]: how operators inspect, retry and cancel jobs.

mod attempt;
mod attempt_outcome;
#[doc(hidden)]
pub mod bench_hooks;
mod claim;
mod clock;
mod environment;
mod failure;
mod handler;
mod history;
mod job;
mod kind;
pub mod operator;
mod pruning;
mod queue_limit;
mod rescue;
mod round;
mod runner;
mod running_jobs;
mod settle;
mod slots;
mod state;
mod status;
mod task;
mod trace;
mod wake;
mod worker_id;
mod worker_lock;

use std::time::Duration;

pub use attempt_outcome::AttemptOutcome;
pub use clock::{Clock, SystemClock};
pub(crate) use failure::causes;
pub use failure::{Failure, FailureKind};
pub use handler::Handler;
pub use job::Job;
pub use kind::{DedupScope, Kind};
pub(crate) use pruning::keep_pruning;
pub use queue_limit::{Permit, QueueFull, QueueLimit};
pub use runner::{ClaimGuard, Runner};
pub use slots::Slot;
pub use state::JobState;
pub(crate) use status::{JobStatus, by_dedup};
pub use task::{Origin, Task, enqueue};
pub(crate) use task::{enqueue_as, withdraw};
pub(crate) use trace::trace_of;
pub use wake::WakeSignal;
pub use worker_id::WorkerId;
pub use worker_lock::WorkerLock;

/// A job is dead after this many crashes.
pub const MAX_CRASHES: i32 = 5;

/// The limits and intervals of one kind of job.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long a lease lasts without a heartbeat. A heartbeat is sent three times as often.
    pub lease: Duration,
    /// How often the runner looks for due jobs and dead workers without being woken.
    pub sweep_interval: Duration,
    /// A job is dead after this many failed attempts.
    pub max_attempts: i32,
    /// The wait before the second attempt. It doubles with each further one.
    pub retry_base: Duration,
    /// The longest wait between two attempts.
    pub retry_cap: Duration,
    /// How long running jobs may take after a shutdown was requested, before they are released.
    pub drain: Duration,
    /// How long one attempt may take. A longer one counts as a crash.
    pub time_limit: Duration,
}
