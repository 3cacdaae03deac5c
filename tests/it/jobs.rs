//! The job engine in process, with a handler whose every attempt the test holds in its hand.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::schema::{jobs as rows, users};
use m3a3::db::{Database, Location, UnixMillis, WriterThread, now};
use m3a3::ids::JobId;
use m3a3::jobs::{
    DedupScope, Failure, Handler, Job, Kind, MAX_CRASHES, NewJob, Policy, Runner, Wake, WorkerLock, enqueue,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::app::{DEADLINE, eventually};

const KIND: Kind = Kind { name: "fake", dedup: DedupScope::WhileActive };
const ONCE: Kind = Kind { name: "once", dedup: DedupScope::Forever };
/// So long that only something else than the clock can explain what happens.
const NEVER: Duration = Duration::from_secs(3600);

const POLICY: Policy = Policy {
    lease: NEVER,
    sweep_interval: Duration::from_millis(10),
    max_attempts: 3,
    retry_base: Duration::from_millis(1),
    retry_cap: NEVER,
    drain: Duration::from_secs(20),
};

/// What an attempt is to do.
#[derive(Debug)]
enum Verdict {
    Done,
    Retry,
    Fail,
    Panic,
    /// The effect is half written when it fails.
    BreakWhileApplying,
    /// The job is done, but telling it panics.
    PanicWhileAnnouncing,
}

/// An attempt that waits for its verdict.
#[derive(Debug)]
struct Call {
    job: Job,
    /// How many attempts go on at this moment, this one included.
    at_once: usize,
    verdict: oneshot::Sender<Verdict>,
}

impl Call {
    fn end(self, verdict: Verdict) {
        self.verdict.send(verdict).expect("the attempt is still going on");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Notice {
    Done(JobId),
    Dead(JobId, String),
    Panic,
}

/// Runs jobs of [`KIND`], or of [`ONCE`]. The effect of a job is a user with the number that is its payload; a second
/// such effect would fail.
#[derive(Clone)]
struct Fake<const FOREVER: bool = false>(Stage);

#[derive(Clone)]
struct Stage {
    calls: mpsc::UnboundedSender<Call>,
    notices: mpsc::UnboundedSender<Notice>,
    at_once: Arc<AtomicUsize>,
}

struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<const FOREVER: bool> Handler for Fake<FOREVER> {
    const KIND: Kind = if FOREVER { ONCE } else { KIND };
    type Effect = Verdict;
    type Notice = Notice;

    async fn run(&self, job: &Job) -> Result<Verdict, Failure> {
        let Self(stage) = self;
        let at_once = stage.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        let _leaving = Leaving(stage.at_once.clone());
        let (verdict, decided) = oneshot::channel();
        stage.calls.send(Call { job: job.clone(), at_once, verdict }).expect("the test listens");
        match decided.await.expect("the test decides") {
            Verdict::Retry => Err(Failure::retry("it rains", "Please wait.")),
            Verdict::Fail => Err(Failure::fail("it is broken", "Please send another.")),
            Verdict::Panic => panic!("on purpose"),
            effect => Ok(effect),
        }
    }

    fn apply(connection: &mut SqliteConnection, job: &Job, effect: Verdict, _now: UnixMillis) -> QueryResult<Notice> {
        let user: i64 = job.payload.parse().unwrap();
        diesel::insert_into(users::table).values(users::id.eq(user)).execute(connection)?;
        match effect {
            Verdict::BreakWhileApplying => Err(diesel::result::Error::NotFound),
            Verdict::PanicWhileAnnouncing => Ok(Notice::Panic),
            _ => Ok(Notice::Done(job.id)),
        }
    }

    fn bury(
        _connection: &mut SqliteConnection,
        job: &Job,
        message: &str,
        _now: UnixMillis,
    ) -> QueryResult<Option<Notice>> {
        Ok(Some(Notice::Dead(job.id, message.to_owned())))
    }

    fn announce(&self, notice: Notice) {
        assert_ne!(notice, Notice::Panic, "on purpose");
        self.0.notices.send(notice).expect("the test listens");
    }
}

/// A database, and what the handlers of all runners on it say.
struct Lab {
    folder: TempDir,
    location: Location,
    database: Database,
    stage: Stage,
    calls: mpsc::UnboundedReceiver<Call>,
    notices: mpsc::UnboundedReceiver<Notice>,
    next_payload: i64,
    _writer: WriterThread,
}

/// A row, as far as it matters here.
#[derive(Debug, PartialEq, Eq, Queryable)]
struct Row {
    state: String,
    attempts: i32,
    crashes: i32,
    lease_owner: Option<String>,
    lease_token: i64,
    started_at: Option<i64>,
    error: Option<String>,
}

impl Row {
    fn counts(&self) -> (&str, i32, i32) {
        (&self.state, self.attempts, self.crashes)
    }
}

/// A runner with a worker lock and a database of its own, as if it were a process of its own.
struct Worker {
    wake: Wake,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    _writer: WriterThread,
}

impl Worker {
    async fn ended(self) {
        timeout(DEADLINE, self.task).await.expect("the runner ends").expect("without a panic");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        let (database, writer) = Database::open(&location).unwrap();
        let (calls, notices) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let stage = Stage { calls: calls.0, notices: notices.0, at_once: Arc::default() };
        let (calls, notices) = (calls.1, notices.1);
        Self { folder, location, database, stage, calls, notices, next_payload: 1, _writer: writer }
    }

    fn worker(&self, concurrency: usize, policy: Policy) -> Worker {
        self.worker_of(Fake::<false>(self.stage.clone()), concurrency, policy)
    }

    fn worker_of(&self, handler: impl Handler, concurrency: usize, policy: Policy) -> Worker {
        let (database, writer) = Database::open(&self.location).unwrap();
        let lock = Arc::new(WorkerLock::acquire(self.folder.path()).unwrap());
        let (wake, shutdown) = (Wake::new(), CancellationToken::new());
        let runner = Runner::new(database, handler, policy, concurrency, lock, wake.clone(), shutdown.clone());
        Worker { wake, shutdown, task: tokio::spawn(runner.run()), _writer: writer }
    }

    /// A new job, of which nobody is told.
    async fn enqueue(&mut self) -> JobId {
        let id = JobId::generate();
        let job = NewJob { id, kind: KIND, payload: self.next_payload.to_string(), dedup: None };
        self.next_payload += 1;
        assert!(self.database.write(move |connection| enqueue(connection, &job, now())).await.unwrap());
        id
    }

    /// The next attempt.
    async fn call(&mut self) -> Call {
        timeout(DEADLINE, self.calls.recv()).await.expect("an attempt begins").unwrap()
    }

    async fn notice(&mut self) -> Notice {
        timeout(DEADLINE, self.notices.recv()).await.expect("something is announced").unwrap()
    }

    fn connection(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(self.location.path().to_str().unwrap()).unwrap();
        diesel::sql_query("PRAGMA busy_timeout = 10000").execute(&mut connection).unwrap();
        connection
    }

    fn row(&self, id: JobId) -> Row {
        let columns = (
            rows::state,
            rows::attempts,
            rows::crashes,
            rows::lease_owner,
            rows::lease_token,
            rows::started_at,
            rows::error,
        );
        rows::table.find(id.to_string()).select(columns).first(&mut self.connection()).unwrap()
    }

    async fn row_when(&self, what: &str, id: JobId, condition: impl Fn(&Row) -> bool) -> Row {
        eventually(what, || async { Some(self.row(id)).filter(&condition) }).await
    }

    fn effects(&self) -> i64 {
        users::table.count().get_result(&mut self.connection()).unwrap()
    }

    /// Makes it so that this worker holds the job, and has started it or not.
    fn lease(&self, id: JobId, owner: &str, lease_until: UnixMillis, started: bool) {
        let started_at = started.then_some(1_i64);
        let set = (
            rows::state.eq("running"),
            rows::lease_owner.eq(owner),
            rows::lease_until.eq(lease_until),
            rows::lease_token.eq(rows::lease_token + 1),
            rows::started_at.eq(started_at),
        );
        assert_eq!(diesel::update(rows::table.find(id.to_string())).set(set).execute(&mut self.connection()), Ok(1));
    }

    fn lock_file(&self, owner: &str) -> PathBuf {
        self.folder.path().join("workers").join(owner).with_extension("lock")
    }

    /// Leaves what a killed process leaves: its lock's file, and nobody who holds it.
    fn die(&self, owner: &str) {
        let path = self.lock_file(owner);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    /// Awaits the end of a sweep that begins after this call: the second of two dead workers is found by a later sweep
    /// than the first.
    async fn sweep_passes(&self) {
        for owner in ["nobody-1", "nobody-2"] {
            self.die(owner);
            let file = self.lock_file(owner);
            eventually("a sweep passes", || async { (!file.exists()).then_some(()) }).await;
        }
    }

    fn assert_quiet(&mut self) {
        assert!(self.calls.try_recv().is_err(), "no attempt begins");
        assert!(self.notices.try_recv().is_err(), "nothing is announced");
    }
}

fn far_future() -> UnixMillis {
    now() + 1_000_000_000
}

#[tokio::test]
async fn every_job_runs_exactly_once_however_many_runners_compete() {
    const JOBS: usize = 200;
    let mut lab = Lab::new();
    let workers = [(); 3].map(|()| lab.worker(4, POLICY));
    let mut enqueued = HashSet::new();
    for turn in 0..JOBS {
        enqueued.insert(lab.enqueue().await);
        workers[turn % 3].wake.ring();
    }
    let mut ran = HashSet::new();
    while ran.len() < JOBS {
        let call = lab.call().await;
        assert!(ran.insert(call.job.id), "a job runs a second time");
        assert!(call.at_once <= 12);
        call.end(Verdict::Done);
    }
    for _ in 0..JOBS {
        assert!(matches!(lab.notice().await, Notice::Done(_)));
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
    worker.wake.ring();
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
        lab.notice().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_ring_starts_a_job_without_a_sweep_and_a_sweep_without_a_ring() {
    let mut lab = Lab::new();
    let ringing = lab.worker(1, Policy { sweep_interval: NEVER, ..POLICY });
    lab.enqueue().await;
    ringing.wake.ring();
    lab.call().await.end(Verdict::Done);
    lab.notice().await;
    ringing.stop().await;

    let sweeping = lab.worker(1, POLICY);
    lab.sweep_passes().await;
    lab.enqueue().await;
    lab.call().await.end(Verdict::Done);
    lab.notice().await;
    sweeping.stop().await;
}

#[tokio::test]
async fn a_failing_job_waits_twice_as_long_each_time_and_is_dead_after_its_last_attempt() {
    const BASE_MS: i64 = 1_000_000;
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
        assert!((before + longest / 2..=now() + longest).contains(&run_at));
        lab.sweep_passes().await;
        lab.assert_quiet();
        diesel::update(job).set(rows::run_at.eq(0)).execute(&mut lab.connection()).unwrap();
    }
    lab.call().await.end(Verdict::Retry);
    assert_eq!(lab.notice().await, Notice::Dead(id, "Please wait.".to_owned()));
    assert_eq!(lab.row(id).counts(), ("dead", 4, 0));
    worker.stop().await;
}

#[tokio::test]
async fn what_no_repetition_mends_is_dead_at_once() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::Fail);
    assert_eq!(lab.notice().await, Notice::Dead(id, "Please send another.".to_owned()));
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
    assert_eq!(lab.notice().await, Notice::Done(good));
    again.end(Verdict::Done);
    assert_eq!(lab.notice().await, Notice::Done(bad));
    assert_eq!(lab.row(good).counts(), ("done", 0, 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_after_the_end_of_a_job_frees_its_slot() {
    let mut lab = Lab::new();
    let (first, second) = (lab.enqueue().await, lab.enqueue().await);
    let worker = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::PanicWhileAnnouncing);
    let call = lab.call().await;
    assert_eq!((call.job.id, lab.row(first).counts()), (second, ("done", 0, 0)));
    call.end(Verdict::Done);
    lab.notice().await;
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
    assert_eq!(lab.notice().await, Notice::Done(id));
    assert_eq!((lab.row(id).counts(), lab.effects()), (("done", 1, 0), 1));
    worker.stop().await;
}

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
        lab.notice().await;
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_claims_again_what_it_lost_holds_it_by_the_new_lease_only() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(2, Policy { drain: Duration::from_millis(1), ..POLICY });
    let lost = lab.call().await;
    let job = rows::table.find(id.to_string());
    diesel::update(job).set(rows::lease_until.eq(0)).execute(&mut lab.connection()).unwrap();
    let regained = lab.call().await;
    assert_eq!((regained.job.id, regained.job.attempts), (id, 1));
    lost.end(Verdict::Done);
    // When one more fits into the freed slot, the end of the lost attempt has been seen.
    let (other, third) = (lab.enqueue().await, lab.enqueue().await);
    let second = lab.call().await;
    assert_eq!(second.job.id, other);
    lab.sweep_passes().await;
    assert_eq!(lab.row(third).counts(), ("queued", 0, 0), "there are two slots");
    worker.stop().await;
    assert_eq!(lab.row(id).counts(), ("queued", 1, 0), "what is handed back is the regained job");
    assert_eq!(lab.effects(), 0);
    drop((regained, second));
}

#[tokio::test]
async fn an_expired_lease_costs_an_attempt_if_the_job_had_started() {
    let mut lab = Lab::new();
    let (started, waiting, last) = (lab.enqueue().await, lab.enqueue().await, lab.enqueue().await);
    lab.lease(started, "elsewhere", now() - 1, true);
    lab.lease(waiting, "elsewhere", now() - 1, false);
    lab.lease(last, "elsewhere", now() - 1, true);
    let job = rows::table.find(last.to_string());
    diesel::update(job).set(rows::attempts.eq(2)).execute(&mut lab.connection()).unwrap();
    let worker = lab.worker(4, POLICY);
    assert!(matches!(lab.notice().await, Notice::Dead(id, _) if id == last));
    for _ in 0..2 {
        lab.call().await.end(Verdict::Done);
        lab.notice().await;
    }
    assert_eq!(lab.row(started).counts(), ("done", 1, 0));
    assert_eq!(lab.row(waiting).counts(), ("done", 0, 0));
    assert_eq!(lab.row(last).counts(), ("dead", 3, 0));
    worker.stop().await;
}

#[tokio::test]
async fn a_lease_that_holds_is_left_alone_where_no_lock_says_that_its_owner_is_dead() {
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
async fn a_dead_worker_s_jobs_are_taken_over_at_once_and_only_what_had_started_is_charged() {
    let mut lab = Lab::new();
    let (waiting, started) = (lab.enqueue().await, lab.enqueue().await);
    lab.lease(waiting, "gone", far_future(), false);
    lab.lease(started, "gone", far_future(), true);
    lab.die("gone");
    let worker = lab.worker(4, POLICY);
    for _ in 0..2 {
        lab.call().await.end(Verdict::Done);
        lab.notice().await;
    }
    assert_eq!(lab.row(waiting).counts(), ("done", 0, 0));
    assert_eq!(lab.row(started).counts(), ("done", 0, 1));
    assert!(!lab.lock_file("gone").exists());
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_took_its_worker_down_comes_first_and_runs_alone() {
    let mut lab = Lab::new();
    let (before, rescued) = (lab.enqueue().await, lab.enqueue().await);
    lab.lease(rescued, "gone", far_future(), true);
    let worker = lab.worker(4, POLICY);
    let running = lab.call().await;
    assert_eq!(running.job.id, before);

    let mut later = HashSet::new();
    lab.die("gone");
    lab.row_when("the job is taken over", rescued, |row| row.crashes == 1).await;
    for _ in 0..3 {
        later.insert(lab.enqueue().await);
    }
    worker.wake.ring();
    lab.sweep_passes().await;
    lab.assert_quiet();
    running.end(Verdict::Done);
    lab.notice().await;

    let alone = lab.call().await;
    assert_eq!((alone.job.id, alone.job.crashes, alone.at_once), (rescued, 1, 1));
    worker.wake.ring();
    lab.sweep_passes().await;
    lab.assert_quiet();
    alone.end(Verdict::Done);
    lab.notice().await;

    for _ in 0..3 {
        let call = lab.call().await;
        assert!(later.remove(&call.job.id));
        call.end(Verdict::Done);
        lab.notice().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_took_too_many_workers_down_is_dead_and_its_waiter_is_told() {
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
    let Notice::Dead(dead, message) = lab.notice().await else { panic!("it is not dead") };
    assert_eq!(dead, id);
    assert!(message.contains("try again with another file"), "{message}");
    assert_eq!(lab.row(id).counts(), ("dead", 0, MAX_CRASHES));
    worker.stop().await;
}

#[tokio::test]
async fn a_shutdown_lets_running_jobs_end() {
    let mut lab = Lab::new();
    let (running, queued) = (lab.enqueue().await, lab.enqueue().await);
    let worker = lab.worker(1, POLICY);
    let call = lab.call().await;
    worker.shutdown.cancel();
    call.end(Verdict::Done);
    assert_eq!(lab.notice().await, Notice::Done(running));
    worker.ended().await;
    assert_eq!(lab.row(queued).counts(), ("queued", 0, 0));
    lab.assert_quiet();
    assert_eq!(std::fs::read_dir(lab.folder.path().join("workers")).unwrap().count(), 0, "no lock is left");
}

#[tokio::test]
async fn a_shutdown_hands_back_uncharged_what_does_not_end_in_time() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, Policy { drain: Duration::from_millis(1), ..POLICY });
    let held = lab.call().await;
    worker.stop().await;
    let row = lab.row(id);
    assert_eq!((row.counts(), row.lease_owner.as_deref(), row.started_at), (("queued", 0, 0), None, None));

    let next = lab.worker(1, POLICY);
    lab.call().await.end(Verdict::Done);
    assert_eq!(lab.notice().await, Notice::Done(id));
    next.stop().await;
    drop(held);
}

#[tokio::test]
async fn a_worker_that_is_cut_off_leaves_its_lock_for_the_next_to_find() {
    let mut lab = Lab::new();
    let id = lab.enqueue().await;
    let worker = lab.worker(1, POLICY);
    let held = lab.call().await;
    worker.task.abort();
    let next = lab.worker(1, POLICY);
    let again = lab.call().await;
    assert_eq!((again.job.id, again.job.attempts, again.job.crashes), (id, 0, 1));
    again.end(Verdict::Done);
    assert_eq!(lab.notice().await, Notice::Done(id));
    next.stop().await;
    drop(held);
}

#[tokio::test]
async fn heartbeats_keep_the_lease_of_a_long_job_also_while_draining() {
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
    assert_eq!(lab.notice().await, Notice::Done(id));
    let row = lab.row(id);
    assert_eq!((row.counts(), row.lease_token), (("done", 0, 0), 1));
    worker.ended().await;
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
    lab.notice().await;
    assert!(keyed(&lab, KIND, 2).await, "it is done");
    lab.call().await.end(Verdict::Fail);
    lab.notice().await;
    assert!(keyed(&lab, KIND, 3).await, "it is dead");
    lab.call().await.end(Verdict::Done);
    lab.notice().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_key_that_holds_for_ever_outlasts_its_job() {
    let mut lab = Lab::new();
    assert!(keyed(&lab, KIND, 1).await);
    assert!(keyed(&lab, ONCE, 2).await, "each kind has keys of its own");
    let worker = lab.worker_of(Fake::<true>(lab.stage.clone()), 1, POLICY);
    lab.call().await.end(Verdict::Done);
    lab.notice().await;
    assert!(!keyed(&lab, ONCE, 3).await);
    worker.stop().await;
}
