//! The shutdown of workers.

use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::schema::jobs as rows;
use m3a3::jobs::Policy;

use crate::harness::app::eventually;
use crate::harness::job_lab::{Event, Lab, POLICY, Verdict};

#[tokio::test]
async fn a_shutdown_lets_running_jobs_finish() {
    let mut lab = Lab::new();
    let (running, queued) = (lab.enqueue().await, lab.enqueue().await);
    let worker = lab.worker(1, POLICY);
    let call = lab.call().await;
    worker.shutdown.cancel();
    call.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(running));
    worker.ended().await;
    assert_eq!(lab.row(queued).counts(), ("queued", 0, 0));
    lab.assert_quiet();
    assert_eq!(std::fs::read_dir(lab.folder.path().join("workers")).unwrap().count(), 0, "no lock is left");
}

#[tokio::test]
async fn a_shutdown_releases_jobs_that_do_not_finish_in_time_without_counting_an_attempt() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, Policy { drain: Duration::from_millis(1), ..POLICY });
    let held = lab.call().await;
    worker.stop().await;
    let row = lab.row(id);
    assert_eq!((row.counts(), row.lease_owner.as_deref(), row.started_at), (("queued", 0, 0), None, None));

    let next = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    next.stop().await;
    drop(held);
}

#[tokio::test]
async fn a_killed_worker_leaves_its_lock_file_for_the_next_one_to_find() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, POLICY);
    let held = lab.call().await;
    worker.task.abort();
    let next = lab.worker(1, POLICY);
    let again = lab.call().await;
    assert_eq!((again.job.id, again.job.attempts, again.job.crashes), (id, 0, 1));
    again.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    next.stop().await;
    drop(held);
}

#[tokio::test]
async fn heartbeats_extend_the_lease_of_a_long_job_even_while_draining() {
    let lease = Duration::from_secs(3);
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, Policy { lease, ..POLICY });
    let call = lab.call().await;
    let until = |lab: &Lab| -> i64 {
        let lease = rows::table.find(id.to_string()).select(rows::lease_until.assume_not_null());
        lease.first(&mut lab.connection()).unwrap()
    };
    let extended = async |lab: &Lab, since: i64| {
        eventually("the lease is extended", || async { Some(until(lab)).filter(|until| *until > since) }).await
    };
    let first = until(&lab);
    extended(&lab, first + 3000).await;
    worker.shutdown.cancel();
    extended(&lab, until(&lab) + 1000).await;
    call.end(Verdict::Done);
    assert_eq!(lab.event().await, Event::Done(id));
    let row = lab.row(id);
    assert_eq!((row.counts(), row.lease_token), (("done", 0, 0), 1));
    worker.ended().await;
}
