//! The rows of the leaderboard: scores, the count of their commits, and what Redis may not have yet.
//!
//! Every function that writes runs inside the caller's transaction. The commits are numbered across all processes, so
//! that who has sent a score to Redis can tell whether somebody else has committed a newer one meanwhile.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::UnixMillis;
use crate::db::schema::{leaderboard, scores, unsent_scores};
use crate::ids::{Invalid, Score, Username};

const BOARD: i64 = 1;

/// How a score changes what a player has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It replaces it.
    Set,
    /// It replaces it if it is higher.
    Best,
    /// It is added to it.
    Add,
}

/// A score that was handed in.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Whose it is.
    pub name: Username,
    /// How it counts.
    pub mode: Mode,
    /// The number.
    pub score: Score,
    /// What Redis holds for a player whom we have no row of.
    pub in_redis: Option<Score>,
}

/// What a commit did to a player.
#[derive(Debug, Clone)]
pub struct Written {
    /// The score before; `None` where there was no row.
    before: Option<f64>,
    /// The score after.
    pub score: f64,
    seq: i64,
}

/// What a commit of proposals did.
#[derive(Debug)]
pub struct Commit {
    /// For each proposal the player's score after it, or why it was not taken.
    pub verdicts: Vec<Result<Score, Invalid>>,
    /// The players that were changed.
    pub written: HashMap<String, Written>,
    /// The last commit before this one, of whichever process.
    pub seq_before: i64,
    /// The last commit of this one.
    pub seq: i64,
}

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

/// Takes the proposals in their order.
///
/// # Errors
/// When a statement fails.
pub fn commit(connection: &mut SqliteConnection, proposals: &[Proposal]) -> QueryResult<Commit> {
    let seq_before = last_seq(connection)?;
    let mut commit = Commit { verdicts: Vec::new(), written: HashMap::new(), seq_before, seq: seq_before };
    for proposal in proposals {
        let name = proposal.name.as_str();
        let row = score(connection, name)?;
        let verdict = proposal.verdict(row);
        if let Ok(score) = &verdict {
            commit.seq += 1;
            put(connection, name, score.get(), commit.seq)?;
            let before = commit.written.get(name).map_or(row, |written| written.before);
            commit.written.insert(name.to_owned(), Written { before, score: score.get(), seq: commit.seq });
        }
        commit.verdicts.push(verdict);
    }
    set_last_seq(connection, commit.seq)?;
    Ok(commit)
}

impl Proposal {
    /// The player's score after this proposal.
    fn verdict(&self, row: Option<f64>) -> Result<Score, Invalid> {
        let current = row.and_then(|score| Score::new(score).ok()).or(self.in_redis);
        match (self.mode, current) {
            (Mode::Set, _) | (_, None) => Ok(self.score),
            (Mode::Best, Some(current)) => Ok(current.best(self.score)),
            (Mode::Add, Some(current)) => current.plus(self.score),
        }
    }
}

/// Takes a commit back whose scores Redis has refused, except where somebody has written over it.
///
/// # Errors
/// When a statement fails.
pub fn undo(connection: &mut SqliteConnection, written: &HashMap<String, Written>) -> QueryResult<()> {
    let mut seq = last_seq(connection)?;
    for (name, Written { before, seq: ours, .. }) in written {
        let ours = scores::table.find(name).filter(scores::seq.eq(ours));
        seq += 1;
        match before {
            None => diesel::delete(ours).execute(connection)?,
            Some(score) => {
                diesel::update(ours).set((scores::score.eq(score), scores::seq.eq(seq))).execute(connection)?
            }
        };
    }
    set_last_seq(connection, seq)
}

/// Replaces every score by these, and returns the last commit.
///
/// # Errors
/// When a statement fails.
pub fn seed(connection: &mut SqliteConnection, players: &[(String, f64)]) -> QueryResult<i64> {
    diesel::delete(scores::table).execute(connection)?;
    let mut seq = last_seq(connection)?;
    for (name, score) in players {
        seq += 1;
        put(connection, name, *score, seq)?;
    }
    set_last_seq(connection, seq)?;
    Ok(seq)
}

/// Those of these players whom we have no row of.
///
/// # Errors
/// When the query fails.
pub fn unknown(connection: &mut SqliteConnection, names: Vec<String>) -> QueryResult<Vec<String>> {
    let mut unknown = Vec::new();
    for name in names {
        if score(connection, &name)?.is_none() {
            unknown.push(name);
        }
    }
    Ok(unknown)
}

/// What these players have now that was committed after `seq`; `None` for who has no row any more.
///
/// # Errors
/// When the query fails.
pub fn changed_since(
    connection: &mut SqliteConnection,
    names: &[String],
    seq: i64,
) -> QueryResult<Vec<(String, Option<f64>)>> {
    let mut changed = Vec::new();
    for name in names {
        let row = scores::table.find(name).select((scores::score, scores::seq)).first::<(f64, i64)>(connection);
        match row.optional()? {
            Some((_, written)) if written <= seq => {}
            row => changed.push((name.clone(), row.map(|(score, _)| score))),
        }
    }
    Ok(changed)
}

/// The last commit, of whichever process.
///
/// # Errors
/// When the query fails.
pub fn last_seq(connection: &mut SqliteConnection) -> QueryResult<i64> {
    leaderboard::table.find(BOARD).select(leaderboard::seq).first(connection)
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

/// The scores committed from `first_seq` on, in the order of the names, after the name `after`.
///
/// # Errors
/// When the query fails.
pub fn scores_from(
    connection: &mut SqliteConnection,
    first_seq: i64,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<(String, f64)>> {
    scores::table
        .filter(scores::username.gt(after).and(scores::seq.ge(first_seq)))
        .order(scores::username)
        .limit(limit)
        .select((scores::username, scores::score))
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

fn score(connection: &mut SqliteConnection, name: &str) -> QueryResult<Option<f64>> {
    scores::table.find(name).select(scores::score).first(connection).optional()
}

fn put(connection: &mut SqliteConnection, name: &str, score: f64, seq: i64) -> QueryResult<()> {
    diesel::insert_into(scores::table)
        .values((scores::username.eq(name), scores::score.eq(score), scores::seq.eq(seq)))
        .on_conflict(scores::username)
        .do_update()
        .set((scores::score.eq(score), scores::seq.eq(seq)))
        .execute(connection)?;
    Ok(())
}

fn set_last_seq(connection: &mut SqliteConnection, seq: i64) -> QueryResult<()> {
    diesel::update(leaderboard::table.find(BOARD)).set(leaderboard::seq.eq(seq)).execute(connection)?;
    Ok(())
}
