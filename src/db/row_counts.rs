//! The numbers of rows of tables that grow with every new name in a request. Triggers of the migrations keep them, so
//! that a request reads one row instead of counting all.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::schema::row_counts;

const USERS: &str = "users";
const SCORES: &str = "scores";

pub(crate) fn users(connection: &mut SqliteConnection) -> QueryResult<u64> {
    number(connection, USERS)
}

/// With the rows of removed players.
pub(crate) fn scores(connection: &mut SqliteConnection) -> QueryResult<u64> {
    number(connection, SCORES)
}

/// Must be called by the transaction that deletes all scores, which no trigger counts.
pub(crate) fn scores_deleted(connection: &mut SqliteConnection) -> QueryResult<()> {
    diesel::update(row_counts::table.find(SCORES)).set(row_counts::number.eq(0)).execute(connection)?;
    Ok(())
}

fn number(connection: &mut SqliteConnection, table: &str) -> QueryResult<u64> {
    let number = row_counts::table.find(table).select(row_counts::number).get_result::<i64>(connection)?;
    Ok(u64::try_from(number).unwrap_or(0))
}
