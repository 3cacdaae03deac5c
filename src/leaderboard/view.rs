//! Reads the displayed board.
//!
//! The scores are those of Redis, except for the sign of zero, which is read from the rows: depending on its encoding
//! of the set, Redis loses that sign. While Redis is unavailable, the board is that of the database, without the
//! players of other programs.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::board::KEY;
use super::database_board::{DatabaseBoard, DatabaseBoardError};
use super::store;
use crate::bus::{Bus, BusError, Member, Page, SortedSet};
use crate::db::Database;

/// For reading the sign of zeros.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads the board; a clone shares its connections.
#[derive(Clone)]
pub struct View {
    set: SortedSet,
    database: Database,
    database_board: DatabaseBoard,
}

/// `database` while Redis is unavailable; players of other programs are missing then. Otherwise omitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    Redis,
    Database,
}

impl Source {
    pub(super) fn is_redis(&self) -> bool {
        *self == Self::Redis
    }
}

/// A player, and those around.
pub(super) struct Player {
    /// The highest score has rank 0.
    pub(super) rank: u64,
    pub(super) score: f64,
    /// The rank of the first player of `around`.
    pub(super) first: u64,
    /// The player, with neighbours on both sides.
    pub(super) around: Page,
}

/// The board cannot be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Redis has replied with an error.
    Redis(BusError),
    /// Redis is unavailable, and so is the board of the database.
    Database(DatabaseBoardError),
}

impl View {
    /// The view of a process.
    pub fn new(bus: &Bus, database: Database) -> Self {
        let database_board = DatabaseBoard::new(database.clone());
        Self { set: bus.sorted_set(KEY), database, database_board }
    }

    /// The number of players in Redis.
    pub(super) async fn players(&self) -> Result<u64, BusError> {
        Ok(self.set.page(0, 0).await?.total)
    }

    /// Like [`SortedSet::page`], if necessary from the database.
    pub(super) async fn page(&self, offset: u64, limit: u64) -> Result<(Page, Source), ReadError> {
        match self.page_of_redis(offset, limit).await {
            Ok(page) => Ok((page, Source::Redis)),
            Err(error) if error.is_refusal() => Err(ReadError::Redis(error)),
            Err(_) => Ok((self.page_of_database(offset, limit).await?, Source::Database)),
        }
    }

    /// Like [`SortedSet::page`].
    pub(super) async fn page_of_redis(&self, offset: u64, limit: u64) -> Result<Page, BusError> {
        let mut page = self.set.page(offset, limit).await?;
        self.database_board.release();
        sign_zeros(&self.database, &mut page.members).await;
        Ok(page)
    }

    /// The same range of the players that have a score in the database.
    pub(super) async fn page_of_database(&self, offset: u64, limit: u64) -> Result<Page, DatabaseBoardError> {
        Ok(self.database_board.snapshot().await?.page(offset, limit))
    }

    /// A player with this many neighbours on each side; `None` if there is no such player.
    pub(super) async fn player(&self, name: &str, neighbours: u64) -> Result<Option<(Player, Source)>, ReadError> {
        let (found, source) = match self.player_of_redis(name, neighbours).await {
            Ok(found) => (found, Source::Redis),
            Err(error) if error.is_refusal() => return Err(ReadError::Redis(error)),
            Err(_) => (self.player_of_database(name, neighbours).await?, Source::Database),
        };
        Ok(found.map(|player| (player, source)))
    }

    async fn player_of_redis(&self, name: &str, neighbours: u64) -> Result<Option<Player>, BusError> {
        let Some((rank, score)) = self.set.rank_and_score(name).await? else { return Ok(None) };
        let mut member = [Member { name: name.to_owned(), score }];
        sign_zeros(&self.database, &mut member).await;
        let [Member { score, .. }] = member;
        let (first, count) = range_around(rank, neighbours);
        let around = self.page_of_redis(first, count).await?;
        Ok(Some(Player { rank, score, first, around }))
    }

    async fn player_of_database(&self, name: &str, neighbours: u64) -> Result<Option<Player>, DatabaseBoardError> {
        let Some(score) = self.database_board.score(name).await? else { return Ok(None) };
        let snapshot = self.database_board.snapshot().await?;
        let player = Member { name: name.to_owned(), score };
        let board = snapshot.with_current(&player);
        let rank = board.rank();
        let (first, count) = range_around(rank, neighbours);
        Ok(Some(Player { rank, score, first, around: board.page(first, count) }))
    }
}

/// The first rank of the neighbours on both sides of a rank, and their number with it.
fn range_around(rank: u64, neighbours: u64) -> (u64, u64) {
    let first = rank.saturating_sub(neighbours);
    (first, rank - first + 1 + neighbours)
}

impl From<DatabaseBoardError> for ReadError {
    fn from(error: DatabaseBoardError) -> Self {
        Self::Database(error)
    }
}

/// Sets the sign of zeros from the rows of their players. Reads nothing if there is no zero. If the database cannot be
/// read, the zeros remain unchanged.
async fn sign_zeros(database: &Database, members: &mut [Member]) {
    let mut zeros: Vec<&mut Member> = members.iter_mut().filter(|member| member.score == 0.0).collect();
    if zeros.is_empty() {
        return;
    }
    let names: Vec<String> = zeros.iter().map(|member| member.name.clone()).collect();
    let reading = database.read_soon(move |connection| store::scores_of(connection, &names));
    let Ok(Ok(scores)) = timeout(DATABASE_TIMEOUT, reading).await else { return };
    for (member, score) in zeros.iter_mut().zip(scores) {
        // A different score has not reached Redis yet, and is not displayed before.
        if let Some(zero) = score.filter(|score| *score == 0.0) {
            member.score = zero;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    /// The scores after `sign_zeros`, with their signs.
    async fn signed(database: &Database, members: &[(&str, f64)]) -> Vec<String> {
        let member = |(name, score): &(&str, f64)| Member { name: (*name).to_owned(), score: *score };
        let mut members: Vec<Member> = members.iter().map(member).collect();
        sign_zeros(database, &mut members).await;
        members.iter().map(|member| format!("{:?}", member.score)).collect()
    }

    #[tokio::test]
    async fn zeros_get_the_sign_of_their_row_if_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (database, thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        let rows = [("negative", -0.0), ("zero", 0.0), ("other", 7.0)].map(|(name, score)| (name.to_owned(), score));
        database.write(move |connection| store::reset(connection, &rows)).await.unwrap();
        let in_redis =
            [("negative", 0.0), ("zero", -0.0), ("other", -0.0), ("theirs", -0.0), ("theirs too", 0.0), ("zero", 1.0)];
        assert_eq!(signed(&database, &in_redis).await, ["-0.0", "0.0", "-0.0", "-0.0", "0.0", "1.0"]);
        thread.close().await;
    }

    #[tokio::test]
    async fn zeros_are_unchanged_if_the_database_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("data/m3a3.db"));
        let (database, thread) = Database::open(&location).unwrap();
        let rows = [("negative".to_owned(), -0.0)];
        database.write(move |connection| store::reset(connection, &rows)).await.unwrap();
        thread.close().await;
        // Read connections are opened on first use.
        std::fs::remove_dir_all(location.folder()).unwrap();
        std::fs::write(location.folder(), "not a folder").unwrap();
        assert_eq!(signed(&database, &[("negative", 0.0), ("other", 1.0)]).await, ["0.0", "1.0"]);
    }
}
