//! The database: migrations, group commit, adopting the file of the replaced service.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use m3a3::db::{Database, DbError, Location, migrate, revert_all, schema};
use tempfile::TempDir;

/// The number of migrations.
const MIGRATIONS: usize = 21;

fn fresh() -> (TempDir, Location) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::new(folder.path().join("data/m3a3.db"));
    (folder, location)
}

fn connect(location: &Location) -> SqliteConnection {
    SqliteConnection::establish(location.path().to_str().unwrap()).unwrap()
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

fn names(connection: &mut SqliteConnection, query: &str) -> BTreeSet<String> {
    diesel::sql_query(query).load::<Name>(connection).unwrap().into_iter().map(|row| row.name).collect()
}

/// The lines of `schema.rs` that name tables (`users (id)`) and columns (`id -> BigInt`), without their punctuation.
fn declared() -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    let mut table = "";
    for line in include_str!("../../src/db/schema.rs").lines().map(str::trim) {
        if let Some(column) = line.strip_suffix(',').filter(|line| line.contains(" -> ")) {
            declared.insert(format!("{table}.{column}"));
        } else if let Some((name, _)) = line.split_once(" (") {
            table = name;
        }
    }
    declared
}

/// The same, as created by the migrations.
fn created(connection: &mut SqliteConnection) -> BTreeSet<String> {
    let kind = "CASE WHEN c.name IN ('id', 'seq') AND c.type = 'INTEGER' THEN 'BigInt' ELSE CASE c.type WHEN 'TEXT' THEN 'Text'
        WHEN 'BIGINT' THEN 'BigInt' WHEN 'INTEGER' THEN 'Integer' WHEN 'BOOLEAN' THEN 'Bool' WHEN 'BLOB' THEN 'Binary'
        -- No column but a score has none.
        WHEN '' THEN 'Double' END END";
    let query = format!(
        "SELECT t.name || '.' || c.name || ' -> ' || iif(c.\"notnull\", {kind}, 'Nullable<' || {kind} || '>') AS name
         FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name <> '__diesel_schema_migrations'"
    );
    let mut created = names(connection, &query);
    // Of SQLite itself.
    created.insert("jobs.rowid -> BigInt".to_owned());
    created
}

#[test]
fn the_schema_matches_the_migrations() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    assert_eq!(declared(), created(&mut connect(&location)));
    assert!(declared().contains("users.failure -> Nullable<Text>"));
}

#[test]
fn migrations_run_once_and_can_be_reverted_and_run_again() {
    let (_folder, location) = fresh();
    assert_eq!(migrate(&location).unwrap().applied.len(), MIGRATIONS);
    assert!(migrate(&location).unwrap().applied.is_empty());
    revert_all(&location).unwrap();
    let columns = names(&mut connect(&location), "SELECT name FROM pragma_table_info('users')");
    assert_eq!(columns, ["id", "profile_image", "thumbnail_image", "username"].map(str::to_owned).into());
    assert_eq!(migrate(&location).unwrap().applied.len(), MIGRATIONS);
}

