//! The counts of a run.

/// The counts of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The number of starts for the median boot time.
    pub starts: usize,
    /// Users with rows, half of whom have a thumbnail.
    pub users: i64,
    /// The numbers of long polls, one measurement each.
    pub long_polls: [i64; 2],
}

impl Plan {
    /// For measurements: about a minute.
    pub fn full() -> Self {
        Self { starts: 11, users: 20_000, long_polls: [2_000, 10_000] }
    }

    /// For checking responses only.
    pub fn brief() -> Self {
        Self { starts: 1, users: 200, long_polls: [50, 100] }
    }
}
