//! The exact responses of `/status` and `/jobs`, and the upload to which a user's status refers.

use reqwest::header::CACHE_CONTROL;
use serde_json::{Value, json};

use crate::harness::app::{App, eventually};
use crate::harness::pictures::jpeg;

fn pending() -> Value {
    json!({ "status": "pending", "message": "Thumbnail is still being generated." })
}

/// The status of a user with the thumbnail of this job.
fn done(job: &Value) -> Value {
    json!({ "status": "done", "thumbnailUrl": job["thumbnailUrl"], "variants": job["variants"] })
}

fn failed(message: &str) -> Value {
    json!({ "status": "failed", "message": message })
}

/// The same status of a job, with the ids of the job and the user.
fn of_job(mut answer: Value, accepted: &Value) -> Value {
    answer["jobId"] = accepted["jobId"].clone();
    answer["userId"] = accepted["userId"].clone();
    answer
}

fn status_url(accepted: &Value) -> &str {
    accepted["statusUrl"].as_str().unwrap()
}

async fn enqueue(app: &App, url: &str, user: i64, path: &str) -> Value {
    let (status, accepted) = app.enqueue(url, &json!({ "userId": user, "imagePath": path })).await;
    assert_eq!(status, 200, "{accepted}");
    accepted
}

#[tokio::test]
async fn an_accepted_image_is_pending_at_once_and_finally_done() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    app.dir.write("data/photos/1.jpg", jpeg(1));
    let accepted = enqueue(&app, url, 7, "./photos//1.jpg").await;
    let job = accepted["jobId"].as_str().unwrap();
    assert_eq!(
        accepted,
        json!({
            "message": "Image received and event broadcasted!",
            "jobId": job,
            "userId": 7,
            "imagePath": "photos/1.jpg",
            "statusUrl": format!("/jobs/{job}"),
        })
    );
    assert_eq!(app.get(url, "/status/7").await, (200, pending()));
    assert_eq!(app.get(url, status_url(&accepted)).await, (200, of_job(pending(), &accepted)));

    let _worker = app.worker();
    let outcome = app.outcome(url, &accepted).await;
    let thumbnail = &outcome["thumbnailUrl"];
    assert!(thumbnail.as_str().unwrap().starts_with("/thumbnails/"), "{outcome}");
    assert_eq!(outcome, of_job(done(&outcome), &accepted));
    let file = app.http.get(format!("{url}{}", thumbnail.as_str().unwrap())).send().await.unwrap();
    let bytes = file.bytes().await.unwrap().len();
    let thumb = json!({ "url": thumbnail, "width": 300, "height": 300, "bytes": bytes });
    assert_eq!(outcome["variants"], json!({ "thumb": thumb }));
    assert_eq!(app.get(url, status_url(&accepted)).await, (200, outcome.clone()));
    assert_eq!(app.get(url, "/status/7").await, (200, done(&outcome)));
    assert_eq!(app.get(url, "/status-live/7").await, (200, done(&outcome)));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_unknown_user_gets_the_response_of_the_replaced_service() {
    let app = App::new(&[]).await;
    let up = app.up();
    let answer = app.get(up.url(), "/status/404").await;
    assert_eq!(answer, (404, json!({ "status": "error", "message": "User not found" })));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn statuses_are_not_used_without_the_server() {
    let app = App::new(&[]).await;
    let up = app.up();
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    app.outcome(up.url(), &accepted).await;
    for (path, caching) in [
        ("/status/1", "private, no-cache"),
        ("/status/2", "no-store"),
        ("/status-live/1", "no-store"),
        ("/status-live/2?timeout=1", "no-store"),
        (status_url(&accepted), "private, no-cache"),
    ] {
        let response = app.http.get(format!("{}{path}", up.url())).send().await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], caching, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    }
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn failed_refers_to_the_newest_upload_of_a_user_without_a_thumbnail() {
    let app = App::new(&[]).await;
    let (serve, mut worker) = (app.serve(), app.worker());
    let url = serve.url();
    app.dir.write("data/text", "text");
    app.dir.write("data/empty", "");
    let no_picture = "The file is not an image; send a JPEG, PNG, WebP, GIF, TIFF or BMP image.";
    let empty = "The file is empty; send a JPEG, PNG, WebP, GIF, TIFF or BMP image.";

    let first = enqueue(&app, url, 1, "text").await;
    assert_eq!(app.outcome(url, &first).await, of_job(failed(no_picture), &first));
    assert_eq!(app.get(url, "/status/1").await, (200, failed(no_picture)));
    let second = enqueue(&app, url, 1, "empty").await;
    app.outcome(url, &second).await;
    assert_eq!(app.get(url, "/status/1").await, (200, failed(empty)));

    worker.kill();
    let third = app.upload(url, 1, &jpeg(1)).await;
    assert_eq!(app.get(url, "/status/1").await, (200, pending()), "a newer upload is on its way");
    let _worker = app.worker();
    let outcome = app.outcome(url, &third).await;
    let fourth = enqueue(&app, url, 1, "text").await;
    assert_eq!(app.outcome(url, &fourth).await["status"], "failed");
    assert_eq!(app.get(url, "/status/1").await, (200, done(&outcome)), "there is a thumbnail");
    assert_eq!(app.get(url, status_url(&first)).await.1["message"], no_picture);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_older_upload_that_finishes_later_does_not_replace_a_newer_one() {
    let app = App::new(&["jobs.max_attempts=1000"]).await;
    let up = app.up();
    let url = up.url();
    // Its file is created late, so that it finishes late.
    let older = enqueue(&app, url, 1, "late.jpg").await;
    let newer = app.upload(url, 1, &jpeg(2)).await;
    let newer = app.outcome(url, &newer).await;
    app.dir.write("late.tmp", jpeg(1));
    std::fs::rename(app.dir.path().join("late.tmp"), app.dir.path().join("data/late.jpg")).unwrap();
    let older = app.outcome(url, &older).await;
    assert_eq!(older["status"], "done");
    assert_ne!(older["thumbnailUrl"], newer["thumbnailUrl"]);
    assert_eq!(app.get(url, "/status/1").await, (200, done(&newer)));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_older_upload_that_fails_later_does_not_affect_a_newer_one() {
    let app = App::new(&["jobs.max_attempts=3", "jobs.retry_base_s=1"]).await;
    let (serve, mut worker) = (app.serve(), app.worker());
    let url = serve.url();
    let older = enqueue(&app, url, 1, "never.jpg").await;
    eventually("the first attempt has failed", || async {
        (app.count("SELECT max(attempts) FROM jobs") > 0).then_some(())
    })
    .await;
    worker.kill();
    // The newer one waits for a file that is created after the older one has failed.
    let newer = enqueue(&app, url, 1, "late.jpg").await;
    let delayed =
        "UPDATE jobs SET run_at = run_at + 3600000 WHERE id = (SELECT max(id) FROM jobs WHERE kind = 'thumbnail')";
    diesel::RunQueryDsl::execute(diesel::sql_query(delayed), &mut app.database()).unwrap();
    let _worker = app.worker();
    assert_eq!(app.outcome(url, &older).await["status"], "failed");
    assert_eq!(app.get(url, "/status/1").await, (200, pending()));
    app.dir.write("data/late.jpg", jpeg(1));
    let due = "UPDATE jobs SET run_at = 0 WHERE state = 'queued'";
    diesel::RunQueryDsl::execute(diesel::sql_query(due), &mut app.database()).unwrap();
    assert_eq!(app.outcome(url, &newer).await["status"], "done");
    assert_eq!(app.get(url, "/status/1").await.1["status"], "done");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn the_upload_that_was_accepted_last_wins() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    let mut last = Value::Null;
    for seed in 1..=20 {
        last = app.upload(url, 1, &jpeg(seed)).await;
    }
    let (_one, _two) = (app.worker(), app.worker());
    let last = app.outcome(url, &last).await;
    app.assert_no_job_is_left().await;
    assert_eq!(app.get(url, "/status/1").await, (200, done(&last)));
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), 20);
}
