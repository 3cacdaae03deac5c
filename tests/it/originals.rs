//! Originals: damaged ones are repaired, unreferenced ones are removed, and disk space is reserved for new ones.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use diesel::RunQueryDsl;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::app::{App, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::raw_http;

/// The path of the upload in this response.
fn stored(app: &App, accepted: &Value) -> PathBuf {
    app.dir.path().join("data").join(accepted["imagePath"].as_str().unwrap())
}

/// Damages a file like a failing disk: its length is unchanged.
fn damage(file: &Path) {
    let bytes: Vec<u8> = std::fs::read(file).unwrap().iter().map(|byte| byte ^ 0x55).collect();
    std::fs::write(file, bytes).unwrap();
}

fn age(file: &Path) {
    let two_days = Duration::from_secs(48 * 60 * 60);
    File::options().write(true).open(file).unwrap().set_modified(SystemTime::now() - two_days).unwrap();
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn temporaries(app: &App) -> usize {
    entries(&app.dir.path().join("data/uploads/.tmp"))
}

#[tokio::test]
async fn uploading_the_same_image_again_repairs_a_damaged_original_and_its_job() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let serve = app.serve();
    let first = app.upload(serve.url(), 1, &jpeg(1)).await;
    let file = stored(&app, &first);
    damage(&file);
    let _worker = app.worker();
    let quarantine = app.dir.path().join("data/uploads/.damaged");
    eventually("the damaged file is in quarantine", || async { (entries(&quarantine) == 1).then_some(()) }).await;
    assert_eq!(app.get(serve.url(), "/status/1").await.1["status"], "pending");

    let second = app.upload(serve.url(), 1, &jpeg(1)).await;
    assert_eq!(stored(&app, &second), file);
    for accepted in [second, first] {
        assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    }
    assert_eq!(std::fs::read(&file).unwrap(), jpeg(1));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn uploading_the_same_image_again_repairs_undetected_damage() {
    let app = App::new(&[]).await;
    let up = app.up();
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    app.outcome(up.url(), &accepted).await;
    damage(&stored(&app, &accepted));
    app.upload(up.url(), 2, &jpeg(1)).await;
    assert_eq!(std::fs::read(stored(&app, &accepted)).unwrap(), jpeg(1));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn the_warehouse_waits_until_a_damaged_original_is_repaired() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    damage(&stored(&app, &accepted));
    let _worker = app.start(&["worker", "warehouse"]);
    let noticed = "SELECT count(*) FROM jobs WHERE kind = 'warehouse' AND error LIKE '%is damaged%'";
    eventually("the damage is noticed", || async { (app.count(noticed) == 1).then_some(()) }).await;
    app.upload(serve.url(), 2, &jpeg(1)).await;
    app.assert_none_is_left_of(&["warehouse"]).await;
    assert_eq!(app.count("SELECT count(*) FROM asset_references"), 2);
}

#[tokio::test]
async fn a_missing_upload_is_refused_by_its_path_and_dropped_from_messages() {
    let app = App::new(&[]).await;
    let up = app.up();
    let missing = format!("uploads/0f/{}.jpg", "0f".repeat(32));
    let (status, answer) = app.enqueue(up.url(), &json!({ "userId": 1, "imagePath": missing })).await;
    assert_eq!(status, 400, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("imagePath") && detail.contains(&missing) && detail.contains("file"), "{answer}");

    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    app.outcome(up.url(), &accepted).await;
    let stored = accepted["imagePath"].as_str().unwrap();
    for path in [&missing, stored] {
        app.redis.publish("image_uploaded", json!({ "userId": 2, "imagePath": path }).to_string()).await;
    }
    let of_messages = "SELECT count(*) FROM images WHERE user_id = 2";
    eventually("the image that exists is recorded", || async { (app.count(of_messages) == 1).then_some(()) }).await;
    assert_eq!(app.count(&format!("SELECT count(*) FROM images WHERE path = '{missing}'")), 0);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn only_uploads_without_a_row_are_removed_after_a_day() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    app.upload(serve.url(), 1, &jpeg(2)).await;
    assert!(serve.stop().success());
    // As a crash between the file and the row leaves it.
    app.dir.write(&format!("data/uploads/cd/{}.jpg", "cd".repeat(32)), "x");

    let uploads = app.dir.path().join("data/uploads");
    let with_row = |path: &Path| {
        let path = path.strip_prefix(app.dir.path().join("data")).unwrap().display();
        app.count(&format!("SELECT count(*) FROM images WHERE path = '{path}'")) > 0
    };
    let folders = std::fs::read_dir(&uploads).unwrap().map(|folder| folder.unwrap().path());
    let files: Vec<PathBuf> =
        folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path())).collect();
    let orphans: Vec<&PathBuf> = files.iter().filter(|file| !with_row(file)).collect();
    assert_eq!((files.len(), orphans.len()), (3, 1));
    files.iter().for_each(|file| age(file));
    let hash = "ab".repeat(32);
    let others =
        [format!("data/uploads/ab/{hash}.jpg"), "data/uploads/ab/photo.jpg".into(), "data/uploads/1.jpg".into()];
    let [young, strange, replaced] = others.map(|name| app.dir.write(&name, "x"));
    age(&strange);
    age(&replaced);

    let _serve = app.serve();
    eventually("the orphan is removed", || async { (!orphans[0].exists() && temporaries(&app) == 0).then_some(()) })
        .await;
    let kept = files.iter().filter(|file| *file != orphans[0]).chain([&young, &strange, &replaced]);
    kept.for_each(|file| assert!(file.exists(), "{file:?}"));
    assert!(stored(&app, &accepted).exists());
}

