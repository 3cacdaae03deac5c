//! From an upload to its thumbnail.

use image::ImageFormat;

use crate::harness::app::App;
use crate::harness::pictures::picture;

#[tokio::test]
async fn an_upload_becomes_a_thumbnail_of_300_by_300() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let accepted = app.upload(url, 1, &picture(1, ImageFormat::Png)).await;
    assert_eq!(accepted["message"], "Image received and event broadcasted!");

    let (status, answer) = app.get(url, "/status-live/1").await;
    assert_eq!((status, &answer["status"]), (200, &"done".into()), "{answer}");
    let thumbnail = app.http.get(format!("{url}{}", answer["thumbnailUrl"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
    let thumbnail = image::load_from_memory(&thumbnail.bytes().await.unwrap()).unwrap();
    assert_eq!((thumbnail.width(), thumbnail.height()), (300, 300));
    assert_eq!(app.get(url, "/status/1").await, (200, answer));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_server_and_two_separate_workers_make_all_thumbnails() {
    let app = App::new(&[]).await;
    let (serve, _one, _two) = (app.serve(), app.worker(), app.worker());
    for user in 1..=20 {
        app.upload(serve.url(), user, &picture(user as u8, ImageFormat::Jpeg)).await;
    }
    for user in 1..=20 {
        let (_, answer) = app.get(serve.url(), &format!("/status-live/{user}")).await;
        assert_eq!(answer["status"], "done", "{answer}");
    }
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), 20);
    app.assert_no_job_is_left().await;
}
