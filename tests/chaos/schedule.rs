//! The schedule of faults, generated from a seed before the run.

use std::fmt;
use std::time::Duration;

use crate::proxy::Mode;
use crate::seed::Random;

/// The duration of a SIGSTOP: longer than a lease (see [`crate::cluster::LEASE_SECONDS`]).
const PAUSE_MS: (u64, u64) = (3_500, 5_500);
/// Between the starts of two faults.
const INTERVAL_MS: (u64, u64) = (250, 1_500);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// SIGKILL and restart.
    Kill,
    /// SIGKILL of all processes at once.
    KillAll,
    /// SIGSTOP for longer than a lease.
    Pause,
    /// SIGTERM and restart.
    Terminate,
    /// Redis is killed and restarts empty.
    RedisEmpty,
    /// Redis is killed and restarts with an older snapshot.
    RedisSnapshot,
    /// Redis is killed and its replica is promoted.
    RedisFailOver,
    /// The same with a replica that stopped replicating before.
    RedisLaggingFailOver,
    /// Redis rejects writes.
    RedisRefuses,
    /// Another program writes to the board.
    ForeignWrite,
    /// The connection to Redis is refused, silent, slow, or loses replies.
    Network,
    /// The disk is full.
    FullDisk,
    /// A read transaction stays open.
    LongReader,
    /// The wall clock jumps by hours.
    Clock,
}

/// An action of a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Kills a process. The supervisor restarts it.
    Kill(usize),
    /// Kills every process. The supervisor restarts them.
    KillAll,
    /// Sends SIGTERM to a process. The supervisor restarts it.
    Terminate(usize),
    /// Sends SIGSTOP to a process.
    Pause(usize),
    /// Sends SIGCONT.
    Resume(usize),
    /// Kills the active Redis.
    RedisDown,
    /// Restarts it without data.
    RedisUpEmpty,
    /// Saves a snapshot of the active Redis.
    RedisKeepSnapshot,
    /// Restarts it with the snapshot.
    RedisUpFromSnapshot,
    /// The replica stops replicating.
    RedisDetachReplica,
    /// Kills the active Redis and promotes the replica.
    RedisFailOver,
    /// Starts the inactive Redis as a replica of the active one.
    RedisAttachReplica,
    /// The active Redis rejects writes, or accepts them again.
    RedisRefuse(bool),
    /// Another program writes a member of its own.
    ForeignWrite(u64),
    /// Sets the mode of the proxy to Redis.
    Network(Mode),
    /// Fills the disk.
    FillDisk,
    /// Frees the disk.
    FreeDisk,
    /// Opens a read transaction.
    BeginRead,
    /// Ends it.
    EndRead,
    /// Sets the offset of the clock in hours.
    Clock(i64),
}

/// An action and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Since the start of the run.
    pub at: Duration,
    pub action: Action,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s  {:?}", self.at.as_secs_f64(), self.action)
    }
}

/// The target of a fault. Each has at most one fault at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Node(usize),
    AllNodes,
    Redis,
    Network,
    Disk,
    Reader,
    Clock,
}

