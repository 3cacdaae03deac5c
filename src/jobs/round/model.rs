//! The queue against a model in memory, and what the model promises: nothing is lost, and nothing starves.

use std::cell::RefCell;
use std::collections::HashMap;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::claim::{self, Claimed};
use super::super::operator::{self, KindHooks};
use super::super::{AttemptOutcome, Failure, Job, JobState, rescue, settle};
use super::MAX_ADMITTED;
use super::tests::{Idle, KIND, POLICY, Queue};
use crate::db::schema::jobs as rows;
use crate::ids::JobId;

const USERS: i64 = 4;

#[derive(Debug, Clone)]
enum Step {
    Enqueue { user: i64, count: usize },
    Claim { free: usize },
    Complete(usize),
    Fail(usize),
    FailEnvironment(usize),
    Crash(usize),
    Release(usize),
    KillWorker,
    RetryDead,
    Pass { ms: i64 },
    SetClock { by_ms: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..USERS, 1..6_usize).prop_map(|(user, count)| Step::Enqueue { user, count }),
        6 => (1..4_usize).prop_map(|free| Step::Claim { free }),
        4 => (0..8_usize).prop_map(Step::Complete),
        1 => (0..8_usize).prop_map(Step::Fail),
        1 => (0..8_usize).prop_map(Step::FailEnvironment),
        1 => (0..8_usize).prop_map(Step::Crash),
        1 => (0..8_usize).prop_map(Step::Release),
        1 => Just(Step::KillWorker),
        1 => Just(Step::RetryDead),
        2 => (0..5_000_i64).prop_map(|ms| Step::Pass { ms }),
        1 => (-600_000..600_000_i64).prop_map(|by_ms| Step::SetClock { by_ms }),
    ]
}

/// A job that may run.
#[derive(Debug, Clone)]
struct Ready {
    round: i64,
    row: usize,
    /// The number of own jobs that were ready before it, and how often each user had been served by then. `None` for a
    /// job that has been claimed in this round before.
    promise: Option<(usize, HashMap<i64, usize>)>,
}

/// A round robin in memory. Jobs are numbered in the order of their rows.
#[derive(Default)]
struct Model {
    users: Vec<i64>,
    ids: Vec<JobId>,
    crashes: Vec<i32>,
    ready: Vec<Ready>,
    /// The due time and the job.
    waiting: Vec<(i64, usize)>,
    running: Vec<(Ready, Job)>,
    round: i64,
    /// First claims in a round, by user.
    served: HashMap<i64, usize>,
}

impl Model {
    fn enter(&mut self, row: usize) {
        let own: Vec<i64> =
            self.ready.iter().filter(|job| self.users[job.row] == self.users[row]).map(|job| job.round).collect();
        let round = own.iter().copied().max().unwrap_or(0).max(self.round) + 1;
        let ahead =
            self.ready.iter().filter(|job| self.users[job.row] == self.users[row] && job.promise.is_some()).count();
        self.ready.push(Ready { round, row, promise: Some((ahead, self.served.clone())) });
    }

    fn is_due(&self, now: i64) -> bool {
        !self.ready.is_empty() || self.waiting.iter().any(|(run_at, _)| is_due(*run_at, now))
    }

    fn admit(&mut self, now: i64) {
        self.waiting.sort_unstable();
        let (mut due, mut waiting) =
            self.waiting.iter().copied().partition::<Vec<_>, _>(|(run_at, _)| is_due(*run_at, now));
        // The others are admitted by the next claims.
        waiting.extend(due.split_off(due.len().min(MAX_ADMITTED as usize)));
        self.waiting = waiting;
        due.into_iter().for_each(|(_, row)| self.enter(row));
    }

    /// The rows of the jobs that must be claimed next.
    fn expected(&mut self, free: usize) -> Vec<usize> {
        self.ready.sort_unstable_by_key(|job| (job.round, job.row));
        let crashed = |job: &Ready| self.crashes[job.row] > 0;
        match self.ready.first() {
            Some(first) if crashed(first) => (self.running.is_empty()).then_some(first.row).into_iter().collect(),
            _ => self.ready.iter().take(free).take_while(|job| !crashed(job)).map(|job| job.row).collect(),
        }
    }

    fn claimed(&mut self, job: Job) {
        let at = self.ready.iter().position(|ready| self.ids[ready.row] == job.id).expect("it was ready");
        let mut ready = self.ready.remove(at);
        let user = self.users[ready.row];
        if let Some((ahead, before)) = ready.promise.take() {
            for other in 0..USERS {
                let count = |served: &HashMap<i64, usize>| served.get(&other).copied().unwrap_or(0);
                let served = count(&self.served) - count(&before);
                let most = if other == user { ahead } else { ahead + 2 };
                assert!(
                    served <= most,
                    "user {other} was served {served} times before user {user}, with {ahead} ahead"
                );
            }
            *self.served.entry(user).or_default() += 1;
        }
        self.round = self.round.max(ready.round);
        self.running.push((ready, job));
    }

    /// A running job, chosen by this number.
    fn take(&mut self, number: usize) -> Option<(Ready, Job)> {
        let count = self.running.len();
        (count > 0).then(|| self.running.remove(number % count))
    }
}

fn is_due(run_at: i64, now: i64) -> bool {
    run_at <= now || run_at > claim::latest(&POLICY, now)
}

