//! Reads the displayed board.
//!
//! The scores are those of Redis, except for the sign of zero, which is read from the rows: depending on its encoding
//! of the set, Redis loses that sign.

use std::time::Duration;

use tokio::time::timeout;

use super::board::KEY;
use super::store;
use crate::bus::{Bus, BusError, Member, Page, SortedSet};
use crate::db::Database;

/// For reading the sign of zeros.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(super) struct View {
    set: SortedSet,
    database: Database,
}

impl View {
    pub(super) fn new(bus: &Bus, database: Database) -> Self {
        Self { set: bus.sorted_set(KEY), database }
    }

    /// Like [`SortedSet::page`].
    pub(super) async fn page(&self, offset: u64, limit: u64) -> Result<Page, BusError> {
        let mut page = self.set.page(offset, limit).await?;
        sign_zeros(&self.database, &mut page.members).await;
        Ok(page)
    }

    /// Like [`SortedSet::rank_and_score`].
    pub(super) async fn rank_and_score(&self, name: &str) -> Result<Option<(u64, f64)>, BusError> {
        let Some((rank, score)) = self.set.rank_and_score(name).await? else { return Ok(None) };
        let mut member = [Member { name: name.to_owned(), score }];
        sign_zeros(&self.database, &mut member).await;
        let [Member { score, .. }] = member;
        Ok(Some((rank, score)))
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
