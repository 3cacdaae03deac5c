//! The warehouse: every image is stored as one asset, every order is fulfilled once.

use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::pictures::{half_transparent_png, jpeg, jpeg_with_exif_orientation_6};

async fn warehouse_is_done(app: &App) {
    app.assert_none_is_left_of(&["warehouse"]).await;
}

fn report(app: &App) -> serde_json::Value {
    let ran = crate::harness::binary::Ran::of(&mut app.command(&["warehouse", "report", "--format", "json"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test]
async fn the_same_image_uploaded_twice_is_one_asset_with_two_references() {
    let app = App::new(&[]).await;
    let (serve, _worker) = (app.serve(), app.start(&["worker", "warehouse"]));
    let picture = jpeg(1);
    for user in [1, 1, 2] {
        app.upload(serve.url(), user, &picture).await;
    }
    app.upload(serve.url(), 2, &half_transparent_png()).await;
    warehouse_is_done(&app).await;
    assert_eq!(app.count("SELECT count(*) FROM assets"), 2);
    assert_eq!(app.count("SELECT count(*) FROM asset_references"), 4);
    let report = report(&app);
    let (jpeg, png) = (picture.len(), half_transparent_png().len());
    let expected = json!({
        "assets": 2, "references": 4, "bytes": jpeg + png, "bytesSaved": 2 * jpeg, "ordersPerDay": {},
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn the_images_of_a_user_are_listed_page_by_page_with_thumbnails_and_metadata() {
    let app = App::new(&[]).await;
    let up = app.up();
    for seed in 1..=3 {
        let accepted = app.upload(up.url(), 1, &jpeg(seed)).await;
        app.outcome(up.url(), &accepted).await;
    }
    app.upload(up.url(), 2, &jpeg(9)).await;
    warehouse_is_done(&app).await;
    let (status, first) = app.get(up.url(), "/users/1/images?limit=2").await;
    assert_eq!(status, 200, "{first}");
    let next = first["next"].as_str().unwrap();
    let (_, second) = app.get(up.url(), next).await;
    assert_eq!(second.get("next"), None, "{second}");
    let images = [first["images"].as_array().unwrap().as_slice(), second["images"].as_array().unwrap()].concat();
    assert_eq!(images.len(), 3);
    for (image, seed) in images.iter().zip([3, 2, 1]) {
        assert_eq!((&image["format"], &image["width"], &image["height"]), (&json!("jpg"), &json!(96), &json!(64)));
        assert_eq!(image["bytes"], jpeg(seed).len());
        assert!(image["imagePath"].as_str().unwrap().contains(image["sha256"].as_str().unwrap()));
        assert_eq!((&image["status"], &image["originalName"]), (&json!("done"), &json!("picture")));
        assert_eq!((&image["thumbnail"]["width"], &image["thumbnail"]["height"]), (&json!(300), &json!(300)));
        assert_eq!(image["variants"]["thumb"]["url"], image["thumbnailUrl"]);
        let thumbnail = format!("{}{}", up.url(), image["thumbnailUrl"].as_str().unwrap());
        assert_eq!(app.http.get(thumbnail).send().await.unwrap().status(), 200);
    }
    assert_eq!(app.get(up.url(), "/users/3/images").await.0, 404);
    for wrong in ["limit=0", "limit=501", "before=x", "limit=-1"] {
        assert_eq!(app.get(up.url(), &format!("/users/1/images?{wrong}")).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_an_image_is_no_asset_and_its_job_is_done_with_a_note() {
    let app = App::new(&["jobs.max_attempts=2"]).await;
    let serve = app.serve();
    app.dir.write("data/notes.txt", "hello");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    std::fs::File::open(app.dir.path().join("data/notes.txt")).unwrap().set_modified(old).unwrap();
    for path in ["notes.txt", "nowhere.jpg"] {
        assert_eq!(app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": path })).await.0, 200);
    }
    let _worker = app.start(&["worker", "warehouse"]);
    warehouse_is_done(&app).await;
    let (_, jobs) = app.get(serve.url(), "/admin/jobs?kind=warehouse").await;
    let by_path = |path: &str| {
        let shown = jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned());
        let query = |id: &str| format!("SELECT count(*) FROM jobs WHERE id = '{id}' AND payload LIKE '%{path}%'");
        let id = shown.into_iter().find(|id| app.count(&query(id)) == 1).unwrap();
        jobs.as_array().unwrap().iter().find(|job| job["id"] == id.as_str()).unwrap().clone()
    };
    let text = by_path("notes.txt");
    assert_eq!((&text["state"], &text["attempts"]), (&json!("done"), &json!(1)), "{text}");
    assert_eq!(text["note"], "no asset: the file is not an image");
    let missing = by_path("nowhere.jpg");
    assert_eq!((&missing["state"], &missing["error"]), (&json!("dead"), &json!("there is no such file")), "{missing}");
    assert_eq!(app.count("SELECT count(*) FROM assets"), 0);
}

#[tokio::test]
async fn the_metadata_of_a_file_that_is_still_written_is_that_of_the_finished_file() {
    let app = App::new(&[]).await;
    let (serve, _worker) = (app.serve(), app.start(&["worker", "warehouse"]));
    let whole = jpeg_with_exif_orientation_6();
    app.dir.write("data/slow.jpg", &whole[..whole.len() / 2]);
    app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": "slow.jpg" })).await;
    eventually("the worker has started", || async {
        (app.count("SELECT count(*) FROM jobs WHERE kind = 'warehouse' AND started_at IS NOT NULL") == 1).then_some(())
    })
    .await;
    app.dir.write("data/slow.jpg", &whole);
    warehouse_is_done(&app).await;
    assert_eq!(app.count("SELECT bytes FROM assets"), whole.len() as i64);
}

#[tokio::test]
async fn every_order_is_fulfilled_once_however_often_its_message_arrives() {
    let app = App::new(&[]).await;
    let workers = [app.start(&["worker", "warehouse"]), app.start(&["worker", "warehouse"])];
    let server = app.game_server();
    eventually("all three listen", || async { (app.redis.listeners("order_placed").await == 3).then_some(()) }).await;
    for order in 0..20 {
        let message = json!({ "orderId": format!("o-{order}"), "userId": "7" }).to_string();
        for _ in 0..3 {
            app.redis.publish("order_placed", &message).await;
        }
        assert_eq!(app.place_order(server.url(), &format!("o-{order}"), "7").await.0, 200);
    }
    warehouse_is_done(&app).await;
    assert_eq!(app.count("SELECT count(*) FROM orders"), 20);
    assert_eq!(app.count("SELECT count(*) FROM fulfilments"), 20);
    let (_, order) = app.get(server.url(), "/orders/o-3").await;
    assert!(order["fulfilment"]["fulfilledAt"].is_string(), "{order}");
    let days = report(&app)["ordersPerDay"].as_object().unwrap().clone();
    assert_eq!(days.values().map(|orders| orders.as_i64().unwrap()).sum::<i64>(), 20, "{days:?}");
    drop(workers);
}

#[tokio::test]
async fn the_report_is_available_as_table_and_csv() {
    let app = App::new(&[]).await;
    let (serve, server) = (app.serve(), app.game_server());
    app.upload(serve.url(), 1, &jpeg(1)).await;
    app.place_order(server.url(), "o-1", "7").await;
    let once = crate::harness::binary::Ran::of(&mut app.command(&["worker", "warehouse", "--once"]));
    assert_eq!((once.code, once.stdout.as_str()), (Some(0), ""), "{}", once.stderr);
    let run = |format: &str| {
        crate::harness::binary::Ran::of(&mut app.command(&["warehouse", "report", "--format", format])).stdout
    };
    let csv = run("csv");
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines[..3], ["what,sum", "assets,1", "references,1"]);
    assert!(lines[5].starts_with("orders 20") && lines[5].ends_with(",1"), "{csv}");
    assert!(run("table").starts_with("METRIC"), "{}", run("table"));
}
