//! Long polls: register a waiter, read the row, wait, and read the row again on every wake.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::links::Links;
use super::status::{Status, Subject};
use super::store;
use super::waiters::{Waiter, Waiters};
use crate::bus::{Bus, Signal, Subscription};
use crate::db::{Database, DbError, UnixMillis, now};
use crate::events::Finished;
use crate::http::draining::Held;

/// How often one query looks for finished images whose messages were lost.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The overlap of these queries, above the duration of any commit: a row's time is set before the row is visible.
const RECHECK_OVERLAP_MS: UnixMillis = 15_000;
/// The pause between the shards when all waiters are woken, so that thousands do not read at once.
const WAKE_ALL_PAUSE: Duration = Duration::from_millis(5);

/// The long polls of a process; a clone shares them.
#[derive(Clone)]
pub(crate) struct LongPolls {
    database: Database,
    waiters: Arc<Waiters>,
    links: Links,
}

impl LongPolls {
    /// No long polls.
    pub(crate) fn new(database: Database, links: Links) -> Self {
        Self { database, waiters: Arc::default(), links }
    }

    /// Holds a poll until the status is final, `timeout` has passed, or it is to end in the drain of the server. The
    /// waiter is registered by the call itself, not by the first poll of the future.
    ///
    /// Cancel safe: dropped when the client disconnects, it removes its waiter.
    pub(super) fn hold(
        &self,
        subject: Subject,
        timeout: Duration,
        held: Held,
    ) -> impl Future<Output = Result<HttpResponse, DbError>> {
        let mut waiter = self.waiters.register(subject.user());
        let deadline = Instant::now() + timeout;
        async move {
            let mut turn = pin!(held.turn());
            loop {
                if let Some(status) = self.final_status(subject, &waiter)? {
                    return Ok(subject.response(status, &self.links));
                }
                tokio::select! {
                    biased;
                    () = waiter.woken() => {}
                    () = &mut turn => return Ok(subject.timeout_response(Some(held.retry_after()))),
                    () = sleep_until(deadline) => return Ok(subject.timeout_response(None)),
                }
            }
        }
    }

    /// The final status, if there is one: by the row, else by the message of another program's worker.
    fn final_status(&self, subject: Subject, waiter: &Waiter) -> Result<Option<Status>, DbError> {
        // Read before the row: later messages cause another wake.
        let foreign = match subject {
            Subject::User(_) => waiter.foreign_outcome().map(Status::of_message),
            Subject::Job(..) => None,
        };
        let status = subject.status(&self.database)?;
        Ok(if status.is_final() { Some(status) } else { foreign })
    }

    /// The number of long polls.
    pub(crate) fn held(&self) -> usize {
        self.waiters.count()
    }

    /// Wakes waiters on messages, reconnects and found rows, until `ended`.
    pub(crate) async fn run(self, bus: Bus, ended: CancellationToken) {
        let mut finished = bus.subscribe::<Finished>();
        let mut recheck = interval(RECHECK_INTERVAL);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
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
        // If the row cannot be read, the waiters' own reads report the error.
        let is_ours = matches!(known, Some(Ok(Some(_)) | Err(_)));
        self.waiters.wake(user, (!is_ours).then_some(finished.outcome));
    }

    async fn wake_all(&self) {
        for shard in 0..Waiters::SHARDS {
            self.waiters.wake_shard(shard);
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
            Err(error) => tracing::error!(error = %error, "cannot look up finished images"),
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
