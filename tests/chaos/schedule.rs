//! Which fault happens when: made from a seed alone, before anything runs.

use std::fmt;
use std::time::Duration;

use crate::proxy::Mode;
use crate::seed::Random;

/// How long a process is stopped: longer than a lease (see [`crate::cluster::LEASE_SECONDS`]).
const PAUSE_MS: (u64, u64) = (3_500, 5_500);
/// The time between the beginnings of two faults.
const INTERVAL_MS: (u64, u64) = (250, 1_500);

/// The kinds of faults that this machine and this Redis allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// SIGKILL, and started again.
    Kill,
    /// SIGKILL of all processes at once.
    KillAll,
    /// SIGSTOP for longer than a lease.
    Pause,
    /// SIGTERM, and started again.
    Terminate,
    /// Redis is killed and comes back empty.
    RedisEmpty,
    /// Redis is killed and comes back from an older snapshot.
    RedisSnapshot,
    /// Redis is killed and its replica takes over.
    RedisFailOver,
    /// The same with a replica that has stopped replicating a while ago.
    RedisLaggingFailOver,
    /// Redis refuses to write.
    RedisRefuses,
    /// Another program writes to the board.
    ForeignWrite,
    /// The way to Redis is cut, silent, slow, or loses replies.
    Network,
    /// The disk is full.
    FullDisk,
    /// A read transaction stays open.
    LongReader,
    /// The wall clock jumps by hours.
    Clock,
}

/// One thing that is done to the system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Kills a process; the supervisor starts it again.
    Kill(usize),
    /// Kills every process; the supervisor starts them again.
    KillAll,
    /// Asks a process to end; the supervisor starts it again.
    Terminate(usize),
    /// Stops a process.
    Pause(usize),
    /// Lets it go on.
    Resume(usize),
    /// Kills the active Redis.
    RedisDown,
    /// Starts it again, empty.
    RedisUpEmpty,
    /// Keeps a snapshot of the active Redis.
    RedisKeepSnapshot,
    /// Starts it again, from the snapshot.
    RedisUpFromSnapshot,
    /// The replica stops replicating.
    RedisDetachReplica,
    /// Kills the active Redis, and makes the replica the active one.
    RedisFailOver,
    /// Starts the Redis that is not active as a replica of the active one.
    RedisAttachReplica,
    /// The active Redis refuses to write, or no longer.
    RedisRefuse(bool),
    /// Another program writes a member of its own.
    ForeignWrite(u64),
    /// How connections to Redis fare.
    Network(Mode),
    /// Leaves no byte free.
    FillDisk,
    /// Frees the disk.
    FreeDisk,
    /// Opens a read transaction.
    BeginRead,
    /// Ends it.
    EndRead,
    /// Sets the clock off by so many hours.
    Clock(i64),
}

/// An action and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Since the beginning.
    pub at: Duration,
    /// What is done.
    pub action: Action,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s  {:?}", self.at.as_secs_f64(), self.action)
    }
}

/// What two faults cannot share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Node(usize),
    AllNodes,
    Redis,
    Network,
    Disk,
    Reader,
    Clock,
}

/// Makes the schedule of a seed. Every fault has ended when the time is over.
pub fn schedule(seed: u64, length: Duration, nodes: usize, families: &[Family]) -> Vec<Step> {
    let mut random = Random::new(seed, 1);
    let length = length.as_millis() as u64;
    let mut steps: Vec<(u64, Action)> = Vec::new();
    let mut busy: Vec<(Place, u64)> = Vec::new();
    // Each family once before chance decides, so that a short run has seen most of them.
    let mut first = families.to_vec();
    let (mut at, mut hours) = (500, 0);
    while at < length {
        let family = *random.one_of(if first.is_empty() { families } else { &first });
        let mut now = hours;
        let (place, actions) = fault(family, nodes, &mut now, &mut random);
        let is_free = !busy.iter().any(|(taken, until)| *taken == place && *until > at);
        let end = at + actions.last().map_or(0, |(after, _)| *after);
        if is_free && end <= length {
            steps.extend(actions.into_iter().map(|(after, action)| (at + after, action)));
            busy.push((place, end + 300));
            first.retain(|left| *left != family);
            hours = now;
        }
        at += random.between(INTERVAL_MS.0, INTERVAL_MS.1);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps.into_iter().map(|(at, action)| Step { at: Duration::from_millis(at), action }).collect()
}

/// What a fault takes hold of, and its actions, each so many milliseconds after its beginning.
fn fault(family: Family, nodes: usize, hours: &mut i64, random: &mut Random) -> (Place, Vec<(u64, Action)>) {
    let node = random.between(0, nodes as u64) as usize;
    let down = random.between(50, 1_500);
    let hold = random.between(1_000, 4_000);
    match family {
        Family::Kill => (Place::Node(node), vec![(0, Action::Kill(node))]),
        Family::KillAll => (Place::AllNodes, vec![(0, Action::KillAll)]),
        Family::Terminate => (Place::Node(node), vec![(0, Action::Terminate(node))]),
        Family::Pause => {
            let pause = random.between(PAUSE_MS.0, PAUSE_MS.1);
            (Place::Node(node), vec![(0, Action::Pause(node)), (pause, Action::Resume(node))])
        }
        Family::RedisEmpty => (Place::Redis, vec![(0, Action::RedisDown), (down, Action::RedisUpEmpty)]),
        Family::RedisSnapshot => {
            let actions =
                [(0, Action::RedisKeepSnapshot), (hold, Action::RedisDown), (hold + down, Action::RedisUpFromSnapshot)];
            (Place::Redis, actions.to_vec())
        }
        Family::RedisFailOver => {
            (Place::Redis, vec![(0, Action::RedisFailOver), (down + 500, Action::RedisAttachReplica)])
        }
        Family::RedisLaggingFailOver => {
            let actions = [
                (0, Action::RedisDetachReplica),
                (hold, Action::RedisFailOver),
                (hold + down + 500, Action::RedisAttachReplica),
            ];
            (Place::Redis, actions.to_vec())
        }
        Family::RedisRefuses => {
            (Place::Redis, vec![(0, Action::RedisRefuse(true)), (hold, Action::RedisRefuse(false))])
        }
        Family::ForeignWrite => (Place::Redis, vec![(0, Action::ForeignWrite(random.between(0, 1_000)))]),
        Family::Network => {
            let delay = Mode::Delay(random.between(20, 400));
            let mode = *random.one_of(&[Mode::Refuse, Mode::Silent, Mode::NoReplies, delay]);
            (Place::Network, vec![(0, Action::Network(mode)), (hold, Action::Network(Mode::Pass))])
        }
        Family::FullDisk => (Place::Disk, vec![(0, Action::FillDisk), (hold, Action::FreeDisk)]),
        Family::LongReader => (Place::Reader, vec![(0, Action::BeginRead), (hold * 2, Action::EndRead)]),
        Family::Clock => {
            // Less than a day between them: so long a key of an upload counts.
            let choices: Vec<i64> = [-11, 0, 11].into_iter().filter(|choice| choice != hours).collect();
            *hours = *random.one_of(&choices);
            // Long enough for leases and backoffs to meet the jump.
            (Place::Clock, vec![(0, Action::Clock(*hours)), (3_000, Action::Clock(*hours))])
        }
    }
}

#[test]
fn a_seed_gives_the_same_schedule_every_time_and_every_fault_ends() {
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
