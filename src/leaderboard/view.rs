//! The board as it is shown: what Redis holds, and for the players whom m3a3 has written the sign of zero, which Redis
//! keeps or loses by how it stores the set just now.

use std::time::Duration;

use tokio::time::timeout;

use super::board::KEY;
use super::store;
use crate::bus::{Bus, BusError, Member, Page, SortedSet};
use crate::db::Database;

/// How long the database may take to say which sign a zero has.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads the board; a clone reads the same one.
#[derive(Clone)]
pub(super) struct View {
    set: SortedSet,
    database: Database,
}

impl View {
    pub(super) fn new(bus: &Bus, database: Database) -> Self {
        Self { set: bus.sorted_set(KEY), database }
    }

    /// As [`SortedSet::page`].
    pub(super) async fn page(&self, offset: u64, limit: u64) -> Result<Page, BusError> {
        let mut page = self.set.page(offset, limit).await?;
        sign_zeros(&self.database, &mut page.members).await;
        Ok(page)
    }

    /// As [`SortedSet::rank_and_score`].
    pub(super) async fn rank_and_score(&self, name: &str) -> Result<Option<(u64, f64)>, BusError> {
        let Some((rank, score)) = self.set.rank_and_score(name).await? else { return Ok(None) };
        let mut member = [Member { name: name.to_owned(), score }];
        sign_zeros(&self.database, &mut member).await;
        let [Member { score, .. }] = member;
        Ok(Some((rank, score)))
    }
}

/// Gives the zeros of players whom we have a row of the sign that they have there. Without a zero this costs nothing; where
/// the database does not say, they stay as Redis has them.
async fn sign_zeros(database: &Database, members: &mut [Member]) {
    let mut zeros: Vec<&mut Member> = members.iter_mut().filter(|member| member.score == 0.0).collect();
    if zeros.is_empty() {
        return;
    }
    let names: Vec<String> = zeros.iter().map(|member| member.name.clone()).collect();
    let reading = database.read_soon(move |connection| store::scores_of(connection, &names));
    let Ok(Ok(scores)) = timeout(DATABASE_TIMEOUT, reading).await else { return };
    for (member, score) in zeros.iter_mut().zip(scores) {
        // Another score is on its way to Redis, and is shown once it is there.
        if let Some(zero) = score.filter(|score| *score == 0.0) {
            member.score = zero;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    /// Each number with its sign, as `sign_zeros` leaves it.
    async fn signed(database: &Database, members: &[(&str, f64)]) -> Vec<String> {
        let member = |(name, score): &(&str, f64)| Member { name: (*name).to_owned(), score: *score };
        let mut members: Vec<Member> = members.iter().map(member).collect();
        sign_zeros(database, &mut members).await;
        members.iter().map(|member| format!("{:?}", member.score)).collect()
    }

    #[tokio::test]
    async fn zeros_have_the_sign_of_their_row_and_stay_as_they_are_without_one() {
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
    async fn where_the_database_cannot_be_read_zeros_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("data/m3a3.db"));
        let (database, thread) = Database::open(&location).unwrap();
        let rows = [("negative".to_owned(), -0.0)];
        database.write(move |connection| store::reset(connection, &rows)).await.unwrap();
        thread.close().await;
        // A connection for reading is opened when it is first needed.
        std::fs::remove_dir_all(location.folder()).unwrap();
        std::fs::write(location.folder(), "no folder").unwrap();
        assert_eq!(signed(&database, &[("negative", 0.0), ("other", 1.0)]).await, ["0.0", "1.0"]);
    }
}