fn migration_file(migration: &str, way: &str) -> String {
    std::fs::read_to_string(format!("{}/migrations/{migration}/{way}.sql", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn migrated_scores_are_kept_and_new_ones_keep_the_sign_of_zero() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    let connection = &mut connect(&location);
    let (exact, cursor) = ("2026-11-25-000013_exact_scores", "2026-11-27-000014_score_cursor");
    let scores = |connection: &mut SqliteConnection| {
        let rows = schema::scores::table.order(schema::scores::seq);
        let rows: Vec<(i64, String, Option<f64>)> = rows.load(connection).unwrap();
        rows.into_iter().map(|(seq, name, score)| format!("{seq} {name} {score:?}")).collect::<Vec<_>>()
    };
    for migration in [cursor, exact] {
        connection.batch_execute(&migration_file(migration, "down")).unwrap();
    }
    let old = "INSERT INTO scores VALUES ('a', 100, 9), ('b', 0.1, 2), ('c', 1e308, 3), ('d', 9007199254740992, 4);
               UPDATE leaderboard SET seq = 9";
    connection.batch_execute(old).unwrap();

    for migration in [exact, cursor] {
        connection.batch_execute(&migration_file(migration, "up")).unwrap();
    }
    let moved =
        ["1 b Some(0.1)", "2 c Some(1e308)", "3 d Some(9007199254740992.0)", "4 a Some(100.0)"].map(str::to_owned);
    assert_eq!(scores(connection), moved);
    assert_eq!(names(connection, "SELECT typeof(score) AS name FROM scores"), ["real".to_owned()].into());
    let version = "SELECT seq || ' ' || reset_seq || ' ' || length(board_id) AS name FROM leaderboard";
    assert_eq!(names(connection, version), ["4 0 32".to_owned()].into());
    let negative = (schema::scores::seq.eq(5), schema::scores::username.eq("e"), schema::scores::score.eq(-0.0));
    diesel::insert_into(schema::scores::table).values(negative).execute(connection).unwrap();
    assert_eq!(scores(connection)[4], "5 e Some(-0.0)");

    connection.batch_execute(&migration_file(cursor, "down")).unwrap();
    let kept = "SELECT username || seq AS name FROM scores WHERE typeof(score) = 'real'";
    assert_eq!(names(connection, kept), ["a4", "b1", "c2", "d3", "e5"].map(str::to_owned).into());
}

#[test]
fn after_the_migration_an_unsent_reset_is_before_every_score() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    let connection = &mut connect(&location);
    let cursor = "2026-11-27-000014_score_cursor";
    connection.batch_execute(&migration_file(cursor, "down")).unwrap();
    let old = "INSERT INTO scores VALUES ('a', 1.0, 5), ('b', 2.0, 6); UPDATE leaderboard SET seq = 6;
               INSERT INTO unsent_scores VALUES ('somebody', 4, 6, true, 1)";
    connection.batch_execute(old).unwrap();
    connection.batch_execute(&migration_file(cursor, "up")).unwrap();
    let version = "SELECT seq || ' ' || reset_seq AS name FROM leaderboard";
    assert_eq!(names(connection, version), ["3 1".to_owned()].into());
    assert_eq!(names(connection, "SELECT username || seq AS name FROM scores"), ["a2", "b3"].map(str::to_owned).into());
}

#[test]
fn the_only_thumbnail_of_an_image_becomes_its_first_and_back() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    let connection = &mut connect(&location);
    let several = "2026-11-25-000012_several_thumbnails";
    connection.batch_execute(&migration_file(several, "down")).unwrap();
    let old = "INSERT INTO users (id) VALUES (1);
               INSERT INTO images (id, job_id, user_id, path, state, created_at) VALUES (7, 'j', 1, 'a.jpg', 'done', 1);
               INSERT INTO thumbnails (image_id, name, width, height, bytes, created_at) VALUES (7, 'x.jpg', 300, 300, 9, 2)";
    connection.batch_execute(old).unwrap();

    connection.batch_execute(&migration_file(several, "up")).unwrap();
    let rows = "SELECT image_id || variant || position || ' ' || name || width || height || bytes || created_at AS name
                FROM thumbnails";
    assert_eq!(names(connection, rows), ["7thumb0 x.jpg30030092".to_owned()].into());
    let another = "INSERT INTO thumbnails SELECT image_id, 'card', 1, 'y.jpg', 600, 400, 9, 2 FROM thumbnails";
    connection.batch_execute(another).unwrap();

    connection.batch_execute(&migration_file(several, "down")).unwrap();
    assert_eq!(names(connection, "SELECT image_id || name AS name FROM thumbnails"), ["7x.jpg".to_owned()].into());
}

