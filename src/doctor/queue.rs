//! The jobs: does anybody hold one for too long, does anything wait for nobody, was anything given up?

use super::Finding;
use crate::db::UnixMillis;
use crate::jobs::{Backlog, Delayed, EMAIL, ExpiredLease, WAREHOUSE};

/// A job that could have run for so long waits for a worker that is not there, or that cannot keep up.
const OVERDUE_MS: i64 = 60_000;

pub(super) fn check(
    expired: &[ExpiredLease],
    backlog: &[Backlog],
    delayed: &[Delayed],
    at: UnixMillis,
) -> Vec<Finding> {
    vec![leases(expired, at), waiting(backlog, at), environment(delayed, at), dead(backlog)]
}

/// The jobs that wait for storage or for the database.
fn environment(delayed: &[Delayed], at: UnixMillis) -> Finding {
    let detail = delayed.iter().map(|delayed| {
        let seconds = delayed.since.map_or(0, |since| (at - since) / 1000);
        format!("{} {} jobs have waited for up to {seconds} s: {}", delayed.jobs, delayed.kind, delayed.cause)
    });
    let detail = detail.collect::<Vec<_>>().join(", ");
    match delayed.is_empty() {
        true => Finding::ok("environment", "no job waits for storage or the database"),
        false => Finding::error(
            "environment",
            detail,
            "repair the cause; the jobs are then done by themselves, `m3a3 jobs retry ID` does one at once",
        ),
    }
}

fn leases(expired: &[ExpiredLease], at: UnixMillis) -> Finding {
    let Some(first) = expired.first() else { return Finding::ok("leases", "none has run out") };
    let seconds = (at - first.lease_until) / 1000;
    let detail = format!("{} have run out, that of {} job {} {seconds} s ago", expired.len(), first.kind, first.id);
    Finding::error(
        "leases",
        detail,
        format!("start `m3a3 worker {0}`, which takes such jobs over", worker(&first.kind)),
    )
}

fn waiting(backlog: &[Backlog], at: UnixMillis) -> Finding {
    let overdue =
        |row: &&Backlog| row.state == "queued" && row.first_run_at.is_some_and(|run_at| at - run_at > OVERDUE_MS);
    let late: Vec<_> = backlog.iter().filter(overdue).collect();
    let is_optional = |row: &&&Backlog| [EMAIL, WAREHOUSE].iter().any(|kind| kind.name == row.kind);
    let detail = |rows: &[&Backlog]| {
        let told = rows.iter().map(|row| {
            let waited = row.first_run_at.map_or(0, |run_at| (at - run_at) / 1000);
            format!("{} {} jobs wait, the first one for {waited} s", row.jobs, row.kind)
        });
        told.collect::<Vec<_>>().join(", ")
    };
    let advice = |row: &Backlog| match row.kind.as_str() {
        "webhook" => "start `m3a3 game-server` with webhook.url, or see why it is slow".to_owned(),
        kind => format!("start `m3a3 worker {}`, or more of them", worker(kind)),
    };
    match (late.iter().find(|row| !is_optional(row)), late.first()) {
        (Some(needed), _) => Finding::error("queue", detail(&late), advice(needed)),
        (None, Some(first)) => Finding::warning(
            "queue",
            detail(&late),
            format!("{}; unwanted, they go after jobs.keep_days", advice(first)),
        ),
        (None, None) => Finding::ok("queue", "nothing waits that could have run"),
    }
}

fn dead(backlog: &[Backlog]) -> Finding {
    let dead: Vec<_> = backlog.iter().filter(|row| row.state == "dead" && row.jobs > 0).collect();
    let detail = dead.iter().map(|row| format!("{} {}", row.jobs, row.kind)).collect::<Vec<_>>().join(", ");
    match dead.is_empty() {
        true => Finding::ok("dead jobs", "none"),
        false => Finding::warning(
            "dead jobs",
            detail,
            "`m3a3 jobs list --state dead` says why, `m3a3 jobs retry` tries again",
        ),
    }
}

/// The worker's name on the command line.
fn worker(kind: &str) -> &str {
    if kind == "webhook" { "all" } else { kind }
}
