//! Jobs from their row to their end: claimed once, repeated, given up, told.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::now;
use m3a3::db::schema::jobs as rows;
use m3a3::ids::JobId;
use m3a3::jobs::{Kind, NewJob, Policy, enqueue};

use crate::harness::job_lab::{Event, Fake, KIND, Lab, NEVER, ONCE, POLICY, Verdict};

#[tokio::test]
async fn every_job_runs_exactly_once_however_many_runners_compete() {
    const JOBS: usize = 200;
    let mut lab = Lab::new();
    let workers = [(); 3].map(|()| lab.worker(4, POLICY));
    let mut enqueued = HashSet::new();
    for turn in 0..JOBS {
        enqueued.insert(lab.enqueue().await);
        workers[turn % 3].wake.notify();
    }
    let mut ran = HashSet::new();
    while ran.len() < JOBS {
        let call = lab.call().await;
        assert!(ran.insert(call.job.id), "a job runs a second time");
        assert!(call.at_once <= 12);
        call.end(Verdict::Done);
    }
    for _ in 0..JOBS {
        assert!(matches!(lab.event().await, Event::Done(_)));
    }
    assert_eq!(ran, enqueued);
    assert_eq!(lab.effects(), JOBS as i64);
    let clean = rows::state.eq("done").and(rows::lease_token.eq(1)).and(rows::attempts.eq(0)).and(rows::crashes.eq(0));
    let claimed_once: i64 = rows::table.filter(clean).count().get_result(&mut lab.connection()).unwrap();
    assert_eq!(claimed_once, JOBS as i64);
    lab.assert_quiet();
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_there_are_slots() {
    let mut lab = Lab::new();
    for _ in 0..10 {
        lab.enqueue().await;
    }
    let worker = lab.worker(3, POLICY);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(lab.call().await);
    }
    worker.wake.notify();
    lab.sweep_passes().await;
    lab.assert_quiet();
    let running: i64 = rows::table.filter(rows::state.eq("running")).count().get_result(&mut lab.connection()).unwrap();
    assert_eq!(running, 3, "nothing is claimed that cannot run");
    for ended in 0..10 {
        held.remove(0).end(Verdict::Done);
        if ended < 7 {
            let call = lab.call().await;
            assert!(call.at_once <= 3);
            held.push(call);
        }
        lab.event().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_ring_starts_a_job_without_a_sweep_and_a_sweep_without_a_ring() {
    let mut lab = Lab::new();
    let ringing = lab.worker(1, Policy { sweep_interval: NEVER, ..POLICY });
    lab.enqueue().await;
    ringing.wake.notify();
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    ringing.stop().await;

    let sweeping = lab.worker(1, POLICY);
    lab.sweep_passes().await;
    lab.enqueue().await;
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    sweeping.stop().await;
}

#[tokio::test]
async fn a_failing_job_waits_twice_as_long_each_time_and_is_dead_after_its_last_attempt() {
    // Four times as long is less than the longest wait that the policy allows.
    const BASE_MS: i64 = 500_000;
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let retry_base = Duration::from_millis(BASE_MS as u64);
    let worker = lab.worker(1, Policy { retry_base, max_attempts: 4, ..POLICY });
    for attempts in 1..=3 {
        let call = lab.call().await;
        assert_eq!((call.job.attempts, call.job.crashes), (attempts - 1, 0));
        let before = now();
        call.end(Verdict::Retry);
        let row = lab.row_when("the job is queued again", id, |row| row.state == "queued").await;
        assert_eq!((row.attempts, row.error.as_deref(), row.lease_owner), (attempts, Some("it rains"), None));
        let job = rows::table.find(id.to_string());
        let run_at: i64 = job.clone().select(rows::run_at).first(&mut lab.connection()).unwrap();
        let longest = BASE_MS << (attempts - 1);
        let possible = before + longest / 2..=now() + longest;
        assert!(possible.contains(&run_at), "attempt {attempts}: {run_at} is not in {possible:?}");
        lab.sweep_passes().await;
        lab.assert_quiet();
        diesel::update(job).set(rows::run_at.eq(0)).execute(&mut lab.connection()).unwrap();
    }
    lab.call().await.end(Verdict::Retry);
    assert_eq!(lab.event().await, Event::Dead(id, "Please wait.".to_owned()));
    assert_eq!(lab.row(id).counts(), ("dead", 4, 0));
    worker.stop().await;
}

#[tokio::test]
async fn what_no_repetition_mends_is_dead_at_once() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::Fail);
    assert_eq!(lab.event().await, Event::Dead(id, "Please send another.".to_owned()));
    let row = lab.row(id);
    assert_eq!((row.counts(), row.error.as_deref()), (("dead", 1, 0), Some("it is broken")));
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_costs_its_own_job_an_attempt_and_others_nothing() {
    let mut lab = Lab::new();
    let (bad, good) = (lab.enqueue().await, lab.enqueue().await);
    let worker = lab.worker(2, POLICY);
    let (first, second) = (lab.call().await, lab.call().await);
    let (panicking, other) = if first.job.id == bad { (first, second) } else { (second, first) };
    panicking.end(Verdict::Panic);
    let again = lab.call().await;
    assert_eq!((again.job.id, again.job.attempts), (bad, 1));
    other.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(good));
    again.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(bad));
    assert_eq!(lab.row(good).counts(), ("done", 0, 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_after_the_end_of_a_job_frees_its_slot() {
    let mut lab = Lab::new();
    let (first, second) = (lab.enqueue().await, lab.enqueue().await);
    let worker = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::PanicWhilePublishing);
    let call = lab.call().await;
    assert_eq!((call.job.id, lab.row(first).counts()), (second, ("done", 0, 0)));
    call.end(Verdict::Done);
    lab.event().await;
    worker.stop().await;
}

#[tokio::test]
async fn an_effect_that_cannot_be_written_is_undone_and_tried_again() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::BreakWhileApplying);
    let again = lab.call().await;
    assert_eq!((again.job.id, again.job.attempts, lab.effects()), (id, 1, 0));
    again.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    assert_eq!((lab.row(id).counts(), lab.effects()), (("done", 1, 0), 1));
    worker.stop().await;
}

