//! `m3a3 upload`: its requests, its output, and its retries.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::binary::{Ran, Workdir};
use crate::harness::scripted_api::{Answer, Request, ScriptedApi};

fn accepted(job: &str) -> Answer {
    let message = "Image received and event broadcasted!";
    let body = json!({ "message": message, "jobId": job, "userId": 7, "imagePath": "uploads/x.jpg", "statusUrl": "/status/7" });
    Answer::Json(200, body)
}

fn overloaded() -> Answer {
    Answer::WithHeader(503, json!({ "detail": "too much to do" }), ("Retry-After", "0"))
}

fn upload(workdir: &Workdir, api: &ScriptedApi, args: &[&str]) -> Ran {
    workdir.run(&[&["upload", "--user", "7", "--url", &api.url], args].concat())
}

fn keys(requests: &[Request]) -> BTreeSet<&str> {
    requests.iter().map(|request| request.headers["idempotency-key"].as_str()).collect()
}

/// The parts of a multipart body: the header line and the content of each.
fn parts(request: &Request) -> Vec<(String, Vec<u8>)> {
    let delimiter = format!("--{}", request.headers["content-type"].split_once("boundary=").unwrap().1);
    // One character a byte, so that the text can be taken apart and turned back.
    let text: String = request.body.iter().map(|byte| char::from(*byte)).collect();
    let parts = text.split(&delimiter).filter_map(|part| part.trim_start().split_once("\r\n\r\n"));
    let bytes = |content: &str| content.strip_suffix("\r\n").unwrap().chars().map(|c| c as u8).collect();
    parts.map(|(head, content)| (head.lines().next().unwrap().to_owned(), bytes(content))).collect()
}

#[test]
fn a_file_arrives_whole_with_its_user_and_its_name() {
    let workdir = Workdir::new();
    let content: Vec<u8> = (0..1_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    workdir.write("photo one.jpg", &content);
    let api = ScriptedApi::start().on("POST /enqueue", [accepted("j1")]);
    let ran = upload(&workdir, &api, &["photo one.jpg"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let expected =
        json!({ "file": "photo one.jpg", "status": "accepted", "jobId": "j1", "imagePath": "uploads/x.jpg" });
    assert_eq!(ran.json_lines(), [expected]);

    let requests = api.requests();
    let parts = parts(&requests[0]);
    assert_eq!(parts[0], ("Content-Disposition: form-data; name=\"userId\"".to_owned(), b"7".to_vec()));
    assert_eq!(parts[1].0, "Content-Disposition: form-data; name=\"image\"; filename=\"photo one.jpg\"");
    assert!(parts[1].1 == content);
    assert!(requests[0].headers.contains_key("content-length"));
}

#[test]
fn waiting_prints_where_the_thumbnail_is() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "x");
    let pending = Answer::Json(408, json!({ "status": "pending", "message": "Request timed out. Please try again." }));
    let done = Answer::Json(200, json!({ "status": "done", "thumbnailUrl": "/thumbnails/a.jpg" }));
    let api = ScriptedApi::start()
        .on("POST /enqueue", [accepted("j1")])
        .on("GET /jobs/j1/live", [pending, overloaded(), done]);
    let ran = upload(&workdir, &api, &["x.jpg", "--wait"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.json_lines()[0]["status"], "done");
    assert_eq!(ran.json_lines()[0]["thumbnailUrl"], format!("{}/thumbnails/a.jpg", api.url));
}

#[test]
fn a_job_that_fails_is_a_failed_file() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "x");
    let failed = Answer::Json(200, json!({ "status": "failed", "message": "The picture is cut off." }));
    let api = ScriptedApi::start().on("POST /enqueue", [accepted("j1")]).on("GET /jobs/j1/live", [failed]);
    let ran = upload(&workdir, &api, &["x.jpg", "--wait"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "m3a3: x.jpg: The picture is cut off.\n"));
    assert_eq!(ran.json_lines()[0]["status"], "failed");
}

#[test]
fn what_is_sent_again_has_the_same_key_and_the_whole_file() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "the picture");
    let too_many = Answer::WithHeader(429, json!({ "detail": "slow down" }), ("Retry-After", "0"));
    let api = ScriptedApi::start().on("POST /enqueue", [overloaded(), Answer::BreaksOff, too_many, accepted("j1")]);
    let ran = upload(&workdir, &api, &["x.jpg"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let requests = api.requests();
    assert_eq!((requests.len(), keys(&requests).len()), (4, 1));
    assert!(requests.iter().all(|request| parts(request)[1].1 == b"the picture"));
}

#[test]
fn a_server_that_stays_overloaded_is_given_up() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "x");
    let api = ScriptedApi::start().on("POST /enqueue", vec![overloaded(); 20]);
    let ran = upload(&workdir, &api, &["x.jpg"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "m3a3: x.jpg: too much to do\n"));
    assert_eq!(api.requests().len(), 5);
    upload(&workdir, &api, &["x.jpg", "--attempts", "2"]);
    assert_eq!(api.requests().len(), 7);
}

#[test]
fn a_refused_file_is_reported_with_the_reason_of_the_server_and_not_sent_again() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "x");
    let problem = json!({ "title": "Bad Request", "detail": "image: got a text, expected a picture" });
    let api = ScriptedApi::start().on("POST /enqueue", [Answer::Json(400, problem)]);
    let ran = upload(&workdir, &api, &["x.jpg"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "m3a3: x.jpg: image: got a text, expected a picture\n"));
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn a_quota_is_reported_and_the_file_not_sent_again() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "x");
    let problem = json!({ "detail": "Too many images of this user.", "requestId": "1" });
    let api = ScriptedApi::start().on("POST /enqueue", [Answer::Json(429, problem)]);
    let ran = upload(&workdir, &api, &["x.jpg"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "m3a3: x.jpg: Too many images of this user.\n"));
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn one_bad_file_does_not_keep_the_others_from_being_uploaded() {
    let workdir = Workdir::new();
    for name in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        workdir.write(name, name);
    }
    std::os::unix::net::UnixListener::bind(workdir.path().join("socket")).unwrap();
    let api = ScriptedApi::start().on("POST /enqueue", ["1", "2", "3", "4"].map(accepted));
    let ran = upload(&workdir, &api, &["a.jpg", "missing.jpg", "b.jpg", ".", "c.jpg", "socket", "d.jpg"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "m3a3: missing.jpg: cannot be read: No such file or directory (os error 2)\n\
         m3a3: .: is a directory, not an image\n\
         m3a3: socket: is not a file\n\
         m3a3: 3 of 7 files failed\n"
    );
    let files: Vec<_> = ran.json_lines().iter().map(|line| line["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(files, ["a.jpg", "missing.jpg", "b.jpg", ".", "c.jpg", "socket", "d.jpg"]);
    let requests = api.requests();
    assert_eq!((requests.len(), keys(&requests).len()), (4, 4));
}

#[test]
fn a_server_that_does_not_run_is_reported_by_its_address() {
    let workdir = Workdir::new();
    workdir.write("x.jpg", "x");
    let ran = workdir.run(&["upload", "x.jpg", "--user", "7", "--attempts", "1", "--url", "http://127.0.0.1:1"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with("m3a3: x.jpg: no answer from http://127.0.0.1:1 (is the server running?)"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.lines().count(), 1);
}
