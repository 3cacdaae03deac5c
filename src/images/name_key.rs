//! The key of thumbnail names, in the only row of the table `thumbnail_name_key`.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::schema::thumbnail_name_key::dsl::{id, secret, thumbnail_name_key};
use crate::db::{Database, DbError};
use crate::files::NameKey;

const ROW: i64 = 1;

/// The key of this installation. The first process that asks for it makes it; all others get the same one.
///
/// # Errors
/// If the database cannot be read, or a new key cannot be written.
pub(super) async fn open(database: &Database) -> Result<NameKey, DbError> {
    let stored = match database.read_point(|connection| find(connection).optional())? {
        Some(stored) => stored,
        None => {
            let new = rand::random::<[u8; NameKey::LEN]>().to_vec();
            database.write(move |connection| find_or_insert(connection, new)).await?
        }
    };
    let bytes = stored.try_into().map_err(|_| unusable("the key of thumbnail names does not have 32 bytes"))?;
    Ok(NameKey::new(&bytes))
}

fn find(connection: &mut SqliteConnection) -> QueryResult<Vec<u8>> {
    thumbnail_name_key.find(ROW).select(secret).get_result(connection)
}

/// Keeps the key of another process that was faster.
fn find_or_insert(connection: &mut SqliteConnection, new: Vec<u8>) -> QueryResult<Vec<u8>> {
    diesel::insert_or_ignore_into(thumbnail_name_key).values((id.eq(ROW), secret.eq(new))).execute(connection)?;
    find(connection)
}

fn unusable(reason: &'static str) -> DbError {
    diesel::result::Error::DeserializationError(reason.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    #[tokio::test]
    async fn processes_that_need_the_key_of_a_new_database_at_once_get_the_same_one() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        let (one, _one_thread) = Database::open(&location).unwrap();
        let (other, _other_thread) = Database::open(&location).unwrap();
        // Both have found no key, so both write.
        let writes = [(&one, 1), (&other, 2)].map(|(database, byte)| {
            database.write(move |connection| find_or_insert(connection, vec![byte; NameKey::LEN]))
        });
        let [first, second] = <[_; 2]>::try_from(futures_util::future::join_all(writes).await).unwrap();
        assert_eq!(first.unwrap(), second.unwrap());
    }

    #[tokio::test]
    async fn the_key_of_a_new_database_is_random_and_kept() {
        let secret_of = async |folder: &tempfile::TempDir| {
            let (database, thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
            open(&database).await.unwrap();
            let stored = database.read_point(find).unwrap();
            thread.close().await;
            stored
        };
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let first = secret_of(&one).await;
        assert_eq!(first.len(), NameKey::LEN);
        assert_eq!(secret_of(&one).await, first);
        assert_ne!(secret_of(&other).await, first);
    }
}
