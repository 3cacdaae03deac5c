//! The rows of the leaderboard: scores in the order of their last commits, and the version of the board.
//!
//! Functions that write run inside the caller's transaction. Commit numbers are shared by all processes.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::cursor::BoardVersion;
use super::player_limit::{PlayerLimit, TooManyPlayers};
use crate::db::schema::{leaderboard, scores};
use crate::db::{cached_update, row_counts};
use crate::ids::{Invalid, Score, Username};

/// The id of the only row of `leaderboard`.
const BOARD: i64 = 1;

/// How a submission changes the score of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Replace the score.
    Set,
    /// Replace the score if the new one is higher.
    Best,
    /// Add to the score.
    Add,
}

/// The score in Redis, written by another program, of a player without a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RedisScore {
    Known(Option<Score>),
    Unknown,
}

/// A submitted score.
#[derive(Debug, Clone)]
pub(super) struct Submission {
    pub name: Username,
    pub mode: Mode,
    pub score: Score,
    pub redis_score: RedisScore,
}

/// A submission that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rejection {
    /// The sum is not finite.
    Invalid(Invalid),
    /// The result depends on a score that may exist only in Redis.
    NeedsRedis,
    /// The player is new, and beyond the limit.
    TooManyPlayers(TooManyPlayers),
}

/// The row of a player. The score is `None` after the removal of the player.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = scores)]
pub(super) struct Row {
    pub seq: i64,
    pub username: String,
    pub score: Option<f64>,
}

/// The result of a commit.
#[derive(Debug)]
pub(super) struct Commit {
    /// The new score of the player, for each submission.
    pub results: Vec<Result<Score, Rejection>>,
    /// The written rows, in commit order.
    pub rows: Vec<Row>,
    /// The last commit before, by any process.
    pub seq_before: i64,
    /// The version of the board after it.
    pub version: BoardVersion,
}

/// Applies the submissions in order. `max_players` is 0 for any number.
pub(super) fn commit(
    connection: &mut SqliteConnection,
    submissions: &[Submission],
    max_players: u64,
) -> QueryResult<Commit> {
    let mut version = version(connection)?;
    let seq_before = version.seq;
    let mut limit = PlayerLimit::new(max_players);
    let mut current: HashMap<&str, Option<Score>> = HashMap::new();
    let mut changed: Vec<&str> = Vec::new();
    let mut results = Vec::with_capacity(submissions.len());
    for submission in submissions {
        let name = submission.name.as_str();
        let (score, is_new) = match current.get(name) {
            Some(score) => (*score, false),
            None => {
                let row = row(connection, name)?;
                (row.and_then(|(_, score)| score).and_then(|score| Score::new(score).ok()), row.is_none())
            }
        };
        let mut result = submission.result(score);
        if result.is_ok()
            && is_new
            && let Err(full) = limit.add(connection)?
        {
            result = Err(Rejection::TooManyPlayers(full));
        }
        if let Ok(score) = &result
            && current.insert(name, Some(*score)).is_none()
        {
            changed.push(name);
        }
        results.push(result);
    }
    let scores = changed.into_iter().map(|name| (name, current.get(name).copied().flatten()));
    let rows =
        write_rows(connection, &mut version, scores.map(|(name, score)| (name.to_owned(), score.map(Score::get))))?;
    Ok(Commit { results, rows, seq_before, version })
}

impl Submission {
    /// The new score of the player.
    fn result(&self, row: Option<Score>) -> Result<Score, Rejection> {
        let current = match (row, self.redis_score) {
            _ if self.mode == Mode::Set => None,
            (Some(score), _) => Some(score),
            (None, RedisScore::Known(score)) => score,
            (None, RedisScore::Unknown) => return Err(Rejection::NeedsRedis),
        };
        match (self.mode, current) {
            (Mode::Set, _) | (_, None) => Ok(self.score),
            (Mode::Best, Some(current)) => Ok(current.best(self.score)),
            (Mode::Add, Some(current)) => current.plus(self.score).map_err(Rejection::Invalid),
        }
    }
}

/// Replaces all scores.
pub(super) fn reset(connection: &mut SqliteConnection, players: &[(String, f64)]) -> QueryResult<()> {
    diesel::delete(scores::table).execute(connection)?;
    row_counts::scores_deleted(connection)?;
    let mut version = version(connection)?;
    version.seq += 1;
    version.reset_seq = version.seq;
    write_rows(connection, &mut version, players.iter().map(|(name, score)| (name.clone(), Some(*score))))?;
    diesel::update(leaderboard::table.find(BOARD))
        .set(leaderboard::reset_seq.eq(version.reset_seq))
        .execute(connection)?;
    Ok(())
}

