//! The loop that claims jobs of one kind, runs them and settles them.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use super::claim::{self, Claimed};
use super::rescue::{self, Rescued};
use super::settle::{self, Settled};
use super::worker_lock::DeadWorker;
use super::{Failure, Handler, Job, Policy, WorkerId, WorkerLock};
use crate::db::{Database, DbError, now};
use crate::ids::JobId;

/// How often a job's end is tried to be written before the job is left to its lease.
const SETTLE_TRIES: u32 = 3;

/// The doorbell: ring it when there may be work.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A doorbell that nobody hears yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the runner, or keeps it from falling asleep next time.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Runs the jobs of one kind, several at once.
pub struct Runner<H> {
    database: Database,
    handler: Arc<H>,
    policy: Policy,
    concurrency: usize,
    lock: Arc<WorkerLock>,
    wake: Wake,
    shutdown: CancellationToken,
    running: HashMap<JobId, i64>,
    tasks: JoinSet<JobId>,
    /// A rescued job is running alone, or waits until it can.
    exclusive: bool,
}

impl<H: Handler> Runner<H> {
    /// A runner that holds at most `concurrency` jobs at a time.
    pub fn new(
        database: Database,
        handler: H,
        policy: Policy,
        concurrency: usize,
        lock: Arc<WorkerLock>,
        wake: Wake,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            database,
            handler: Arc::new(handler),
            policy,
            concurrency: concurrency.max(1),
            lock,
            wake,
            shutdown,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            exclusive: false,
        }
    }

    /// Runs until shutdown is requested; then lets running jobs end within the policy's drain time and hands back the
    /// rest uncharged. A database that fails for a while is waited for.
    ///
    /// # Errors
    /// When jobs could be neither finished nor handed back at the end; they are left to whoever finds this worker dead.
    pub async fn run(mut self) -> Result<(), DbError> {
        let mut sweep = interval(self.policy.sweep_interval);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat = interval(self.policy.lease / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = self.wake.clone();
        let shutdown = self.shutdown.clone();
        loop {
            let step = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = heartbeat.tick() => self.heartbeat().await,
                Some(ended) = self.tasks.join_next() => {
                    self.forget(ended);
                    self.claim().await
                }
                _ = sweep.tick() => self.sweep().await,
                () = wake.0.notified() => self.claim().await,
            };
            if let Err(error) = step {
                tracing::error!(kind = H::KIND.name, error = %error, "the job queue cannot be reached");
            }
        }
        self.drain().await
    }

    async fn sweep(&mut self) -> Result<(), DbError> {
        self.rescue_dead_workers().await?;
        self.rescue_expired_leases().await?;
        self.claim().await
    }

    /// Fills the free slots with due jobs.
    async fn claim(&mut self) -> Result<(), DbError> {
        let idle = self.running.is_empty();
        if idle {
            self.exclusive = false;
        }
        let free = self.concurrency.saturating_sub(self.running.len());
        if self.exclusive || free == 0 {
            return Ok(());
        }
        let at = now();
        if !self.database.read_point(|connection| claim::is_due(connection, H::KIND, at))? {
            return Ok(());
        }
        let (owner, policy) = (self.lock.id().clone(), self.policy);
        let claimed = self
            .database
            .write(move |connection| claim::claim(connection, H::KIND, &owner, free, idle, &policy, now()))
            .await?;
        match claimed {
            Claimed::Together(jobs) => jobs.into_iter().for_each(|job| self.spawn(job)),
            Claimed::Alone(job) => {
                self.exclusive = true;
                self.spawn(job);
            }
            Claimed::Wait => self.exclusive = true,
        }
        Ok(())
    }

    fn spawn(&mut self, job: Job) {
        self.running.insert(job.id, job.lease_token);
        let attempt = Attempt {
            database: self.database.clone(),
            handler: self.handler.clone(),
            policy: self.policy,
            shutdown: self.shutdown.clone(),
        };
        self.tasks.spawn(async move {
            let id = job.id;
            if let Err(error) = attempt.run(job).await {
                tracing::error!(job.id = %id, error = %error, "a job's end could not be written; its lease will expire");
            }
            id
        });
    }

    fn forget(&mut self, ended: Result<JobId, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.running.remove(&id);
            }
            Err(error) => tracing::error!(kind = H::KIND.name, error = %error, "a job's task panicked"),
        }
    }

    async fn heartbeat(&self) -> Result<(), DbError> {
        if self.running.is_empty() {
            return Ok(());
        }
        let running: Vec<_> = self.running.iter().map(|(id, token)| (*id, *token)).collect();
        let policy = self.policy;
        self.database.write(move |connection| claim::heartbeat(connection, &running, &policy, now())).await
    }

    async fn rescue_dead_workers(&self) -> Result<(), DbError> {
        let lock = self.lock.clone();
        let found = tokio::task::spawn_blocking(move || lock.dead_workers()).await.unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<WorkerId> = found.iter().map(|dead| dead.id.clone()).collect();
        let (rescued, forgotten) = self
            .database
            .write(move |connection| {
                let rescued = rescue::of_dead_workers::<H>(connection, &ids, now())?;
                Ok((rescued, rescue::holding_nothing(connection, &ids)?))
            })
            .await?;
        tracing::warn!(
            kind = H::KIND.name,
            workers = found.len(),
            jobs = rescued.requeued,
            "took over from dead workers"
        );
        self.announce(rescued);
        found.into_iter().filter(|dead| forgotten.contains(&dead.id)).for_each(DeadWorker::forget);
        Ok(())
    }

    async fn rescue_expired_leases(&self) -> Result<(), DbError> {
        let at = now();
        if !self.database.read_point(|connection| rescue::is_expired(connection, H::KIND.name, at))? {
            return Ok(());
        }
        let policy = self.policy;
        let rescued = self
            .database
            .write(move |connection| rescue::of_expired_leases::<H>(connection, &policy, rand::random(), now()))
            .await?;
        self.announce(rescued);
        Ok(())
    }

    fn announce(&self, rescued: Rescued<H::Notice>) {
        rescued.dead.into_iter().flatten().for_each(|notice| self.handler.announce(notice));
    }

    /// Lets running jobs end, keeping their leases, and hands back what the drain time does not suffice for.
    async fn drain(mut self) -> Result<(), DbError> {
        let deadline = Instant::now() + self.policy.drain;
        while !self.running.is_empty() {
            let next_heartbeat = deadline.min(Instant::now() + self.policy.lease / 3);
            match timeout_at(next_heartbeat, self.tasks.join_next()).await {
                Ok(Some(ended)) => self.forget(ended),
                Ok(None) => break,
                Err(_) if Instant::now() >= deadline => break,
                Err(_) => {
                    if let Err(error) = self.heartbeat().await {
                        tracing::warn!(error = %error, "no heartbeat");
                    }
                }
            }
        }
        self.tasks.shutdown().await;
        for (id, lease_token) in std::mem::take(&mut self.running) {
            if self.database.write(move |connection| claim::release(connection, id, lease_token)).await? {
                tracing::info!(job.id = %id, "handed back a job that did not end in time");
            }
        }
        Ok(())
    }
}

/// One attempt at one job.
struct Attempt<H> {
    database: Database,
    handler: Arc<H>,
    policy: Policy,
    shutdown: CancellationToken,
}

impl<H: Handler> Attempt<H> {
    async fn run(&self, job: Job) -> Result<(), DbError> {
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
                tracing::warn!(job.id = %id, attempt, error = failure.error, "an attempt failed");
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
            let write =
                move |connection: &mut _| settle::fail::<H>(connection, &job, &failure, &policy, rand::random(), now());
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