fn apply(queue: &mut Queue, model: &mut Model, step: Step) {
    let now = queue.now;
    match step {
        Step::Enqueue { user, count } => {
            for _ in 0..count {
                model.ids.push(queue.enqueue(user));
                model.users.push(user);
                model.crashes.push(0);
                model.waiting.push((now, model.ids.len() - 1));
            }
        }
        Step::Claim { free } => claim_next(queue, model, free),
        Step::Complete(number) => {
            let Some((_, job)) = model.take(number) else { return };
            settle::complete::<Idle>(&mut queue.connection, &job, (), now).unwrap();
        }
        Step::Fail(number) => fail(queue, model, number, &Failure::retry("it rains", "")),
        Step::FailEnvironment(number) => fail(queue, model, number, &Failure::environment("no disk", "")),
        Step::Crash(number) => {
            let Some((ready, job)) = model.take(number) else { return };
            settle::crash::<Idle>(&mut queue.connection, &job, "it died", now).unwrap();
            returned(queue, model, ready);
        }
        Step::Release(number) => {
            let Some((ready, job)) = model.take(number) else { return };
            assert!(claim::release(&mut queue.connection, job.id, job.lease_token).unwrap());
            returned(queue, model, ready);
        }
        Step::KillWorker => {
            let dead = [(queue.worker.clone(), false)];
            rescue::of_dead_workers::<Idle>(&mut queue.connection, &dead, now).unwrap();
            let running = std::mem::take(&mut model.running);
            running.into_iter().for_each(|(ready, _)| returned(queue, model, ready));
        }
        Step::RetryDead => {
            let dead = rows::table.filter(rows::state.eq(JobState::Dead)).select(rows::id).load(&mut queue.connection);
            for id in dead.unwrap() {
                operator::retry(&mut queue.connection, &[KindHooks::of::<Idle>()], id, now).unwrap();
                let row = model.ids.iter().position(|known| *known == id).unwrap();
                model.crashes[row] = 0;
                model.waiting.push((now, row));
            }
        }
        Step::Pass { ms } => queue.now += ms,
        Step::SetClock { by_ms } => queue.now = (queue.now + by_ms).max(0),
    }
}

fn claim_next(queue: &mut Queue, model: &mut Model, free: usize) {
    let due = claim::is_due(&mut queue.connection, KIND, &POLICY, queue.now).unwrap();
    assert_eq!(due, model.is_due(queue.now));
    model.admit(queue.now);
    let expected: Vec<JobId> = model.expected(free).into_iter().map(|row| model.ids[row]).collect();
    let idle = model.running.is_empty();
    let claimed =
        match claim::claim(&mut queue.connection, KIND, &queue.worker, free, idle, &POLICY, queue.now).unwrap() {
            Claimed::Together(jobs) => jobs,
            Claimed::Alone(job) => vec![job],
            Claimed::Wait => Vec::new(),
        };
    assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), expected);
    claimed.into_iter().for_each(|job| model.claimed(job));
}

fn fail(queue: &mut Queue, model: &mut Model, number: usize, failure: &Failure) {
    let Some((ready, job)) = model.take(number) else { return };
    let failed = AttemptOutcome::Failed;
    settle::fail::<Idle>(&mut queue.connection, &job, failure, failed, &POLICY, 0.5, queue.now).unwrap();
    let row = rows::table.find(job.id).select((rows::state, rows::run_at));
    let (state, run_at): (JobState, i64) = row.first(&mut queue.connection).unwrap();
    if state == JobState::Queued {
        model.waiting.push((run_at, ready.row));
    }
}

/// After a job was queued again in its place, unless it is dead.
fn returned(queue: &mut Queue, model: &mut Model, ready: Ready) {
    let row = rows::table.find(model.ids[ready.row]).select((rows::state, rows::crashes));
    let (state, crashes): (JobState, i32) = row.first(&mut queue.connection).unwrap();
    model.crashes[ready.row] = crashes;
    if state == JobState::Queued {
        model.ready.push(ready);
    }
}

#[test]
fn nothing_is_lost_and_a_job_waits_only_for_its_users_jobs_and_as_many_of_each_other_user() {
    let queue = RefCell::new(Queue::new());
    let steps = proptest::collection::vec(step(), 1..120);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps, |steps| {
        let queue = &mut *queue.borrow_mut();
        queue.connection.batch_execute("DELETE FROM jobs; DELETE FROM job_rounds; BEGIN").unwrap();
        let mut model = Model::default();
        steps.into_iter().for_each(|step| apply(queue, &mut model, step));
        while !(model.ready.is_empty() && model.waiting.is_empty() && model.running.is_empty()) {
            apply(queue, &mut model, Step::Claim { free: 2 });
            apply(queue, &mut model, Step::Complete(0));
            apply(queue, &mut model, Step::Pass { ms: 10_000 });
        }
        let unfinished = rows::table.filter(rows::finished_at.is_null());
        let (all, left) = (rows::table.count(), unfinished.count());
        let all = all.get_result::<i64>(&mut queue.connection).unwrap();
        assert_eq!(left.get_result(&mut queue.connection), Ok(0_i64));
        assert_eq!(all, model.ids.len() as i64);
        queue.connection.batch_execute("COMMIT").unwrap();
        Ok(())
    });
    outcome.unwrap();
}
