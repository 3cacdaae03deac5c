//! Failures of the environment (storage, the database, open files): their log, and the jobs that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::clock::Clock;
use crate::db::UnixMillis;
use crate::db::schema::job_delays;
use crate::ids::JobId;

/// A cause that persists is logged again after this time.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The number of causes that are distinguished. The texts of the system and of SQLite are few.
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
        if self.is_due(cause) {
            tracing::error!(kind, cause, "the environment fails; jobs wait, and no attempt is counted");
        } else {
            tracing::debug!(kind, cause, "the environment still fails");
        }
    }

    fn is_due(&self, cause: &str) -> bool {
        let now = self.clock.monotonic();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(cause).is_some_and(|at| now.saturating_sub(*at) < REMINDER_INTERVAL) {
            return false;
        }
        if logged.len() >= MAX_CAUSES {
            logged.clear();
        }
        logged.insert(cause.to_owned(), now);
        true
    }
}

/// Counts a failure of the environment and returns the number of consecutive ones.
pub(super) fn count(connection: &mut SqliteConnection, job: JobId, cause: &str, now: UnixMillis) -> QueryResult<i32> {
    diesel::insert_into(job_delays::table)
        .values((
            job_delays::job_id.eq(job),
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

/// Resets the count: an attempt had another outcome.
pub(super) fn clear(connection: &mut SqliteConnection, job: JobId) -> QueryResult<()> {
    diesel::delete(job_delays::table.find(job)).execute(connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::clock::tests::ModelClock;
    use super::*;

    #[test]
    fn a_cause_is_logged_once_and_again_after_the_reminder_interval() {
        let clock = Arc::new(ModelClock::default());
        let log = EnvironmentLog::new("thumbnail", clock.clone());
        assert!(log.is_due("No space left on device (os error 28)"));
        assert!(!log.is_due("No space left on device (os error 28)"));
        assert!(log.is_due("database is locked"));
        clock.advance(REMINDER_INTERVAL);
        assert!(log.is_due("database is locked"));
    }

    #[test]
    fn any_number_of_causes_takes_bounded_memory() {
        let log = EnvironmentLog::new("thumbnail", Arc::new(ModelClock::default()));
        (0..10 * MAX_CAUSES).for_each(|cause| assert!(log.is_due(&cause.to_string())));
        assert!(log.logged.lock().unwrap().len() <= MAX_CAUSES);
    }
}
