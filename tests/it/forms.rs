//! Request bodies as browsers, web frameworks and programs of other systems send them.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::app::{App, answer};
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;
use crate::harness::raw_http;

const USER: &[u8] = b"Content-Disposition: form-data; name=\"userId\"\r\n\r\n1";

/// A part of the field `image` with these parameters of its disposition.
fn file(parameters: &[u8]) -> Vec<u8> {
    let head = b"Content-Disposition: form-data; name=\"image\"; ";
    [head, parameters, b"\r\nContent-Type: image/jpeg\r\n\r\n", &jpeg(1)].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}").into_bytes()
}

/// An upload of these parts, with the boundary `x`.
fn upload(app: &App, url: &str, parts: &[&[u8]]) -> RequestBuilder {
    let parts = parts.iter().flat_map(|part| [b"--x\r\n", *part, b"\r\n"].concat());
    let request = app.http.post(format!("{url}/enqueue")).header("Content-Type", "multipart/form-data; boundary=x");
    request.body(parts.chain(*b"--x--\r\n").collect::<Vec<u8>>())
}

/// The name of the file that user 1 has uploaded last.
async fn original_name(app: &App, url: &str) -> Value {
    let (status, page) = app.get(url, "/users/1/images?limit=1").await;
    assert_eq!(status, 200, "{page}");
    page["images"][0]["originalName"].clone()
}

#[tokio::test]
async fn text_fields_of_web_frameworks_are_ignored() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let fields: Vec<Vec<u8>> =
        ["authenticity_token", "csrfmiddlewaretoken", "utf8", "commit", "dzuuid", "größe", "_charset_"]
            .iter()
            .map(|name| text(name, "a value that no one reads"))
            .chain([text("twice", ""), text("twice", ""), text("long", &"x".repeat(60_000))])
            .collect();
    let (first, last) = fields.split_at(4);
    let image = file(b"filename=\"a.jpg\"");
    let parts: Vec<&[u8]> =
        first.iter().map(Vec::as_slice).chain([USER, &image]).chain(last.iter().map(Vec::as_slice)).collect();
    let (status, accepted) = answer(upload(&app, serve.url(), &parts)).await.unwrap();
    assert_eq!(status, 200, "{accepted}");
    assert_eq!(app.count("SELECT count(*) FROM images"), 1);
}

#[tokio::test]
async fn a_second_file_is_refused_by_its_field_but_an_empty_file_input_is_not() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let image = file(b"filename=\"a.jpg\"");
    for (name, message) in
        [("image", "image: given twice"), ("files[]", "form: got a file in the field \"files[]\", expected one file")]
    {
        let second =
            [format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"b.jpg\"\r\n\r\n").as_bytes(), b"b"]
                .concat();
        assert_refused(name, upload(&app, serve.url(), &[USER, &image, &second]), 400, message).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM images"), 0);
    for name in ["image", "files[]"] {
        let head = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"\"\r\n");
        let empty = format!("{head}Content-Type: application/octet-stream\r\n\r\n");
        let request = upload(&app, serve.url(), &[USER, empty.as_bytes(), &image, empty.as_bytes()]);
        let (status, accepted) = answer(request).await.unwrap();
        assert_eq!(status, 200, "{name}: {accepted}");
        let alone = upload(&app, serve.url(), &[USER, empty.as_bytes()]);
        assert_refused(name, alone, 400, "image: got nothing, expected a form field with an image file").await;
    }
}

