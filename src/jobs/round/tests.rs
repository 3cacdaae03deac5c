//! The order of claims.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::super::claim::{self, Claimed};
use super::super::settle;
use super::super::{AttemptOutcome, DedupScope, Failure, Handler, Job, Kind, Policy, Slot, Task, WorkerId, enqueue};
use super::*;
use crate::db::{Location, migrate};
use crate::ids::UserId;

pub(super) const KIND: Kind = Kind { name: "fair", dedup: DedupScope::WhileActive, optional: false };

pub(super) const POLICY: Policy = Policy {
    lease: Duration::from_secs(3600),
    sweep_interval: Duration::from_secs(1),
    max_attempts: 3,
    retry_base: Duration::from_secs(1),
    retry_cap: Duration::from_secs(60),
    drain: Duration::ZERO,
    time_limit: Duration::from_secs(60),
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbered {
    user_id: Option<UserId>,
}

impl Task for Numbered {
    const KIND: Kind = KIND;

    fn user_id(&self) -> Option<UserId> {
        self.user_id
    }
}

/// Does nothing.
pub(super) struct Idle;

impl Handler for Idle {
    type Task = Numbered;
    type Effect = ();
    type Event = ();

    async fn run(&self, _: &Job, _: Numbered, _: Slot) -> Result<(), Failure> {
        Ok(())
    }

    fn apply(_: &mut SqliteConnection, _: &Job, (): (), _: UnixMillis) -> QueryResult<()> {
        Ok(())
    }

    fn on_dead(_: &mut SqliteConnection, _: &Job, _: &str, _: UnixMillis) -> QueryResult<Option<()>> {
        Ok(None)
    }

    fn publish(&self, (): ()) {}
}

/// A queue with one worker.
pub(super) struct Queue {
    pub(super) connection: SqliteConnection,
    pub(super) worker: WorkerId,
    pub(super) now: UnixMillis,
    _folder: TempDir,
}

impl Queue {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        migrate(&location).unwrap();
        let mut connection = SqliteConnection::establish(location.path().to_str().unwrap()).unwrap();
        connection.batch_execute("PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON").unwrap();
        Self { connection, worker: WorkerId::generate(), now: 1_000_000, _folder: folder }
    }

    /// Enqueues a job of this user; 0 is none.
    pub(super) fn enqueue(&mut self, user: i64) -> JobId {
        let task = Numbered { user_id: UserId::new(user).ok() };
        enqueue(&mut self.connection, &task, self.now).unwrap().unwrap()
    }

    fn enqueue_many(&mut self, user: i64, count: usize) -> Vec<JobId> {
        self.connection.batch_execute("BEGIN").unwrap();
        let ids = (0..count).map(|_| self.enqueue(user)).collect();
        self.connection.batch_execute("COMMIT").unwrap();
        ids
    }

    /// As a runner does before a claim.
    fn admit_backlog(&mut self) {
        while is_backlog(&mut self.connection, KIND.name, self.now).unwrap() {
            claim::admit(&mut self.connection, KIND, &POLICY, self.now).unwrap();
        }
    }

    fn claimed(&mut self, free: usize) -> Vec<Job> {
        match claim::claim(&mut self.connection, KIND, &self.worker, free, true, &POLICY, self.now).unwrap() {
            Claimed::Together(jobs) => jobs,
            Claimed::Alone(job) => vec![job],
            Claimed::Wait => Vec::new(),
        }
    }

    fn claim(&mut self, free: usize) -> Vec<JobId> {
        self.claimed(free).into_iter().map(|job| job.id).collect()
    }

    fn fail(&mut self, job: &Job, failure: &Failure) {
        let failed = AttemptOutcome::Failed;
        settle::fail::<Idle>(&mut self.connection, job, failure, failed, &POLICY, 0.5, self.now).unwrap();
    }
}

#[test]
fn a_user_with_ten_thousand_jobs_delays_only_their_own() {
    const CONCURRENCY: usize = 4;
    let mut queue = Queue::new();
    let many = queue.enqueue_many(1, 10_000);
    assert_eq!(queue.claim(CONCURRENCY), many[..CONCURRENCY]);
    let one = queue.enqueue(2);
    queue.admit_backlog();
    let next = queue.claim(CONCURRENCY);
    assert!(next.contains(&one), "the other user's job is among the next {CONCURRENCY}");
    assert_eq!(next.iter().filter(|id| many.contains(id)).count(), CONCURRENCY - 1, "no slot stays empty");
    let rest: Vec<JobId> = next.into_iter().filter(|id| *id != one).chain(queue.claim(100)).collect();
    assert_eq!(rest, many[CONCURRENCY..][..rest.len()], "the oldest first");
}

#[test]
fn users_take_turns_however_many_jobs_each_has() {
    let mut queue = Queue::new();
    let [a, b] = [1, 2].map(|user| queue.enqueue_many(user, 4));
    let c = queue.enqueue_many(3, 2);
    let without_user = queue.enqueue_many(0, 2);
    let order = [&a[..1], &b[..1], &c[..1], &without_user[..1], &a[1..2], &b[1..2], &c[1..], &without_user[1..]];
    let order = [&order.concat()[..], &[a[2], b[2], a[3], b[3]]].concat();
    let claims = (0..order.len()).flat_map(|_| queue.claim(1)).collect::<Vec<_>>();
    assert_eq!(claims, order);
}