#[test]
fn queued_jobs_get_a_round_by_their_users_order_and_lose_it_again() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    let connection = &mut connect(&location);
    let rounds = "2026-11-28-000019_claim_in_rounds";
    connection.batch_execute(&migration_file(rounds, "down")).unwrap();
    let columns = "SELECT name FROM pragma_table_info('jobs') WHERE name IN ('round', 'user_id')";
    assert_eq!(names(connection, columns), BTreeSet::new());
    let old = "INSERT INTO jobs (id, kind, payload, state, run_at, created_at) VALUES
                   ('a', 'email', '{\"userId\":7}', 'queued', 20, 1), ('b', 'email', '{\"userId\":7}', 'queued', 10, 2),
                   ('c', 'email', '{\"userId\":8}', 'queued', 30, 3),
                   ('d', 'email', '{\"userId\":null}', 'queued', 40, 4),
                   ('e', 'email', 'not JSON', 'queued', 50, 5), ('f', 'thumbnail', '{\"userId\":7}', 'queued', 60, 6),
                   ('g', 'email', '{\"userId\":7}', 'queued', 9000000000000, 7),
                   ('h', 'email', '{\"userId\":9}', 'running', 1, 8), ('i', 'email', '{\"userId\":9}', 'dead', 1, 9),
                   ('j', 'email', '{\"userId\":9}', 'done', 1, 10)";
    connection.batch_execute(old).unwrap();

    connection.batch_execute(&migration_file(rounds, "up")).unwrap();
    let migrated = "SELECT id || ' ' || user_id || ' ' || ifnull(round, '-') AS name FROM jobs";
    let expected = ["a 7 2", "b 7 1", "c 8 1", "d 0 1", "e 0 2", "f 7 1", "g 7 -", "h 9 0", "i 9 -", "j 0 -"];
    assert_eq!(names(connection, migrated), expected.map(str::to_owned).into());
    let claims = "SELECT group_concat(id, '') AS name FROM (SELECT id FROM jobs
                  WHERE kind = 'email' AND state = 'queued' AND round IS NOT NULL ORDER BY round, rowid)";
    assert_eq!(names(connection, claims), ["bcdae".to_owned()].into(), "users in turn");

    connection.batch_execute(&migration_file(rounds, "down")).unwrap();
    assert_eq!(
        names(connection, "SELECT id || run_at AS name FROM jobs WHERE state = 'queued' AND run_at < 40"),
        ["a20", "b10", "c30"].map(str::to_owned).into()
    );
    let index = "SELECT sql AS name FROM sqlite_schema WHERE name = 'jobs_by_state'";
    let index = names(connection, index).pop_first().unwrap();
    assert!(index.ends_with("(kind, state, run_at, id)"), "{index}");
    connection.batch_execute(&migration_file(rounds, "up")).unwrap();
    assert_eq!(names(connection, migrated), expected.map(str::to_owned).into());
}

