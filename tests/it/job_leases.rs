//! Leases: the jobs of workers that are late or dead.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::now;
use m3a3::db::schema::jobs as rows;
use m3a3::jobs::{MAX_CRASHES, Policy};

use crate::harness::job_lab::{Event, Lab, POLICY, Verdict, far_future};

#[tokio::test]
async fn a_result_under_a_lost_lease_is_dropped() {
    for verdict in [Verdict::Done, Verdict::Retry, Verdict::Fail] {
        let mut lab = Lab::new();
        let id = lab.enqueue().await;
        let worker = lab.worker(1, POLICY);
        let call = lab.call().await;
        lab.lease(id, "another", far_future(), true);
        let theirs = lab.row(id);
        let next = lab.enqueue().await;
        call.end(verdict);
        let call = lab.call().await;
        assert_eq!(call.job.id, next, "the slot is free again");
        assert_eq!((lab.row(id), lab.effects()), (theirs, 0));
        lab.assert_quiet();
        call.end(Verdict::Done);
        lab.event().await;
        worker.stop().await;
        assert_eq!((lab.row(id).state.as_str(), lab.effects()), ("running", 1), "only the next job had an effect");
    }
}

#[tokio::test]
async fn a_worker_that_claims_a_lost_job_again_holds_it_by_the_new_lease_only() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(2, Policy { drain: Duration::from_millis(1), ..POLICY });
    let lost = lab.call().await;
    // Another worker has claimed it meanwhile, and has died before it started.
    lab.lease(id, "gone", far_future(), false);
    lab.die("gone");
    let regained = lab.call().await;
    assert_eq!((regained.job.id, regained.job.attempts, regained.job.crashes), (id, 0, 0));
    lost.end(Verdict::Done);
    let (other, _third) = (lab.enqueue().await, lab.enqueue().await);
    let second = lab.call().await;
    assert_eq!(second.job.id, other);
    lab.sweep_passes().await;
    lab.assert_quiet();
    worker.stop().await;
    assert_eq!(lab.row(id).counts(), ("queued", 0, 0), "the job is released under its new lease");
    assert_eq!(lab.effects(), 0);
    drop((regained, second));
}

#[tokio::test]
async fn an_expired_lease_counts_an_attempt_if_the_job_had_started() {
    let mut lab = Lab::new();
    let (started, waiting, last) = (lab.enqueue().await, lab.enqueue().await, lab.enqueue().await);
    lab.lease(started, "elsewhere", now() - 1, true);
    lab.lease(waiting, "elsewhere", now() - 1, false);
    lab.lease(last, "elsewhere", now() - 1, true);
    let job = rows::table.find(last.to_string());
    diesel::update(job).set(rows::attempts.eq(2)).execute(&mut lab.connection()).unwrap();
    let worker = lab.worker(4, POLICY);
    assert!(matches!(lab.event().await, Event::Dead(id, _) if id == last));
    for _ in 0..2 {
        lab.call().await.end(Verdict::Done);
        lab.event().await;
    }
    assert_eq!(lab.row(started).counts(), ("done", 1, 0));
    assert_eq!(lab.row(waiting).counts(), ("done", 0, 0));
    assert_eq!(lab.row(last).counts(), ("dead", 3, 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_valid_lease_is_kept_while_no_lock_file_shows_its_owner_dead() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    lab.lease(id, "elsewhere", far_future(), true);
    let worker = lab.worker(4, POLICY);
    lab.sweep_passes().await;
    lab.assert_quiet();
    assert_eq!(lab.row(id).lease_owner.as_deref(), Some("elsewhere"));
    worker.stop().await;
}

#[tokio::test]
async fn the_jobs_of_a_dead_worker_are_rescued_at_once_and_only_started_ones_count_a_crash() {
    let mut lab = Lab::new();
    let (waiting, started) = (lab.enqueue().await, lab.enqueue().await);
    lab.lease(waiting, "gone", far_future(), false);
    lab.lease(started, "gone", far_future(), true);
    lab.die("gone");
    let worker = lab.worker(4, POLICY);
    for _ in 0..2 {
        lab.call().await.end(Verdict::Done);
        lab.event().await;
    }
    assert_eq!(lab.row(waiting).counts(), ("done", 0, 0));
    assert_eq!(lab.row(started).counts(), ("done", 0, 1));
    assert!(!lab.lock_file("gone").exists());
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_crashed_its_worker_runs_first_and_alone() {
    let mut lab = Lab::new();
    let (before, rescued) = (lab.enqueue().await, lab.enqueue().await);
    lab.lease(rescued, "gone", far_future(), true);
    let worker = lab.worker(4, POLICY);
    let running = lab.call().await;
    assert_eq!(running.job.id, before);

    let mut later = HashSet::new();
    lab.die("gone");
    lab.row_when("the job is rescued", rescued, |row| row.crashes == 1).await;
    for _ in 0..3 {
        later.insert(lab.enqueue().await);
    }
    worker.wake.notify();
    lab.sweep_passes().await;
    lab.assert_quiet();
    running.end(Verdict::Done);
    lab.event().await;

    let alone = lab.call().await;
    assert_eq!((alone.job.id, alone.job.crashes, alone.at_once), (rescued, 1, 1));
    worker.wake.notify();
    lab.sweep_passes().await;
    lab.assert_quiet();
    alone.end(Verdict::Done);
    lab.event().await;

    for _ in 0..3 {
        let call = lab.call().await;
        assert!(later.remove(&call.job.id));
        call.end(Verdict::Done);
        lab.event().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_crashed_too_many_workers_is_dead_and_its_event_is_published() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    for crashes in 1..MAX_CRASHES {
        let owner = format!("gone-{crashes}");
        lab.lease(id, &owner, far_future(), true);
        lab.die(&owner);
        let worker = lab.worker(1, POLICY);
        let call = lab.call().await;
        assert_eq!((call.job.id, call.job.crashes), (id, crashes));
        worker.task.abort();
        drop(call);
    }
    lab.lease(id, "gone-at-last", far_future(), true);
    lab.die("gone-at-last");
    let worker = lab.worker(1, POLICY);
    let Event::Dead(dead, message) = lab.event().await else { panic!("it is not dead") };
    assert_eq!(dead, id);
    assert!(message.contains("try again with another file"), "{message}");
    assert_eq!(lab.row(id).counts(), ("dead", 0, MAX_CRASHES));
    worker.stop().await;
}

#[tokio::test]
async fn a_claim_that_a_power_failure_undoes_leaves_its_job_queued() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    // The commits of claims are not flushed: the disk may hold no more than what was flushed before.
    let durable = tempfile::tempdir().unwrap();
    for file in ["m3a3.db", "m3a3.db-wal"] {
        std::fs::copy(lab.folder.path().join(file), durable.path().join(file)).unwrap();
    }
    let worker = lab.worker(1, POLICY);
    let held = lab.call().await;
    worker.task.abort();
    let mut after = Lab::in_folder(durable);
    assert_eq!(after.row(id).counts(), ("queued", 0, 0));
    let next = after.worker(1, POLICY);
    after.call().await.end(Verdict::Done);
    assert_eq!(after.event().await, Event::Done(id));
    next.stop().await;
    drop(held);
}
