//! An hourly audit, whose result is a metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Report, Sources, audit};

/// The delay of the first audit, because a process that starts has work to catch up with.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The delay after an audit that found nothing missing.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The delay after any other audit, so that a difference that has passed is corrected soon.
const RETRY_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The number of missing entries that are logged.
const MAX_LOGGED: usize = 10;

/// The result of the last audit. A clone shares it.
#[derive(Debug, Clone)]
pub(crate) struct LastAudit(Arc<AtomicI64>);

impl Default for LastAudit {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(-1)))
    }
}

impl LastAudit {
    /// The number of missing entries; `None` before the first audit.
    pub(crate) fn missing(&self) -> Option<u64> {
        u64::try_from(self.0.load(Ordering::Relaxed)).ok()
    }

    fn store(&self, report: &Report) {
        self.0.store(i64::try_from(report.missing_count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

/// Audits until the shutdown, which cancels a running audit.
pub(crate) async fn keep_auditing(sources: Sources, last: LastAudit, shutdown: CancellationToken) {
    let mut wait = FIRST_DELAY;
    while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let Some(result) = shutdown.run_until_cancelled(audit(&sources)).await else { return };
        wait = match result {
            Ok(report) => {
                last.store(&report);
                log(&report);
                if report.is_complete() { INTERVAL } else { RETRY_INTERVAL }
            }
            Err(error) => {
                tracing::warn!(error = %error, "the audit failed");
                RETRY_INTERVAL
            }
        };
    }
}

fn log(report: &Report) {
    for missing in report.missing.iter().take(MAX_LOGGED) {
        tracing::error!(
            check = missing.check.name(),
            of = %missing.of,
            detail = %missing.detail,
            "the audit found a missing entry"
        );
    }
    if report.missing_count > MAX_LOGGED as u64 {
        tracing::error!(
            missing = report.missing_count,
            "the audit found more missing entries; `m3a3 audit` lists them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::report::Check;

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