#[test]
fn the_counts_are_those_of_the_rows_after_the_migration_and_follow_every_change() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    let connection = &mut connect(&location);
    let bounds = "2026-11-28-000022_bound_rows";
    connection.batch_execute(&migration_file(bounds, "down")).unwrap();
    let added = "SELECT name FROM pragma_table_info('users') WHERE name LIKE 'image%'
                 UNION SELECT name FROM sqlite_schema WHERE type = 'trigger' OR name = 'row_counts'";
    assert_eq!(names(connection, added), BTreeSet::new());
    let old = "INSERT INTO users (id) VALUES (1), (2), (3);
               INSERT INTO images (id, job_id, user_id, path, created_at) VALUES (1, 'a', 1, 'a', 1), (2, 'b', 1, 'b', 1),
                   (3, 'c', 2, 'c', 1);
               INSERT INTO assets VALUES ('x', 70, 'jpg', 1, 1, NULL, 1);
               INSERT INTO asset_references VALUES (1, 'x', 1, 1), (3, 'x', 2, 1);
               INSERT INTO scores (seq, username, score) VALUES (1, 'ada', 1.0), (2, 'removed', NULL)";
    connection.batch_execute(old).unwrap();

    let counts = "SELECT name || ' ' || number AS name FROM row_counts
                  UNION SELECT id || ': ' || image_count || ' ' || image_bytes FROM users";
    for _ in 0..2 {
        connection.batch_execute(&migration_file(bounds, "up")).unwrap();
        let migrated = ["1: 2 70", "2: 1 70", "3: 0 0", "scores 2", "users 3"].map(str::to_owned);
        assert_eq!(names(connection, counts), migrated.into());
        connection.batch_execute(&migration_file(bounds, "down")).unwrap();
    }
    connection.batch_execute(&migration_file(bounds, "up")).unwrap();
    let changes = "INSERT INTO users (id) VALUES (4), (5); INSERT OR IGNORE INTO users (id) VALUES (4);
                   INSERT INTO images (id, job_id, user_id, path, created_at, bytes) VALUES (4, 'd', 4, 'd', 1, 9);
                   DELETE FROM images WHERE id = 2; DELETE FROM users WHERE id = 5;
                   INSERT INTO scores (seq, username, score) VALUES (3, 'bo', 1.0);
                   UPDATE scores SET seq = 4, score = 2.0 WHERE username = 'bo'";
    connection.batch_execute(changes).unwrap();
    let changed = ["1: 1 70", "2: 1 70", "3: 0 0", "4: 1 9", "scores 3", "users 4"].map(str::to_owned);
    assert_eq!(names(connection, counts), changed.into());
}

#[test]
fn three_processes_that_start_at_once_on_a_new_file_succeed() {
    let (_folder, location) = fresh();
    let applied: Vec<usize> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..3).map(|_| scope.spawn(|| migrate(&location).unwrap().applied.len())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(applied.iter().sum::<usize>(), MIGRATIONS, "each migration ran exactly once: {applied:?}");
}

#[test]
fn a_database_of_the_replaced_service_is_adopted_without_loss() {
    let (_folder, location) = fresh();
    std::fs::create_dir_all(location.folder()).unwrap();
    let old = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, username TEXT NOT NULL UNIQUE,
                   profile_image TEXT NOT NULL, thumbnail_image TEXT);
               CREATE TABLE friends (a INTEGER REFERENCES users (id) ON DELETE CASCADE, b INTEGER);
               INSERT INTO users VALUES (1, 'Ann', 'uploads/ann.jpg', 'uploads/thumbs/ann.jpg'), (7, 'Bo', 'b.png', NULL);
               INSERT INTO friends VALUES (1, 7);";
    connect(&location).batch_execute(old).unwrap();

    migrate(&location).unwrap();

    let connection = &mut connect(&location);
    let users = schema::users::table
        .select((schema::users::id, schema::users::username, schema::users::thumbnail_image))
        .order(schema::users::id)
        .load::<(i64, Option<String>, Option<String>)>(connection)
        .unwrap();
    let ann = (1, Some("Ann".to_owned()), Some("uploads/thumbs/ann.jpg".to_owned()));
    assert_eq!(users, [ann, (7, Some("Bo".to_owned()), None)]);
    let friends = diesel::sql_query("SELECT b || '' AS name FROM friends").load::<Name>(connection).unwrap();
    assert_eq!(friends.len(), 1, "rows that refer to users are still there");
    let inserted = connection.batch_execute("PRAGMA foreign_keys = ON; INSERT INTO friends VALUES (7, 1)");
    assert_eq!(inserted, Ok(()), "and still refer to users");
}

#[test]
fn a_foreign_users_table_is_refused_and_not_changed() {
    let (_folder, location) = fresh();
    std::fs::create_dir_all(location.folder()).unwrap();
    connect(&location).batch_execute("CREATE TABLE users (id INTEGER PRIMARY KEY, password TEXT)").unwrap();
    let error = migrate(&location).unwrap_err().to_string();
    assert!(error.contains("columns id, password"), "{error}");
    let columns = names(&mut connect(&location), "SELECT name FROM pragma_table_info('users')");
    assert_eq!(columns, ["id", "password"].map(str::to_owned).into());
}

