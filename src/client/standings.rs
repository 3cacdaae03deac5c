//! The ranks of the players, their recent movements, and the rate of updates.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::board::{Board, Score};

/// The window for movements and for the rate of updates.
const WINDOW: Duration = Duration::from_secs(5);
/// Boards within this interval are merged into one moment, which bounds memory.
const MOMENT: Duration = Duration::from_millis(250);

/// The newest board and the recent ones. Reads no clock: the time is a parameter, and must not decrease.
#[derive(Debug, Default)]
pub(super) struct Standings {
    board: Board,
    /// Oldest first. At most one is older than the window.
    past: VecDeque<Moment>,
    newest: Option<Instant>,
}

/// The order of the players at a time, and the number of updates since the previous moment.
#[derive(Debug)]
struct Moment {
    at: Instant,
    names: Vec<String>,
    updates: u32,
}

/// A row of the table.
#[derive(Debug, PartialEq)]
pub(super) struct Row<'a> {
    pub(super) rank: usize,
    pub(super) movement: Movement,
    pub(super) name: &'a str,
    pub(super) score: &'a Score,
}

/// The movement of a player since the start of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Movement {
    Up(usize),
    Down(usize),
    Still,
    /// Not on the board at the start of the window.
    New,
}

impl Standings {
    /// Adds the board of an update, which counts for the rate.
    pub(super) fn update(&mut self, board: Board, now: Instant) {
        self.add(board, now, 1);
    }

    /// Adds a board that does not count for the rate.
    pub(super) fn replace(&mut self, board: Board, now: Instant) {
        self.add(board, now, 0);
    }

    fn add(&mut self, board: Board, now: Instant, updates: u32) {
        let names = board.0.iter().map(|entry| entry.username.clone()).collect();
        // The first board remains the reference until the window has passed.
        let is_second = self.past.len() == 1;
        match self.past.back_mut() {
            Some(last) if !is_second && now.duration_since(last.at) < MOMENT => {
                last.names = names;
                last.updates = last.updates.saturating_add(updates);
            }
            _ => self.past.push_back(Moment { at: now, names, updates }),
        }
        while self.past.get(1).is_some_and(|second| is_past(second.at, now)) {
            self.past.pop_front();
        }
        self.board = board;
        self.newest = Some(now);
    }

    /// Whether there is a board.
    pub(super) fn is_known(&self) -> bool {
        self.newest.is_some()
    }

    /// The age of the newest board.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        Some(now.duration_since(self.newest?))
    }

    /// The number of updates per second within the window.
    pub(super) fn updates_per_second(&self, now: Instant) -> f64 {
        let recent = self.past.iter().filter(|moment| !is_past(moment.at, now));
        let updates = recent.fold(0_u32, |sum, moment| sum.saturating_add(moment.updates));
        f64::from(updates) / WINDOW.as_secs_f64()
    }

    /// The players, highest score first.
    pub(super) fn rows(&self, now: Instant) -> impl Iterator<Item = Row<'_>> {
        let before = self.before(now);
        self.board.0.iter().enumerate().map(move |(at, entry)| Row {
            rank: at + 1,
            movement: movement(before.iter().position(|name| *name == entry.username), at),
            name: &entry.username,
            score: &entry.score,
        })
    }

    /// The order at the start of the window, or the oldest known order.
    fn before(&self, now: Instant) -> &[String] {
        let old = self.past.iter().rev().find(|moment| is_past(moment.at, now));
        old.or(self.past.front()).map_or(&[], |moment| &moment.names)
    }
}

fn is_past(at: Instant, now: Instant) -> bool {
    now.duration_since(at) >= WINDOW
}

fn movement(before: Option<usize>, now: usize) -> Movement {
    let Some(before) = before else { return Movement::New };
    match before.cmp(&now) {
        Ordering::Greater => Movement::Up(before - now),
        Ordering::Less => Movement::Down(now - before),
        Ordering::Equal => Movement::Still,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::board::tests::board;
    use super::*;

    fn movements(standings: &Standings, now: Instant) -> Vec<(&str, Movement)> {
        standings.rows(now).map(|row| (row.name, row.movement)).collect()
    }

    #[test]
    fn the_first_board_has_no_movements() {
        let start = Instant::now();
        let mut standings = Standings::default();
        assert!(!standings.is_known() && standings.rows(start).next().is_none());
        standings.replace(board(&["a", "b"]), start);
        assert_eq!(movements(&standings, start), [("a", Movement::Still), ("b", Movement::Still)]);
        assert!(standings.is_known());
    }

    #[test]
    fn a_movement_is_displayed_for_the_window() {
        let start = Instant::now();
        let mut standings = Standings::default();
        standings.replace(board(&["a", "b", "c"]), start);
        standings.update(board(&["c", "a", "d"]), start + WINDOW);
        let moved = [("c", Movement::Up(2)), ("a", Movement::Down(1)), ("d", Movement::New)];
        assert_eq!(movements(&standings, start + WINDOW), moved);
        assert_eq!(movements(&standings, start + 2 * WINDOW - MOMENT), moved);
        let still = [("c", Movement::Still), ("a", Movement::Still), ("d", Movement::Still)];
        assert_eq!(movements(&standings, start + 2 * WINDOW), still);
    }

    #[test]
    fn a_movement_right_after_the_first_board_is_displayed() {
        let start = Instant::now();
        let mut standings = Standings::default();
        standings.replace(board(&["a", "b"]), start);
        standings.update(board(&["b", "a"]), start);
        standings.update(board(&["b", "c"]), start + MOMENT / 2);
        assert_eq!(movements(&standings, start + MOMENT), [("b", Movement::Up(1)), ("c", Movement::New)]);
    }

    #[test]
    fn a_climb_in_small_steps_is_one_movement() {
        let start = Instant::now();
        let mut standings = Standings::default();
        standings.replace(board(&["a", "b", "c"]), start);
        standings.update(board(&["a", "c", "b"]), start + MOMENT);
        standings.update(board(&["c", "a", "b"]), start + 2 * MOMENT);
        assert_eq!(movements(&standings, start + 2 * MOMENT)[0], ("c", Movement::Up(2)));
    }

    #[test]
    fn only_updates_within_the_window_count_for_the_rate() {
        let start = Instant::now();
        let mut standings = Standings::default();
        standings.replace(board(&["a"]), start);
        assert_eq!(standings.updates_per_second(start), 0.0);
        for step in 0..50 {
            standings.update(board(&["a"]), start + step * Duration::from_millis(20));
        }
        assert_eq!(standings.updates_per_second(start + MOMENT), 10.0);
        assert_eq!(standings.updates_per_second(start + Duration::from_secs(6)), 0.0);
        assert_eq!(standings.age(start + Duration::from_secs(6)), Some(Duration::from_millis(5020)));
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_ranks_are_consecutive_at_any_rate(
            steps in prop::collection::vec((0_u64..2000, prop::collection::vec("[a-d]", 0..6), any::<bool>()), 0..200),
        ) {
            let mut now = Instant::now();
            let mut standings = Standings::default();
            for (wait, names, is_update) in steps {
                now += Duration::from_millis(wait);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                if is_update {
                    standings.update(board(&names), now);
                } else {
                    standings.replace(board(&names), now);
                }
                prop_assert!(standings.past.len() <= 22);
                let rows: Vec<_> = standings.rows(now).collect();
                prop_assert!(rows.iter().enumerate().all(|(at, row)| row.rank == at + 1 && row.name == names[at]));
            }
        }
    }
}
