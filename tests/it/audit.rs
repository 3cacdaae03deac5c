//! The audit: each relation is broken in turn, and the audit lists the missing entry.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use diesel::RunQueryDsl;
use serde_json::{Value, json};

use crate::harness::app::{App, Process, eventually};
use crate::harness::binary::Ran;
use crate::harness::pictures::jpeg;

/// On another thread, because that of the test is busy.
async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap()
}

async fn audit(app: &App) -> (Option<i32>, Value) {
    let ran = run(app.command(&["audit", "--format", "json"])).await;
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran.code, report)
}

/// Expects exactly one missing entry.
async fn assert_misses(app: &App, check: &str, of: &str, detail: &str) {
    let (code, report) = audit(app).await;
    assert_eq!((code, &report["missingCount"]), (Some(1), &json!(1)), "{report}");
    let missing = &report["missing"][0];
    assert_eq!((&missing["check"], &missing["of"]), (&json!(check), &json!(of)), "{report}");
    assert!(missing["detail"].as_str().unwrap().contains(detail), "{report}");
}

async fn assert_misses_nothing(app: &App) {
    let (code, report) = audit(app).await;
    assert_eq!((code, &report["missing"]), (Some(0), &json!([])), "{report}");
}

fn change(app: &App, statement: &str) {
    diesel::sql_query(statement).execute(&mut app.database()).unwrap();
}

/// An installation with one image, one order and one player, whose jobs are done.
async fn installation() -> (App, Process) {
    let app = App::new(&[]).await;
    let up = app.start(&["up"]);
    app.until(up.url(), "ready").await;
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    assert_eq!(app.outcome(up.url(), &accepted).await["status"], "done");
    let game = app.ready_game_server().await;
    assert_eq!(app.place_order(game.url(), "o-1", "1").await.0, 200);
    app.score(game.url(), "ada", 42).await;
    app.assert_none_is_left_of(&["thumbnail", "warehouse", "email"]).await;
    (app, up)
}

