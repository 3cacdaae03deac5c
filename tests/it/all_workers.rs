//! All workers together: random kills lose nothing and repeat nothing, and missed work is caught up.

use rand::RngExt;
use serde_json::json;

use crate::harness::app::{App, Process, eventually};
use crate::harness::binary::Ran;
use crate::harness::pictures::jpeg;

const WORKERS: [&str; 3] = ["thumbnail", "warehouse", "email"];
const UPLOADS: usize = 200;
const ORDERS: usize = 200;
const KILLS: usize = 10;
/// Every fifth user has no address.
const NO_ADDRESS: i64 = 5;

/// Kills a random worker and starts a new one, but never so often that a job looks as if it crashed its workers.
async fn kill_one(app: &App, workers: &mut [Process]) {
    let unlucky = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND crashes > 2";
    eventually("unlucky jobs end", || async { (app.count(unlucky) == 0).then_some(()) }).await;
    let victim = rand::rng().random_range(0..workers.len());
    workers[victim].kill();
    workers[victim] = app.start(&["worker", WORKERS[victim]]);
}

#[tokio::test]
async fn random_kills_leave_every_asset_fulfilment_and_mail_exactly_once() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.game_server());
    let mut workers = WORKERS.map(|name| app.start(&["worker", name]));
    for user in (1..=10).filter(|user| user % NO_ADDRESS != 0) {
        let body = json!({ "username": "Ada", "email": format!("u{user}@example.org") });
        let put = app.http.put(format!("{}/users/{user}", serve.url())).json(&body);
        assert_eq!(put.send().await.unwrap().status(), 201);
    }
    for number in 0..UPLOADS {
        let user = number as i64 % 10 + 1;
        app.upload(serve.url(), user, &jpeg((number % 50) as u8)).await;
        assert_eq!(app.place_order(game.url(), &format!("o-{number}"), &user.to_string()).await.0, 200);
        if number % (UPLOADS / KILLS) == UPLOADS / KILLS / 2 {
            kill_one(&app, &mut workers).await;
        }
    }
    let left = || app.count("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')");
    while left() > 0 {
        let before = left();
        eventually("the backlog shrinks", || async { (left() < before || before == 0).then_some(()) }).await;
    }

    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'"), 0);
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), UPLOADS as i64);
    assert_eq!(app.count("SELECT count(*) FROM assets"), 50);
    assert_eq!(app.count("SELECT count(*) FROM asset_references"), UPLOADS as i64);
    assert_eq!(app.count("SELECT count(*) FROM fulfilments"), ORDERS as i64);
    // Two mails for each image and one for each order, but none for the fifth of the users without an address.
    let mails = (2 * UPLOADS + ORDERS) as i64;
    assert_eq!(app.count("SELECT count(*) FROM mails"), mails);
    assert_eq!(app.count("SELECT count(*) FROM mails WHERE state = 'skipped'"), mails / NO_ADDRESS);
    for notice in ["upload_received", "thumbnail_ready", "order_confirmed"] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM mails WHERE notice = '{notice}'")), UPLOADS as i64);
    }
    let outbox = std::fs::read_dir(app.dir.path().join("data/outbox")).unwrap();
    let letters = outbox.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "eml"));
    assert_eq!(letters.count() as i64, mails - mails / NO_ADDRESS, "a file for each mail and no other");
}

#[tokio::test]
async fn workers_that_are_started_after_the_fact_catch_up_with_all_that_they_missed() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.game_server());
    let put = app.http.put(format!("{}/users/1", serve.url())).json(&json!({ "email": "ada@example.org" }));
    assert_eq!(put.send().await.unwrap().status(), 201);
    for number in 0..20 {
        app.upload(serve.url(), 1, &jpeg(number)).await;
        assert_eq!(app.place_order(game.url(), &format!("o-{number}"), "1").await.0, 200);
    }
    drop((serve, game));
    let all = app.start(&["worker", "all"]);
    assert!(all.first_line.starts_with("thumbnail worker "), "{}", all.first_line);
    app.assert_none_is_left_of(&["thumbnail", "warehouse", "email"]).await;
    for (table, rows) in [("thumbnails", 20), ("asset_references", 20), ("fulfilments", 20), ("mails", 60)] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}

#[tokio::test]
async fn every_worker_is_notified_of_its_work_before_its_sweep() {
    let app = App::new(&["jobs.sweep_interval_s=3600"]).await;
    let (serve, game) = (app.serve(), app.game_server());
    let _workers = WORKERS.map(|name| app.start(&["worker", name]));
    // The API server subscribes to uploads too, and the game server to orders.
    for (channel, listeners) in [("image_uploaded", 4), ("order_placed", 3)] {
        eventually("all listen", || async { (app.redis.listeners(channel).await >= listeners).then_some(()) }).await;
    }
    app.upload(serve.url(), 1, &jpeg(1)).await;
    assert_eq!(app.place_order(game.url(), "o-1", "1").await.0, 200);
    app.assert_none_is_left_of(&WORKERS).await;
    for (table, rows) in [("thumbnails", 1), ("asset_references", 1), ("fulfilments", 1), ("mails", 3)] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}

#[tokio::test]
async fn a_worker_with_once_runs_due_jobs_and_exits() {
    let app = App::new(&["jobs.retry_base_s=3600", "jobs.sweep_interval_s=3600"]).await;
    let serve = app.serve();
    for number in 0..5 {
        app.upload(serve.url(), 1, &jpeg(number)).await;
    }
    app.enqueue(serve.url(), &json!({ "userId": 2, "imagePath": "nowhere.jpg" })).await;
    let mut once = app.command(&["worker", "all", "--once", "--concurrency", "2"]);
    let ran = tokio::task::spawn_blocking(move || Ran::of(&mut once)).await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), 5);
    assert_eq!(app.count("SELECT count(*) FROM asset_references"), 5);
    assert_eq!(app.count("SELECT count(*) FROM mails"), 11, "those of the thumbnails too");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'running'"), 0);
    let waiting = "SELECT count(*) FROM jobs WHERE state = 'queued' AND attempts = 1";
    assert_eq!(app.count(waiting), 2, "a failed job waits for its retry");
    let locks = std::fs::read_dir(app.dir.path().join("data/workers")).unwrap().count();
    assert_eq!(locks, 0, "it leaves no lock behind");
}

#[tokio::test]
async fn a_mail_that_is_not_among_the_preferences_has_no_job() {
    let app = App::new(&["email.notify=thumbnail_failed"]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    let good = app.upload(serve.url(), 1, &jpeg(1)).await;
    let bad = app.upload(serve.url(), 1, &crate::harness::pictures::truncated_jpeg()).await;
    app.outcome(serve.url(), &good).await;
    app.outcome(serve.url(), &bad).await;
    assert_eq!(app.place_order(app.game_server().url(), "o-1", "1").await.0, 200);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'email'"), 1);
    let ready = "SELECT count(*) FROM jobs WHERE kind = 'email' AND payload LIKE '%thumbnail_failed%'";
    assert_eq!(app.count(ready), 1);
}
