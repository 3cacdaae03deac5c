//! The loop that claims jobs of one kind, runs them and settles them.

use std::sync::Arc;

use diesel::sqlite::SqliteConnection;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::attempt::{self, Attempt};
use super::claim::{self, Claimed};
use super::clock::{Clock, ClockGuard, SystemClock};
use super::environment::EnvironmentLog;
use super::rescue::{self, Rescued};
use super::running_jobs::RunningJobs;
use super::slots::Slots;
use super::worker_lock::DeadWorker;
use super::{Handler, Job, Policy, WakeSignal, WorkerId, WorkerLock, trace_of};
use crate::db::{Database, DbError};

/// Runs the jobs of one kind, several at once.
pub struct Runner<H> {
    database: Database,
    handler: Arc<H>,
    policy: Policy,
    slots: Slots,
    lock: Arc<WorkerLock>,
    wake: WakeSignal,
    shutdown: CancellationToken,
    running: RunningJobs,
    /// Whether a rescued job runs alone, or waits until it can.
    exclusive: bool,
    clock: Arc<dyn Clock>,
    /// Whether the clock is steady enough to judge leases.
    leases: ClockGuard,
    environment: Arc<EnvironmentLog>,
    guard: ClaimGuard,
    /// Whether the guard named an obstacle at the last sweep.
    blocked: bool,
}

