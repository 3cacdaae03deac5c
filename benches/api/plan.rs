//! How much is measured: every count and every time of a run.

use std::time::Duration;

/// The bounds of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the server is started to find its median boot time.
    pub starts: usize,
    /// Load before anything is counted.
    pub warm_up: Duration,
    /// Load that is counted.
    pub measured: Duration,
    /// Users with rows, half of whom have a thumbnail.
    pub users: i64,
    /// How many polls are held at once, in turn.
    pub held_polls: [i64; 2],
}

/// Connections of a load; each has one request under way.
pub const CONNECTIONS: usize = 64;
/// How long anything that is not itself measured may take before the run fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

impl Plan {
    /// For figures: about a minute.
    pub fn full() -> Self {
        Self {
            starts: 11,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(5),
            users: 20_000,
            held_polls: [2_000, 10_000],
        }
    }

    /// To see that the answers are right.
    pub fn brief() -> Self {
        Self {
            starts: 1,
            warm_up: Duration::from_millis(50),
            measured: Duration::from_millis(100),
            users: 200,
            held_polls: [50, 100],
        }
    }
}
