//! A laboratory for the job engine: in process, with a handler whose attempts the test controls.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::prelude::*;
use m3a3::db::schema::{jobs as rows, users};
use m3a3::db::{Database, Location, UnixMillis, WriterThread, now};
use m3a3::ids::{JobId, UserId};
use m3a3::jobs::{
    Clock, DedupScope, Failure, Handler, Job, Kind, Policy, Runner, Slot, Task, WakeSignal, WorkerLock, enqueue,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::app::{DEADLINE, eventually};

pub const KIND: Kind = Kind { name: "fake", dedup: DedupScope::WhileActive, optional: false };
pub const ONCE: Kind = Kind { name: "once", dedup: DedupScope::Forever, optional: false };
/// Longer than any test.
pub const NEVER: Duration = Duration::from_secs(3600);

pub const POLICY: Policy = Policy {
    lease: NEVER,
    sweep_interval: Duration::from_millis(10),
    max_attempts: 3,
    retry_base: Duration::from_millis(1),
    retry_cap: NEVER,
    drain: Duration::from_secs(20),
    time_limit: NEVER,
};

/// The task of [`KIND`], or of [`ONCE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeTask<const FOREVER: bool = false> {
    /// The id of the user that the effect creates; a second user with the same id would fail.
    pub user: i64,
    pub key: Option<String>,
    /// The user whom the job is for.
    pub owner: Option<UserId>,
}

impl<const FOREVER: bool> Task for FakeTask<FOREVER> {
    const KIND: Kind = if FOREVER { ONCE } else { KIND };

    fn dedup_key(&self) -> Option<String> {
        self.key.clone()
    }

    fn user_id(&self) -> Option<UserId> {
        self.owner
    }
}

/// The outcome of an attempt, which the test decides.
#[derive(Debug, Clone)]
pub enum Verdict {
    Done,
    Retry,
    Fail,
    /// The environment fails with this cause.
    Environment(&'static str),
    Panic,
    /// Writing the effect fails halfway.
    BreakWhileApplying,
    /// The job is done, but publishing its event panics.
    PanicWhilePublishing,
}

/// An attempt that waits for its outcome.
#[derive(Debug)]
pub struct Call {
    pub job: Job,
    /// The number of running attempts, including this one.
    pub at_once: usize,
    pub verdict: oneshot::Sender<Verdict>,
}

impl Call {
    pub fn end(self, verdict: Verdict) {
        self.verdict.send(verdict).expect("the attempt is running");
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Done(JobId),
    Dead(JobId, String),
    Panic,
}

/// Runs jobs of [`KIND`], or of [`ONCE`].
#[derive(Clone)]
pub struct Fake<const FOREVER: bool = false>(pub Stage);

#[derive(Clone)]
pub struct Stage {
    pub calls: mpsc::UnboundedSender<Call>,
    pub events: mpsc::UnboundedSender<Event>,
    pub at_once: Arc<AtomicUsize>,
    /// Whether attempts return their slot at once.
    pub returns_slot: bool,
    /// A clock that an attempt advances by a minute before it returns its slot.
    pub advances: Option<Arc<StoppedClock>>,
}

pub struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<const FOREVER: bool> Handler for Fake<FOREVER> {
    type Task = FakeTask<FOREVER>;
    type Effect = Verdict;
    type Event = Event;

    async fn run(&self, job: &Job, _: FakeTask<FOREVER>, slot: Slot) -> Result<Verdict, Failure> {
        let Self(stage) = self;
        if let Some(clock) = &stage.advances {
            clock.advance(Duration::from_secs(60));
        }
        let _slot = (!stage.returns_slot).then_some(slot);
        let at_once = stage.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        let _leaving = Leaving(stage.at_once.clone());
        let (verdict, decided) = oneshot::channel();
        stage.calls.send(Call { job: job.clone(), at_once, verdict }).expect("the test listens");
        match decided.await.expect("the test decides") {
            Verdict::Retry => Err(Failure::retry("it rains", "Please wait.")),
            Verdict::Fail => Err(Failure::fail("it is broken", "Please send another.")),
            Verdict::Environment(cause) => Err(Failure::environment(cause, "Please wait.")),
            Verdict::Panic => panic!("on purpose"),
            effect => Ok(effect),
        }
    }

    fn apply(connection: &mut SqliteConnection, job: &Job, effect: Verdict, _now: UnixMillis) -> QueryResult<Event> {
        let FakeTask::<FOREVER> { user, .. } = job.task().unwrap();
        diesel::insert_into(users::table).values(users::id.eq(user)).execute(connection)?;
        match effect {
            Verdict::BreakWhileApplying => Err(diesel::result::Error::NotFound),
            Verdict::PanicWhilePublishing => Ok(Event::Panic),
            _ => Ok(Event::Done(job.id)),
        }
    }

    fn on_dead(
        _connection: &mut SqliteConnection,
        job: &Job,
        message: &str,
        _now: UnixMillis,
    ) -> QueryResult<Option<Event>> {
        Ok(Some(Event::Dead(job.id, message.to_owned())))
    }

    fn publish(&self, event: Event) {
        assert_ne!(event, Event::Panic, "on purpose");
        self.0.events.send(event).expect("the test listens");
    }
}

/// A pair of clocks that move only when the test moves them.
pub struct StoppedClock(Mutex<(UnixMillis, Duration)>);

impl StoppedClock {
    pub fn start() -> Arc<Self> {
        Arc::new(Self(Mutex::new((now(), Duration::ZERO))))
    }

    pub fn advance(&self, by: Duration) {
        let mut clocks = self.0.lock().unwrap();
        clocks.0 += by.as_millis() as i64;
        clocks.1 += by;
    }

