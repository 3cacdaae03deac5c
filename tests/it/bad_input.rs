//! Bad input over HTTP: it is refused with a problem that names the field, nothing hangs, and the server keeps running.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use image::ImageFormat;
use reqwest::header::HeaderValue;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, RequestBuilder};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::harness::app::{App, DEADLINE, answer, eventually};
use crate::harness::pictures::{
    corrupt_png, half_transparent_png, jpeg, jpeg_that_claims, picture, png_header, truncated_jpeg,
};
use crate::harness::problem::{assert_raw_problem, assert_refused};
use crate::harness::raw_http;

const FORMATS: &str = "send a JPEG, PNG, WebP, GIF, TIFF or BMP image.";

fn post_json(app: &App, url: &str, body: impl Into<Body>) -> RequestBuilder {
    app.http.post(format!("{url}/enqueue")).header("Content-Type", "application/json").body(body)
}

fn post_form(app: &App, url: &str, form: Form) -> RequestBuilder {
    app.http.post(format!("{url}/enqueue")).multipart(form)
}

fn image(bytes: Vec<u8>) -> Part {
    Part::bytes(bytes).file_name("picture")
}

/// The number of temporary files.
fn temporaries(app: &App) -> usize {
    std::fs::read_dir(app.dir.path().join("data/uploads/.tmp")).unwrap().count()
}