fn stored(app: &App, folder: &str) -> PathBuf {
    let subfolders = std::fs::read_dir(app.dir.path().join("data").join(folder)).unwrap();
    let subfolders = subfolders.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with(".tmp"));
    let mut files = subfolders.flat_map(|path| std::fs::read_dir(path).unwrap()).map(|entry| entry.unwrap().path());
    files.next().unwrap_or_else(|| panic!("a file below {folder}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_beside_a_running_installation() {
    let (app, _up) = installation().await;
    app.redis.ask("ZADD leaderboard 7 theirs").await;
    let (code, report) = audit(&app).await;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!((&report["missingCount"], &report["notCompared"]), (&json!(0), &json!([])), "{report}");
    let checked = &report["checked"];
    assert_eq!(
        (&checked["images"], &checked["thumbnails"], &checked["orders"], &checked["players"], &checked["files"]),
        (&json!(1), &json!(1), &json!(1), &json!(1), &json!(2)),
        "{report}"
    );
    let ran = run(app.command(&["audit"])).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("compared: 1 images, 1 thumbnails, ") && ran.stdout.ends_with("missing: 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_or_truncated_file_is_missing() {
    let (app, _up) = installation().await;
    let (original, thumbnail) = (stored(&app, "uploads"), stored(&app, "thumbnails"));
    let bytes = std::fs::read(&original).unwrap();
    std::fs::remove_file(&original).unwrap();
    assert_misses(&app, "original", "image 1", "there is no such file").await;
    std::fs::write(&original, &bytes[1..]).unwrap();
    assert_misses(&app, "original", "image 1", "bytes instead of").await;
    std::fs::write(&original, &bytes).unwrap();
    assert_misses_nothing(&app).await;
    std::fs::remove_file(&thumbnail).unwrap();
    assert_misses(&app, "thumbnail", "image 1", "there is no such file").await;
    let ran = run(app.command(&["audit"])).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("MISSING ") && ran.stdout.ends_with("missing: 1\n"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_file_without_a_row_is_missing_it_and_a_young_one_is_a_leftover() {
    let (app, _up) = installation().await;
    let orphan = app.dir.write(&format!("data/uploads/0f/{}.jpg", "0f".repeat(32)), "x");
    app.dir.write(&format!("data/thumbnails/0f/{}.jpg", "0f".repeat(32)), "x");
    let (code, report) = audit(&app).await;
    assert_eq!((code, &report["leftovers"]), (Some(0), &json!({ "originals": 1, "thumbnails": 1 })), "{report}");
    let three_days = Duration::from_secs(3 * 24 * 60 * 60);
    std::fs::File::options().write(true).open(&orphan).unwrap().set_modified(SystemTime::now() - three_days).unwrap();
    assert_misses(&app, "row", &format!("uploads/0f/{}.jpg", "0f".repeat(32)), "no image").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_an_order_or_a_job_without_its_counterpart_is_found() {
    let (app, mut up) = installation().await;
    assert!(up.stop().success());
    change(&app, "UPDATE images SET state = 'pending'");
    assert_misses(&app, "job", "image 1", "the image is pending, but the job is done").await;
    change(&app, "UPDATE images SET state = 'done'");
    change(&app, "UPDATE jobs SET state = 'queued' WHERE kind = 'thumbnail'");
    assert_misses(&app, "job", "image 1", "the image is done, but the job is queued").await;
    change(&app, "UPDATE jobs SET state = 'done' WHERE kind = 'thumbnail'");
    change(&app, "DELETE FROM thumbnails");
    assert_misses(&app, "thumbnail", "image 1", "no thumbnail is recorded").await;
    change(&app, "UPDATE images SET state = 'failed'");
    change(&app, "UPDATE jobs SET state = 'dead' WHERE kind = 'thumbnail'");
    assert_misses_nothing(&app).await;
    change(&app, "DELETE FROM fulfilments");
    assert_misses(&app, "job", "order o-1", "done, but it is not fulfilled").await;
    change(&app, "DELETE FROM jobs WHERE kind = 'warehouse' AND dedup IS NOT NULL");
    assert_misses(&app, "job", "order o-1", "it has no warehouse job").await;
    change(&app, "UPDATE orders SET placed_at = 1");
    assert_misses_nothing(&app).await;
    change(
        &app,
        "UPDATE jobs SET payload = replace(payload, '\"imageId\":1', '\"imageId\":9') WHERE kind = 'warehouse'",
    );
    let (code, report) = audit(&app).await;
    assert_eq!((code, &report["missing"][0]["check"]), (Some(1), &json!("subject")), "{report}");
    assert_eq!(report["missing"][0]["detail"], "there is no image 9");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_whose_score_is_not_in_redis_is_missing_and_without_redis_none_is() {
    let (mut app, mut up) = installation().await;
    assert!(up.stop().success());
    app.redis.ask("ZADD leaderboard 41 ada").await;
    assert_misses(&app, "board", "player ada", "the database has 42, Redis has 41").await;
    app.redis.ask("ZREM leaderboard ada").await;
    assert_misses(&app, "board", "player ada", "the database has 42, Redis has nothing").await;
    app.redis.stop().await;
    let (code, report) = audit(&app).await;
    assert_eq!((code, &report["missingCount"]), (Some(0), &json!(0)), "{report}");
    assert_eq!(report["notCompared"], json!(["the board: Redis is not connected"]));
}

#[tokio::test]
async fn an_audit_without_data_fails_and_creates_nothing() {
    let app = App::new(&[]).await;
    let ran = run(app.command(&["audit"])).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("cannot read the image root data"), "{ran:?}");
    assert!(!app.dir.path().join("data").exists());
    assert_eq!(run(app.command(&["audit", "--format", "xml"])).await.code, Some(2));
    assert_eq!(run(app.command(&["audit", "--set", "serve.portt=1"])).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_does_not_migrate_the_database() {
    let (app, mut up) = installation().await;
    assert!(up.stop().success());
    let versions = "SELECT count(*) FROM __diesel_schema_migrations";
    let all = app.count(versions);
    change(
        &app,
        "DELETE FROM __diesel_schema_migrations \
         WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
    );
    let ran = run(app.command(&["audit"])).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("has the schema of another version of m3a3"), "{ran:?}");
    assert_eq!(app.count(versions), all - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_audits_periodically_and_exports_a_metric() {
    let (app, mut up) = installation().await;
    assert!(up.stop().success());
    std::fs::remove_file(stored(&app, "thumbnails")).unwrap();
    let serve = app.serve();
    let metric = eventually("the first audit", || async {
        let text = app.http.get(format!("{}/metrics", serve.url())).send().await.unwrap().text().await.unwrap();
        text.lines().find(|line| line.starts_with("m3a3_audit_missing ")).map(str::to_owned)
    })
    .await;
    assert_eq!(metric, "m3a3_audit_missing 1.0");
}
