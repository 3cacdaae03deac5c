//! Deletes old jobs: finished ones, and queued ones of optional kinds that no worker has claimed.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, ClockGuard};
use super::{JobState, Kind};
use crate::db::schema::jobs;
use crate::db::{Database, DbError, UnixMillis};
use crate::ids::JobId;

/// The time between two runs.
const INTERVAL: Duration = Duration::from_secs(600);
/// The number of rows deleted in one transaction, so that other writers get their turn.
const BATCH: i64 = 500;

/// The number of deleted jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pruned {
    finished: usize,
    /// Queued jobs of optional kinds.
    expired: usize,
}

/// Deletes jobs older than `keep`, at the start and every ten minutes, until the shutdown. After the clock was set,
/// nothing is deleted for ten minutes. `kinds` are all kinds of the product.
pub(crate) async fn keep_pruning(
    database: Database,
    kinds: &'static [Kind],
    keep: Duration,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    let mut ages = ClockGuard::new(clock.clone(), INTERVAL);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(before) = age_limit(&mut ages, clock.wall(), keep) else { continue };
        match prune(&database, kinds, before).await {
            Ok(Pruned { finished: 0, expired: 0 }) => {}
            Ok(Pruned { finished, expired }) => tracing::info!(finished, expired, "deleted old jobs"),
            Err(error) => tracing::warn!(error = %error, "cannot delete old jobs"),
        }
    }
}

/// Jobs that finished before this time are deleted; `None` while the clock is unsteady.
fn age_limit(ages: &mut ClockGuard, now: UnixMillis, keep: Duration) -> Option<UnixMillis> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    ages.is_steady().then(|| now.saturating_sub(keep))
}

/// Deletes jobs that finished before this time, with their attempts, and queued jobs of optional kinds that were due
/// before it.
async fn prune(database: &Database, kinds: &'static [Kind], before: UnixMillis) -> Result<Pruned, DbError> {
    let finished = purge(database, before).await?;
    let mut expired = 0;
    loop {
        let removed = database.write(move |connection| delete_expired(connection, kinds, before)).await?;
        expired += removed;
        if removed < BATCH as usize {
            return Ok(Pruned { finished, expired });
        }
    }
}

/// Deletes jobs that finished before this time, whether done, dead or cancelled, in batches. After a database error,
/// the batches before it stay deleted.
pub(crate) async fn purge(database: &Database, before: UnixMillis) -> Result<usize, DbError> {
    let mut purged = 0;
    loop {
        let removed = database.write(move |connection| delete_finished(connection, before)).await?;
        purged += removed;
        if removed < BATCH as usize {
            return Ok(purged);
        }
    }
}

fn delete_finished(connection: &mut SqliteConnection, before: UnixMillis) -> QueryResult<usize> {
    let old = jobs::table.filter(jobs::finished_at.lt(before)).order(jobs::finished_at).limit(BATCH).select(jobs::id);
    let ids: Vec<JobId> = old.load(connection)?;
    diesel::delete(jobs::table.filter(jobs::id.eq_any(ids))).execute(connection)
}

fn delete_expired(connection: &mut SqliteConnection, kinds: &[Kind], before: UnixMillis) -> QueryResult<usize> {
    let optional = kinds.iter().filter(|kind| kind.optional).map(|kind| kind.name);
    let old = jobs::table
        .filter(jobs::kind.eq_any(optional))
        .filter(jobs::state.eq(JobState::Queued))
        .filter(jobs::run_at.lt(before))
        .limit(BATCH)
        .select(jobs::id);
    let ids: Vec<JobId> = old.load(connection)?;
    diesel::delete(jobs::table.filter(jobs::id.eq_any(ids))).execute(connection)
}

#[cfg(test)]
mod tests {
    use super::super::clock::tests::ModelClock;
    use super::*;

    #[test]
    fn nothing_is_pruned_for_ten_minutes_after_the_clock_was_set() {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        let clock = Arc::new(ModelClock::default());
        let mut ages = ClockGuard::new(clock.clone(), INTERVAL);
        let mut limit = || age_limit(&mut ages, clock.wall(), YEAR);
        clock.advance(YEAR);
        assert_eq!(limit(), Some(0));
        clock.step(2 * YEAR.as_millis() as i64);
        assert_eq!(limit(), None);
        clock.advance(INTERVAL / 2);
        assert_eq!(limit(), None);
        clock.step(-2 * YEAR.as_millis() as i64);
        clock.advance(INTERVAL / 2);
        assert_eq!(limit(), None, "the clock was set again");
        clock.advance(INTERVAL);
        assert_eq!(limit(), Some((INTERVAL * 2).as_millis() as i64));
    }
}
