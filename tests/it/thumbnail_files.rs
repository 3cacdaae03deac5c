//! Images and thumbnails as files: serving, storage, cleanup.

use std::path::Path;

use image::GenericImageView;
use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::pictures::{half_transparent_png, jpeg, jpeg_with_exif_orientation_6};
use crate::harness::problem::assert_refused;
use crate::harness::raw_http;

async fn thumbnail_of(app: &App, url: &str, picture: &[u8]) -> String {
    app.upload(url, 1, picture).await;
    let (_, done) = app.get(url, "/status-live/1").await;
    format!("{url}{}", done["thumbnailUrl"].as_str().unwrap())
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn a_thumbnail_is_immutable_and_supports_range_requests() {
    let app = App::new(&[]).await;
    let up = app.up();
    let thumbnail = thumbnail_of(&app, up.url(), &jpeg(1)).await;
    let get = || app.http.get(&thumbnail);
    let whole = get().send().await.unwrap();
    assert!(whole.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = whole.headers()["etag"].clone();
    let whole = whole.bytes().await.unwrap();

    assert_eq!(get().header("If-None-Match", tag).send().await.unwrap().status(), 304);
    let part = get().header("Range", "bytes=2-5").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), whole[2..6]);
    for (name, value, status, detail) in [
        ("If-Match", &b"\"other\""[..], 412, "The file has another ETag or date than If-Match"),
        ("Range", b"bytes=\xe9", 400, "Range: got characters that are not ASCII, expected such as \"bytes=0-99\""),
        ("Range", b"bytes=9999999-", 416, "The range is outside of this file."),
    ] {
        assert_refused(name, get().header(name, value), status, detail).await;
    }
    let head = app.http.head(&thumbnail).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], whole.len().to_string().as_str());
    assert!(head.bytes().await.unwrap().is_empty());
    let unknown = format!("/thumbnails/{}.jpg", "0".repeat(64));
    assert_eq!(app.get(up.url(), &unknown).await.0, 404);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_photo_with_exif_orientation_becomes_upright() {
    let app = App::new(&[]).await;
    let up = app.up();
    let thumbnail = thumbnail_of(&app, up.url(), &jpeg_with_exif_orientation_6()).await;
    let bytes = app.http.get(thumbnail).send().await.unwrap().bytes().await.unwrap();
    let thumbnail = image::load_from_memory(&bytes).unwrap();
    let (top, bottom) = (thumbnail.get_pixel(150, 40), thumbnail.get_pixel(150, 260));
    assert!(top[0] > 180 && top[2] < 80, "red on top: {top:?}");
    assert!(bottom[2] > 180 && bottom[0] < 80, "blue below: {bottom:?}");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn transparency_is_preserved() {
    let app = App::new(&[]).await;
    let up = app.up();
    let thumbnail = thumbnail_of(&app, up.url(), &half_transparent_png()).await;
    let answer = app.http.get(&thumbnail).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/png");
    let thumbnail = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!((thumbnail.get_pixel(40, 150)[3], thumbnail.get_pixel(260, 150)[3]), (0, 255));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn identical_images_are_stored_once() {
    let app = App::new(&[]).await;
    let up = app.up();
    for user in 1..=3 {
        app.upload(up.url(), user, &jpeg(1)).await;
    }
    app.assert_no_job_is_left().await;
    let data = app.dir.path().join("data");
    assert_eq!((files(&data.join("uploads")), files(&data.join("thumbnails"))), (1, 1));
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), 3);
}

#[tokio::test]
async fn an_aborted_upload_leaves_no_file() {
    let app = App::new(&[]).await;
    let up = app.up();
    let begun = "POST /enqueue HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n\
                 Content-Length: 2000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\nhalf";
    let mut stream = raw_http::connect(up.url()).await;
    // More than the server buffers.
    let begun = [begun.as_bytes(), &[0; 1 << 20]].concat();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &begun).await.unwrap();
    let temporary = app.dir.path().join("data/uploads/.tmp");
    eventually("the upload has started", || async { (files(&temporary) == 1).then_some(()) }).await;
    drop(stream);
    eventually("no file is left", || async { (files(&temporary) == 0).then_some(()) }).await;
    assert_eq!(app.count("SELECT count(*) FROM images"), 0);
}

#[tokio::test]
async fn a_missing_file_is_retried_until_the_attempts_are_exhausted() {
    let app = App::new(&["jobs.max_attempts=3"]).await;
    let up = app.up();
    let (status, accepted) = app.enqueue(up.url(), &json!({ "userId": 1, "imagePath": "no/such.jpg" })).await;
    assert_eq!(status, 200);
    let (_, ended) = app.get(up.url(), &format!("{}/live", accepted["statusUrl"].as_str().unwrap())).await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["message"], "There is no image at this path.");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'thumbnail' AND state = 'dead' AND attempts = 3"), 1);
}

#[tokio::test]
async fn a_file_that_appears_later_is_processed() {
    let app = App::new(&["jobs.max_attempts=1000", "jobs.retry_base_s=0.01"]).await;
    let up = app.up();
    app.enqueue(up.url(), &json!({ "userId": 1, "imagePath": "late.jpg" })).await;
    eventually("an attempt has failed", || async {
        (app.count("SELECT count(*) FROM jobs WHERE kind = 'thumbnail' AND attempts > 0") == 1).then_some(())
    })
    .await;
    assert_eq!(app.get(up.url(), "/status/1").await.1["status"], "pending");
    app.dir.write("data/late.jpg", jpeg(1));
    assert_eq!(app.get(up.url(), "/status-live/1").await.1["status"], "done");
    app.assert_no_job_is_left().await;
}
