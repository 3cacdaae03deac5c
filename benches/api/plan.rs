//! The counts of a run.

/// The counts of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The number of starts for the median boot time.
    pub starts: usize,
    /// Users with rows, half of whom have a thumbnail.
    pub users: i64,
    /// The rounds in which servers are loaded in turn.
    pub rounds: usize,
    /// The numbers of long polls, one measurement each.
    pub long_polls: [i64; 2],
    /// The numbers of queued jobs, one measurement each.
    pub queued: [usize; 2],
    /// The number of users with a queued job, beside the measurement with one user.
    pub queuing_users: usize,
    /// The number of claims.
    pub claims: usize,
}

impl Plan {
    /// For measurements: about two minutes.
    pub fn full() -> Self {
        Self {
            starts: 11,
            users: 20_000,
            rounds: 5,
            long_polls: [2_000, 10_000],
            queued: [1_000, 1_000_000],
            queuing_users: 100_000,
            claims: 500,
        }
    }

    /// For checking responses only.
    pub fn brief() -> Self {
        Self {
            starts: 1,
            users: 200,
            rounds: 1,
            long_polls: [50, 100],
            queued: [100, 200],
            queuing_users: 50,
            claims: 20,
        }
    }
}
