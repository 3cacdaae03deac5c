//! Jobs from their row to their end: claimed once, retried, given up, published.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::now;
use m3a3::db::schema::jobs as rows;
use m3a3::ids::{JobId, UserId};
use m3a3::jobs::{Policy, enqueue};

use crate::harness::job_lab::{Event, Fake, FakeTask, Lab, NEVER, POLICY, StoppedClock, Verdict};

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
async fn a_runner_runs_no_more_jobs_than_it_has_slots() {
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
    assert_eq!(running, 3, "no more jobs are claimed than can run");
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
async fn the_next_job_starts_while_the_result_of_one_is_made_durable() {
    let mut lab = Lab::new();
    lab.stage.returns_slot = true;
    let (first, second) = (lab.enqueue().await, lab.enqueue().await);
    // The first job holds its slot for so long that none is claimed ahead, and no sweep finds the second one.
    let clock = StoppedClock::start();
    lab.stage.advances = Some(clock.clone());
    let policy = Policy { sweep_interval: NEVER, ..POLICY };
    let worker = lab.worker_with(1, policy, |runner| runner.with_clock(clock));
    let (storing, working) = (lab.call().await, lab.call().await);
    assert_eq!([storing.job.id, working.job.id], [first, second]);
    for call in [storing, working] {
        call.end(Verdict::Done);
        lab.event().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_waits_for_a_slot_is_released_at_a_shutdown_and_not_run_after_a_cancellation() {
    let mut lab = Lab::new();
    let first = lab.enqueue().await;
    // By this clock, jobs take no time, so that the next ones are claimed ahead; all of them are due.
    let clock = StoppedClock::start();
    clock.step(3_600_000);
    let worker = lab.worker_with(1, POLICY, |runner| runner.with_clock(clock));
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(first));
    let ids = [lab.enqueue().await, lab.enqueue().await, lab.enqueue().await];
    worker.wake.notify();
    let held = lab.call().await;
    assert_eq!(held.job.id, ids[0]);
    eventually_claimed(&lab, ids[1]).await;
    eventually_claimed(&lab, ids[2]).await;
    let cancelled = rows::table.find(ids[1].to_string());
    diesel::update(cancelled).set(rows::state.eq("cancelled")).execute(&mut lab.connection()).unwrap();
    held.end(Verdict::Done);
    lab.event().await;
    let last = lab.call().await;
    assert_eq!(last.job.id, ids[2], "the cancelled job is not run");
    let queued = lab.enqueue().await;
    worker.wake.notify();
    eventually_claimed(&lab, queued).await;
    worker.shutdown.cancel();
    lab.row_when("it is released", queued, |row| row.counts() == ("queued", 0, 0) && row.started_at.is_none()).await;
    last.end(Verdict::Done);
    lab.event().await;
    worker.ended().await;
    lab.assert_quiet();
}

async fn eventually_claimed(lab: &Lab, id: JobId) {
    lab.row_when("it is claimed ahead", id, |row| row.state == "running").await;
}

#[tokio::test]
async fn workers_serve_users_in_turn_also_after_a_restart() {
    let mut lab = Lab::new();
    let [many, one] = [1, 2].map(|user| Some(UserId::new(user).unwrap()));
    for _ in 0..100 {
        lab.enqueue_for(many).await;
    }
    let worker = lab.worker(2, POLICY);
    for _ in 0..6 {
        lab.call().await.end(Verdict::Done);
        lab.event().await;
    }
    let (first, second) = (lab.call().await, lab.call().await);
    let late = lab.enqueue_for(one).await;
    worker.shutdown.cancel();
    for call in [first, second] {
        call.end(Verdict::Done);
        lab.event().await;
    }
    worker.ended().await;
    let workers = [lab.worker(1, POLICY), lab.worker(1, POLICY)];
    // Up to 16 jobs for each of two slots were claimed ahead of it, and are again.
    let mut before = 0;
    loop {
        let call = lab.call().await;
        let is_late = call.job.id == late;
        call.end(Verdict::Done);
        if is_late {
            break;
        }
        before += 1;
    }
    assert!(before <= 60, "{before} of the 92 older jobs were first");
    for worker in workers {
        worker.task.abort();
    }
}

#[tokio::test]
async fn a_job_starts_by_a_wake_signal_without_a_sweep_or_by_a_sweep_without_a_signal() {
    let mut lab = Lab::new();
    let woken = lab.worker(1, Policy { sweep_interval: NEVER, ..POLICY });
    lab.enqueue().await;
    woken.wake.notify();
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    woken.stop().await;

    let sweeping = lab.worker(1, POLICY);
    lab.sweep_passes().await;
    lab.enqueue().await;
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    sweeping.stop().await;
}

#[tokio::test]
async fn the_delay_of_a_failing_job_doubles_until_it_is_dead_after_its_last_attempt() {
    // Four times this is below the longest delay of the policy.
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
async fn a_permanent_failure_is_dead_at_once() {
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
async fn a_panic_fails_an_attempt_of_its_own_job_only() {
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
async fn a_panic_while_publishing_frees_the_slot() {
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
async fn a_job_with_an_invalid_payload_is_dead_without_an_attempt_of_its_handler() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    diesel::update(rows::table).set(rows::payload.eq("{}")).execute(&mut lab.connection()).unwrap();
    let worker = lab.worker(1, POLICY);
    assert!(matches!(lab.event().await, Event::Dead(dead, _) if dead == id));
    let row = lab.row(id);
    assert_eq!(row.counts(), ("dead", 1, 0));
    assert!(row.error.unwrap().starts_with("the payload is invalid: "));
    lab.assert_quiet();
    worker.stop().await;
}

#[tokio::test]
async fn an_effect_that_cannot_be_written_is_rolled_back_and_retried() {
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

/// Whether a job with the dedup key `key` is stored.
async fn keyed<const FOREVER: bool>(lab: &Lab, user: i64) -> bool {
    let task = FakeTask::<FOREVER> { user, key: Some("key".to_owned()), owner: None };
    lab.database.write(move |connection| enqueue(connection, &task, now())).await.unwrap().is_some()
}

#[tokio::test]
async fn a_dedup_key_blocks_while_its_job_is_active() {
    let mut lab = Lab::new();
    assert!(keyed::<false>(&lab, 1).await);
    assert!(!keyed::<false>(&lab, 2).await, "one is queued");
    let worker = lab.worker(1, POLICY);
    let call = lab.call().await;
    assert!(!keyed::<false>(&lab, 2).await, "one is running");
    call.end(Verdict::Retry);
    let call = lab.call().await;
    assert!(!keyed::<false>(&lab, 2).await, "one runs again");
    call.end(Verdict::Done);
    lab.event().await;
    assert!(keyed::<false>(&lab, 2).await, "it is done");
    lab.call().await.end(Verdict::Fail);
    lab.event().await;
    assert!(keyed::<false>(&lab, 3).await, "it is dead");
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_permanent_dedup_key_blocks_after_its_job_is_done() {
    let mut lab = Lab::new();
    assert!(keyed::<false>(&lab, 1).await);
    assert!(keyed::<true>(&lab, 2).await, "each kind has its own keys");
    let worker = lab.worker_of(Fake::<true>(lab.stage.clone()), 1, POLICY);
    lab.call().await.end(Verdict::Done);
    lab.event().await;
    assert!(!keyed::<true>(&lab, 3).await);
    worker.stop().await;
}
