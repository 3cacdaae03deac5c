//! One attempt at one job, from its start to its durable end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use futures_util::FutureExt;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::clock::Clock;
use super::environment::EnvironmentLog;
use super::settle::{self, GIVEN_UP, Settled};
use super::slots::{Slot, Waiting};
use super::{AttemptOutcome, Failure, FailureKind, Handler, Job, JobState, Policy, Task, claim};
use crate::backoff;
use crate::db::{Database, DbError};
use crate::ids::TraceParent;

/// The longest delay between two attempts to write the end of a job.
const WRITE_RETRY_CAP: Duration = Duration::from_secs(2);

/// One attempt at one job.
pub(super) struct Attempt<H> {
    pub(super) database: Database,
    pub(super) handler: Arc<H>,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) environment: Arc<EnvironmentLog>,
    pub(super) shutdown: CancellationToken,
}

impl<H: Handler> Attempt<H> {
    /// Runs the job and settles it. During a shutdown, the job is released instead.
    ///
    /// # Errors
    /// When the end of the job could not be written. Its lease will expire.
    pub(super) async fn run(&self, job: Job, waiting: Waiting) -> Result<(), DbError> {
        let Some(slot) = self.begin(&job, waiting).await? else { return Ok(()) };
        let started = self.clock.monotonic();
        let running = AssertUnwindSafe(self.run_handler(&job, slot)).catch_unwind();
        let result = timeout(self.policy.time_limit, running).await;
        let duration_ms = self.clock.monotonic().saturating_sub(started).as_micros() as f64 / 1e3;
        let settled = match result {
            Ok(Ok(Ok(effect))) => self.complete(job, effect).await?,
            Ok(Ok(Err(failure))) => self.fail(job, failure).await?,
            Ok(Err(_panic)) => self.fail(job, Failure::retry("the worker panicked", GIVEN_UP)).await?,
            Err(_elapsed) => self.time_out(job).await?,
        };
        match settled {
            Settled::Done(event) => {
                tracing::info!(duration_ms, "job done");
                self.handler.publish(event);
            }
            Settled::Dead(event) => {
                tracing::warn!("job dead");
                event.into_iter().for_each(|event| self.handler.publish(event));
            }
            Settled::Retried => {}
            Settled::LeaseLost => tracing::warn!("the lease was lost; the result is dropped"),
        }
        Ok(())
    }

    async fn run_handler(&self, job: &Job, slot: Slot) -> Result<H::Effect, Failure> {
        let task = job.task::<H::Task>();
        let task = task.map_err(|error| Failure::fail(format!("the payload is invalid: {error}"), GIVEN_UP))?;
        self.handler.run(job, task, slot).await
    }

    /// Waits for a slot, and confirms the lease, which may be lost meanwhile. Releases the job during a shutdown.
    async fn begin(&self, job: &Job, waiting: Waiting) -> Result<Option<Slot>, DbError> {
        let slot = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                let (id, lease_token) = (job.id, job.lease_token);
                self.database.write(move |connection| claim::release(connection, id, lease_token)).await?;
                return Ok(None);
            }
            slot = waiting.slot() => slot,
        };
        // If it cannot be read, the end of the job is fenced all the same.
        let is_held = self.database.read_point(|connection| claim::is_held(connection, job)).unwrap_or(true);
        Ok(is_held.then_some(slot))
    }

    async fn complete(&self, job: Job, effect: H::Effect) -> Result<Settled<H::Event>, DbError> {
        let completed = self
            .persist(|| {
                let (job, effect, clock) = (job.clone(), effect.clone(), self.clock.clone());
                move |connection| settle::complete::<H>(connection, &job, effect, clock.wall())
            })
            .await;
        match completed {
            Err(error) if !error.is_environment() => {
                self.fail(job, Failure::retry(error, "This could not be stored.")).await
            }
            settled => settled,
        }
    }

    async fn fail(&self, job: Job, failure: Failure) -> Result<Settled<H::Event>, DbError> {
        let error = failure.error.as_str();
        match failure.kind {
            FailureKind::Environment => self.environment.report(error),
            FailureKind::Retry | FailureKind::Fail => {
                tracing::warn!(error, "attempt failed");
            }
        }
        self.persist(|| {
            let (job, failure, policy, clock) = (job.clone(), failure.clone(), self.policy, self.clock.clone());
            move |connection| {
                let now = clock.wall();
                settle::fail::<H>(connection, &job, &failure, AttemptOutcome::Failed, &policy, rand::random(), now)
            }
        })
        .await
    }

    /// Settles a job whose attempt exceeded the time limit. A blocking thread of the attempt runs on; its result is
    /// dropped.
    async fn time_out(&self, job: Job) -> Result<Settled<H::Event>, DbError> {
        let limit_s = self.policy.time_limit.as_secs_f64();
        tracing::error!(limit_s, "attempt exceeded its time limit; it counts as a crash");
        let error = format!("it took longer than {limit_s} s");
        self.persist(|| {
            let (job, error, clock) = (job.clone(), error.clone(), self.clock.clone());
            move |connection| settle::crash::<H>(connection, &job, &error, clock.wall())
        })
        .await
    }

    /// Repeats a write until it succeeds, because a failure of the database says nothing about the job. Stops when the
    /// process can never write again, or with the task that it is part of.
    async fn persist<T, F>(&self, mut change: impl FnMut() -> F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let mut failures = 0;
        loop {
            match self.database.write(change()).await {
                Err(error) if error.is_environment() && !matches!(error, DbError::Closed | DbError::Newer(_)) => {
                    self.environment.report(&error.to_string());
                    failures += 1;
                    sleep(backoff::jittered(failures, self.policy.retry_base, WRITE_RETRY_CAP, rand::random())).await;
                }
                written => return written,
            }
        }
    }
}

/// The span of an attempt, which ties its log lines to the job, and to the trace of the request that has enqueued it.
pub(super) fn span<H: Handler>(job: &Job, trace: Option<&TraceParent>) -> Span {
    let user = job.task::<H::Task>().ok().and_then(|task| task.user_id());
    // Errors of the job carry the span at every log level.
    tracing::error_span!(
        "job",
        job.id = %job.id,
        kind = H::KIND.name,
        attempt = JobState::Running.attempts(job.attempts),
        user.id = user.map(|user| user.get()),
        trace_id = trace.map(TraceParent::trace_id),
        parent_span_id = trace.map(TraceParent::parent_span_id),
    )
}