#[test]
fn a_database_of_a_newer_m3a3_is_refused() {
    let (_folder, location) = fresh();
    migrate(&location).unwrap();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')";
    connect(&location).batch_execute(newer).unwrap();
    let error = migrate(&location).unwrap_err().to_string();
    assert!(error.contains("newer m3a3"), "{error}");
}

#[test]
fn sqlite_is_new_enough_to_reset_its_wal_safely() {
    let version = "SELECT sqlite_version() AS name";
    let version = names(&mut SqliteConnection::establish(":memory:").unwrap(), version).pop_first().unwrap();
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    assert!(numbers >= vec![3, 51, 3], "{version}");
}

fn add_user(id: i64) -> impl FnOnce(&mut SqliteConnection) -> QueryResult<usize> + Send {
    move |connection| diesel::insert_into(schema::users::table).values(schema::users::id.eq(id)).execute(connection)
}

#[tokio::test]
async fn a_bad_write_fails_alone() {
    let (_folder, location) = fresh();
    let (database, thread) = Database::open(&location).unwrap();
    let writes = [1, 2, 2, 3].map(|id| database.write(add_user(id)));
    let panicking = database.write(|connection| -> QueryResult<()> {
        add_user(4)(connection)?;
        panic!("on purpose")
    });
    let (results, panicked) = tokio::join!(futures_util::future::join_all(writes), panicking);

    let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, true, false]);
    assert!(matches!(panicked, Err(DbError::Panicked)));
    let ids = database.read(|connection| schema::users::table.select(schema::users::id).load::<i64>(connection));
    assert_eq!(ids.await.unwrap(), [1, 2, 3]);
    thread.close().await;
    assert!(matches!(database.write(add_user(5)).await, Err(DbError::Closed)));
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_folder, location) = fresh();
    let (database, thread) = Database::open(&location).unwrap();
    let error = database.read_point(add_user(1)).unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
    thread.close().await;
}

#[tokio::test]
async fn a_full_queue_refuses_writes_instead_of_growing() {
    let (_folder, location) = fresh();
    let (database, thread) = Database::open(&location).unwrap();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let blocking = database.write(move |_| {
        let _ = entered.send(());
        let _ = gate.recv();
        Ok(())
    });
    let filling = async {
        inside.await.unwrap();
        let mut waiting: Vec<_> = (0..5000).map(|_| Box::pin(database.try_write(|_| Ok(())))).collect();
        let mut busy = 0;
        for write in &mut waiting {
            if let std::task::Poll::Ready(Err(DbError::Busy)) = futures_util::poll!(write) {
                busy += 1;
            }
        }
        release.send(()).unwrap();
        busy
    };
    let (blocked, busy) = tokio::join!(blocking, filling);
    assert!(blocked.is_ok());
    assert_eq!(busy, 5000 - 4096);
    thread.close().await;
}

#[tokio::test]
async fn writes_queued_before_the_close_are_durable() {
    let (_folder, location) = fresh();
    let (database, thread) = Database::open(&location).unwrap();
    let mut writes: Vec<_> = (1..=100).map(|id| Box::pin(database.write(add_user(id)))).collect();
    for write in &mut writes {
        let _ = futures_util::poll!(write);
    }
    thread.close().await;
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let count = diesel::sql_query("SELECT count(*) AS count FROM users").get_result::<Count>(&mut connect(&location));
    assert_eq!(count.unwrap().count, 100);
}

#[tokio::test]
async fn only_the_owner_can_read_a_new_database_and_its_wal() {
    use std::os::unix::fs::MetadataExt;

    let (folder, location) = fresh();
    let (database, writer) = Database::open(&location).unwrap();
    database.read_point(|connection| schema::users::table.count().get_result::<i64>(connection)).unwrap();
    for name in ["m3a3.db", "m3a3.db-wal", "m3a3.db-shm"] {
        let mode = std::fs::metadata(folder.path().join("data").join(name)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    writer.close().await;
}
