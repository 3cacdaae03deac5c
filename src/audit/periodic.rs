//! An audit every hour, whose result is a metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Report, Sources, audit};

/// The wait before the first audit: a process that starts has work to catch up with.
const FIRST: Duration = Duration::from_secs(5);
/// The wait after an audit that found everything.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The wait after one that did not: what was on its way is found by the next.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// How many of the things that are missing are logged.
const MAX_LOGGED: usize = 10;

/// How many things the last audit missed; a clone shares it.
#[derive(Debug, Clone)]
pub struct LastAudit(Arc<AtomicI64>);

impl Default for LastAudit {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(-1)))
    }
}

impl LastAudit {
    /// The count; `None` before the first audit.
    pub fn missing(&self) -> Option<u64> {
        u64::try_from(self.0.load(Ordering::Relaxed)).ok()
    }

    fn store(&self, report: &Report) {
        self.0.store(i64::try_from(report.missing_count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

/// Audits until the shutdown, which ends an audit that is running.
pub async fn keep_auditing(sources: Sources, last: LastAudit, shutdown: CancellationToken) {
    let mut wait = FIRST;
    while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let Some(result) = shutdown.run_until_cancelled(audit(&sources)).await else { return };
        wait = match result {
            Ok(report) => {
                last.store(&report);
                log(&report);
                if report.is_complete() { INTERVAL } else { AGAIN }
            }
            Err(error) => {
                tracing::warn!(error = %error, "the audit could not be finished");
                AGAIN
            }
        };
    }
}

fn log(report: &Report) {
    for missing in report.missing.iter().take(MAX_LOGGED) {
        tracing::error!(check = missing.check.name(), of = %missing.of, detail = %missing.detail, "the audit found something missing");
    }
    if report.missing_count > MAX_LOGGED as u64 {
        tracing::error!(missing = report.missing_count, "the audit found more missing; `m3a3 audit` lists it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Check;

    #[test]
    fn there_is_no_count_before_the_first_audit() {
        let last = LastAudit::default();
        assert_eq!(last.missing(), None);
        let mut report = Report::default();
        last.clone().store(&report);
        assert_eq!(last.missing(), Some(0));
        report.add(Check::Job, "image 1", "gone");
        last.store(&report);
        assert_eq!(last.missing(), Some(1));
    }
}
