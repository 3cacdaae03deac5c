//! The rows of the leaderboard: scores, and the count of their commits.
//!
//! Every function that writes runs inside the caller's transaction. The commits are numbered across all processes, so
//! that who has sent a score to Redis can tell whether somebody else has committed a newer one meanwhile.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::schema::{leaderboard, scores};
use crate::ids::{Invalid, Score, Username};

/// The leaderboard's one row.
pub(super) const BOARD: i64 = 1;

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

/// The scores of these players, in their order; `None` for who has no row.
///
/// # Errors
/// When the query fails.
pub fn scores_of(connection: &mut SqliteConnection, names: Vec<String>) -> QueryResult<Vec<Option<f64>>> {
    names.iter().map(|name| score(connection, name)).collect()
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
