//! How far Redis is: the cursor beside the sorted set, and what follows from it.
//!
//! Pure. The cursor names the board and the last commit that this Redis contains. It is written in the transaction that
//! writes the scores, so it travels with the data: an empty Redis has none, and a snapshot, an append-only file that was
//! cut off, or a lagging replica shows the one of its own data.

use crate::bus::{BusError, Outcome, Reading, WRONG_TYPE};

/// The board as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BoardVersion {
    pub id: String,
    /// The last commit.
    pub seq: i64,
    /// The commit that last emptied the board.
    pub reset_seq: i64,
}

/// What Redis needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    UpToDate,
    /// The commits above `after`, on an empty board if `clear`.
    Send { after: i64, clear: bool },
    /// The cursor of a board that contains nothing since its last reset: another program has put something that is no
    /// sorted set in the board's place.
    Rewind,
    /// An operator, who decides about that.
    Blocked,
}

impl BoardVersion {
    /// The cursor that says that Redis contains everything up to the commit `seq`.
    pub(super) fn cursor_at(&self, seq: i64) -> String {
        format!("{}:{seq}", self.id)
    }

    /// The last commit that Redis contains, by its cursor; `None` without a cursor of this board.
    fn position(&self, reading: &Reading) -> Option<i64> {
        let (id, seq) = reading.cursor.as_deref()?.rsplit_once(':')?;
        if id == self.id { seq.parse().ok() } else { None }
    }

    /// The last commit whose effects Redis shows, with none of those before the last reset; `None` where it may show
    /// scores that a reset has yet to remove.
    pub(super) fn seen(&self, reading: &Reading) -> Option<i64> {
        match self.plan(reading) {
            Plan::Send { clear: true, .. } => None,
            Plan::Send { after, .. } => Some(after),
            Plan::UpToDate | Plan::Rewind | Plan::Blocked => Some(self.seq),
        }
    }

    /// What Redis needs, whose cursor was read before the board's version was: a cursor ahead of it belongs to a database
    /// that was restored from a backup since.
    pub(super) fn plan(&self, reading: &Reading) -> Plan {
        let position = self.position(reading);
        if position.is_none() && self.seq == 0 {
            return Plan::UpToDate;
        }
        let ahead = position.is_some_and(|position| position > self.seq);
        let position = position.filter(|_| !ahead).unwrap_or(0);
        let clear = ahead || position < self.reset_seq;
        match () {
            () if clear => Plan::Send { after: position, clear },
            () if !reading.writable && position == self.reset_seq && reading.cursor.is_some() => Plan::Blocked,
            () if !reading.writable => Plan::Rewind,
            () if position == self.seq => Plan::UpToDate,
            () => Plan::Send { after: position, clear },
        }
    }
}

/// Where a game server is with its Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SyncState {
    /// The cursor is unknown: nothing was read since the connection began, or there is none.
    Unknown,
    /// The cursor is watched. Redis contained everything when it was last written.
    Following(Reading),
    /// The cursor is watched, and there is more to send than one transaction carries.
    Refilling(Reading),
    /// Redis left something unanswered. Nobody waits for it until it has answered again.
    Silent,
    /// Redis refuses, for this reason.
    Refused(String),
}

impl SyncState {
    /// The state after the cursor was read.
    pub(super) fn watched(&self, result: Result<Reading, BusError>) -> Self {
        match (result, self) {
            (Ok(reading), Self::Refilling(_)) => Self::Refilling(reading),
            (Ok(reading), _) => Self::Following(reading),
            (Err(error), _) => Self::failed(&error),
        }
    }

    /// The state after a transaction, which sent everything if it was the `last`.
    pub(super) fn executed(&self, last: bool, result: &Result<(Outcome, Reading), BusError>) -> Self {
        match result {
            Ok((Outcome::Executed(_), reading)) if last => Self::Following(reading.clone()),
            Ok((Outcome::Executed(_), reading)) => Self::Refilling(reading.clone()),
            Ok((Outcome::Conflict, reading)) => self.watched(Ok(reading.clone())),
            // The cursor has moved and the board has not. It has to be read to be put back.
            Err(BusError::Refused(reason)) if reason.starts_with(WRONG_TYPE) => Self::Unknown,
            Err(error) => Self::failed(error),
        }
    }