/// Without the round of the last claim, two users who always have one job would share one round for ever.
#[test]
fn users_who_enqueue_again_after_every_claim_do_not_starve_others() {
    let mut queue = Queue::new();
    let many = queue.enqueue_many(1, 20);
    let mut owners: std::collections::HashMap<_, _> = [2, 3].map(|user| (queue.enqueue(user), user)).into();
    let mut claims = Vec::new();
    for _ in 0..30 {
        let id = queue.claim(1)[0];
        let user = owners.get(&id).copied();
        owners.extend(user.map(|user| (queue.enqueue(user), user)));
        claims.push(user.unwrap_or(1));
    }
    assert_eq!(claims, [1, 2, 3].repeat(10));
    assert_eq!(queue.claim(1), many[10..11]);
}

#[test]
fn a_failed_job_waits_outside_of_the_rounds_and_returns_behind_its_users_jobs() {
    for failure in [Failure::retry("it rains", ""), Failure::environment("no disk", "")] {
        let mut queue = Queue::new();
        let first = queue.enqueue(1);
        let job = queue.claimed(1).remove(0);
        let (own, others) = (queue.enqueue_many(1, 2), queue.enqueue_many(2, 3));
        queue.fail(&job, &failure);
        let round = jobs::table.find(first).select(jobs::round).first::<Option<i64>>(&mut queue.connection);
        assert_eq!(round, Ok(None));
        assert_eq!(queue.claim(2), [own[0], others[0]]);
        queue.now += 60_000;
        assert_eq!(queue.claim(9), [own[1], others[1], first, others[2]]);
    }
}

#[test]
fn a_released_job_and_that_of_a_dead_worker_keep_their_place() {
    let mut queue = Queue::new();
    let a = queue.enqueue_many(1, 3);
    let b = queue.enqueue(2);
    let claimed = queue.claimed(2);
    assert_eq!([claimed[0].id, claimed[1].id], [a[0], b]);
    let late = queue.enqueue(3);
    for job in &claimed {
        claim::release(&mut queue.connection, job.id, job.lease_token).unwrap();
    }
    let claimed = queue.claimed(1);
    assert_eq!(claimed[0].id, a[0]);
    settle::crash::<Idle>(&mut queue.connection, &claimed[0], "it died", queue.now).unwrap();
    assert_eq!(queue.claim(9), [a[0]], "it runs alone");
    assert_eq!(queue.claim(9), [b, a[1], late, a[2]]);
}

#[test]
fn more_due_jobs_than_one_claim_admits_are_all_claimed() {
    let mut queue = Queue::new();
    let mut ids = queue.enqueue_many(1, 3 * MAX_ADMITTED as usize);
    assert!(is_backlog(&mut queue.connection, KIND.name, queue.now).unwrap());
    let mut claims = Vec::new();
    while claim::is_due(&mut queue.connection, KIND, &POLICY, queue.now).unwrap() {
        claims.extend(queue.claim(100));
    }
    claims.sort_unstable();
    ids.sort_unstable();
    assert_eq!(claims, ids);
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

fn plan(connection: &mut SqliteConnection, query: &str) -> Vec<String> {
    let (query, _) = query.split_once(" -- binds").unwrap();
    let steps = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}")).load::<Step>(connection).unwrap();
    steps.into_iter().map(|step| step.detail).collect()
}

/// With statistics and without them. There is no temporary B-tree for the order.
#[test]
fn every_query_of_the_queue_is_one_range_of_one_index() {
    let mut queue = Queue::new();
    for statistics in [false, true] {
        if statistics {
            for user in 1..=300 {
                queue.enqueue_many(user % 7, 10);
            }
            queue.claim(100);
            queue.connection.batch_execute("ANALYZE").unwrap();
        }
        let connection = &mut queue.connection;
        let claim = diesel::debug_query::<Sqlite, _>(&claim::first(KIND.name, 4)).to_string();
        let by_round = "SEARCH jobs USING INDEX jobs_by_round (kind=? AND round>?)";
        assert_eq!(plan(connection, &claim), [by_round]);
        let next = diesel::debug_query::<Sqlite, _>(&diesel::select(super::next(KIND.name, 1))).to_string();
        let steps = plan(connection, &next).join("\n");
        assert!(
            steps.contains("SEARCH jobs USING COVERING INDEX jobs_by_user (user_id=? AND kind=? AND round>?)"),
            "{steps}"
        );
        assert!(steps.contains("SEARCH job_rounds USING PRIMARY KEY (kind=?)"), "{steps}");
        let order = (jobs::run_at, jobs::rowid);
        let due = due(KIND.name, 1).order(order).limit(1).select(jobs::id);
        let misdated = misdated(KIND.name, 1).order(order).limit(1).select(jobs::id);
        let due = diesel::debug_query::<Sqlite, _>(&due).to_string();
        let misdated = diesel::debug_query::<Sqlite, _>(&misdated).to_string();
        assert_eq!(
            plan(connection, &due),
            ["SEARCH jobs USING INDEX jobs_waiting (kind=? AND state=? AND round=? AND run_at<?)"]
        );
        assert_eq!(
            plan(connection, &misdated),
            ["SEARCH jobs USING INDEX jobs_waiting (kind=? AND state=? AND round=? AND run_at>?)"]
        );
    }
}
