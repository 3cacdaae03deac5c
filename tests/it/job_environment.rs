//! Failures of the environment (storage, the database, the clock), which count as no attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::now;
use m3a3::db::schema::{job_delays, jobs as rows};
use m3a3::jobs::{Clock, MAX_CRASHES, Policy};

use crate::harness::app::{App, eventually};
use crate::harness::binary::Ran;
use crate::harness::job_lab::{Event, Lab, POLICY, StoppedClock, Verdict, far_future};
use crate::harness::pictures::jpeg;

const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')";

fn execute(lab: &Lab, statement: &str) {
    diesel::sql_query(statement).execute(&mut lab.connection()).unwrap();
}

#[tokio::test]
async fn repeated_failures_of_the_environment_count_as_no_attempt() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, Policy { max_attempts: 2, retry_cap: Duration::from_millis(1), ..POLICY });
    for _ in 0..10 {
        lab.call().await.end(Verdict::Environment("No space left on device (os error 28)"));
    }
    let call = lab.call().await;
    assert_eq!((call.job.attempts, call.job.crashes), (0, 0));
    let delay = job_delays::table.find(id.to_string()).select((job_delays::failures, job_delays::cause));
    let (failures, cause): (i32, String) = delay.first(&mut lab.connection()).unwrap();
    assert_eq!((failures, cause.as_str()), (10, "No space left on device (os error 28)"));
    call.end(Verdict::Retry);
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    assert_eq!(lab.row(id).counts(), ("done", 1, 0));
    let delays: i64 = job_delays::table.count().get_result(&mut lab.connection()).unwrap();
    assert_eq!(delays, 0);
    worker.stop().await;
}

#[tokio::test]
async fn the_delay_doubles_with_each_failure_of_the_environment() {
    const BASE_MS: i64 = 500_000;
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, Policy { retry_base: Duration::from_millis(BASE_MS as u64), ..POLICY });
    for failures in 1..=3 {
        let call = lab.call().await;
        let before = now();
        call.end(Verdict::Environment("database is locked"));
        lab.row_when("the job is queued again", id, |row| row.state == "queued").await;
        let job = rows::table.find(id.to_string());
        let run_at: i64 = job.clone().select(rows::run_at).first(&mut lab.connection()).unwrap();
        let longest = BASE_MS << (failures - 1);
        assert!((before + longest / 2..=now() + longest).contains(&run_at), "failure {failures}");
        diesel::update(job).set(rows::run_at.eq(0)).execute(&mut lab.connection()).unwrap();
    }
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    worker.stop().await;
}

#[tokio::test]
async fn the_end_of_a_job_is_written_again_until_it_succeeds() {
    for (verdict, counts) in [(Verdict::Done, ("done", 0, 0)), (Verdict::Fail, ("dead", 1, 0))] {
        let mut lab = Lab::new();
        let id = lab.enqueue().await;
        let worker = lab.worker(1, POLICY);
        let call = lab.call().await;
        execute(
            &lab,
            "CREATE TRIGGER full_disk BEFORE UPDATE OF state ON jobs WHEN NEW.state <> 'running'
             BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
        );
        call.end(verdict);
        lab.sweep_passes().await;
        assert_eq!(lab.row(id).counts(), ("running", 0, 0));
        execute(&lab, "DROP TRIGGER full_disk");
        lab.event().await;
        assert_eq!(lab.row(id).counts(), counts);
        lab.assert_quiet();
        worker.stop().await;
    }
}

#[tokio::test]
async fn under_a_newer_schema_nothing_is_written() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, POLICY);
    let call = lab.call().await;
    execute(&lab, NEWER);
    call.end(Verdict::Fail);
    worker.stop().await;
    assert_eq!(lab.row(id).counts(), ("running", 0, 0));
    execute(&lab, "DELETE FROM __diesel_schema_migrations WHERE version = '29991231000000'");
    let next = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    assert_eq!(lab.row(id).counts(), ("done", 0, 0));
    next.stop().await;
}

#[tokio::test]
async fn a_running_process_logs_a_newer_schema_and_ends() {
    let app = App::new(&[]).await;
    let (mut serve, mut worker) = (app.serve(), app.worker());
    diesel::sql_query(NEWER).execute(&mut app.database()).unwrap();
    for process in [&mut serve, &mut worker] {
        assert_eq!(process.wait().code(), Some(1));
        let stderr = process.stderr();
        assert!(stderr.contains("a newer m3a3 has migrated the database (migration 29991231000000)"), "{stderr}");
    }
}

#[tokio::test]
async fn a_worker_claims_nothing_while_its_disk_is_full() {
    let mut lab = Lab::new();
    let is_full = Arc::new(AtomicBool::new(true));
    let seen = is_full.clone();
    let guard = Arc::new(move || seen.load(Ordering::SeqCst).then(|| "the disk is full".to_owned()));
    let worker = lab.worker_with(1, POLICY, |runner| runner.with_guard(guard));
    let id = lab.enqueue().await;
    worker.wake.notify();
    lab.sweep_passes().await;
    lab.assert_quiet();
    assert_eq!(lab.row(id).lease_token, 0);
    is_full.store(false, Ordering::SeqCst);
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    worker.stop().await;
}

