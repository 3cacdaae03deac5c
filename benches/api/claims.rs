//! The cost of a claim by the number of queued jobs and of users, without HTTP: the claim by rounds, beside the one by
//! due time that it replaced. Each claim of one job is a transaction of its own, which is not flushed to the disk.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use m3a3::db::schema::jobs;
use m3a3::db::{Location, migrate, now};
use m3a3::ids::{ImagePath, JobId, UserId};
use m3a3::job_payloads::WarehouseTask;
use m3a3::jobs::{Job, Kind, Task, bench_hooks, enqueue};

use super::Bench;
use super::rig::report::Report;

const KIND: Kind = WarehouseTask::KIND;

/// As the writer thread opens it, without the flush.
const PRAGMAS: &str = "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8000";
/// The indexes before the rounds.
const OLD_INDEXES: &str = "DROP INDEX jobs_by_round; DROP INDEX jobs_by_user; DROP INDEX jobs_waiting;
    DROP INDEX jobs_by_state; CREATE INDEX jobs_by_state ON jobs (kind, state, run_at, id)";

/// Measures both claims at each size, of one user and of many.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let plan = &bench.plan;
    for count in plan.queued {
        for users in [1, plan.queuing_users.min(count)] {
            let path = bench.rig.folder.path().join(format!("claims-{count}-{users}.db"));
            let mut connection = fill(&path, count, users)?;
            let claims = plan.claims.min(count / 4);
            let mut next = (1..=users).cycle();
            let mut task = || task(next.next().unwrap_or(1));
            let by_round = time(claims, || claim_by_round(&mut connection))?;
            let added = time(claims, || add(&mut connection, &task()?))?;
            connection.batch_execute(OLD_INDEXES)?;
            let by_due_time = time(claims, || claim_by_due_time(&mut connection))?;
            let added_before = time(claims, || add_without_round(&mut connection, &task()?))?;
            let name = format!("{count} queued jobs of {users} users");
            for (what, [p50, p99]) in [("claim by round", by_round), ("claim by due time", by_due_time)] {
                report.add(&format!("{name}: {what}, p50"), "µs", Some(p50), None);
                report.add(&format!("{name}: {what}, p99"), "µs", Some(p99), None);
            }
            report.add(&format!("{name}: enqueue with a user, p50"), "µs", Some(added[0]), None);
            report.add(&format!("{name}: enqueue without, p50"), "µs", Some(added_before[0]), None);
        }
    }
    Ok(())
}

/// A database with so many queued jobs of so many users, in turn.
fn fill(path: &Path, count: usize, users: usize) -> anyhow::Result<SqliteConnection> {
    migrate(&Location::new(path))?;
    let mut connection = SqliteConnection::establish(path.to_str().context("a path that is not UTF-8")?)?;
    connection.batch_execute(PRAGMAS)?;
    connection.immediate_transaction(|connection| {
        for job in 0..count {
            enqueue(connection, &task(job % users + 1)?, now())?;
        }
        bench_hooks::admit(connection, KIND, now())?;
        anyhow::Ok(())
    })?;
    connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(connection)
}

fn task(user: usize) -> anyhow::Result<WarehouseTask> {
    let user_id = UserId::new(i64::try_from(user)?)?;
    Ok(WarehouseTask::Image { image_id: 1, user_id, image_path: ImagePath::new("photo.jpg")? })
}

/// The median and the 99th percentile of the duration of a step, in µs.
fn time<T>(count: usize, mut step: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<[f64; 2]> {
    let mut durations = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        step()?;
        durations.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    durations.sort_by(f64::total_cmp);
    let percentile = |percent| durations.get(count.saturating_sub(1) * percent / 100).copied().unwrap_or(0.0);
    Ok([percentile(50), percentile(99)])
}

fn claim_by_round(connection: &mut SqliteConnection) -> anyhow::Result<()> {
    let claimed = connection.immediate_transaction(|connection| bench_hooks::claim(connection, KIND, 1, now()))?;
    ensure!(claimed.len() == 1, "no job was claimed");
    Ok(())
}

/// The claim by due time.
fn claim_by_due_time(connection: &mut SqliteConnection) -> anyhow::Result<()> {
    let (at, latest) = (now(), now() + 65_000);
    let queued = || jobs::table.filter(jobs::kind.eq(KIND.name)).filter(jobs::state.eq("queued"));
    connection.immediate_transaction(|connection| {
        let due = diesel::dsl::exists(queued().filter(jobs::run_at.le(at)));
        ensure!(diesel::select(due).get_result::<bool>(connection)?, "no job is due");
        let due = queued().filter(jobs::run_at.le(at)).order((jobs::run_at, jobs::id)).limit(1);
        let due: Vec<(String, i32)> = due.select((jobs::id, jobs::crashes)).load(connection)?;
        ensure!(due.len() == 1, "no job was claimed");
        for (id, _) in due {
            diesel::update(jobs::table.find(id))
                .set((
                    jobs::state.eq("running"),
                    jobs::lease_owner.eq("bench"),
                    jobs::lease_until.eq(latest),
                    jobs::lease_token.eq(jobs::lease_token + 1),
                    jobs::started_at.eq(None::<i64>),
                ))
                .returning(Job::as_returning())
                .get_result(connection)?;
        }
        Ok(())
    })
}

fn add(connection: &mut SqliteConnection, task: &WarehouseTask) -> anyhow::Result<()> {
    let added = connection.immediate_transaction(|connection| enqueue(connection, task, now()))?;
    ensure!(added.is_some(), "no job was added");
    Ok(())
}

/// The insert before the rounds.
fn add_without_round(connection: &mut SqliteConnection, task: &WarehouseTask) -> anyhow::Result<()> {
    let at = now();
    let payload = serde_json::to_string(task)?;
    connection.immediate_transaction(|connection| {
        diesel::insert_or_ignore_into(jobs::table)
            .values((
                jobs::id.eq(JobId::generate()),
                jobs::kind.eq(KIND.name),
                jobs::payload.eq(payload),
                jobs::dedup.eq(task.dedup_key()),
                jobs::run_at.eq(at),
                jobs::created_at.eq(at),
            ))
            .execute(connection)
    })?;
    Ok(())
}
