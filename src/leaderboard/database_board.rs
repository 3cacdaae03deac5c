//! The board of the database, for reads while Redis is unavailable.
//!
//! It is sorted in memory, since an index of the scores would slow down every score for the sake of rare reads. It is
//! read again only if a score has changed, and at most a tenth of the time is spent on that.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::Connection;
use diesel::sqlite::SqliteConnection;
use tokio::sync::Mutex;

use super::cursor::BoardVersion;
use super::store;
use crate::bus::{Member, Page};
use crate::db::{Database, DbError};

/// Larger boards are not read, because of their memory: about 50 bytes per player.
const MAX_PLAYERS: usize = 1_000_000;
/// The time between two reads of the board, in durations of the last one.
const PAUSE: u32 = 10;

/// The reader of the board; a clone shares what it has read.
#[derive(Clone)]
pub(super) struct DatabaseBoard {
    database: Database,
    newest: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

/// All players with a score, as they were at one moment.
pub(super) struct Snapshot {
    version: BoardVersion,
    /// In the order of `ZREVRANGE`.
    players: Vec<Member>,
    is_complete: bool,
    read_at: Instant,
    took: Duration,
}

/// Why there is no board.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseBoardError {
    #[error("the board has more than {MAX_PLAYERS} players, which only Redis can show")]
    TooLarge,
    #[error(transparent)]
    Database(#[from] DbError),
}

impl DatabaseBoard {
    pub(super) fn new(database: Database) -> Self {
        Self { database, newest: Arc::default() }
    }

    /// The current board, or one that is older by at most [`PAUSE`] times the duration of its read.
    pub(super) async fn snapshot(&self) -> Result<Arc<Snapshot>, DatabaseBoardError> {
        let board = self.clone();
        // A task of its own: a client that disconnects must not cause another read.
        tokio::spawn(board.refreshed()).await.unwrap_or(Err(DbError::Panicked.into()))
    }

    /// At most one read is in progress.
    async fn refreshed(self) -> Result<Arc<Snapshot>, DatabaseBoardError> {
        let mut newest = self.newest.lock().await;
        if let Some(snapshot) = &*newest
            && (snapshot.is_recent() || snapshot.version == self.database.read_point(store::version)?)
        {
            return snapshot.complete();
        }
        *newest = None;
        let snapshot = Arc::new(self.database.read(Snapshot::read).await?);
        *newest = Some(Arc::clone(&snapshot));
        snapshot.complete()
    }

    /// The current score of a player.
    pub(super) async fn score(&self, name: &str) -> Result<Option<f64>, DbError> {
        let names = [name.to_owned()];
        let scores = self.database.read_soon(move |connection| store::scores_of(connection, &names)).await?;
        Ok(scores.first().copied().flatten())
    }

    /// Frees the memory of a board that is no longer needed.
    pub(super) fn release(&self) {
        if let Ok(mut newest) = self.newest.try_lock()
            && newest.as_ref().is_some_and(|snapshot| !snapshot.is_recent())
        {
            *newest = None;
        }
    }
}

impl Snapshot {
    fn read(connection: &mut SqliteConnection) -> diesel::QueryResult<Self> {
        let read_at = Instant::now();
        let (version, rows) = connection.transaction(|connection| {
            let limit = i64::try_from(MAX_PLAYERS + 1).unwrap_or(i64::MAX);
            Ok::<_, diesel::result::Error>((store::version(connection)?, store::all_scores(connection, limit)?))
        })?;
        let is_complete = rows.len() <= MAX_PLAYERS;
        let mut players: Vec<Member> = match is_complete {
            true => rows.into_iter().map(|(name, score)| Member { name, score }).collect(),
            false => Vec::new(),
        };
        players.sort_unstable_by(shown_order);
        Ok(Self { version, players, is_complete, read_at, took: read_at.elapsed() })
    }

    fn complete(self: &Arc<Self>) -> Result<Arc<Self>, DatabaseBoardError> {
        if self.is_complete { Ok(Arc::clone(self)) } else { Err(DatabaseBoardError::TooLarge) }
    }

    fn is_recent(&self) -> bool {
        self.read_at.elapsed() < self.took * PAUSE
    }

    /// At most `limit` players from rank `offset`.
    pub(super) fn page(&self, offset: u64, limit: u64) -> Page {
        let index = |rank: u64| usize::try_from(rank).unwrap_or(usize::MAX).min(self.players.len());
        let range = index(offset)..index(offset.saturating_add(limit));
        Page { total: self.players.len() as u64, members: self.players[range].to_vec() }
    }

    /// The board with the current score of this player, instead of the score in the snapshot.
    pub(super) fn with_current<'a>(&'a self, player: &'a Member) -> CurrentBoard<'a> {
        let before = self.players.partition_point(|other| shown_order(other, player) == Ordering::Less);
        let is_current = self.players.get(before).is_some_and(|other| other.name == player.name);
        let replaced = match is_current {
            true => Some(before),
            false => self.players.iter().position(|other| other.name == player.name),
        };
        let rank = before - usize::from(replaced.is_some_and(|replaced| replaced < before));
        CurrentBoard { players: &self.players, player, rank, replaced }
    }
}

/// A snapshot in which one player has a newer score.
pub(super) struct CurrentBoard<'a> {
    players: &'a [Member],
    player: &'a Member,
    rank: usize,
    /// The index of the player's older score.
    replaced: Option<usize>,
}