#[tokio::test]
async fn an_upload_whose_file_is_taken_away_before_its_row_is_there_is_not_answered_with_200() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    let uploads = app.dir.path().join("data/uploads");
    let files = || {
        let folders = std::fs::read_dir(&uploads).unwrap().map(|folder| folder.unwrap().path());
        let folders = folders.filter(|folder| !folder.ends_with(".tmp"));
        folders
            .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()))
            .collect::<Vec<_>>()
    };
    let before = files();
    let mut other_writer = app.database();
    diesel::sql_query("BEGIN IMMEDIATE").execute(&mut other_writer).unwrap();
    let picture = jpeg(2);
    let sweep = async {
        let stored =
            eventually("the file has its name", || async { files().into_iter().find(|file| !before.contains(file)) });
        std::fs::remove_file(stored.await).unwrap();
        diesel::sql_query("COMMIT").execute(&mut other_writer).unwrap();
    };
    let ((status, answer), ()) =
        futures_util::join!(async { app.try_upload(serve.url(), 2, &picture).await.unwrap() }, sweep);
    assert_eq!(status, 503, "{answer}");
    assert_eq!(app.count("SELECT count(*) FROM images"), 1);
    app.upload(serve.url(), 2, &picture).await;
}

#[tokio::test]
async fn the_folders_of_uploads_and_thumbnails_are_created_at_the_start() {
    let app = App::new(&[]).await;
    let _serve = app.serve();
    for folder in ["uploads", "thumbnails"] {
        let folder = app.dir.path().join("data").join(folder);
        assert!((0..=255).all(|part| folder.join(format!("{part:02x}")).is_dir()));
    }
}

/// Starts an upload that announces this length.
async fn announce(url: &str, bytes: u64) -> TcpStream {
    let begun = format!(
        "POST /enqueue HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: {bytes}\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\nhalf"
    );
    let mut stream = raw_http::connect(url).await;
    stream.write_all(begun.as_bytes()).await.unwrap();
    stream
}

/// The same, and sends more than the server buffers, so that it has a file.
async fn begin(url: &str, bytes: u64) -> TcpStream {
    let mut stream = announce(url, bytes).await;
    stream.write_all(&[0; 1 << 20]).await.unwrap();
    stream
}

#[tokio::test]
async fn concurrent_uploads_that_would_fill_the_disk_are_refused_before_their_bytes_arrive() {
    let app = App::new(&[]).await;
    let space = rustix::fs::statvfs(app.dir.path()).unwrap();
    // So much that concurrent writes of other programs do not matter.
    let tenth = (space.f_bavail * space.f_frsize / 10).min(100 << 30);
    let spare = space.f_bavail * space.f_frsize - 5 * tenth;
    let settings = [format!("serve.min_free_bytes={spare}"), format!("serve.max_upload_bytes={}", 1_u64 << 40)];
    let serve = app.start(&["serve", "--set", &settings[0], "--set", &settings[1]]);
    let first = begin(serve.url(), 3 * tenth).await;
    eventually("the first upload is in flight", || async { (temporaries(&app) == 1).then_some(()) }).await;
    let refused = raw_http::read_answer(announce(serve.url(), 3 * tenth).await).await.unwrap();
    assert_eq!(refused.status, 507, "{refused:?}");
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("disk is almost full"), "{problem}");
    app.upload(serve.url(), 1, &jpeg(1)).await;

    drop(first);
    eventually("its room is given back", || async { (temporaries(&app) == 0).then_some(()) }).await;
    let _second = begin(serve.url(), 3 * tenth).await;
    eventually("the second upload is in flight", || async { (temporaries(&app) == 1).then_some(()) }).await;
    let path = json!({ "userId": 1, "imagePath": "x.jpg" });
    assert_eq!(app.enqueue(serve.url(), &path).await.0, 200, "a path takes no room");
}
