//! The key of confirmation links, in the only row of the table `email_confirmation_key`.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::token::ConfirmationKey;
use crate::db::schema::email_confirmation_key::dsl::{email_confirmation_key, id, secret};
use crate::db::{Database, DbError};

const ROW: i64 = 1;

/// The key of this installation. The first process that asks for it makes it; all others get the same one.
pub(super) async fn open(database: &Database) -> Result<ConfirmationKey, DbError> {
    if let Some(key) = find(database)? {
        return Ok(key);
    }
    let new = rand::random::<[u8; ConfirmationKey::LEN]>().to_vec();
    parse(database.write(move |connection| find_or_insert(connection, new)).await?)
}

/// `None` if no link was ever signed.
pub(super) fn find(database: &Database) -> Result<Option<ConfirmationKey>, DbError> {
    database.read_point(|connection| read(connection).optional())?.map(parse).transpose()
}

fn read(connection: &mut SqliteConnection) -> QueryResult<Vec<u8>> {
    email_confirmation_key.find(ROW).select(secret).get_result(connection)
}

/// Keeps the key of another process that was faster.
fn find_or_insert(connection: &mut SqliteConnection, new: Vec<u8>) -> QueryResult<Vec<u8>> {
    diesel::insert_or_ignore_into(email_confirmation_key).values((id.eq(ROW), secret.eq(new))).execute(connection)?;
    read(connection)
}

fn parse(stored: Vec<u8>) -> Result<ConfirmationKey, DbError> {
    let bytes = stored.try_into().map_err(|_| {
        diesel::result::Error::DeserializationError("the key of confirmation links does not have 32 bytes".into())
    })?;
    Ok(ConfirmationKey::new(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    #[tokio::test]
    async fn the_first_key_is_kept_and_reading_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        let (one, _one_thread) = Database::open(&location).unwrap();
        let (other, _other_thread) = Database::open(&location).unwrap();
        assert!(find(&one).unwrap().is_none());
        // Both have found no key, so both write.
        let writes = [(&one, 1), (&other, 2)].map(|(database, byte)| {
            database.write(move |connection| find_or_insert(connection, vec![byte; ConfirmationKey::LEN]))
        });
        let [first, second] = <[_; 2]>::try_from(futures_util::future::join_all(writes).await).unwrap();
        assert_eq!(first.unwrap(), second.unwrap());

        let user = "7".parse().unwrap();
        let address = "ada@example.org".parse().unwrap();
        let token = open(&one).await.unwrap().sign(user, &address, 5);
        assert!(find(&other).unwrap().unwrap().verify(&token).is_some());
    }
}