impl CurrentBoard<'_> {
    /// The rank of the player. The highest score has rank 0.
    pub(super) fn rank(&self) -> u64 {
        self.rank as u64
    }

    /// At most `limit` players from rank `offset`.
    pub(super) fn page(&self, offset: u64, limit: u64) -> Page {
        let total = self.players.len() + usize::from(self.replaced.is_none());
        let index = |rank: u64| usize::try_from(rank).unwrap_or(usize::MAX).min(total);
        let members = (index(offset)..index(offset.saturating_add(limit))).map(|rank| self.at(rank).clone()).collect();
        Page { total: total as u64, members }
    }

    fn at(&self, rank: usize) -> &Member {
        if rank == self.rank {
            return self.player;
        }
        // The index among the others.
        let other = rank - usize::from(rank > self.rank);
        &self.players[other + usize::from(self.replaced.is_some_and(|replaced| replaced <= other))]
    }
}

/// The order of `ZREVRANGE`: by score, and by name where scores are equal, both descending. Names are compared by their
/// bytes, and -0 equals 0.
fn shown_order(one: &Member, other: &Member) -> Ordering {
    let by_score = other.score.partial_cmp(&one.score).unwrap_or(Ordering::Equal);
    by_score.then_with(|| other.name.cmp(&one.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    fn member(name: &str, score: f64) -> Member {
        Member { name: name.to_owned(), score }
    }

    fn names(page: &Page) -> Vec<&str> {
        page.members.iter().map(|member| member.name.as_str()).collect()
    }

    #[tokio::test]
    async fn players_are_in_the_order_of_redis_whichever_page_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (database, thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        let rows = [("a", 1.0), ("é", 1.0), ("B", 1.0), ("zero", 0.0), ("minus", -0.0), ("top", 2.5), ("low", -1e300)];
        let rows = rows.map(|(name, score)| (name.to_owned(), score));
        database.write(move |connection| store::reset(connection, &rows)).await.unwrap();
        database.write(|connection| store::remove(connection, "gone").map(drop)).await.unwrap();
        let board = DatabaseBoard::new(database.clone());
        let snapshot = board.snapshot().await.unwrap();
        let all = snapshot.page(0, 100);
        assert_eq!((names(&all), all.total), (vec!["top", "é", "a", "B", "zero", "minus", "low"], 7));
        assert_eq!(names(&snapshot.page(2, 2)), ["a", "B"]);
        assert_eq!(snapshot.page(7, 10), Page { total: 7, members: Vec::new() });
        assert_eq!(snapshot.page(u64::MAX >> 1, 1000).members, []);
        for (rank, player) in (0..).zip(&all.members) {
            let current = snapshot.with_current(player);
            assert_eq!((current.rank(), current.page(0, 100)), (rank, all.clone()), "{}", player.name);
        }
        assert_eq!(board.score("é").await.unwrap(), Some(1.0));
        assert_eq!(board.score("gone").await.unwrap(), None);
        thread.close().await;
    }

    #[test]
    fn a_player_whose_score_is_newer_than_the_snapshot_is_counted_once() {
        let snapshot = Snapshot {
            version: BoardVersion { id: String::new(), seq: 0, reset_seq: 0 },
            players: vec![member("a", 5.0), member("b", 4.0), member("c", 3.0), member("d", 2.0)],
            is_complete: true,
            read_at: Instant::now(),
            took: Duration::ZERO,
        };
        for (player, rank, expected) in [
            (member("a", 2.5), 2, vec!["b", "c", "a", "d"]),
            (member("a", 1.0), 3, vec!["b", "c", "d", "a"]),
            (member("d", 4.5), 1, vec!["a", "d", "b", "c"]),
            (member("d", 9.0), 0, vec!["d", "a", "b", "c"]),
            (member("b", 4.0), 1, vec!["a", "b", "c", "d"]),
            (member("new", 3.5), 2, vec!["a", "b", "new", "c", "d"]),
        ] {
            let current = snapshot.with_current(&player);
            let all = current.page(0, 10);
            assert_eq!((current.rank(), names(&all)), (rank, expected.clone()), "{player:?}");
            assert_eq!((all.total, &all.members[current.rank() as usize]), (expected.len() as u64, &player));
            assert_eq!(names(&current.page(1, 2)), expected[1..3]);
            assert_eq!(current.page(9, 2).members, []);
        }
    }

    #[tokio::test]
    async fn the_board_is_read_again_after_a_change_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let (database, thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        let board = DatabaseBoard::new(database.clone());
        let aged = async || {
            // As after the pause.
            let mut newest = board.newest.lock().await;
            let Snapshot { version, players, .. } = &**newest.as_ref().unwrap();
            let (version, players) = (version.clone(), players.clone());
            let aged = Snapshot { version, players, is_complete: true, read_at: Instant::now(), took: Duration::ZERO };
            let aged = Arc::new(aged);
            *newest = Some(Arc::clone(&aged));
            aged
        };
        assert_eq!(board.snapshot().await.unwrap().page(0, 10).total, 0);
        let unchanged = aged().await;
        assert!(Arc::ptr_eq(&board.snapshot().await.unwrap(), &unchanged));
        let rows = [("ada".to_owned(), 1.0)];
        database.write(move |connection| store::reset(connection, &rows)).await.unwrap();
        assert_eq!(names(&board.snapshot().await.unwrap().page(0, 10)), ["ada"]);
        aged().await;
        board.release();
        assert!(board.newest.lock().await.is_none());
        thread.close().await;
    }
}