    /// Whether there is a cursor to go by, or one can be read at once.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Unknown | Self::Following(_) | Self::Refilling(_))
    }

    fn failed(error: &BusError) -> Self {
        match error {
            BusError::Refused(reason) => Self::Refused(reason.clone()),
            BusError::Timeout => Self::Silent,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> BoardVersion {
        BoardVersion { id: "b".to_owned(), seq: 9, reset_seq: 4 }
    }

    fn reading(cursor: &str) -> Reading {
        Reading { cursor: Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()), writable: true }
    }

    #[test]
    fn the_cursor_says_what_redis_needs() {
        for (cursor, plan) in [
            ("b:9", Plan::UpToDate),
            ("b:8", Plan::Send { after: 8, clear: false }),
            ("b:4", Plan::Send { after: 4, clear: false }),
            ("b:3", Plan::Send { after: 3, clear: true }),
            ("", Plan::Send { after: 0, clear: true }),
            ("other:9", Plan::Send { after: 0, clear: true }),
            ("b:x", Plan::Send { after: 0, clear: true }),
            ("b", Plan::Send { after: 0, clear: true }),
            // A database that was restored from a backup.
            ("b:10", Plan::Send { after: 0, clear: true }),
        ] {
            assert_eq!(board().plan(&reading(cursor)), plan, "{cursor}");
        }
        let never_reset = BoardVersion { reset_seq: 0, ..board() };
        assert_eq!(never_reset.plan(&reading("")), Plan::Send { after: 0, clear: false });
        assert_eq!(never_reset.plan(&reading("b:10")), Plan::Send { after: 0, clear: true });
        let new = BoardVersion { seq: 0, reset_seq: 0, ..board() };
        assert_eq!(new.plan(&reading("")), Plan::UpToDate);
        assert_eq!(board().plan(&reading(&board().cursor_at(9))), Plan::UpToDate);
    }

    #[test]
    fn a_board_that_is_no_sorted_set_is_only_replaced_by_a_reset() {
        let foreign = |cursor: &str| Reading { writable: false, ..reading(cursor) };
        assert_eq!(board().plan(&foreign("b:9")), Plan::Rewind);
        assert_eq!(board().plan(&foreign("b:5")), Plan::Rewind);
        assert_eq!(board().plan(&foreign("b:4")), Plan::Blocked);
        assert_eq!(board().plan(&foreign("b:3")), Plan::Send { after: 3, clear: true });
    }

    #[test]
    fn only_redis_itself_ends_a_refill_or_a_silence() {
        let refilling = SyncState::Refilling(reading("b:5"));
        let conflict = Ok((Outcome::Conflict, reading("b:7")));
        assert_eq!(refilling.executed(true, &conflict), SyncState::Refilling(reading("b:7")));
        let executed = Ok((Outcome::Executed(Vec::new()), reading("b:9")));
        assert_eq!(refilling.executed(false, &executed), SyncState::Refilling(reading("b:9")));
        assert_eq!(refilling.executed(true, &executed), SyncState::Following(reading("b:9")));
        assert_eq!(SyncState::Silent.watched(Ok(reading("b:9"))), SyncState::Following(reading("b:9")));
        assert_eq!(refilling.watched(Err(BusError::Disconnected)), SyncState::Unknown);
        assert_eq!(refilling.executed(true, &Err(BusError::Timeout)), SyncState::Silent);
    }

    #[test]
    fn a_refusal_is_kept_but_for_a_wrong_type_which_has_moved_the_cursor() {
        let refused = |reason: &str| Err(BusError::Refused(reason.to_owned()));
        let state = SyncState::Following(reading("b:5")).executed(true, &refused("READONLY"));
        assert_eq!(state, SyncState::Refused("READONLY".to_owned()));
        assert_eq!(state.executed(true, &refused("WRONGTYPE x")), SyncState::Unknown);
        assert_eq!(state.watched(Err(BusError::Refused("x".to_owned()))), SyncState::Refused("x".to_owned()));
    }
}
