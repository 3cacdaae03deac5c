//! The cursor beside the sorted set, and the decisions that follow from it.
//!
//! Pure functions. The cursor contains the id of the board and the last commit that this Redis contains. It is written
//! in the transaction that writes the scores, so it always matches the data: an empty Redis has none, and a snapshot, a
//! truncated append-only file or a lagging replica has the cursor of its own data.

use crate::bus::{BusError, Outcome, Reading, WRONG_TYPE};

/// The version of the board in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BoardVersion {
    pub id: String,
    /// The last commit.
    pub seq: i64,
    /// The commit that last emptied the board.
    pub reset_seq: i64,
}

/// The next step for Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    UpToDate,
    /// Send the commits above `after`, to an empty board if `clear`.
    Send {
        after: i64,
        clear: bool,
    },
    /// Set the cursor back to the last reset: another program has replaced the board by a value of another type.
    Rewind,
    /// Wait for an operator to remove that value.
    Blocked,
}

impl BoardVersion {
    /// The cursor of a Redis that contains all commits up to `seq`.
    pub(super) fn cursor_at(&self, seq: i64) -> String {
        format!("{}:{seq}", self.id)
    }

    /// The commit of the cursor; `None` if the cursor is missing or belongs to another board.
    fn position(&self, reading: &Reading) -> Option<i64> {
        let (id, seq) = reading.cursor.as_deref()?.rsplit_once(':')?;
        if id == self.id { seq.parse().ok() } else { None }
    }

    /// The last commit that Redis contains; `None` if it may contain scores from before the last reset.
    pub(super) fn seen(&self, reading: &Reading) -> Option<i64> {
        match self.plan(reading) {
            Plan::Send { clear: true, .. } => None,
            Plan::Send { after, .. } => Some(after),
            Plan::UpToDate | Plan::Rewind | Plan::Blocked => Some(self.seq),
        }
    }

    /// The next step for Redis. The cursor must have been read before the version of the board: a cursor ahead of it
    /// means that the database was restored from a backup.
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

/// The synchronization state of a game server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SyncState {
    /// The cursor has not been read on this connection, or there is no connection.
    Unknown,
    /// The cursor is watched. Redis was up to date after the last write.
    Following(Reading),
    /// The cursor is watched, and more commits are missing than fit into one transaction.
    Refilling(Reading),
    /// A command timed out. Scores do not wait for Redis until it replies again.
    Silent,
    /// Redis replied with this error.
    Refused(String),
}

impl SyncState {
    /// The state after reading the cursor.
    pub(super) fn watched(&self, result: Result<Reading, BusError>) -> Self {
        match (result, self) {
            (Ok(reading), Self::Refilling(_)) => Self::Refilling(reading),
            (Ok(reading), _) => Self::Following(reading),
            (Err(error), _) => Self::failed(&error),
        }
    }

    /// The state after a transaction. The `last` one contains all missing commits.
    pub(super) fn executed(&self, last: bool, result: &Result<(Outcome, Reading), BusError>) -> Self {
        match result {
            Ok((Outcome::Executed(_), reading)) if last => Self::Following(reading.clone()),
            Ok((Outcome::Executed(_), reading)) => Self::Refilling(reading.clone()),
            Ok((Outcome::Conflict, reading)) => self.watched(Ok(reading.clone())),
            // Only the cursor has changed. It must be read again to be set back.
            Err(BusError::Refused(reason)) if reason.starts_with(WRONG_TYPE) => Self::Unknown,
            Err(error) => Self::failed(error),
        }
    }

    /// Whether the cursor is known, or may be read immediately.
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
    fn the_cursor_determines_the_next_step() {
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
    fn a_value_of_another_type_is_only_replaced_by_a_reset() {
        let foreign = |cursor: &str| Reading { writable: false, ..reading(cursor) };
        assert_eq!(board().plan(&foreign("b:9")), Plan::Rewind);
        assert_eq!(board().plan(&foreign("b:5")), Plan::Rewind);
        assert_eq!(board().plan(&foreign("b:4")), Plan::Blocked);
        assert_eq!(board().plan(&foreign("b:3")), Plan::Send { after: 3, clear: true });
    }

    #[test]
    fn only_a_reply_of_redis_ends_a_refill_or_a_silence() {
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
    fn an_error_reply_is_kept_except_for_a_wrong_type_which_changed_the_cursor() {
        let refused = |reason: &str| Err(BusError::Refused(reason.to_owned()));
        let state = SyncState::Following(reading("b:5")).executed(true, &refused("READONLY"));
        assert_eq!(state, SyncState::Refused("READONLY".to_owned()));
        assert_eq!(state.executed(true, &refused("WRONGTYPE x")), SyncState::Unknown);
        assert_eq!(state.watched(Err(BusError::Refused("x".to_owned()))), SyncState::Refused("x".to_owned()));
    }
}