    pub fn step(&self, by_ms: i64) {
        self.0.lock().unwrap().0 += by_ms;
    }
}

impl Clock for StoppedClock {
    fn wall(&self) -> UnixMillis {
        self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

/// A database, and the calls and events of all handlers on it.
pub struct Lab {
    pub folder: TempDir,
    pub location: Location,
    pub database: Database,
    pub stage: Stage,
    pub calls: mpsc::UnboundedReceiver<Call>,
    pub events: mpsc::UnboundedReceiver<Event>,
    pub next_user: i64,
    _writer: WriterThread,
}

/// The columns of a job that tests check.
#[derive(Debug, PartialEq, Eq, Queryable)]
pub struct Row {
    pub state: String,
    pub attempts: i32,
    pub crashes: i32,
    pub lease_owner: Option<String>,
    pub lease_token: i64,
    pub started_at: Option<i64>,
    pub error: Option<String>,
}

impl Row {
    pub fn counts(&self) -> (&str, i32, i32) {
        (&self.state, self.attempts, self.crashes)
    }
}

/// A runner with a worker lock and a database of its own, like a separate process.
pub struct Worker {
    pub wake: WakeSignal,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
    _writer: WriterThread,
}

impl Worker {
    pub async fn ended(self) {
        timeout(DEADLINE, self.task).await.expect("the runner ends").expect("without a panic");
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }
}

impl Lab {
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    pub fn in_folder(folder: TempDir) -> Self {
        let location = Location::new(folder.path().join("m3a3.db"));
        let (database, writer) = Database::open(&location).unwrap();
        let (calls, events) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let stage =
            Stage { calls: calls.0, events: events.0, at_once: Arc::default(), returns_slot: false, advances: None };
        let (calls, events) = (calls.1, events.1);
        Self { folder, location, database, stage, calls, events, next_user: 1, _writer: writer }
    }

    pub fn worker(&self, concurrency: usize, policy: Policy) -> Worker {
        self.worker_of(Fake::<false>(self.stage.clone()), concurrency, policy)
    }

    pub fn worker_of(&self, handler: impl Handler, concurrency: usize, policy: Policy) -> Worker {
        self.start(handler, concurrency, policy, |runner| runner)
    }

    /// A worker with a changed runner.
    pub fn worker_with(
        &self,
        concurrency: usize,
        policy: Policy,
        change: impl FnOnce(Runner<Fake>) -> Runner<Fake>,
    ) -> Worker {
        self.start(Fake::<false>(self.stage.clone()), concurrency, policy, change)
    }

    fn start<H: Handler>(
        &self,
        handler: H,
        concurrency: usize,
        policy: Policy,
        change: impl FnOnce(Runner<H>) -> Runner<H>,
    ) -> Worker {
        let (database, writer) = Database::open(&self.location).unwrap();
        let lock = Arc::new(WorkerLock::acquire(self.folder.path()).unwrap());
        let (wake, shutdown) = (WakeSignal::new(), CancellationToken::new());
        let runner = Runner::new(database, handler, policy, concurrency, lock, wake.clone(), shutdown.clone());
        let runner = change(runner);
        Worker { wake, shutdown, task: tokio::spawn(runner.run()), _writer: writer }
    }

    /// Enqueues a job without waking a worker.
    pub async fn enqueue(&mut self) -> JobId {
        self.enqueue_for(None).await
    }

    /// Enqueues a job of this user.
    pub async fn enqueue_for(&mut self, owner: Option<UserId>) -> JobId {
        let task = FakeTask::<false> { user: self.next_user, key: None, owner };
        self.next_user += 1;
        self.database.write(move |connection| enqueue(connection, &task, now())).await.unwrap().unwrap()
    }

    /// The next attempt.
    pub async fn call(&mut self) -> Call {
        timeout(DEADLINE, self.calls.recv()).await.expect("an attempt starts").unwrap()
    }

    pub async fn event(&mut self) -> Event {
        timeout(DEADLINE, self.events.recv()).await.expect("an event is published").unwrap()
    }

    pub fn connection(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(self.location.path().to_str().unwrap()).unwrap();
        diesel::sql_query("PRAGMA busy_timeout = 10000").execute(&mut connection).unwrap();
        connection
    }

    pub fn row(&self, id: JobId) -> Row {
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

    pub async fn row_when(&self, what: &str, id: JobId, condition: impl Fn(&Row) -> bool) -> Row {
        eventually(what, || async { Some(self.row(id)).filter(&condition) }).await
    }

    pub fn effects(&self) -> i64 {
        users::table.count().get_result(&mut self.connection()).unwrap()
    }

    /// Leases the job to this worker, which has started it or not.
    pub fn lease(&self, id: JobId, owner: &str, lease_until: UnixMillis, started: bool) {
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

    pub fn lock_file(&self, owner: &str) -> PathBuf {
        self.folder.path().join("workers").join(owner).with_extension("lock")
    }

    /// Leaves the lock file of a killed process, unlocked.
    pub fn die(&self, owner: &str) {
        let path = self.lock_file(owner);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    /// Waits for a whole sweep that starts after this call: the second of two dead workers is found by a later sweep
    /// than the first.
    pub async fn sweep_passes(&self) {
        for owner in ["nobody-1", "nobody-2"] {
            self.die(owner);
            let file = self.lock_file(owner);
            eventually("a sweep passes", || async { (!file.exists()).then_some(()) }).await;
        }
    }

    pub fn assert_quiet(&mut self) {
        assert!(self.calls.try_recv().is_err(), "no attempt starts");
        assert!(self.events.try_recv().is_err(), "no event is published");
    }
}

pub fn far_future() -> UnixMillis {
    now() + 1_000_000_000
}
