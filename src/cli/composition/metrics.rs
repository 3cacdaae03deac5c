//! The metrics that both servers export.

use futures_util::{FutureExt, future};

use crate::bus::Bus;
use crate::db::{Database, now};
use crate::http::limits::Limits;
use crate::http::metrics::{Kind, Metrics, Sample};
use crate::http::tls::Tls;
use crate::jobs::JobState;
use crate::jobs::operator::{self, Backlog};

/// Metrics of Redis and of the job queue.
pub(crate) fn redis_and_jobs(database: &Database, bus: &Bus) -> Metrics {
    let (asked, dropping) = (bus.clone(), bus.clone());
    let (counted, waited_for) = (database.clone(), database.clone());
    Metrics::new()
        .with_value("m3a3_redis_connected", "Whether Redis is connected", Kind::Gauge, move || {
            f64::from(u8::from(asked.is_connected()))
        })
        .with_value(
            "m3a3_redis_messages_dropped",
            "Messages that were not delivered to Redis",
            Kind::Counter,
            move || dropping.dropped() as f64,
        )
        .with("m3a3_jobs", "Jobs by kind and state, without finished ones", Kind::Gauge, move || {
            backlog(counted.clone(), |row| Some(Sample { labels: kind_and_state(&row), value: row.jobs as f64 }))
                .boxed()
        })
        .with("m3a3_jobs_overdue_seconds", "Age of the oldest due job in the queue", Kind::Gauge, move || {
            backlog(waited_for.clone(), overdue).boxed()
        })
        .with(
            "m3a3_database_commits",
            "Transactions of this process, by whether they waited for the disk",
            Kind::Counter,
            {
                let database = database.clone();
                move || future::ready(commits(&database)).boxed()
            },
        )
}

fn commits(database: &Database) -> Vec<Sample> {
    let status = database.writer_status();
    let sample =
        |synced: bool, commits: u64| Sample { labels: vec![("synced", synced.to_string())], value: commits as f64 };
    vec![sample(true, status.synced_commits), sample(false, status.unsynced_commits)]
}

/// Adds the requests that the limits have refused.
pub(crate) fn limited_requests(metrics: Metrics, limits: &Limits) -> Metrics {
    let limits = limits.clone();
    metrics.with("m3a3_limited_requests", "Requests above a limit, by limit", Kind::Counter, move || {
        future::ready(limits.refused()).boxed()
    })
}

/// Adds the end of the certificate's validity, if there is one.
pub(crate) fn certificate(metrics: Metrics, tls: Option<&Tls>) -> Metrics {
    let Some(tls) = tls.cloned() else { return metrics };
    let help = "End of the validity of the TLS certificate, in seconds since 1970";
    metrics.with_value("m3a3_tls_certificate_expiry_seconds", help, Kind::Gauge, move || tls.expires_at())
}

async fn backlog(database: Database, sample: impl Fn(Backlog) -> Option<Sample>) -> Vec<Sample> {
    match database.read(operator::backlog).await {
        Ok(rows) => rows.into_iter().filter_map(sample).collect(),
        Err(error) => {
            tracing::debug!(error = %error, "cannot count jobs for the metrics");
            Vec::new()
        }
    }
}

fn kind_and_state(row: &Backlog) -> Vec<(&'static str, String)> {
    vec![("kind", row.kind.clone()), ("state", row.state.name().to_owned())]
}

fn overdue(row: Backlog) -> Option<Sample> {
    if row.state != JobState::Queued {
        return None;
    }
    let waited = row.first_run_at.map_or(0, |at| (now() - at).max(0));
    Some(Sample { labels: vec![("kind", row.kind)], value: waited as f64 / 1e3 })
}
