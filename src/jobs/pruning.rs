//! Removing what has been kept long enough: jobs that have come to their end, and those of optional workers that nobody
//! has run.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, ClockGuard};
use super::{EMAIL, WAREHOUSE};
use crate::db::schema::jobs;
use crate::db::{Database, DbError, UnixMillis};

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(600);
/// How many rows go in one transaction, so that other writers get their turn.
const BATCH: i64 = 500;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Jobs that had come to their end.
    pub finished: usize,
    /// Jobs for workers that not everyone runs, which nobody had taken.
    pub expired: usize,
}

/// Prunes at the start and every ten minutes, until the shutdown. After the clock was set, nothing is removed for ten
/// minutes.
pub async fn keep_pruning(database: Database, keep: Duration, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    let mut ages = ClockGuard::new(clock.clone(), INTERVAL);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(before) = age_limit(&mut ages, clock.wall(), keep) else { continue };
        match prune(&database, before).await {
            Ok(Pruned { finished: 0, expired: 0 }) => {}
            Ok(Pruned { finished, expired }) => tracing::info!(finished, expired, "old jobs were removed"),
            Err(error) => tracing::warn!(error = %error, "old jobs cannot be removed"),
        }
    }
}

/// What has ended before this time is old enough; `None` while the clock cannot be relied on.
fn age_limit(ages: &mut ClockGuard, now: UnixMillis, keep: Duration) -> Option<UnixMillis> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    ages.is_steady().then(|| now.saturating_sub(keep))
}

/// Removes what has come to its end before this time, with its attempts, and what has waited for an optional worker since
/// before then.
///
/// # Errors
/// When the database fails; what was removed before that stays so.
pub async fn prune(database: &Database, before: UnixMillis) -> Result<Pruned, DbError> {
    let finished = purge(database, before).await?;
    let mut expired = 0;
    loop {
        let removed = database.write(move |connection| remove_expired(connection, before)).await?;
        expired += removed;
        if removed < BATCH as usize {
            return Ok(Pruned { finished, expired });
        }
    }
}

/// Removes what has come to its end before this time: done, dead or cancelled.
///
/// # Errors
/// As [`prune`].
pub async fn purge(database: &Database, before: UnixMillis) -> Result<usize, DbError> {
    let mut purged = 0;
    loop {
        let removed = database.write(move |connection| remove_finished(connection, before)).await?;
        purged += removed;
        if removed < BATCH as usize {
            return Ok(purged);
        }
    }
}

fn remove_finished(connection: &mut SqliteConnection, before: UnixMillis) -> QueryResult<usize> {
    let old = jobs::table.filter(jobs::finished_at.lt(before)).order(jobs::finished_at).limit(BATCH).select(jobs::id);
    let ids: Vec<String> = old.load(connection)?;
    diesel::delete(jobs::table.filter(jobs::id.eq_any(ids))).execute(connection)
}

fn remove_expired(connection: &mut SqliteConnection, before: UnixMillis) -> QueryResult<usize> {
    let old = jobs::table
        .filter(jobs::kind.eq_any([WAREHOUSE.name, EMAIL.name]))
        .filter(jobs::state.eq("queued"))
        .filter(jobs::run_at.lt(before))
        .limit(BATCH)
        .select(jobs::id);
    let ids: Vec<String> = old.load(connection)?;
    diesel::delete(jobs::table.filter(jobs::id.eq_any(ids))).execute(connection)
}

#[cfg(test)]
mod tests {
    use super::super::clock::tests::ModelClock;
    use super::*;

    #[test]
    fn after_the_clock_was_set_nothing_is_old_for_ten_minutes() {
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
        assert_eq!(limit(), None, "it was set again");
        clock.advance(INTERVAL);
        assert_eq!(limit(), Some((INTERVAL * 2).as_millis() as i64));
    }
}
