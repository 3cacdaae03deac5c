//! The rows that say what Redis may not have yet, and which Redis was met.
//!
//! Every function that writes runs inside the caller's transaction: a note is durable with the commits that it is about.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::store::BOARD;
use crate::db::UnixMillis;
use crate::db::schema::{leaderboard, unsent_scores};

/// Commits of one process that Redis may not have.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = unsent_scores)]
pub struct Unsent {
    /// The process.
    pub owner: String,
    /// The first of them.
    pub first_seq: i64,
    /// The last of them.
    pub last_seq: i64,
    /// Whether the board has to be emptied first.
    pub reset: bool,
}

/// Whether Redis is known to have what a process has committed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It has.
    Sent,
    /// It may not have.
    Unsent,
}

/// Notes that Redis may not have what this process has committed from `first_seq` on, in place of what was noted before,
/// or beside it where `earlier` is not known to be there either.
///
/// # Errors
/// When a statement fails.
pub fn note_unsent(
    connection: &mut SqliteConnection,
    note: &Unsent,
    earlier: Earlier,
    now: UnixMillis,
) -> QueryResult<()> {
    let noted = match earlier {
        Earlier::Sent => None,
        Earlier::Unsent => {
            unsent_scores::table.find(&note.owner).select(Unsent::as_select()).first(connection).optional()?
        }
    };
    let first_seq = noted.as_ref().map_or(note.first_seq, |noted| noted.first_seq.min(note.first_seq));
    let reset = note.reset || noted.is_some_and(|noted| noted.reset);
    diesel::replace_into(unsent_scores::table)
        .values((
            unsent_scores::owner.eq(&note.owner),
            unsent_scores::first_seq.eq(first_seq),
            unsent_scores::last_seq.eq(note.last_seq),
            unsent_scores::reset.eq(reset),
            unsent_scores::changed_at.eq(now),
        ))
        .execute(connection)?;
    Ok(())
}

/// Notes that Redis has everything that this process has committed up to `last_seq`.
///
/// # Errors
/// When the statement fails.
pub fn note_sent(connection: &mut SqliteConnection, owner: &str, last_seq: i64) -> QueryResult<()> {
    diesel::delete(unsent_scores::table.find(owner).filter(unsent_scores::last_seq.le(last_seq)))
        .execute(connection)?;
    Ok(())
}

/// What Redis may not have: of this process, and of those that have not changed theirs since `abandoned`.
///
/// # Errors
/// When the query fails.
pub fn unsent(connection: &mut SqliteConnection, owner: &str, abandoned: UnixMillis) -> QueryResult<Vec<Unsent>> {
    unsent_scores::table
        .filter(unsent_scores::owner.eq(owner).or(unsent_scores::changed_at.lt(abandoned)))
        .select(Unsent::as_select())
        .load(connection)
}

/// The Redis that was last met, by its `run_id`.
///
/// # Errors
/// When the query fails.
pub fn met_redis(connection: &mut SqliteConnection) -> QueryResult<Option<String>> {
    leaderboard::table.find(BOARD).select(leaderboard::met_redis).first(connection)
}

/// Notes that this Redis has been met, which was another one before. Where it had no board, returns whether it is for this
/// process to fill it: one process does, although several may have met it.
///
/// # Errors
/// When a statement fails.
pub fn meet_redis(connection: &mut SqliteConnection, run_id: &str, had_board: bool) -> QueryResult<bool> {
    let board = leaderboard::table.find(BOARD);
    diesel::update(board).set(leaderboard::met_redis.eq(run_id)).execute(connection)?;
    if had_board {
        return Ok(false);
    }
    let unfilled = leaderboard::filled_redis.is_null().or(leaderboard::filled_redis.ne(run_id));
    let filled =
        diesel::update(board.filter(unfilled)).set(leaderboard::filled_redis.eq(run_id)).execute(connection)?;
    Ok(filled == 1)
}