/// Whether a job with the only key that is used here is made.
async fn keyed(lab: &Lab, kind: Kind, payload: i64) -> bool {
    let job = NewJob { id: JobId::generate(), kind, payload: payload.to_string(), dedup: Some("key".to_owned()) };
    lab.database.write(move |connection| enqueue(connection, &job, now())).await.unwrap()
}

#[tokio::test]
async fn a_key_holds_while_its_job_is_active() {
    let mut lab = Lab::new();
    assert!(keyed(&lab, KIND, 1).await);
    assert!(!keyed(&lab, KIND, 2).await, "one is queued");
    let worker = lab.worker(1, POLICY);
    let call = lab.call().await;
    assert!(!keyed(&lab, KIND, 2).await, "one is running");
    call.end(Verdict::Retry);
    let call = lab.call().await;
    assert!(!keyed(&lab, KIND, 2).await, "one runs again");
    call.end(Verdict::Done);
    lab.event().await;
    assert!(keyed(&lab, KIND, 2).await, "it is done");
    lab.call().await.end(Verdict::Fail);
    lab.event().await;
    assert!(keyed(&lab, KIND, 3).await, "it is dead");
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_key_that_holds_for_ever_outlasts_its_job() {
    let mut lab = Lab::new();
    assert!(keyed(&lab, KIND, 1).await);
    assert!(keyed(&lab, ONCE, 2).await, "each kind has keys of its own");
    let worker = lab.worker_of(Fake::<true>(lab.stage.clone()), 1, POLICY);
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    assert!(!keyed(&lab, ONCE, 3).await);
    worker.stop().await;
}
