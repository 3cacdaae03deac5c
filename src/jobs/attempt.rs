//! One attempt at one job, from its start to its durable end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim;
use super::history::Ending;
use super::settle::{self, Settled};
use super::{Failure, Handler, Job, Policy};
use crate::db::{Database, DbError, now};

/// How often a job's end is tried to be written before the job is left to its lease.
const SETTLE_TRIES: u32 = 3;

/// One attempt at one job.
pub(super) struct Attempt<H> {
    pub(super) database: Database,
    pub(super) handler: Arc<H>,
    pub(super) policy: Policy,
    pub(super) shutdown: CancellationToken,
}

impl<H: Handler> Attempt<H> {
    /// Runs the job and writes down how it ended; a job that is not begun is handed back.
    ///
    /// # Errors
    /// When the end could not be written: the job is left to its lease.
    pub(super) async fn run(&self, job: Job) -> Result<(), DbError> {
        if !self.begin(&job).await? {
            return Ok(());
        }
        let began = Instant::now();
        let result = AssertUnwindSafe(self.handler.run(&job)).catch_unwind().await;
        let result = result.unwrap_or_else(|_panic| {
            Err(Failure::retry(
                "the worker panicked",
                "This could not be processed. Please try again with another file.",
            ))
        });
        let (id, attempt) = (job.id, job.attempts + 1);
        let duration_ms = began.elapsed().as_millis();
        let settled = match result {
            Ok(effect) => self.complete(job, effect).await?,
            Err(failure) => {
                tracing::warn!(kind = H::KIND.name, job.id = %id, attempt, error = failure.error, "an attempt failed");
                self.fail(job, failure).await?
            }
        };
        match settled {
            Settled::Done(notice) => {
                tracing::info!(kind = H::KIND.name, job.id = %id, attempt, duration_ms, "job done");
                self.handler.announce(notice);
            }
            Settled::Dead(notice) => {
                tracing::warn!(kind = H::KIND.name, job.id = %id, attempt, "job dead");
                notice.into_iter().for_each(|notice| self.handler.announce(notice));
            }
            Settled::Retried => {}
            Settled::LeaseLost => tracing::warn!(job.id = %id, "the lease was lost; the result is dropped"),
        }
        Ok(())
    }

    /// Confirms the lease and marks the start, or hands the job back when the process is about to stop.
    async fn begin(&self, job: &Job) -> Result<bool, DbError> {
        if self.shutdown.is_cancelled() {
            let (id, lease_token) = (job.id, job.lease_token);
            self.database.write(move |connection| claim::release(connection, id, lease_token)).await?;
            return Ok(false);
        }
        let job = job.clone();
        self.database.write(move |connection| claim::begin(connection, &job, now())).await
    }

    async fn complete(&self, job: Job, effect: H::Effect) -> Result<Settled<H::Notice>, DbError> {
        let again = job.clone();
        let completed =
            self.database.write(move |connection| settle::complete::<H>(connection, &job, effect, now())).await;
        match completed {
            Ok(settled) => Ok(settled),
            Err(DbError::Closed) => Err(DbError::Closed),
            // The effect went with the failed write, so the work has to be done again.
            Err(error) => self.fail(again, Failure::retry(error, "This could not be stored.")).await,
        }
    }

    async fn fail(&self, job: Job, failure: Failure) -> Result<Settled<H::Notice>, DbError> {
        let mut tries = 0;
        loop {
            let (job, failure, policy) = (job.clone(), failure.clone(), self.policy);
            let write = move |connection: &mut _| {
                settle::fail::<H>(connection, &job, &failure, Ending::Failed, &policy, rand::random(), now())
            };
            tries += 1;
            match self.database.write(write).await {
                Err(DbError::Commit(_) | DbError::Statement(_)) if tries < SETTLE_TRIES => {
                    tokio::time::sleep(self.policy.retry_base).await;
                }
                settled => return settled,
            }
        }
    }
}
