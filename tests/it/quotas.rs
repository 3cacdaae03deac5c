//! Quotas of a user's images: exact, also for simultaneous uploads, and without a trace of what is refused.

use std::path::PathBuf;

use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::harness::app::{App, Process, answer, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;
use crate::harness::raw_http::{connect, read_answer};
use crate::limits;

/// A JPEG that is unique for its number; all have the same size.
fn image(number: u32) -> Vec<u8> {
    [jpeg(1), number.to_be_bytes().to_vec()].concat()
}

fn size() -> u64 {
    image(0).len() as u64
}

fn upload(app: &App, server: &Process, user: u32, image: Vec<u8>) -> RequestBuilder {
    let form = Form::new().text("userId", user.to_string()).part("image", Part::bytes(image).file_name("x.jpg"));
    app.http.post(format!("{}/enqueue", server.url())).multipart(form)
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

fn stored(app: &App) -> Vec<PathBuf> {
    limits::files(app, "data/uploads")
}

/// The number of rows of everything that an upload inserts.
fn rows(app: &App) -> i64 {
    let tables = ["users", "images", "jobs", "idempotency_keys"];
    tables.map(|table| app.count(&format!("SELECT count(*) FROM {table}"))).iter().sum()
}

/// The images and bytes that count for a user.
async fn usage(app: &App, server: &Process, user: u32) -> (u64, u64) {
    let (_, user) = app.get(server.url(), &format!("/users/{user}")).await;
    (user["images"].as_u64().unwrap(), user["imageBytes"].as_u64().unwrap())
}

#[tokio::test]
async fn an_image_may_fill_the_quota_of_bytes_and_one_byte_more_is_refused_without_a_trace() {
    let quota = 2 * size();
    let app = App::new(&[&format!("limits.user_bytes={quota}")]).await;
    let serve = app.serve();
    assert_eq!(status(upload(&app, &serve, 1, image(1))).await, 200);
    let (rows_before, files_before) = (rows(&app), stored(&app));
    let longer = [image(2), vec![0]].concat();
    let with_key = |image| upload(&app, &serve, 1, image).header("Idempotency-Key", "key");
    let detail = assert_refused("a byte too much", with_key(longer), 413, "image: ").await;
    let expected = format!("image: the upload would exceed the user's quota of {quota} bytes; {} are used", size());
    assert_eq!(detail, expected);
    assert_eq!((rows(&app), stored(&app)), (rows_before, files_before));
    assert_eq!(usage(&app, &serve, 1).await, (1, size()));

    assert_eq!(status(with_key(image(2))).await, 200, "the key was not used up");
    assert_eq!(usage(&app, &serve, 1).await, (2, quota));
    assert_refused("a full quota", upload(&app, &serve, 1, image(3)), 413, "quota").await;
    assert_eq!(status(upload(&app, &serve, 2, image(3))).await, 200, "another user");
}

#[tokio::test]
async fn an_image_beyond_the_quota_of_images_is_refused_without_a_time_to_retry() {
    let app = App::new(&["limits.user_images=2"]).await;
    let serve = app.serve();
    let by_path = |user: u32| {
        let body = json!({ "userId": user, "imagePath": "later.jpg" });
        app.http.post(format!("{}/enqueue", serve.url())).json(&body)
    };
    assert_eq!(status(upload(&app, &serve, 1, image(1))).await, 200);
    assert_eq!(status(by_path(1)).await, 200);
    let (rows_before, files_before) = (rows(&app), stored(&app));
    for request in [upload(&app, &serve, 1, image(2)), by_path(1)] {
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().get("retry-after")), (429, None));
        assert_eq!(response.headers()["ratelimit"], "\"user_images\";r=0");
        assert_eq!(response.headers()["ratelimit-policy"], "\"user_images\";q=2");
        let problem: Value = response.json().await.unwrap();
        let detail = "Too many images of this user: the limit \"user_images\" allows 2 in all.";
        assert_eq!(problem["detail"], detail);
    }
    assert_eq!((rows(&app), stored(&app)), (rows_before, files_before));
    for request in [upload(&app, &serve, 2, image(2)), by_path(2)] {
        assert_eq!(status(request).await, 200, "another user");
    }
}

#[tokio::test]
async fn simultaneous_uploads_to_two_servers_never_exceed_a_quota_and_leave_no_file() {
    for setting in ["limits.user_images=5".to_owned(), format!("limits.user_bytes={}", 6 * size() - 1)] {
        let app = App::new(&[&setting]).await;
        let servers = [app.serve(), app.serve()];
        let uploads = (0..60).map(|number| status(upload(&app, &servers[number as usize % 2], 1, image(number))));
        let statuses = join_all(uploads).await;
        let accepted = statuses.iter().filter(|status| **status == 200).count();
        assert!(statuses.iter().all(|status| [200, 413, 429].contains(&status.as_u16())), "{statuses:?}");
        assert_eq!((accepted, app.count("SELECT count(*) FROM images")), (5, 5), "{setting}");
        assert_eq!(stored(&app).len(), 5, "{setting}");
        assert_eq!(usage(&app, &servers[0], 1).await, (5, 5 * size()));
    }
}

