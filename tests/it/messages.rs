//! Images and orders that other programs submit by messages: each is recorded once, by a process with the relevant
//! configuration.

use std::path::Path;

use serde_json::json;

use crate::harness::app::{App, Process, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::receiver::{Answer, Receiver};

const IMAGES: i64 = 30;

async fn listening(app: &App, channel: &str, processes: u64) {
    eventually("all listen", || async { (app.redis.listeners(channel).await == processes).then_some(()) }).await;
}

fn image(name: &str) -> String {
    json!({ "userId": 1, "imagePath": format!("photos/{name}.jpg") }).to_string()
}

/// Writes an image below the image root, and submits it by a message.
async fn submit(app: &App, name: &str) {
    app.dir.write(&format!("data/photos/{name}.jpg"), jpeg(1));
    app.redis.publish("image_uploaded", image(name)).await;
}

fn images(app: &App) -> i64 {
    app.count("SELECT count(*) FROM images")
}

async fn until_images(app: &App, count: i64) {
    eventually("the images are recorded", || async { (images(app) >= count).then_some(()) }).await;
}

/// Submits images until one is recorded: earlier messages are recorded by then.
async fn until_all_are_recorded(app: &App) {
    let mut number = 0;
    eventually("a later image is recorded", || {
        number += 1;
        let name = format!("later-{number}");
        async move {
            submit(app, &name).await;
            (app.count("SELECT count(*) FROM images WHERE path LIKE '%later-%'") > 0).then_some(())
        }
    })
    .await;
}

#[tokio::test]
async fn only_game_servers_record_other_programs_orders() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = App::new(&[]).await;
    let _workers = ["warehouse", "email", "all"].map(|name| app.start(&["worker", name]));
    let game = app.start(&["game-server", "--set", &format!("webhook.url={}", receiver.url)]);
    listening(&app, "order_placed", 4).await;
    for order in 0..40 {
        app.redis.publish("order_placed", json!({ "orderId": format!("o-{order}"), "userId": "u" }).to_string()).await;
    }
    eventually("the orders are recorded", || async { (app.count("SELECT count(*) FROM orders") == 40).then_some(()) })
        .await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'webhook'"), 40);
    receiver.until(40).await;
    app.assert_none_is_left_of(&["webhook", "warehouse", "email"]).await;
    drop(game);
}

#[tokio::test]
async fn workers_record_no_orders() {
    let app = App::new(&[]).await;
    let worker = app.start(&["worker", "all"]);
    let serve = app.serve();
    listening(&app, "order_placed", 1).await;
    app.redis.publish("order_placed", json!({ "orderId": "o-1", "userId": "u" }).to_string()).await;
    // A later message shows that the worker has handled the earlier ones.
    listening(&app, "image_uploaded", 2).await;
    submit(&app, "one").await;
    until_images(&app, 1).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    assert_eq!(app.count("SELECT count(*) FROM orders"), 0);
    drop((worker, serve));
}

#[tokio::test]
async fn the_api_server_decides_about_mail_for_other_programs_images() {
    let app = App::new(&[]).await;
    let _workers = [app.worker(), app.start(&["worker", "all"])];
    let _serve = app.start(&["serve", "--set", "email.notify=none"]);
    listening(&app, "image_uploaded", 3).await;
    for number in 0..IMAGES {
        submit(&app, &number.to_string()).await;
    }
    until_images(&app, IMAGES).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    assert_eq!(images(&app), IMAGES);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'email'"), 0);
}

#[tokio::test]
async fn a_lagging_process_does_not_record_messages_twice() {
    let app = App::new(&[]).await;
    let (late, mut serve) = (app.serve(), app.serve());
    let mut worker = app.worker();
    listening(&app, "image_uploaded", 3).await;
    late.signal("STOP");
    for number in 0..IMAGES {
        submit(&app, &number.to_string()).await;
    }
    until_images(&app, IMAGES).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    assert!(worker.stop().success() && serve.stop().success());
    late.signal("CONT");
    until_all_are_recorded(&app).await;
    assert_eq!(app.count("SELECT count(*) FROM images WHERE path NOT LIKE '%later-%'"), IMAGES);
}

#[tokio::test]
async fn the_same_image_submitted_twice_is_recorded_twice() {
    let app = App::new(&[]).await;
    let _processes = [app.serve(), app.serve(), app.worker()];
    listening(&app, "image_uploaded", 3).await;
    for _ in 0..3 {
        submit(&app, "one").await;
    }
    until_images(&app, 3).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    submit(&app, "one").await;
    until_images(&app, 4).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    assert_eq!(images(&app), 4);
}

#[tokio::test]
async fn workers_record_images_if_no_api_server_runs_or_it_hangs() {
    let app = App::new(&[]).await;
    let mut workers = [app.worker(), app.worker()];
    listening(&app, "image_uploaded", 2).await;
    submit(&app, "one").await;
    until_images(&app, 1).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;

    let serve = app.serve();
    listening(&app, "image_uploaded", 3).await;
    serve.signal("STOP");
    submit(&app, "two").await;
    until_images(&app, 2).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    assert!(workers.iter_mut().map(Process::stop).all(|status| status.success()));
    serve.signal("CONT");
    until_all_are_recorded(&app).await;
    assert_eq!(app.count("SELECT count(*) FROM images WHERE path NOT LIKE '%later-%'"), 2);
}

#[tokio::test]
async fn images_above_the_queue_limit_wait() {
    let app = App::new(&["jobs.max_queued=3"]).await;
    let serve = app.serve();
    listening(&app, "image_uploaded", 1).await;
    for number in 0..10 {
        submit(&app, &number.to_string()).await;
    }
    until_images(&app, 3).await;
    assert_eq!(app.try_upload(serve.url(), 1, &jpeg(1)).await.unwrap().0, 503);
    assert_eq!(images(&app), 3);
    let _worker = app.worker();
    until_images(&app, 10).await;
    app.assert_none_is_left_of(&["thumbnail"]).await;
    assert_eq!((images(&app), app.count("SELECT count(*) FROM images WHERE state = 'done'")), (10, 10));
}

#[tokio::test]
async fn a_recorded_image_is_published_with_its_job() {
    let app = App::new(&["jobs.sweep_interval_s=3600"]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    listening(&app, "image_uploaded", 2).await;
    submit(&app, "one").await;
    // No sweep runs during the test, and the message itself arrived before the job existed.
    let (_, answer) = app.get(serve.url(), "/status-live/1?timeout=60").await;
    assert_eq!(answer["status"], "done", "{answer}");
    assert!(Path::new(&app.dir.path().join("data/photos/one.jpg")).exists(), "the file stays its owner's");
}
