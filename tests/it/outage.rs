//! Redis comes and goes; uploads are accepted and jobs are done all the same.

use serde_json::{Value, json};

use crate::harness::app::{App, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::redis::TestRedis;

async fn readiness(app: &App, url: &str, expected: &str) -> Value {
    eventually(expected, || async {
        let (status, report) = app.get(url, "/readyz").await;
        assert_eq!(status, 200, "{report}");
        (report["status"] == expected).then_some(report)
    })
    .await
}

#[tokio::test]
async fn uploads_are_accepted_and_done_while_redis_has_never_been_there() {
    let mut app = App::with_redis(TestRedis::down(), &[]);
    let up = app.up();
    let report = readiness(&app, up.url(), "degraded").await;
    assert_ne!(report["checks"]["redis"], "ok");
    app.upload(up.url(), 1, &jpeg(1)).await;
    assert_eq!(app.get(up.url(), "/status-live/1").await.1["status"], "done");

    app.redis.restart_empty().await;
    readiness(&app, up.url(), "ready").await;
    app.upload(up.url(), 2, &jpeg(2)).await;
    assert_eq!(app.get(up.url(), "/status-live/2").await.1["status"], "done");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_outage_in_the_middle_is_over_without_a_restart() {
    let mut app = App::new(&[]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    readiness(&app, serve.url(), "ready").await;
    app.redis.stop().await;
    readiness(&app, serve.url(), "degraded").await;
    for user in 1..=10 {
        app.upload(serve.url(), user, &jpeg(user as u8)).await;
    }
    for user in 1..=10 {
        assert_eq!(app.get(serve.url(), &format!("/status-live/{user}")).await.1["status"], "done");
    }
    app.redis.restart_empty().await;
    readiness(&app, serve.url(), "ready").await;
    app.upload(serve.url(), 11, &jpeg(11)).await;
    assert_eq!(app.get(serve.url(), "/status-live/11").await.1["status"], "done");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn the_bell_is_rung_again_after_an_outage() {
    // Sweeps that never come in a test's time: only the bell can have woken the worker.
    let mut app = App::new(&["jobs.sweep_interval_s=3600"]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    readiness(&app, serve.url(), "ready").await;
    app.redis.stop().await;
    readiness(&app, serve.url(), "degraded").await;
    app.redis.restart_empty().await;
    eventually("both hear the channel again", || async {
        (app.redis.listeners("image_uploaded").await >= 2).then_some(())
    })
    .await;
    // It takes another connection to ring.
    readiness(&app, serve.url(), "ready").await;
    app.upload(serve.url(), 1, &jpeg(1)).await;
    assert_eq!(app.get(serve.url(), "/status-live/1").await.1["status"], "done");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn another_program_s_picture_becomes_one_job_however_many_hear_of_it() {
    let app = App::new(&[]).await;
    let picture = app.dir.write("data/photos/one.jpg", jpeg(1));
    let (serve, _one, _two) = (app.serve(), app.worker(), app.worker());
    eventually("all three listen", || async { (app.redis.listeners("image_uploaded").await == 3).then_some(()) }).await;
    for malformed in ["null", "{\"userId\":1", "{\"userId\":\"1\",\"imagePath\":\"x\"}", "[]", "\u{1}"] {
        app.redis.publish("image_uploaded", malformed).await;
    }
    let message = json!({ "userId": 1, "imagePath": "photos/one.jpg" }).to_string();
    app.redis.publish("image_uploaded", message).await;
    assert_eq!(app.get(serve.url(), "/status-live/1").await.1["status"], "done");
    app.assert_no_job_is_left().await;
    assert!(picture.exists(), "the file stays its owner's");
    // Whoever hears a message after its job has ended makes another; at once they make one.
    assert_eq!(app.count("SELECT count(DISTINCT user_id) FROM images"), 1);
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), app.count("SELECT count(*) FROM images"));
}
