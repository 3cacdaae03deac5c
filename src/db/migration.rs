//! Migrates the schema: embedded migrations, run under one lock.

use std::sync::LazyLock;

use diesel::connection::SimpleConnection;
use diesel::dsl::max;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::turn::Turns;
use super::{DbError, Location, connection};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// The columns of the `users` table in a database of the replaced service.
const REPLACED_USERS: [&str; 4] = ["id", "profile_image", "thumbnail_image", "username"];

diesel::table! {
    #[sql_name = "__diesel_schema_migrations"]
    applied_migrations (version) {
        version -> Text,
    }
}

/// A migration that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("a newer m3a3 has applied migration {0}")]
pub(super) struct NewerMigration(pub(super) String);

/// The result of [`migrate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The names of the migrations that were applied, in order; empty if the schema was up to date.
    pub applied: Vec<String>,
}

/// Migrates the schema in one transaction, and creates the file if there is none.
///
/// Processes that start on the same file at once wait for each other. Blocks.
///
/// # Errors
/// When the file cannot be opened, was migrated by a newer m3a3, or holds a `users` table that is not the one of the
/// replaced service.
pub fn migrate(location: &Location) -> Result<Migrated, DbError> {
    let mut connection = connection::open_for_migrating(location)?;
    let current = is_current(&mut connection).map_err(|failure| DbError::Migration(failure.0.to_string()))?;
    if current {
        return Ok(Migrated { applied: Vec::new() });
    }
    let mut turns = Turns::open(location);
    let _turn = turns.take();
    connection
        .immediate_transaction(|connection| {
            check_users(connection)?;
            let applied = connection.run_pending_migrations(MIGRATIONS)?;
            Ok::<_, Failure>(applied.iter().map(ToString::to_string).collect())
        })
        .map(|applied| Migrated { applied })
        .map_err(|failure| DbError::Migration(failure.0.to_string()))
}

/// Reverts every migration, which leaves the `users` table with the columns of the replaced service. For tests, and for
/// going back to that service.
///
/// # Errors
/// When the file cannot be opened or a migration cannot be reverted.
pub fn revert_all(location: &Location) -> Result<(), DbError> {
    let mut connection = connection::open_for_migrating(location)?;
    connection
        .immediate_transaction(|connection| {
            connection.revert_all_migrations(MIGRATIONS)?;
            Ok::<_, Failure>(())
        })
        .map_err(|failure| DbError::Migration(failure.0.to_string()))
}

/// The schema of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// That of this version.
    Current,
    /// That of an older version, or none.
    Outdated,
    /// That of a newer version.
    Newer,
}

pub(super) fn schema_of(connection: &mut SqliteConnection) -> Schema {
    match is_current(connection) {
        Ok(true) => Schema::Current,
        Ok(false) => Schema::Outdated,
        Err(_) => Schema::Newer,
    }
}

/// Whether the schema is that of this version. Blocks.
pub(crate) fn is_up_to_date(location: &Location) -> Result<bool, DbError> {
    Ok(schema_of(&mut connection::open_for_reading(location)?) == Schema::Current)
}

/// Fails on the schema of a newer version. Called inside a transaction, until whose end no other process can migrate.
pub(super) fn refuse_newer(connection: &mut SqliteConnection) -> QueryResult<()> {
    match newer(connection)? {
        None => Ok(()),
        Some(migration) => Err(diesel::result::Error::QueryBuilderError(Box::new(NewerMigration(migration)))),
    }
}

/// The last applied migration, if this version does not know it.
pub(super) fn newer(connection: &mut SqliteConnection) -> QueryResult<Option<String>> {
    static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| {
        let known = MigrationSource::<Sqlite>::migrations(&MIGRATIONS).unwrap_or_default();
        known.iter().map(|migration| migration.name().version().to_string()).collect()
    });
    let last = applied_migrations::table.select(max(applied_migrations::version));
    let last = last.get_result::<Option<String>>(connection)?;
    Ok(last.filter(|last| !KNOWN.contains(last)))
}

/// Whether no migration is pending; checked without a write lock, so that a start beside busy processes does not wait.
fn is_current(connection: &mut SqliteConnection) -> Result<bool, Failure> {
    if connection.batch_execute("SELECT 1 FROM __diesel_schema_migrations LIMIT 1").is_err() {
        return Ok(false);
    }
    let applied = connection.applied_migrations()?;
    let known = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)?;
    let is_known = |version: &MigrationVersion<'_>| known.iter().any(|ours| ours.name().version() == *version);
    match applied.iter().find(|version| !is_known(version)) {
        Some(newer) => Err(Failure(format!("it was migrated by a newer m3a3 (migration {newer})").into())),
        None => Ok(applied.len() == known.len()),
    }
}

/// Refuses a `users` table with columns that the first migration would lose.
fn check_users(connection: &mut SqliteConnection) -> Result<(), Failure> {
    #[derive(QueryableByName)]
    struct Column {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let ours = "SELECT name FROM pragma_table_info('__diesel_schema_migrations')";
    if !diesel::sql_query(ours).load::<Column>(connection)?.is_empty() {
        return Ok(());
    }
    let found = "SELECT name FROM pragma_table_info('users') ORDER BY name";
    let found: Vec<String> =
        diesel::sql_query(found).load::<Column>(connection)?.into_iter().map(|column| column.name).collect();
    if found.is_empty() || found == REPLACED_USERS {
        return Ok(());
    }
    let found = found.join(", ");
    Err(Failure(
        format!(
            "there is a users table with the columns {found}, where id, username, profile_image, thumbnail_image were \
             expected; nothing was changed"
        )
        .into(),
    ))
}

/// An error inside the migration transaction.
struct Failure(Box<dyn std::error::Error + Send + Sync>);

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self(error.into())
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Failure {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(error)
    }
}
