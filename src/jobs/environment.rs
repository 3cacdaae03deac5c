//! Failures of the environment (storage, the database, open files): what is logged of them, and which jobs wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::dsl::{count_star, min};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::clock::Clock;
use crate::db::UnixMillis;
use crate::db::schema::{job_delays, jobs};
use crate::ids::JobId;

/// A cause that lasts is logged again after this time.
const REMIND: Duration = Duration::from_secs(60 * 60);
/// How many causes are told apart; texts of the system and of SQLite are few.
const MAX_CAUSES: usize = 64;

/// Logs each cause once, however many jobs it delays.
pub(super) struct EnvironmentLog {
    kind: &'static str,
    clock: Arc<dyn Clock>,
    logged: Mutex<HashMap<String, Duration>>,
}

impl EnvironmentLog {
    pub(super) fn new(kind: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self { kind, clock, logged: Mutex::default() }
    }

    pub(super) fn report(&self, cause: &str) {
        let kind = self.kind;
        if self.is_news(cause) {
            tracing::error!(kind, cause, "the environment fails; jobs wait and no attempt is counted");
        } else {
            tracing::debug!(kind, cause, "the environment still fails");
        }
    }

    fn is_news(&self, cause: &str) -> bool {
        let now = self.clock.monotonic();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(cause).is_some_and(|at| now.saturating_sub(*at) < REMIND) {
            return false;
        }
        if logged.len() >= MAX_CAUSES {
            logged.clear();
        }
        logged.insert(cause.to_owned(), now);
        true
    }
}

/// Counts a failure of the environment, and says how many there were in a row.
pub(super) fn count(connection: &mut SqliteConnection, job: JobId, cause: &str, now: UnixMillis) -> QueryResult<i32> {
    diesel::insert_into(job_delays::table)
        .values((
            job_delays::job_id.eq(job.to_string()),
            job_delays::failures.eq(1),
            job_delays::cause.eq(cause),
            job_delays::since.eq(now),
        ))
        .on_conflict(job_delays::job_id)
        .do_update()
        .set((job_delays::failures.eq(job_delays::failures + 1), job_delays::cause.eq(cause)))
        .returning(job_delays::failures)
        .get_result(connection)
}

/// Forgets the failures: the job has met something else.
pub(super) fn clear(connection: &mut SqliteConnection, job: JobId) -> QueryResult<()> {
    diesel::delete(job_delays::table.find(job.to_string())).execute(connection)?;
    Ok(())
}

/// Jobs of one kind that wait for the environment, by the cause.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Delayed {
    /// The kind's name.
    pub kind: String,
    /// What failed last.
    pub cause: String,
    /// How many jobs wait.
    pub jobs: i64,
    /// Since when the first of them does.
    pub since: Option<UnixMillis>,
}

/// Counts the jobs that wait because the environment failed, the most frequent cause first.
///
/// # Errors
/// When the query fails.
pub fn delayed(connection: &mut SqliteConnection) -> QueryResult<Vec<Delayed>> {
    let mut delayed: Vec<Delayed> = job_delays::table
        .inner_join(jobs::table.on(jobs::id.eq(job_delays::job_id)))
        .group_by((jobs::kind, job_delays::cause))
        .select((jobs::kind, job_delays::cause, count_star(), min(job_delays::since)))
        .load(connection)?;
    delayed.sort_by_key(|delayed| std::cmp::Reverse(delayed.jobs));
    Ok(delayed)
}

#[cfg(test)]
mod tests {
    use super::super::clock::tests::ModelClock;
    use super::*;

    #[test]
    fn a_cause_is_logged_once_and_again_when_it_has_lasted_long() {
        let clock = Arc::new(ModelClock::default());
        let log = EnvironmentLog::new("thumbnail", clock.clone());
        assert!(log.is_news("No space left on device (os error 28)"));
        assert!(!log.is_news("No space left on device (os error 28)"));
        assert!(log.is_news("database is locked"));
        clock.advance(REMIND);
        assert!(log.is_news("database is locked"));
    }

    #[test]
    fn any_number_of_causes_takes_bounded_memory() {
        let log = EnvironmentLog::new("thumbnail", Arc::new(ModelClock::default()));
        (0..10 * MAX_CAUSES).for_each(|cause| assert!(log.is_news(&cause.to_string())));
        assert!(log.logged.lock().unwrap().len() <= MAX_CAUSES);
    }
}
