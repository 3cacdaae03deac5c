//! Held polls: register, read the row, wait, and read it again on every wake.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::status::{Status, Subject};
use super::store;
use super::waiters::{Waiter, Waiters};
use crate::bus::{Bus, Signal, Subscription};
use crate::db::{Database, DbError, UnixMillis, now};
use crate::events::Finished;

/// How often to look, with one query, for what a lost message did not tell.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A row's time is taken a little before it can be read: looks overlap by more than any commit takes.
const RECHECK_OVERLAP_MS: UnixMillis = 15_000;
/// The pause between the parts when everyone is woken, so that thousands do not read at once.
const WAKE_ALL_PAUSE: Duration = Duration::from_millis(5);

/// The held polls of a process; a clone shares them.
#[derive(Clone)]
pub(crate) struct LongPolls {
    database: Database,
    waiters: Arc<Waiters>,
    shutdown: CancellationToken,
}

impl LongPolls {
    /// Nobody waits yet. At `shutdown` every held poll is answered at once.
    pub(crate) fn new(database: Database, shutdown: CancellationToken) -> Self {
        Self { database, waiters: Arc::default(), shutdown }
    }

    /// Answers when there is a thumbnail or certainly none, else after `timeout`. Who calls this is a waiter from now on.
    ///
    /// Cancel safe: dropped with its request when the client goes away, it leaves nothing behind.
    pub(super) fn answer(
        &self,
        subject: Subject,
        timeout: Duration,
    ) -> impl Future<Output = Result<HttpResponse, DbError>> {
        let mut waiter = self.waiters.register(subject.user());
        let deadline = Instant::now() + timeout;
        async move {
            loop {
                if let Some(status) = self.end(subject, &waiter)? {
                    return Ok(subject.answer(&status));
                }
                tokio::select! {
                    biased;
                    () = self.shutdown.cancelled() => return Ok(subject.timed_out()),
                    () = waiter.woken() => {}
                    () = sleep_until(deadline) => return Ok(subject.timed_out()),
                }
            }
        }
    }

    /// How it has ended, if it has: by the row, else by what another program's worker said.
    fn end(&self, subject: Subject, waiter: &Waiter) -> Result<Option<Status>, DbError> {
        // Asked first: of what comes later, the next wake tells.
        let told = match subject {
            Subject::User(_) => waiter.told().map(Status::of_message),
            Subject::Job(..) => None,
        };
        let status = subject.status(&self.database)?;
        Ok(if status.is_final() { Some(status) } else { told })
    }

    /// How many polls are held.
    pub(crate) fn held(&self) -> usize {
        self.waiters.count()
    }

    /// Wakes waiters on every sign of news, until the shutdown.
    pub(crate) async fn run(self, bus: Bus) {
        let mut finished = bus.subscribe::<Finished>();
        let mut recheck = interval(RECHECK_INTERVAL);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                signal = next(&mut finished) => match signal {
                    Signal::Event(finished) => self.wake(finished),
                    Signal::Resync => self.wake_all().await,
                },
                _ = recheck.tick() => self.recheck().await,
            }
        }
    }

    fn wake(&self, finished: Finished) {
        let user = finished.user_id;
        if !self.waiters.is_awaited(user) {
            return;
        }
        let known = finished.job_id.map(|job| self.database.read_point(|connection| store::by_job(connection, job)));
        // Where the row cannot be read, the waiters' own reads tell them so.
        let is_ours = matches!(known, Some(Ok(Some(_)) | Err(_)));
        self.waiters.wake(user, (!is_ours).then_some(finished.outcome));
    }

    async fn wake_all(&self) {
        for part in 0..Waiters::PARTS {
            self.waiters.wake_part(part);
            sleep(WAKE_ALL_PAUSE).await;
        }
    }

    async fn recheck(&self) {
        if self.waiters.users() == 0 {
            return;
        }
        let since = now() - RECHECK_OVERLAP_MS;
        match self.database.read(move |connection| store::finished_since(connection, since)).await {
            Ok(users) => users.into_iter().for_each(|user| self.waiters.wake(user, None)),
            Err(error) => tracing::error!(error = %error, "finished images cannot be looked up"),
        }
    }
}

/// The next signal; never, once the bus has stopped.
async fn next(finished: &mut Subscription<Finished>) -> Signal<Finished> {
    match finished.next().await {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}