#[tokio::test]
async fn file_names_in_any_encoding_are_accepted() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    for (parameters, name) in [
        ("filename=\"Größe.jpg\"".as_bytes(), "Größe.jpg"),
        (b"filename=\"Gr\xf6\xdfe.jpg\"", "Größe.jpg"),
        (b"filename*=UTF-8''Gr%C3%B6%C3%9Fe.jpg", "Größe.jpg"),
        (b"filename=\"Gr__e.jpg\"; filename*=utf-8'de'Gr%C3%B6%C3%9Fe.jpg", "Größe.jpg"),
        (b"filename=photo 1.jpg", "photo 1.jpg"),
        (b"filename=\"C:\\photos\\x.jpg\"", "C:\\photos\\x.jpg"),
        (b"filename=\"\x83e\x83X\x83g.jpg\"", "eXg.jpg"),
    ] {
        let what = String::from_utf8_lossy(parameters);
        let (status, accepted) = answer(upload(&app, serve.url(), &[USER, &file(parameters)])).await.unwrap();
        assert_eq!(status, 200, "{what}: {accepted}");
        assert_eq!(original_name(&app, serve.url()).await, name, "{what}");
    }
}

#[tokio::test]
async fn forms_may_have_a_preamble_an_epilogue_and_spaces_after_a_boundary() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let image = file(b"filename=\"a.jpg\"");
    let request = |body: &[u8], headers: &str| {
        let head = format!(
            "POST /enqueue HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    for (first, between, end) in [
        (&b"--x  \r\n"[..], &b"\r\n--x\t\r\n"[..], &b"\r\n--x--"[..]),
        (b"A form of several parts.\r\n\r\n--x\r\n", b"\r\n--x\r\n", b"\r\n--x--\r\nThe end.\r\n"),
        (b"\r\n--x\r\n", b"\r\n--x\r\n", b"\r\n--x--  \r\n\r\n"),
    ] {
        let body = [first, USER, between, &image, end].concat();
        // The connection can still be used.
        let both = [request(&body, ""), request(&body, "Connection: close\r\n")].concat();
        let answer = raw_http::exchange(serve.url(), both).await.unwrap();
        let first = String::from_utf8_lossy(first);
        assert_eq!(answer.status, 200, "{first}: {answer:?}");
        let rest = String::from_utf8(answer.body).unwrap();
        assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 1, "{first}: {rest}");
    }
}

#[tokio::test]
async fn json_may_begin_with_a_byte_order_mark() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.game_server());
    let user = json!({ "username": "ada" });
    for (request, body) in [
        (app.http.post(format!("{}/enqueue", serve.url())), json!({ "userId": 1, "imagePath": "x.jpg" })),
        (app.http.put(format!("{}/users/1", serve.url())), user),
        (app.http.post(format!("{}/admin/jobs/purge", serve.url())), json!({ "olderThan": "7d" })),
        (app.http.post(format!("{}/score", game.url())), json!({ "username": "ada", "score": 1 })),
        (app.http.post(format!("{}/place_order", game.url())), json!({ "orderId": "o", "userId": "u" })),
    ] {
        let request = request.header("Content-Type", "application/json").body(format!("\u{feff}{body}"));
        let (status, answer) = answer(request).await.unwrap();
        assert_eq!(status, 200, "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_415_and_the_accepted_encoding() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.game_server());
    for (method, url) in [
        ("POST", format!("{}/enqueue", serve.url())),
        ("PUT", format!("{}/users/1", serve.url())),
        ("POST", format!("{}/admin/jobs/retry", serve.url())),
        ("POST", format!("{}/admin/jobs/purge", serve.url())),
        ("POST", format!("{}/score", game.url())),
        ("POST", format!("{}/place_order", game.url())),
    ] {
        for (coding, content_type) in
            [("gzip", "application/json"), ("br", "multipart/form-data; boundary=x"), ("identity, zstd", "text/plain")]
        {
            let request = || {
                let request = app.http.request(method.parse().unwrap(), &url).header("Content-Encoding", coding);
                request.header("Content-Type", content_type).body("\x1f\u{8b}\x08")
            };
            assert_refused(&url, request(), 415, "Content-Encoding: got").await;
            assert_eq!(request().send().await.unwrap().headers()["accept-encoding"], "identity", "{url}");
        }
    }
    let plain = upload(&app, serve.url(), &[USER, &file(b"filename=\"a.jpg\"")]).header("Content-Encoding", "identity");
    assert_eq!(answer(plain).await.unwrap().0, 200);
}