/// Removes a player, also one that only other programs have written. Returns whether the player had a score here.
pub(super) fn remove(connection: &mut SqliteConnection, name: &str) -> QueryResult<bool> {
    let had_score = score(connection, name)?.is_some();
    let mut version = version(connection)?;
    write_rows(connection, &mut version, [(name.to_owned(), None)])?;
    Ok(had_score)
}

/// Writes rows, each with a commit number of its own.
fn write_rows(
    connection: &mut SqliteConnection,
    version: &mut BoardVersion,
    players: impl IntoIterator<Item = (String, Option<f64>)>,
) -> QueryResult<Vec<Row>> {
    let mut rows = Vec::new();
    for (username, score) in players {
        version.seq += 1;
        // Not a REPLACE, because SQLite copies each page that it changes to a statement journal.
        let values = (scores::seq.eq(version.seq), scores::score.eq(score));
        let is_player = scores::username.eq(&username);
        if cached_update(scores::table).set(values, is_player).execute(connection)? == 0 {
            let values = (values, scores::username.eq(&username));
            diesel::insert_into(scores::table).values(values).execute(connection)?;
        }
        rows.push(Row { seq: version.seq, username, score });
    }
    let seq = leaderboard::seq.eq(version.seq);
    cached_update(leaderboard::table).set(seq, leaderboard::id.eq(BOARD)).execute(connection)?;
    Ok(rows)
}

pub(super) fn version(connection: &mut SqliteConnection) -> QueryResult<BoardVersion> {
    let row = leaderboard::table.find(BOARD).select((leaderboard::board_id, leaderboard::seq, leaderboard::reset_seq));
    let (id, seq, reset_seq) = row.get_result(connection)?;
    Ok(BoardVersion { id, seq, reset_seq })
}

/// The rows of the commits above `seq`, in commit order.
pub(super) fn rows_above(connection: &mut SqliteConnection, seq: i64, limit: i64) -> QueryResult<Vec<Row>> {
    scores::table.filter(scores::seq.gt(seq)).order(scores::seq).limit(limit).select(Row::as_select()).load(connection)
}

/// The given players without those that have a score in the database.
pub(super) fn without_score(connection: &mut SqliteConnection, names: &[String]) -> QueryResult<Vec<String>> {
    let scores = scores_of(connection, names)?;
    Ok(names.iter().zip(scores).filter(|(_, score)| score.is_none()).map(|(name, _)| name.clone()).collect())
}

/// The commits that removed these players, in the same order; 0 for players that were not removed.
pub(super) fn removals(connection: &mut SqliteConnection, names: &[String]) -> QueryResult<Vec<i64>> {
    let removal = |row: Option<(i64, Option<f64>)>| row.filter(|(_, score)| score.is_none()).map_or(0, |(seq, _)| seq);
    names.iter().map(|name| row(connection, name).map(removal)).collect()
}

/// Gives the board a new id, so that it replaces the content of Redis. Used after restoring a backup.
pub(super) fn regenerate_board_id(connection: &mut SqliteConnection) -> QueryResult<()> {
    // Commit numbers start at 1, so a reset at 1 precedes every score.
    diesel::sql_query(
        "UPDATE leaderboard SET board_id = lower(hex(randomblob(16))), reset_seq = max(reset_seq, 1), seq = max(seq, 1)",
    )
    .execute(connection)?;
    Ok(())
}

/// The scores of these players, in the same order; `None` for players without a score.
///
/// # Errors
/// If the query fails.
pub fn scores_of(connection: &mut SqliteConnection, names: &[String]) -> QueryResult<Vec<Option<f64>>> {
    names.iter().map(|name| score(connection, name)).collect()
}

/// The players with a score, ordered by name, after the name `after`. Redis must contain all of them.
///
/// # Errors
/// If the query fails.
pub fn written_scores(connection: &mut SqliteConnection, after: &str, limit: i64) -> QueryResult<Vec<(String, f64)>> {
    scores::table
        .filter(scores::username.gt(after).and(scores::score.is_not_null()))
        .order(scores::username)
        .limit(limit)
        .select((scores::username, scores::score.assume_not_null()))
        .load(connection)
}

/// At most `limit` players with a score, in any order.
pub(super) fn all_scores(connection: &mut SqliteConnection, limit: i64) -> QueryResult<Vec<(String, f64)>> {
    scores::table
        .filter(scores::score.is_not_null())
        .limit(limit)
        .select((scores::username, scores::score.assume_not_null()))
        .load(connection)
}

fn score(connection: &mut SqliteConnection, name: &str) -> QueryResult<Option<f64>> {
    Ok(row(connection, name)?.and_then(|(_, score)| score))
}

fn row(connection: &mut SqliteConnection, name: &str) -> QueryResult<Option<(i64, Option<f64>)>> {
    let row = scores::table.filter(scores::username.eq(name)).select((scores::seq, scores::score));
    row.get_result(connection).optional()
}