/// Generates the schedule of a seed. Every fault ends within `length`.
pub fn schedule(seed: u64, length: Duration, nodes: usize, families: &[Family]) -> Vec<Step> {
    let mut random = Random::new(seed, 1);
    let length = length.as_millis() as u64;
    let mut steps: Vec<(u64, Action)> = Vec::new();
    let mut busy: Vec<(Target, u64)> = Vec::new();
    // Each family once before random choices, so that a short run covers most of them.
    let mut first = families.to_vec();
    let (mut at, mut hours) = (500, 0);
    while at < length {
        let family = *random.one_of(if first.is_empty() { families } else { &first });
        let mut now = hours;
        let (target, actions) = fault(family, nodes, &mut now, &mut random);
        let is_free = !busy.iter().any(|(taken, until)| *taken == target && *until > at);
        let end = at + actions.last().map_or(0, |(after, _)| *after);
        if is_free && end <= length {
            steps.extend(actions.into_iter().map(|(after, action)| (at + after, action)));
            busy.push((target, end + 300));
            first.retain(|left| *left != family);
            hours = now;
        }
        at += random.between(INTERVAL_MS.0, INTERVAL_MS.1);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps.into_iter().map(|(at, action)| Step { at: Duration::from_millis(at), action }).collect()
}

/// The target of a fault, and its actions with their delay in milliseconds.
fn fault(family: Family, nodes: usize, hours: &mut i64, random: &mut Random) -> (Target, Vec<(u64, Action)>) {
    let node = random.between(0, nodes as u64) as usize;
    let down = random.between(50, 1_500);
    let hold = random.between(1_000, 4_000);
    match family {
        Family::Kill => (Target::Node(node), vec![(0, Action::Kill(node))]),
        Family::KillAll => (Target::AllNodes, vec![(0, Action::KillAll)]),
        Family::Terminate => (Target::Node(node), vec![(0, Action::Terminate(node))]),
        Family::Pause => {
            let pause = random.between(PAUSE_MS.0, PAUSE_MS.1);
            (Target::Node(node), vec![(0, Action::Pause(node)), (pause, Action::Resume(node))])
        }
        Family::RedisEmpty => (Target::Redis, vec![(0, Action::RedisDown), (down, Action::RedisUpEmpty)]),
        Family::RedisSnapshot => {
            let actions =
                [(0, Action::RedisKeepSnapshot), (hold, Action::RedisDown), (hold + down, Action::RedisUpFromSnapshot)];
            (Target::Redis, actions.to_vec())
        }
        Family::RedisFailOver => {
            (Target::Redis, vec![(0, Action::RedisFailOver), (down + 500, Action::RedisAttachReplica)])
        }
        Family::RedisLaggingFailOver => {
            let actions = [
                (0, Action::RedisDetachReplica),
                (hold, Action::RedisFailOver),
                (hold + down + 500, Action::RedisAttachReplica),
            ];
            (Target::Redis, actions.to_vec())
        }
        Family::RedisRefuses => {
            (Target::Redis, vec![(0, Action::RedisRefuse(true)), (hold, Action::RedisRefuse(false))])
        }
        Family::ForeignWrite => (Target::Redis, vec![(0, Action::ForeignWrite(random.between(0, 1_000)))]),
        Family::Network => {
            let delay = Mode::Delay(random.between(20, 400));
            let mode = *random.one_of(&[Mode::Refuse, Mode::Silent, Mode::NoReplies, delay]);
            (Target::Network, vec![(0, Action::Network(mode)), (hold, Action::Network(Mode::Pass))])
        }
        Family::FullDisk => (Target::Disk, vec![(0, Action::FillDisk), (hold, Action::FreeDisk)]),
        Family::LongReader => (Target::Reader, vec![(0, Action::BeginRead), (hold * 2, Action::EndRead)]),
        Family::Clock => {
            // Less than a day apart, because an idempotency key expires after a day.
            let choices: Vec<i64> = [-11, 0, 11].into_iter().filter(|choice| choice != hours).collect();
            *hours = *random.one_of(&choices);
            // Long enough to affect leases and backoffs.
            (Target::Clock, vec![(0, Action::Clock(*hours)), (3_000, Action::Clock(*hours))])
        }
    }
}

#[test]
fn a_seed_always_produces_the_same_schedule_and_every_fault_ends() {
    use Family::{FullDisk, Kill, Network, Pause, RedisEmpty};
    let families = [Kill, Pause, RedisEmpty, Network, FullDisk];
    let length = Duration::from_secs(60);
    let steps = schedule(7, length, 5, &families);
    assert_eq!(steps, schedule(7, length, 5, &families));
    assert_ne!(steps, schedule(8, length, 5, &families));
    assert!(steps.len() > 20 && steps.iter().all(|step| step.at <= length));
    let count = |action: Action| steps.iter().filter(|step| step.action == action).count();
    assert_eq!(count(Action::FillDisk), count(Action::FreeDisk));
    assert_eq!(count(Action::RedisDown), count(Action::RedisUpEmpty));
    for node in 0..5 {
        assert_eq!(count(Action::Pause(node)), count(Action::Resume(node)));
    }
}
