//! A user's thumbnail is that of the newest upload, no matter in which order the jobs finish.

use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::pictures::{jpeg, truncated_jpeg};

#[tokio::test]
async fn an_older_upload_that_finishes_later_does_not_replace_a_newer_thumbnail() {
    let app = App::new(&["jobs.max_attempts=1000", "jobs.retry_base_s=0.01"]).await;
    let up = app.up();
    // The older image waits for its file, so that the newer one finishes first.
    let (_, older) = app.enqueue(up.url(), &json!({ "userId": 1, "imagePath": "late.jpg" })).await;
    let newer = app.upload(up.url(), 1, &jpeg(2)).await;
    let newer = app.get(up.url(), &format!("{}/live", newer["statusUrl"].as_str().unwrap())).await.1;
    assert_eq!(newer["status"], "done");

    app.dir.write("data/late.jpg", jpeg(1));
    let older = app.get(up.url(), &format!("{}/live", older["statusUrl"].as_str().unwrap())).await.1;
    assert_eq!(older["status"], "done");
    assert_ne!(older["thumbnailUrl"], newer["thumbnailUrl"]);
    let user = json!({ "status": "done", "thumbnailUrl": newer["thumbnailUrl"], "variants": newer["variants"] });
    assert_eq!(app.get(up.url(), "/status/1").await, (200, user));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn failed_refers_to_the_newest_upload_of_users_without_a_thumbnail() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let up = app.up();
    let status = |expected: &'static str| {
        let (app, url) = (&app, up.url());
        eventually(
            expected,
            move || async move { (app.get(url, "/status/1").await.1["status"] == expected).then_some(()) },
        )
    };
    app.upload(up.url(), 1, &truncated_jpeg()).await;
    status("failed").await;
    // A new upload clears the failure before it is finished.
    app.upload(up.url(), 1, &jpeg(1)).await;
    assert_ne!(app.get(up.url(), "/status/1").await.1["status"], "failed");
    status("done").await;
    let failing = app.upload(up.url(), 1, &truncated_jpeg()).await;
    let failed = app.get(up.url(), &format!("{}/live", failing["statusUrl"].as_str().unwrap())).await.1;
    assert_eq!(failed["status"], "failed");
    status("done").await;
    app.assert_no_job_is_left().await;
}
