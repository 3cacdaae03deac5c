//! Migration from the Node service: its database, thumbnails and polling.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::json;

use crate::harness::app::App;
use crate::harness::binary::{Ran, Workdir};
use crate::harness::pictures::jpeg;

/// An installation on the database and the files of the replaced service.
async fn migrated() -> App {
    let app = App::new(&["database.url=file:./data/m3a3.db?connection_limit=1"]).await;
    app.dir.write("data/uploads/thumbs/ann 1.jpg", "old bytes");
    let mut database = SqliteConnection::establish(app.dir.path().join("data/m3a3.db").to_str().unwrap()).unwrap();
    let old = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, username TEXT NOT NULL UNIQUE,
                   profile_image TEXT, thumbnail_image TEXT);
               INSERT INTO users VALUES (1, 'Ann', 'uploads/ann.jpg', 'uploads/thumbs/ann 1.jpg'), (2, 'Bo', NULL, NULL);";
    database.batch_execute(old).unwrap();
    app
}

#[tokio::test]
async fn its_thumbnails_keep_their_urls_and_are_served_from_the_root() {
    let app = migrated().await;
    let up = app.up();
    let done = json!({ "status": "done", "thumbnailUrl": "uploads/thumbs/ann 1.jpg" });
    assert_eq!(app.get(up.url(), "/status/1").await, (200, done.clone()));
    assert_eq!(app.get(up.url(), "/status-live/1").await, (200, done));
    assert_eq!(app.get(up.url(), "/status/2").await.1["status"], "pending");
    let served = app.http.get(format!("{}/uploads/thumbs/ann%201.jpg", up.url())).send().await.unwrap();
    assert_eq!((served.status().as_u16(), served.text().await.unwrap().as_str()), (200, "old bytes"));
}

#[test]
fn a_database_beside_the_schema_of_prisma_is_not_replaced_by_an_empty_one() {
    let workdir = Workdir::new();
    workdir.write("prisma/dev.db", "");
    workdir.write(".env", "DATABASE_URL=\"file:./dev.db\"\n");
    for command in [&["serve"][..], &["up"], &["worker", "thumbnail"], &["migrate"]] {
        let ran = workdir.run(command);
        assert_eq!(ran.code, Some(2), "{command:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("M3A3_DATABASE__URL=file:prisma/dev.db"), "{}", ran.stderr);
    }
    assert!(!workdir.path().join("dev.db").exists());
    let ran = Ran::of(workdir.command(&["migrate"]).env("M3A3_DATABASE__URL", "file:./prisma/dev.db"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(std::fs::metadata(workdir.path().join("prisma/dev.db")).unwrap().len() > 0);
}

#[tokio::test]
async fn a_new_upload_replaces_the_old_thumbnail() {
    let app = migrated().await;
    let up = app.up();
    app.upload(up.url(), 1, &jpeg(1)).await;
    app.assert_no_job_is_left().await;
    let (_, done) = app.get(up.url(), "/status/1").await;
    assert!(done["thumbnailUrl"].as_str().unwrap().starts_with("/thumbnails/"), "{done}");
    assert_eq!(app.count("SELECT count(*) FROM users WHERE username = 'Ann' AND profile_image = 'uploads/ann.jpg'"), 1);
}

#[tokio::test]
async fn no_files_except_its_thumbnails_are_served() {
    let app = migrated().await;
    app.dir.write("data/uploads/original.jpg", "private");
    app.dir.write("data/uploads/thumbs/folder/x", "x");
    let up = app.up();
    for path in [
        "/uploads/original.jpg",
        "/uploads/thumbs/..%2foriginal.jpg",
        "/uploads/thumbs/%2e%2e/original.jpg",
        "/uploads/thumbs/../../m3a3.db",
        "/uploads/thumbs/folder",
        "/uploads/thumbs/",
        "/uploads/thumbs/missing.jpg",
    ] {
        assert_eq!(app.get(up.url(), path).await.0, 404, "{path}");
    }
}

/// The only test of the replaced service: polling with retries.
#[tokio::test]
async fn polling_with_retries_ends_with_a_thumbnail() {
    let app = App::new(&[]).await;
    let up = app.up();
    app.dir.write("photo.jpg", jpeg(1));
    let uploaded = app.dir.run(&["upload", "photo.jpg", "--user", "1", "--url", up.url()]);
    assert_eq!(uploaded.code, Some(0), "{}", uploaded.stderr);
    let polled = app.dir.run(&["status", "1", "--wait", "--url", up.url()]);
    assert_eq!(polled.code, Some(0), "{}", polled.stderr);
    let answer = &polled.json_lines()[0];
    assert_eq!(answer["status"], "done");
    assert!(answer["thumbnailUrl"].as_str().unwrap().starts_with("/thumbnails/"));
    app.assert_no_job_is_left().await;
}