#[tokio::test]
async fn a_repeat_is_answered_as_before_when_the_quota_is_full() {
    for setting in ["limits.user_images=1".to_owned(), format!("limits.user_bytes={}", size())] {
        let app = App::new(&[&setting]).await;
        let serve = app.serve();
        let with_key = |key: &str| answer(upload(&app, &serve, 1, image(1)).header("Idempotency-Key", key));
        let first = with_key("a").await.unwrap();
        assert_eq!(first.0, 200);
        for _ in 0..2 {
            assert_eq!(with_key("a").await.unwrap(), first, "{setting}");
        }
        assert!([413, 429].contains(&with_key("b").await.unwrap().0), "{setting}");
        assert_eq!(usage(&app, &serve, 1).await, (1, size()), "a repeat does not count");
    }
}

#[tokio::test]
async fn an_upload_with_a_used_key_leaves_no_file_and_removes_none() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let with_key = |image| upload(&app, &serve, 2, image).header("Idempotency-Key", "key");
    assert_eq!(status(upload(&app, &serve, 1, image(1))).await, 200);
    assert_eq!(status(with_key(image(2))).await, 200);
    let files = stored(&app);
    assert_eq!(files.len(), 2);
    for number in [1, 3] {
        assert_eq!(status(with_key(image(number))).await, 422);
        assert_eq!(stored(&app), files);
    }
    let _worker = app.worker();
    app.assert_no_job_is_left().await;
    assert_eq!(app.get(serve.url(), "/status/1").await.1["status"], "done");
}

#[tokio::test]
async fn a_used_up_quota_is_answered_before_the_image_is_read_for_any_token() {
    let secret = "auth.jwt.secret=0123456789abcdef0123456789abcdef";
    let app = App::new(&["limits.user_images=1", "auth.token=s3cret", secret]).await;
    let serve = app.serve();
    let minted = app.dir.run(&["token", "mint", "--user", "1", "--scope", "upload", "--set", secret]);
    let user_token = minted.stdout.trim();
    assert_eq!(status(upload(&app, &serve, 1, image(1)).bearer_auth(user_token)).await, 200);
    let field = "--x\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\n1\r\n\
                 --x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x.jpg\"\r\n\r\n";
    for (token, body) in [(user_token, ""), ("s3cret", field)] {
        let head = format!(
            "POST /enqueue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n{body}"
        );
        // The rest of the body never arrives.
        let mut stream = connect(serve.url()).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_answer(stream).await.unwrap().status, 429, "{body}");
    }
}

#[tokio::test]
async fn the_size_of_a_file_that_is_submitted_by_its_path_counts() {
    let app = App::new(&[&format!("limits.user_bytes={}", 2 * size() - 1)]).await;
    let serve = app.serve();
    app.dir.write("data/photos/1.jpg", image(1));
    let submit = |path: &str| {
        let body = json!({ "userId": 1, "imagePath": path });
        app.http.post(format!("{}/enqueue", serve.url())).json(&body)
    };
    assert_eq!(status(submit("photos/1.jpg")).await, 200);
    assert_eq!(status(submit("photos/missing.jpg")).await, 200);
    assert_eq!(usage(&app, &serve, 1).await, (2, size()));
    assert_refused("the same file again", submit("photos/1.jpg"), 413, "quota").await;
}

#[tokio::test]
async fn images_of_messages_count_and_are_not_refused() {
    let app = App::new(&["limits.user_images=1", "limits.users=1"]).await;
    let serve = app.serve();
    assert_eq!(status(upload(&app, &serve, 1, image(1))).await, 200);
    let listens = || async { (app.redis.listeners("image_uploaded").await == 1).then_some(()) };
    eventually("the server listens", listens).await;
    for user in [1, 2] {
        app.dir.write(&format!("data/photos/{user}.jpg"), image(user));
        let message = json!({ "userId": user, "imagePath": format!("photos/{user}.jpg") }).to_string();
        app.redis.publish("image_uploaded", message).await;
    }
    eventually("the images are recorded", || async { (app.count("SELECT count(*) FROM images") == 3).then_some(()) })
        .await;
    assert_eq!(usage(&app, &serve, 1).await, (2, size()));
    assert_eq!(usage(&app, &serve, 2).await, (1, 0));
    for user in [1, 2] {
        assert_eq!(status(upload(&app, &serve, user, image(9))).await, 429, "user {user}");
    }
}