/// Returns the obstacle that keeps every job from running, such as a full disk. May block.
pub type ClaimGuard = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl<H: Handler> Runner<H> {
    /// A runner that works on at most `concurrency` jobs at a time.
    pub fn new(
        database: Database,
        handler: H,
        policy: Policy,
        concurrency: usize,
        lock: Arc<WorkerLock>,
        wake: WakeSignal,
        shutdown: CancellationToken,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Self {
            database,
            handler: Arc::new(handler),
            policy,
            slots: Slots::new(concurrency, clock.clone()),
            lock,
            wake,
            shutdown,
            running: RunningJobs::new(H::KIND.name),
            exclusive: false,
            leases: ClockGuard::new(clock.clone(), policy.lease),
            environment: Arc::new(EnvironmentLog::new(H::KIND.name, clock.clone())),
            clock,
            guard: Arc::new(|| None),
            blocked: false,
        }
    }

    /// Adds a guard: while it names an obstacle, nothing is claimed. It is called at each sweep.
    pub fn with_guard(self, guard: ClaimGuard) -> Self {
        Self { guard, ..self }
    }

    /// Replaces the system's clocks.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let leases = ClockGuard::new(clock.clone(), self.policy.lease);
        let environment = Arc::new(EnvironmentLog::new(H::KIND.name, clock.clone()));
        let slots = self.slots.with_clock(clock.clone());
        Self { clock, slots, leases, environment, ..self }
    }

    /// Runs until a shutdown is requested. Running jobs then get the drain time of the policy; the rest is released
    /// without counting an attempt. Waits for a database that fails.
    pub async fn run(self) {
        // Ends with the shutdown alone, which is not an error.
        let _ = self.work(false).await;
    }

    /// Runs until no job is due and none is running, or until a shutdown is requested. Does not wait for retries.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn run_until_idle(self) -> Result<(), DbError> {
        self.work(true).await
    }

    async fn work(mut self, until_idle: bool) -> Result<(), DbError> {
        let mut sweep = interval(self.policy.sweep_interval);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat = interval(self.policy.lease / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (wake, slots) = (self.wake.clone(), self.slots.clone());
        let shutdown = self.shutdown.clone();
        let mut swept = false;
        let mut outcome = Ok(());
        while outcome.is_ok() && !(until_idle && swept && self.running.is_empty()) {
            let step = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = heartbeat.tick() => self.heartbeat().await,
                // Before finished jobs, which may follow each other so closely that they starve the sweep.
                _ = sweep.tick() => {
                    swept = true;
                    self.sweep().await
                }
                Some(()) = self.running.join_next() => self.claim().await,
                () = slots.changed() => self.claim().await,
                () = wake.notified() => self.claim().await,
            };
            match step {
                Err(error) if until_idle => outcome = Err(error),
                Err(error) => self.unreachable(&error),
                Ok(()) => {}
            }
        }
        self.drain(heartbeat).await;
        outcome
    }

    async fn sweep(&mut self) -> Result<(), DbError> {
        self.check_guard().await;
        let dead_workers = self.rescue_dead_workers().await;
        let expired_leases = self.rescue_expired_leases().await;
        // A failed rescue does not keep other jobs from running.
        let claimed = self.claim().await;
        dead_workers.and(expired_leases).and(claimed)
    }

    async fn check_guard(&mut self) {
        let guard = self.guard.clone();
        let obstacle = tokio::task::spawn_blocking(move || guard()).await.ok().flatten();
        match &obstacle {
            Some(obstacle) => self.environment.report(obstacle),
            None if self.blocked => tracing::info!(kind = H::KIND.name, "claiming jobs again"),
            None => {}
        }
        self.blocked = obstacle.is_some();
    }

    /// While the database fails, no worker can renew its leases, so leases that expire meanwhile prove nothing.
    fn unreachable(&mut self, error: &DbError) {
        if error.is_environment() {
            self.leases.suspend();
            self.environment.report(&error.to_string());
        } else {
            tracing::error!(kind = H::KIND.name, error = %error, "the job queue cannot be maintained");
        }
    }

    /// Claims due jobs for the free slots, and some ahead.
    async fn claim(&mut self) -> Result<(), DbError> {
        let idle = self.running.is_empty();
        if idle {
            self.exclusive = false;
        }
        let wanted = self.slots.wanted().min(self.slots.max_running().saturating_sub(self.running.len()));
        if self.exclusive || self.blocked || wanted == 0 {
            return Ok(());
        }
        let (at, policy) = (self.clock.wall(), self.policy);
        if !self.database.read_point(|connection| claim::is_due(connection, H::KIND, &policy, at))? {
            return Ok(());
        }
        claim::admit_backlog(&self.database, H::KIND, policy, &self.clock).await?;
        let (owner, clock) = (self.lock.id().clone(), self.clock.clone());
        let claimed = self
            .database
            .write_unsynced(move |connection| {
                claim::claim(connection, H::KIND, &owner, wanted, idle, &policy, clock.wall())
            })
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
        let attempt = Attempt {
            database: self.database.clone(),
            handler: self.handler.clone(),
            policy: self.policy,
            clock: self.clock.clone(),
            environment: self.environment.clone(),
            shutdown: self.shutdown.clone(),
        };
        let trace = self.database.read_point(|connection| trace_of(connection, job.id)).ok().flatten();
        let (span, waiting) = (attempt::span::<H>(&job, trace.as_ref()), self.slots.wait());
        let lease = (job.id, job.lease_token);
        let work = async move {
            if let Err(error) = attempt.run(job, waiting).await {
                tracing::error!(error = %error, "the end of a job could not be written; its lease will expire");
            }
        };
        self.running.spawn(lease, work.instrument(span));
    }

    async fn heartbeat(&self) -> Result<(), DbError> {
        if self.running.is_empty() {
            return Ok(());
        }
        let (running, policy, clock) = (self.running.leases(), self.policy, self.clock.clone());
        let renew =
            move |connection: &mut SqliteConnection| claim::heartbeat(connection, &running, &policy, clock.wall());
        self.database.write_unsynced(renew).await
    }

    async fn rescue_dead_workers(&self) -> Result<(), DbError> {
        let lock = self.lock.clone();
        let found = tokio::task::spawn_blocking(move || lock.dead_workers()).await.unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<WorkerId> = found.iter().map(|dead| dead.id.clone()).collect();
        let dead: Vec<(WorkerId, bool)> = found.iter().map(|dead| (dead.id.clone(), dead.in_order)).collect();
        let clock = self.clock.clone();
        let (rescued, idle) = self
            .database
            .write(move |connection| {
                let rescued = rescue::of_dead_workers::<H>(connection, &dead, clock.wall())?;
                Ok((rescued, rescue::idle_workers(connection, &ids)?))
            })
            .await?;
        let (queued, dead) = (rescued.requeued, rescued.dead.len());
        if queued + dead > 0 {
            tracing::warn!(kind = H::KIND.name, queued, dead, "rescued the jobs of dead workers");
        }
        self.publish(rescued);
        found.into_iter().filter(|dead| idle.contains(&dead.id)).for_each(DeadWorker::forget);
        Ok(())
    }

    /// Renews its own leases first: after a pause of this process they have expired too.
    async fn rescue_expired_leases(&mut self) -> Result<(), DbError> {
        if !self.leases.is_steady() {
            return self.heartbeat().await;
        }
        let at = self.clock.wall();
        if !self.database.read_point(|connection| rescue::is_expired(connection, H::KIND.name, at))? {
            return Ok(());
        }
        let (own, policy, clock) = (self.running.leases(), self.policy, self.clock.clone());
        let rescued = self
            .database
            .write(move |connection| {
                claim::heartbeat(connection, &own, &policy, clock.wall())?;
                rescue::of_expired_leases::<H>(connection, &own, &policy, rand::random(), clock.wall())
            })
            .await?;
        self.publish(rescued);
        Ok(())
    }

    fn publish(&self, rescued: Rescued<H::Event>) {
        rescued.dead.into_iter().flatten().for_each(|event| self.handler.publish(event));
    }

    /// Lets running jobs finish under their leases, and releases those that exceed the drain time.
    async fn drain(mut self, mut heartbeat: Interval) {
        let deadline = Instant::now() + self.policy.drain;
        while !self.running.is_empty() {
            tokio::select! {
                biased;
                () = sleep_until(deadline) => break,
                _ = heartbeat.tick() => if let Err(error) = self.heartbeat().await {
                    tracing::warn!(error = %error, "the heartbeat failed");
                },
                Some(()) = self.running.join_next() => {}
            }
        }
        let left = self.running.abort().await;
        if !left.is_empty() {
            rescue::release(&self.database, left).await;
        }
        rescue::resign(&self.database, &self.lock);
    }
}
