//! Checks the jobs: expired leases, overdue jobs, jobs that wait for their environment, dead jobs.

use super::Finding;
use crate::db::UnixMillis;
use crate::job_payloads::kind_by_name;
use crate::jobs::JobState;
use crate::jobs::operator::{Backlog, Delayed, ExpiredLease};

/// A job that has been due for this long has no worker, or one that cannot keep up.
const OVERDUE_MS: i64 = 60_000;

pub(super) fn check(
    expired: &[ExpiredLease],
    backlog: &[Backlog],
    delayed: &[Delayed],
    at: UnixMillis,
) -> Vec<Finding> {
    vec![leases(expired, at), overdue(backlog, at), environment(delayed, at), dead(backlog)]
}

fn leases(expired: &[ExpiredLease], at: UnixMillis) -> Finding {
    let Some(first) = expired.first() else { return Finding::ok("leases", "none has expired") };
    let seconds = (at - first.lease_until) / 1000;
    let detail = format!("{} have expired, that of {} job {} {seconds} s ago", expired.len(), first.kind, first.job);
    Finding::error("leases", detail, format!("start `m3a3 worker {0}`, which rescues such jobs", worker(&first.kind)))
}

fn overdue(backlog: &[Backlog], at: UnixMillis) -> Finding {
    let is_overdue = |row: &&Backlog| {
        row.state == JobState::Queued && row.first_run_at.is_some_and(|run_at| at - run_at > OVERDUE_MS)
    };
    let overdue: Vec<_> = backlog.iter().filter(is_overdue).collect();
    let Some(first) = overdue.first() else { return Finding::ok("queue", "no job is overdue") };
    let details = overdue.iter().map(|row| {
        let waited = row.first_run_at.map_or(0, |run_at| (at - run_at) / 1000);
        format!("{} {} jobs wait, the first one for {waited} s", row.jobs, row.kind)
    });
    let detail = details.collect::<Vec<_>>().join(", ");
    let advice = |row: &Backlog| match row.kind.as_str() {
        "webhook" => "start `m3a3 game-server` with webhook.url, or check why it is slow".to_owned(),
        kind => format!("start `m3a3 worker {}`, or more of them", worker(kind)),
    };
    let is_required = |row: &&&Backlog| kind_by_name(&row.kind).is_none_or(|kind| !kind.optional);
    match overdue.iter().find(is_required) {
        Some(required) => Finding::error("queue", detail, advice(required)),
        None => {
            let advice = format!("{}; otherwise they are deleted after jobs.keep_days", advice(first));
            Finding::warning("queue", detail, advice)
        }
    }
}

fn environment(delayed: &[Delayed], at: UnixMillis) -> Finding {
    if delayed.is_empty() {
        return Finding::ok("environment", "no job waits for storage or the database");
    }
    let details = delayed.iter().map(|delayed| {
        let seconds = delayed.since.map_or(0, |since| (at - since) / 1000);
        format!("{} {} jobs have waited for up to {seconds} s: {}", delayed.jobs, delayed.kind, delayed.cause)
    });
    let advice = "repair the cause; the jobs then run by themselves, and `m3a3 jobs retry ID` runs one at once";
    Finding::error("environment", details.collect::<Vec<_>>().join(", "), advice)
}

fn dead(backlog: &[Backlog]) -> Finding {
    let dead: Vec<_> = backlog.iter().filter(|row| row.state == JobState::Dead && row.jobs > 0).collect();
    if dead.is_empty() {
        return Finding::ok("dead jobs", "none");
    }
    let detail = dead.iter().map(|row| format!("{} {}", row.jobs, row.kind)).collect::<Vec<_>>().join(", ");
    Finding::warning("dead jobs", detail, "`m3a3 jobs list --state dead` shows the errors, `m3a3 jobs retry` retries")
}

/// The worker's name on the command line.
fn worker(kind: &str) -> &str {
    if kind == "webhook" { "all" } else { kind }
}
