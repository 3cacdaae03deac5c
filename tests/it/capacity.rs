//! The limits that refuse work before the disk is full.

use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::ports::free_address;

#[tokio::test]
async fn uploads_are_refused_with_retry_after_while_too_many_thumbnail_jobs_are_queued() {
    let app = App::new(&["jobs.max_queued=3"]).await;
    let serve = app.serve();
    for user in 1..=3 {
        app.upload(serve.url(), user, &jpeg(user as u8)).await;
    }
    let part = reqwest::multipart::Part::bytes(jpeg(4));
    let form = reqwest::multipart::Form::new().text("userId", "4").part("image", part);
    let refused = app.http.post(format!("{}/enqueue", serve.url())).multipart(form).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().starts_with("3 thumbnail jobs wait already"), "{problem}");
    let (status, _) = app.enqueue(serve.url(), &json!({ "userId": 4, "imagePath": "x.jpg" })).await;
    assert_eq!(status, 503);
    assert_eq!(app.count("SELECT count(*) FROM images"), 3, "a refused upload leaves no row");
    let _worker = app.worker();
    eventually("an upload is accepted again", || async {
        let answer = app.try_upload(serve.url(), 4, &jpeg(4)).await.unwrap();
        (answer.0 == 200).then_some(())
    })
    .await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn concurrent_uploads_do_not_exceed_the_limit() {
    let app = App::new(&["jobs.max_queued=10"]).await;
    let serve = app.serve();
    let bodies: Vec<_> = (1..=200).map(|user| json!({ "userId": user, "imagePath": format!("{user}.jpg") })).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| app.enqueue(serve.url(), body))).await;
    let accepted = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(answers.iter().all(|(status, _)| [200, 503].contains(status)));
    assert_eq!((accepted, app.count("SELECT count(*) FROM images")), (10, 10));
}

#[tokio::test]
async fn a_backlog_of_warehouse_and_email_jobs_refuses_no_upload() {
    let app = App::new(&["jobs.max_queued=2"]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    for user in 1..=5 {
        let accepted = app.upload(serve.url(), user, &jpeg(user as u8)).await;
        app.outcome(serve.url(), &accepted).await;
    }
    assert!(app.count("SELECT count(*) FROM jobs WHERE state = 'queued' AND kind = 'email'") >= 10);
    let server = app.game_server();
    for order in 0..5 {
        assert_eq!(app.place_order(server.url(), &format!("o-{order}"), "7").await.0, 200);
    }
}

#[tokio::test]
async fn orders_are_refused_with_retry_after_while_too_many_webhook_jobs_are_queued() {
    let nobody = free_address();
    let app = App::new(&["jobs.max_queued=2", &format!("webhook.url=http://{nobody}"), "jobs.retry_base_s=60"]).await;
    let server = app.game_server();
    for order in ["o-1", "o-2"] {
        assert_eq!(app.place_order(server.url(), order, "7").await.0, 200);
    }
    eventually("both wait for their next attempt", || async {
        let waiting = "SELECT count(*) FROM jobs WHERE kind = 'webhook' AND state = 'queued' AND attempts = 1";
        (app.count(waiting) == 2).then_some(())
    })
    .await;
    let (status, problem) = app.place_order(server.url(), "o-3", "7").await;
    assert_eq!(status, 503, "{problem}");
    assert_eq!(app.count("SELECT count(*) FROM orders"), 2);
}

#[tokio::test]
async fn an_almost_full_disk_refuses_uploads_with_507_while_queued_jobs_run() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    assert!(serve.stop().success());
    let serve = app.start(&["serve", "--set", &format!("serve.min_free_bytes={}", 1_u64 << 60)]);
    let (status, problem) = app.try_upload(serve.url(), 2, &jpeg(2)).await.unwrap();
    assert_eq!(status, 507, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("disk is almost full"), "{problem}");
    assert_eq!(app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": "x.jpg" })).await.0, 507);
    let _worker = app.worker();
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    assert_eq!(app.get(serve.url(), "/readyz").await.0, 503);
    assert_eq!(app.count("SELECT count(*) FROM images"), 1);
    app.assert_no_job_is_left().await;
}
