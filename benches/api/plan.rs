//! How much is measured: every count of a run.

/// The bounds of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the server is started to find its median boot time.
    pub starts: usize,
    /// Users with rows, half of whom have a thumbnail.
    pub users: i64,
    /// How many polls are held at once, in turn.
    pub held_polls: [i64; 2],
}

impl Plan {
    /// For figures: about a minute.
    pub fn full() -> Self {
        Self { starts: 11, users: 20_000, held_polls: [2_000, 10_000] }
    }

    /// To see that the answers are right.
    pub fn brief() -> Self {
        Self { starts: 1, users: 200, held_polls: [50, 100] }
    }
}
