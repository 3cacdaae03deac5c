//! `Idempotency-Key`: a repeated upload is accepted once.

use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::harness::app::{App, answer};
use crate::harness::pictures::jpeg;

async fn by_path(app: &App, url: &str, user: i64, path: &str, key: &str) -> (u16, Value) {
    let body = json!({ "userId": user, "imagePath": path });
    answer(app.http.post(format!("{url}/enqueue")).header("Idempotency-Key", key).json(&body)).await.unwrap()
}

/// Each call has its own multipart boundary.
async fn upload(app: &App, url: &str, picture: Vec<u8>, key: &str) -> (u16, Value) {
    let form = Form::new().text("userId", "1").part("image", Part::bytes(picture).file_name("x.jpg"));
    answer(app.http.post(format!("{url}/enqueue")).header("Idempotency-Key", key).multipart(form)).await.unwrap()
}

#[tokio::test]
async fn a_repeated_request_returns_the_same_job() {
    let app = App::new(&[]).await;
    let up = app.up();
    let first = upload(&app, up.url(), jpeg(1), "key-1").await;
    assert_eq!(first.0, 200);
    assert_eq!(upload(&app, up.url(), jpeg(1), "key-1").await, first);
    assert_ne!(upload(&app, up.url(), jpeg(1), "key-2").await.1["jobId"], first.1["jobId"], "another key, another job");
    assert_eq!(app.count("SELECT count(*) FROM images"), 2);
    app.assert_no_job_is_left().await;
    assert_eq!(upload(&app, up.url(), jpeg(1), "key-1").await, first, "also when the job is done");
}

#[tokio::test]
async fn the_same_key_with_another_picture_is_refused() {
    let app = App::new(&[]).await;
    let up = app.up();
    assert_eq!(upload(&app, up.url(), jpeg(1), "key").await.0, 200);
    for (status, problem) in
        [upload(&app, up.url(), jpeg(2), "key").await, by_path(&app, up.url(), 1, "a.jpg", "key").await]
    {
        assert_eq!(status, 422);
        assert!(problem["detail"].as_str().unwrap().starts_with("Idempotency-Key: "), "{problem}");
    }
    assert_eq!(app.count("SELECT count(*) FROM images"), 1);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn keys_are_per_user() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let up = app.up();
    let (_, first) = by_path(&app, up.url(), 1, "a.jpg", "key").await;
    let (status, second) = by_path(&app, up.url(), 2, "b.jpg", "key").await;
    assert_eq!(status, 200);
    assert_ne!(first["jobId"], second["jobId"]);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn concurrent_repeats_create_one_job() {
    let app = App::new(&[]).await;
    let up = app.up();
    let answers = join_all((0..20).map(|_| upload(&app, up.url(), jpeg(1), "key"))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 200), "{answers:?}");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'thumbnail'"), 1);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_key_holds_for_24_hours() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let up = app.up();
    let (_, first) = by_path(&app, up.url(), 1, "a.jpg", "key").await;
    let day = "UPDATE idempotency_keys SET created_at = created_at - 86400000";
    diesel::RunQueryDsl::execute(diesel::sql_query(day), &mut app.database()).unwrap();
    let (status, second) = by_path(&app, up.url(), 1, "b.jpg", "key").await;
    assert_eq!(status, 200);
    assert_ne!(first["jobId"], second["jobId"]);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_malformed_key_is_refused() {
    let app = App::new(&[]).await;
    let up = app.up();
    for key in ["", "two words", &"x".repeat(256)] {
        let (status, problem) = by_path(&app, up.url(), 1, "a.jpg", key).await;
        assert_eq!(status, 400, "{key:?}");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
    }
    assert_eq!(app.count("SELECT count(*) FROM jobs"), 0);
}