#[tokio::test]
async fn an_invalid_json_body_is_refused_by_the_name_of_the_field() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let deep = "[".repeat(100_000);
    let long = format!("{{\"userId\":1,\"imagePath\":\"{}\"}}", "x".repeat(1 << 20));
    let long_part = format!("{{\"userId\":1,\"imagePath\":\"{}\"}}", "x".repeat(256));
    let long_name = format!("{{\"{}\":1}}", "x".repeat(1 << 20));
    for (body, names) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("{\"userId\":1,\"imagePath\":\"x.jpg\"", "JSON"),
        ("{\"userId\":1,\"imagePath\":\"x.jpg\"} x", "JSON"),
        ("{userId:1}", "JSON"),
        ("{\"userId\":NaN,\"imagePath\":\"x.jpg\"}", "JSON"),
        ("{\"userId\":1e400,\"imagePath\":\"x.jpg\"}", "JSON"),
        ("{\"userId\":1,\"imagePath\":\"\\ud800\"}", "JSON"),
        (&deep, "JSON"),
        ("null", "object"),
        ("[]", "object"),
        ("1", "object"),
        ("\"userId\"", "object"),
        ("{}", "userId: got nothing"),
        ("{}", "imagePath: got nothing"),
        (&long_name, "got an unknown field, expected \"imagePath\" or \"userId\""),
        ("{\"userId\":1,\"imagePath\":\"x.jpg\",\"UserId\":2}", "UserId: got an unknown field"),
        ("{\"imagePath\":\"x.jpg\"}", "userId: got nothing"),
        ("{\"userId\":1}", "imagePath: got nothing"),
        ("{\"userId\":-1,\"imagePath\":\"x.jpg\"}", "userId: got -1"),
        ("{\"userId\":0,\"imagePath\":\"x.jpg\"}", "userId: got 0"),
        ("{\"userId\":1.5,\"imagePath\":\"x.jpg\"}", "userId: got 1.5"),
        ("{\"userId\":\"42\",\"imagePath\":\"x.jpg\"}", "userId: got the string \"42\""),
        ("{\"userId\":1e30,\"imagePath\":\"x.jpg\"}", "userId: got 1e"),
        ("{\"userId\":1000000000000000000000000000000,\"imagePath\":\"x.jpg\"}", "userId: got 1e"),
        ("{\"userId\":9007199254740992,\"imagePath\":\"x.jpg\"}", "userId: got 9007199254740992"),
        ("{\"userId\":null,\"imagePath\":\"x.jpg\"}", "userId: got null"),
        ("{\"userId\":true,\"imagePath\":\"x.jpg\"}", "userId: got true"),
        ("{\"userId\":[1],\"imagePath\":\"x.jpg\"}", "userId: got an array"),
        ("{\"userId\":{},\"imagePath\":\"x.jpg\"}", "userId: got an object"),
        ("{\"userId\":1,\"imagePath\":5}", "imagePath: got 5"),
        ("{\"userId\":1,\"imagePath\":null}", "imagePath: got null"),
        ("{\"userId\":1,\"imagePath\":[\"x.jpg\"]}", "imagePath: got an array"),
        ("{\"userId\":1,\"imagePath\":\"\"}", "imagePath: got the string \"\""),
        ("{\"userId\":1,\"imagePath\":\"/etc/passwd\"}", "imagePath: got the string \"/etc/passwd\""),
        ("{\"userId\":1,\"imagePath\":\"../../etc/passwd\"}", "imagePath: got the string \"../../etc/passwd\""),
        ("{\"userId\":1,\"imagePath\":\"a/../../x\"}", "imagePath: got"),
        ("{\"userId\":1,\"imagePath\":\"a\\u0000b.jpg\"}", "imagePath: got"),
        ("{\"userId\":1,\"imagePath\":\"folder/\"}", "imagePath: got"),
        ("{\"userId\":1,\"imagePath\":\".\"}", "imagePath: got"),
        (&long, "imagePath: got a string of 1048576 bytes"),
        (&long_part, "imagePath: got a string of 256 bytes"),
        ("{\"userId\":-1,\"imagePath\":5}", "userId: got -1"),
        ("{\"userId\":-1,\"imagePath\":5}", "imagePath: got 5"),
    ] {
        let what = &body[..body.len().min(80)];
        assert_refused(what, post_json(&app, url, body.to_owned()), 400, names).await;
    }
    let bytes = b"{\"userId\":1,\"imagePath\":\"\xff\"}".to_vec();
    assert_refused("bytes that are not UTF-8", post_json(&app, url, bytes), 400, "JSON").await;
    assert_eq!(app.count("SELECT count(*) FROM jobs"), 0);
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_path_that_leads_to_no_file_below_the_root_is_refused() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let data = app.dir.path().join("data");
    let outside = app.dir.write("outside/secret.jpg", jpeg(3));
    symlink(&outside, data.join("link.jpg")).unwrap();
    symlink("../outside/secret.jpg", data.join("relative.jpg")).unwrap();
    symlink(outside.parent().unwrap(), data.join("folder-link")).unwrap();
    symlink("/dev/zero", data.join("zero.jpg")).unwrap();
    symlink("loop.jpg", data.join("loop.jpg")).unwrap();
    mknodat(CWD, data.join("fifo.jpg"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = UnixListener::bind(data.join("socket.jpg")).unwrap();
    std::fs::create_dir(data.join("folder.jpg")).unwrap();
    for path in [
        "link.jpg",
        "relative.jpg",
        "folder-link/secret.jpg",
        "zero.jpg",
        "loop.jpg",
        "fifo.jpg",
        "socket.jpg",
        "folder.jpg",
        "uploads",
        outside.to_str().unwrap(),
    ] {
        let body = json!({ "userId": 1, "imagePath": path }).to_string();
        assert_refused(path, post_json(&app, url, body), 400, "imagePath: got").await;
    }
    assert_eq!(app.count("SELECT count(*) FROM jobs"), 0);
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn every_valid_file_name_works_end_to_end() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let names = [
        "two words.jpg",
        "ünïcødé 😀 写真.jpg",
        "a#b?c%20d&e=f+g.jpg",
        "-rf",
        "a\\b\"c'd.jpg",
        "new\nline.jpg",
        "...",
        "deep/er/x.jpg",
    ];
    for (user, name) in (1..).zip(names) {
        app.dir.write(&format!("data/{name}"), jpeg(user as u8));
        let (status, accepted) = app.enqueue(url, &json!({ "userId": user, "imagePath": name })).await;
        assert_eq!((status, &accepted["imagePath"]), (200, &json!(name)), "{accepted}");
        let outcome = app.outcome(url, &accepted).await;
        assert_eq!(outcome["status"], "done", "{name}: {outcome}");
        let thumbnail = app.http.get(format!("{url}{}", outcome["thumbnailUrl"].as_str().unwrap()));
        assert_eq!(thumbnail.send().await.unwrap().status(), 200);
    }
    let absolute = app.dir.path().canonicalize().unwrap().join("data/two words.jpg");
    let (status, accepted) = app.enqueue(url, &json!({ "userId": 1, "imagePath": absolute })).await;
    assert_eq!((status, &accepted["imagePath"]), (200, &json!("two words.jpg")));
    for name in ["ünïcødé 😀 写真.jpg", "a#b?c%20d&e=f+g.jpg", "../../etc/passwd", "C:\\x.jpg", "", &"x".repeat(1000)]
    {
        let part = Part::bytes(jpeg(100)).file_name(name.to_owned());
        let form = Form::new().text("userId", "99").part("image", part);
        let (status, accepted) = answer(post_form(&app, url, form)).await.unwrap();
        assert_eq!(status, 200, "{name}: {accepted}");
        assert_eq!(app.outcome(url, &accepted).await["status"], "done", "{name}");
    }
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_upload_without_a_valid_image_header_is_refused() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let too_wide = "image: The image has 65536x1 pixels, but neither side may have more than 65535";
    let too_many = "image: The image has 50000x50000 pixels, but at most 100000000 in total are allowed";
    for (what, bytes, status, names) in [
        ("an empty file", Vec::new(), 400, "image: The file is empty; "),
        ("a text", b"This is not a picture, it is a text.\n".to_vec(), 400, "image: The file is not an image; "),
        ("one byte", vec![0xff], 400, "image: The file is not an image; "),
        ("a page", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(), 415, "image: SVG"),
        (
            "arithmetic coding",
            include_bytes!("../fixtures/jpeg/arithmetic.jpg").to_vec(),
            415,
            "image: JPEG with arithmetic coding is not supported; save it as",
        ),
        ("nothing but a signature", b"\x89PNG\r\n\x1a\n".to_vec(), 400, "image: The image's header is damaged"),
        ("half a header", png_header(10, 10)[..20].to_vec(), 400, "image: The image's header is damaged"),
        ("no width", png_header(0, 10), 400, "image: The image's header is damaged"),
        ("a wide PNG", png_header(65_536, 1), 400, too_wide),
        ("a huge PNG", png_header(50_000, 50_000), 400, too_many),
        ("the hugest PNG", png_header(u32::MAX, u32::MAX), 400, "image: The image"),
        ("a huge JPEG", jpeg_that_claims(50_000, 50_000), 400, too_many),
    ] {
        let form = Form::new().text("userId", "1").part("image", image(bytes));
        assert_refused(what, post_form(&app, url, form), status, names).await;
    }
    assert_eq!((app.count("SELECT count(*) FROM jobs"), temporaries(&app)), (0, 0));
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_image_that_fails_to_decode_is_failed_with_a_message_for_the_uploader() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let cut_off = "The image is cut off before its end; send the whole file.";
    let damaged = "The image is damaged and cannot be opened; send the file again or export it again.";
    for (user, (what, bytes, message)) in (2..).zip([
        ("a truncated JPEG", truncated_jpeg(), cut_off),
        ("a corrupt PNG", corrupt_png(), damaged),
        ("a PNG of a header alone", png_header(10, 10), cut_off),
    ]) {
        let uploaded = app.upload(url, user, &bytes).await;
        app.dir.write(&format!("data/{user}"), &bytes);
        let (_, named) = app.enqueue(url, &json!({ "userId": user, "imagePath": user.to_string() })).await;
        for accepted in [&uploaded, &named] {
            let mut outcome = app.outcome(url, accepted).await;
            outcome.as_object_mut().unwrap().retain(|name, _| !name.ends_with("Id"));
            assert_eq!(outcome, json!({ "status": "failed", "message": message }), "{what}");
        }
        // A file of another owner may be incomplete, an upload is complete.
        let attempts = format!("SELECT attempts FROM jobs WHERE id = {}", uploaded["jobId"]).replace('"', "'");
        assert_eq!(app.count(&attempts), 1, "{what}");
        assert_eq!(app.get(url, &format!("/status/{user}")).await.1["message"], message);
    }
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_path_to_a_file_with_a_bad_header_is_failed_with_a_message_for_the_uploader() {
    let app = App::new(&["serve.max_upload_bytes=100000"]).await;
    let up = app.up();
    let url = up.url();
    for (user, (bytes, message)) in (2..).zip([
        (Vec::new(), format!("The file is empty; {FORMATS}")),
        (b"text".to_vec(), format!("The file is not an image; {FORMATS}")),
        (vec![b'x'; 100_001], "The image file is too large; at most 100000 bytes are accepted.".to_owned()),
    ]) {
        app.dir.write(&format!("data/{user}"), bytes);
        let (_, accepted) = app.enqueue(url, &json!({ "userId": user, "imagePath": user.to_string() })).await;
        assert_eq!(app.outcome(url, &accepted).await["message"], json!(message));
    }
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_413_however_it_comes() {
    let app = App::new(&["serve.max_upload_bytes=100000"]).await;
    let up = app.up();
    let url = up.url();
    let body = format!("{{\"userId\":1,\"imagePath\":\"{}\"}}", "x".repeat(10 << 20));
    assert_refused("a JSON body of 10 MB", post_json(&app, url, body.clone()), 413, "JSON").await;
    assert_refused("the same in chunks", post_json(&app, url, in_chunks(body.into_bytes())), 413, "JSON").await;

    let large = [jpeg(1), vec![0; 10 << 20]].concat();
    // Above the limit of an image, but below that of the whole request.
    let slightly_large = [jpeg(1), vec![0; 100_001 - jpeg(1).len()]].concat();
    for bytes in [large, slightly_large] {
        let known = Form::new().text("userId", "1").part("image", image(bytes.clone()));
        assert_refused("an upload of known length", post_form(&app, url, known), 413, "image: got").await;
        let part = Part::stream(in_chunks(bytes)).file_name("picture");
        let unknown = Form::new().text("userId", "1").part("image", part);
        assert_refused("an upload in chunks", post_form(&app, url, unknown), 413, "image: got").await;
    }
    let at_the_limit = [jpeg(1), vec![0; 100_000 - jpeg(1).len()]].concat();
    app.upload(url, 2, &at_the_limit).await;
    let long_user = Form::new().text("userId", "1".repeat(1 << 20));
    assert_refused("a userId of 1 MB", post_form(&app, url, long_user), 413, "image: got").await;
    eventually("nothing half written is left", || async { (temporaries(&app) == 0).then_some(()) }).await;
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_form_without_end_is_refused_with_413_whichever_part_does_not_end() {
    let app = App::new(&["serve.max_upload_bytes=100000"]).await;
    let up = app.up();
    let part = |name: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    for (what, beginning, name) in [
        ("the user", part("userId"), "form: "),
        ("an ignored field", part("other"), "form: "),
        ("the image", part("image"), "image: "),
        ("a line before the first part", "before".to_owned(), "form: "),
        ("the lines before the first part", "before\r\n".to_owned(), "form: "),
    ] {
        let again = if beginning.ends_with("before\r\n") { "before\r\n" } else { "1" };
        let beginning = stream::iter([Bytes::from(beginning)]);
        let endless = beginning.chain(stream::repeat(Bytes::from(again.repeat(10_000)))).map(Ok::<_, std::io::Error>);
        let request = app.http.post(format!("{}/enqueue", up.url())).body(Body::wrap_stream(endless));
        let request = request.header("Content-Type", "multipart/form-data; boundary=x");
        let refused = assert_refused(what, request, 413, name);
        tokio::time::timeout(DEADLINE, refused).await.expect("an answer in time");
    }
    app.assert_server_is_well(up.url()).await;
    app.assert_no_job_is_left().await;
}

fn in_chunks(bytes: Vec<u8>) -> Body {
    let chunks: Vec<_> =
        bytes.chunks(60_000).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk))).collect();
    Body::wrap_stream(stream::iter(chunks))
}

#[tokio::test]
async fn an_invalid_form_is_refused_by_the_name_of_the_field() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let user = || Form::new().text("userId", "1");
    let good = || image(jpeg(1));
    for (what, form, names) in [
        ("no picture", user(), "image: got nothing"),
        ("no user", Form::new().part("image", good()), "userId: got nothing"),
        ("a second file", user().part("image", good()).part("colour", good()), "a file in the field \"colour\""),
        ("a second file before", user().part("colour", good()).part("image", good()), "a file in the field \"colour\""),
        ("a field without a name", user().part("", good()), "a file in the field \"\""),
        ("two users", user().text("userId", "2").part("image", good()), "userId: given twice"),
        ("two pictures", user().part("image", good()).part("image", good()), "image: given twice"),
        ("the user after", Form::new().part("image", good()).text("userId", "x"), "userId: got the string \"x\""),
        ("a negative user", Form::new().text("userId", "-1").part("image", good()), "userId: got the string \"-1\""),
        ("a fractional user", Form::new().text("userId", "1.5").part("image", good()), "userId: got the string"),
        ("user 10^30", Form::new().text("userId", "1e30").part("image", good()), "userId: got the string \"1e30\""),
        ("no number", Form::new().text("userId", "").part("image", good()), "userId: got the string \"\""),
        ("a long number", Form::new().text("userId", "1".repeat(1000)).part("image", good()), "userId: got more than"),
    ] {
        assert_refused(what, post_form(&app, url, form), 400, names).await;
    }
    for (what, content_type, body, names) in [
        ("no boundary", "multipart/form-data", "--x\r\n", "boundary"),
        ("an empty boundary", "multipart/form-data; boundary=", "--\r\n", "multipart"),
        ("another boundary", "multipart/form-data; boundary=y", "--x\r\n\r\n--x--\r\n", "multipart"),
        (
            "no end",
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\n1",
            "multipart",
        ),
        ("no disposition", "multipart/form-data; boundary=x", "--x\r\n\r\n1\r\n--x--\r\n", "multipart"),
        ("no body", "multipart/form-data; boundary=x", "", "multipart"),
        ("no field at all", "multipart/form-data; boundary=x", "--x--\r\n", "userId: got nothing"),
        ("no field at all", "multipart/form-data; boundary=x", "--x--\r\n", "image: got nothing"),
    ] {
        let request = app.http.post(format!("{url}/enqueue")).header("Content-Type", content_type).body(body);
        assert_refused(what, request, 400, names).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM jobs"), 0);
    eventually("nothing half written is left", || async { (temporaries(&app) == 0).then_some(()) }).await;
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_content_type_other_than_the_two_is_refused_with_415() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let body = json!({ "userId": 1, "imagePath": "x.jpg" }).to_string();
    for content_type in ["text/plain", "image/jpeg", "application/x-www-form-urlencoded", "application/jsonp", "", "/"]
    {
        let request = app.http.post(format!("{url}/enqueue")).header("Content-Type", content_type).body(body.clone());
        assert_refused(content_type, request, 415, "Content-Type: got").await;
    }
    let none = app.http.post(format!("{url}/enqueue")).body(body.clone());
    assert_refused("none", none, 415, "Content-Type: got nothing").await;
    let strange = HeaderValue::from_bytes(b"application/\xff\xfe").unwrap();
    let request = app.http.post(format!("{url}/enqueue")).header("Content-Type", strange).body(body.clone());
    assert_refused("no UTF-8", request, 415, "Content-Type").await;
    let request = app.http.post(format!("{url}/enqueue")).header("Content-Type", "Application/JSON; charset=utf-8");
    assert_eq!(answer(request.body(body)).await.unwrap().0, 200);
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_405_and_the_right_ones() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let job = app.upload(url, 1, &jpeg(1)).await["statusUrl"].as_str().unwrap().to_owned();
    let live = format!("{job}/live");
    for (path, allowed) in [
        ("/enqueue", "POST"),
        ("/status/1", "GET, HEAD"),
        ("/status-live/1", "GET, HEAD"),
        (job.as_str(), "GET, HEAD"),
        (live.as_str(), "GET, HEAD"),
        ("/thumbnails/x.jpg", "GET, HEAD"),
        ("/uploads/thumbs/x.jpg", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            if allowed.split(", ").any(|allowed| allowed == method.as_str()) {
                continue;
            }
            let request = || app.http.request(method.clone(), format!("{url}{path}"));
            assert_refused(&format!("{method} {path}"), request(), 405, allowed).await;
            assert_eq!(request().send().await.unwrap().headers()["allow"], allowed);
        }
    }
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_address_that_nothing_answers_to_is_refused_by_name_or_with_404() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    let job = app.upload(url, 1, &jpeg(1)).await["jobId"].as_str().unwrap().to_owned();
    let unhyphenated = format!("/jobs/{}", job.replace('-', ""));
    let long = format!("/status/{}", "1".repeat(5000));
    let hash = "0f".repeat(32);
    for (target, status, names) in [
        ("/nothing", 404, ""),
        ("/enqueue/", 404, ""),
        ("/status", 404, ""),
        ("/status/", 404, ""),
        ("/status/1/", 404, ""),
        ("//status/1", 404, ""),
        ("/STATUS/1", 404, ""),
        ("/status/%", 400, "userId"),
        ("/status/%zz", 400, "userId"),
        ("/status/%ff%fe", 400, "userId"),
        ("/status/%00", 400, "userId"),
        ("/status/1%2f2", 400, "userId"),
        ("/status/0", 400, "userId"),
        ("/status/-1", 400, "userId"),
        ("/status/+1", 400, "userId"),
        ("/status/1.0", 400, "userId"),
        ("/status/abc", 400, "userId"),
        ("/status/9007199254740992", 400, "userId"),
        (&long, 400, "userId"),
        ("/status-live/abc", 400, "userId"),
        ("/status-live/abc?timeout=1", 400, "userId"),
        ("/jobs/1", 400, "jobId"),
        ("/jobs/1/live", 400, "jobId"),
        (&unhyphenated, 400, "jobId"),
        ("/jobs/%ff/live", 400, "jobId"),
        ("/jobs/00000000-0000-7000-8000-000000000000", 404, "job"),
        ("/jobs/00000000-0000-7000-8000-000000000000/live", 404, "job"),
        ("/status-live/1?timeout=0", 400, "timeout"),
        ("/status-live/1?timeout=61", 400, "timeout"),
        ("/status-live/1?timeout=-1", 400, "timeout"),
        ("/status-live/1?timeout=1.5", 400, "timeout"),
        ("/status-live/1?timeout=", 400, "timeout"),
        ("/status-live/1?timeout", 400, "timeout"),
        ("/status-live/1?timeout=1e1", 400, "timeout"),
        ("/status-live/1?timeout=%2B5", 400, "timeout"),
        ("/status-live/1?timeout=%ff", 400, "timeout"),
        ("/status-live/1?timeout=99999999999999999999999", 400, "timeout"),
        (&format!("/jobs/{job}/live?timeout=0"), 400, "timeout"),
        ("/thumbnails/x.jpg", 404, "thumbnail"),
        ("/thumbnails/", 404, ""),
        ("/thumbnails/..", 404, ""),
        ("/thumbnails/%2e%2e%2fm3a3.db", 404, ""),
        ("/thumbnails/..%2fm3a3.db", 404, ""),
        ("/thumbnails/%00", 404, ""),
        (&format!("/thumbnails/{hash}.jpg"), 404, "thumbnail"),
        (&format!("/thumbnails/{hash}.exe"), 404, "thumbnail"),
        (&format!("/thumbnails/0f/{hash}.jpg"), 404, ""),
    ] {
        assert_raw_problem(target, &raw_http::get(url, target).await, status, names);
    }
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_head_that_is_hostile_is_answered_with_4xx_or_not_at_all() {
    let app = App::new(&[]).await;
    let mut up = app.up();
    let url = up.url();
    let many: String = (0..500).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let large = "x".repeat(1 << 20);
    for (what, request) in [
        ("garbage", b"\x00\x01\x02\xff\xfe garbage \r\n\r\n".to_vec()),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("no version", b"GET /healthz\r\n\r\n".to_vec()),
        ("a large header", format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {large}\r\n\r\n").into_bytes()),
        ("a large target", format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()),
        ("many headers", format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n").into_bytes()),
        ("a bad length", b"POST /enqueue HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec()),
        (
            "two lengths",
            b"POST /enqueue HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx".to_vec(),
        ),
        ("a header without a name", b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n".to_vec()),
        ("a broken chunk", [POST_JSON, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"].concat()),
    ] {
        if let Some(answer) = raw_http::exchange(url, request).await {
            assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
        }
    }
    let strange = [b"GET /status/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-\xc3\xa9: \xff\r\n\r\n".to_vec()];
    for request in strange {
        assert!(raw_http::exchange(url, request).await.is_none_or(|answer| (400..500).contains(&answer.status)));
    }
    let key = [POST_JSON, b"Connection: close\r\nIdempotency-Key: \xff\r\nContent-Length: 2\r\n\r\n{}"].concat();
    let answer = raw_http::exchange(url, key).await.unwrap();
    assert_raw_problem("a key that is not UTF-8", &answer, 400, "Idempotency-Key");
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
    assert!(up.stop().success());
    let log = up.stderr();
    assert!(!log.contains("ERROR"), "strangers fill the log: {log}");
}

const POST_JSON: &[u8] = b"POST /enqueue HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
const POST_FORM: &[u8] = b"POST /enqueue HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n";
const HALF_AN_UPLOAD: &[u8] =
    b"Content-Length: 2000000\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\n\xff\xd8";

#[tokio::test]
async fn an_incomplete_request_leaves_no_files() {
    let app = App::new(&[]).await;
    let up = app.up();
    let url = up.url();
    app.until(url, "ready").await;
    let before = up.sockets();
    for (what, request) in [
        ("nothing", Vec::new()),
        ("half a head", b"POST /enqueue HT".to_vec()),
        ("a head", [POST_JSON, b"Content-Length: 100\r\n\r\n"].concat()),
        ("half a JSON body", [POST_JSON, b"Content-Length: 100\r\n\r\n{\"userId\":1,"].concat()),
        ("half a chunk", [POST_JSON, b"Transfer-Encoding: chunked\r\n\r\n64\r\n{\"us"].concat()),
        ("an upload in memory", [POST_FORM, HALF_AN_UPLOAD].concat()),
        ("an upload with a file", [POST_FORM, HALF_AN_UPLOAD, &[0; 1 << 20]].concat()),
    ] {
        let mut stream = raw_http::connect(url).await;
        stream.write_all(&request).await.unwrap();
        if what == "an upload with a file" {
            eventually("the upload has begun", || async { (temporaries(&app) == 1).then_some(()) }).await;
        }
        drop(stream);
        eventually(what, || async { (up.sockets() == before && temporaries(&app) == 0).then_some(()) }).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM jobs"), 0);
    app.assert_server_is_well(url).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn valid_images_of_every_format_are_accepted() {
    let app = App::new(&[]).await;
    let up = app.up();
    let formats =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::Bmp];
    let mut accepted: Vec<Value> = Vec::new();
    for (seed, format) in (1..).zip(formats) {
        accepted.push(app.upload(up.url(), 1, &picture(seed, format)).await);
    }
    accepted.push(app.upload(up.url(), 1, &half_transparent_png()).await);
    for accepted in accepted {
        assert_eq!(app.outcome(up.url(), &accepted).await["status"], "done", "{accepted}");
    }
    app.assert_no_job_is_left().await;
}