#[tokio::test]
async fn a_full_disk_never_fails_an_image() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let full = app.start(&["worker", "thumbnail", "--set", &format!("jobs.min_free_bytes={}", 1_u64 << 60)]);
    // It sweeps: it has deleted the lock file of a dead worker.
    let file = app.dir.write("data/workers/gone.lock", "");
    eventually("a sweep passes", || async { (!file.exists()).then_some(()) }).await;
    assert_eq!(app.count("SELECT max(lease_token) FROM jobs"), 0, "nothing is claimed");
    drop(full);
    let _worker = app.worker();
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
}

async fn one_job_is_delayed(app: &App) {
    let delayed = "SELECT count(*) FROM job_delays JOIN jobs ON id = job_id WHERE kind = 'thumbnail'";
    eventually("a job waits for its environment", || async { (app.count(delayed) == 1).then_some(()) }).await;
}

#[tokio::test]
async fn the_job_of_an_upload_whose_file_is_missing_waits_and_the_doctor_reports_it() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let (uploads, away) = (app.dir.path().join("data/uploads"), app.dir.path().join("data/away"));
    std::fs::rename(&uploads, &away).unwrap();
    let _worker = app.worker();
    one_job_is_delayed(&app).await;
    let mut doctor = app.command(&["doctor"]);
    let ran = tokio::task::spawn_blocking(move || Ran::of(&mut doctor)).await.unwrap();
    let line = ran.stdout.lines().find(|line| line.contains("environment")).unwrap();
    assert!(line.starts_with("WRONG") && line.contains("1 thumbnail jobs have waited"), "{line}");
    std::fs::remove_dir_all(&uploads).unwrap();
    std::fs::rename(&away, &uploads).unwrap();
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    assert_eq!(app.count("SELECT sum(attempts + crashes) FROM jobs WHERE kind = 'thumbnail'"), 0);
}

#[tokio::test]
async fn a_thumbnail_that_cannot_be_stored_is_stored_once_the_disk_works_again() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    let (thumbnails, away) = (app.dir.path().join("data/thumbnails"), app.dir.path().join("data/away"));
    std::fs::rename(&thumbnails, &away).unwrap();
    app.dir.write("data/thumbnails", "not a folder");
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    one_job_is_delayed(&app).await;
    std::fs::remove_file(&thumbnails).unwrap();
    std::fs::rename(&away, &thumbnails).unwrap();
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    assert_eq!(app.count("SELECT sum(attempts + crashes) FROM jobs WHERE kind = 'thumbnail'"), 0);
}

#[tokio::test]
async fn an_attempt_that_exceeds_the_time_limit_counts_as_a_crash() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, Policy { time_limit: Duration::from_millis(50), ..POLICY });
    let mut hanging = Vec::new();
    for crashes in 0..MAX_CRASHES {
        let call = lab.call().await;
        assert_eq!((call.job.id, call.job.attempts, call.job.crashes), (id, 0, crashes));
        hanging.push(call);
    }
    assert!(matches!(lab.event().await, Event::Dead(dead, _) if dead == id));
    let row = lab.row(id);
    assert_eq!(row.counts(), ("dead", 0, MAX_CRASHES));
    assert!(row.error.unwrap().contains("longer than 0.05 s"));
    worker.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_forward_expires_no_lease() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let clock = StoppedClock::start();
    let lease = Duration::from_secs(600);
    lab.lease(id, "elsewhere", clock.wall() + 600_000, true);
    let clocks = clock.clone();
    let worker = lab.worker_with(1, Policy { lease, ..POLICY }, |runner| runner.with_clock(clocks));
    lab.sweep_passes().await;
    clock.step(3_600_000);
    lab.sweep_passes().await;
    assert_eq!(lab.row(id).lease_owner.as_deref(), Some("elsewhere"), "its owner has time for a heartbeat");
    clock.advance(lease);
    let call = lab.call().await;
    assert_eq!((call.job.id, call.job.attempts), (id, 1), "it sent none");
    call.end(Verdict::Done);
    lab.event().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_due_later_than_the_longest_backoff_is_due_now() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let job = rows::table.find(id.to_string());
    diesel::update(job).set(rows::run_at.eq(far_future())).execute(&mut lab.connection()).unwrap();
    let worker = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    worker.stop().await;
}

#[tokio::test]
async fn a_runner_never_rescues_its_own_running_job() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(2, POLICY);
    let call = lab.call().await;
    let job = rows::table.find(id.to_string());
    diesel::update(job).set(rows::lease_until.eq(0)).execute(&mut lab.connection()).unwrap();
    lab.sweep_passes().await;
    lab.assert_quiet();
    assert_eq!((lab.row(id).counts(), lab.row(id).lease_token), (("running", 0, 0), 1));
    call.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    worker.stop().await;
}
