//! `m3a3 status`: the contract of /status and /status-live as a client meets it.

use serde_json::{Value, json};

use crate::harness::binary::{Ran, Workdir};
use crate::harness::scripted_api::{Answer, ScriptedApi};

fn done() -> Answer {
    Answer::Json(200, json!({ "status": "done", "thumbnailUrl": "/thumbnails/a%20b.jpg" }))
}

fn pending() -> Answer {
    Answer::Json(200, json!({ "status": "pending", "message": "Thumbnail is still being generated." }))
}

fn unknown() -> Answer {
    Answer::Json(404, json!({ "status": "error", "message": "User not found" }))
}

fn timed_out() -> Answer {
    Answer::Json(408, json!({ "status": "pending", "message": "Request timed out. Please try again." }))
}

fn status(api: &ScriptedApi, args: &[&str]) -> Ran {
    let args = [&["status", "7", "--url", &api.url], args].concat();
    Workdir::new().run(&args)
}

fn wait(api: &ScriptedApi, args: &[&str]) -> Ran {
    status(api, &[&["--wait", "--base-delay-s", "0"], args].concat())
}

#[test]
fn done_is_printed_and_exits_with_0() {
    let api = ScriptedApi::start().on("GET /status/7", [done()]);
    let ran = status(&api, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.json_lines(), [json!({ "status": "done", "thumbnailUrl": "/thumbnails/a%20b.jpg" })]);
}

#[test]
fn anything_else_is_printed_and_exits_with_1_and_one_line() {
    let problem = json!({ "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "No token." });
    for (code, body, line) in [
        (
            200,
            json!({ "status": "pending", "message": "Thumbnail is still being generated." }),
            "Thumbnail is still being generated.",
        ),
        (200, json!({ "status": "failed", "message": "The picture is cut off." }), "The picture is cut off."),
        (404, json!({ "status": "error", "message": "User not found" }), "User not found"),
        (401, problem, "No token. (pass auth.token in M3A3_AUTH__TOKEN, or --token)"),
    ] {
        let api = ScriptedApi::start().on("GET /status/7", [Answer::Json(code, body.clone())]);
        let ran = status(&api, &[]);
        assert_eq!((ran.code, ran.json_lines()), (Some(1), vec![body]));
        assert_eq!(ran.stderr, format!("m3a3: user 7: {line}\n"));
    }
}

#[test]
fn waiting_polls_with_retries_until_done_with_a_thumbnail_url() {
    let busy = Answer::Json(503, Value::Null);
    let answers = [timed_out(), busy, Answer::BreaksOff, timed_out(), done()];
    let api = ScriptedApi::start().on("GET /status/7", [pending()]).on("GET /status-live/7", answers);
    let ran = wait(&api, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.json_lines()[0]["thumbnailUrl"], "/thumbnails/a%20b.jpg");
    assert_eq!(api.requests().len(), 1 + 5);
}

#[test]
fn waiting_for_an_unknown_user_ends_at_once_unless_it_is_asked_for() {
    let api =
        ScriptedApi::start().on("GET /status/7", vec![unknown(); 2]).on("GET /status-live/7", [timed_out(), done()]);
    let ran = wait(&api, &[]);
    let hint = "m3a3: user 7: User not found (--wait-for-user waits for the first upload)\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), hint));
    assert_eq!(api.requests().len(), 1);
    let ran = wait(&api, &["--wait-for-user"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(api.requests().len(), 1 + 2);
    assert_eq!(status(&api, &["--wait-for-user"]).code, Some(2), "it needs --wait");
    assert_eq!(status(&api, &[]).stderr, "m3a3: user 7: User not found\n");
}

#[test]
fn the_first_request_of_waiting_is_retried_too() {
    let busy = Answer::Json(503, Value::Null);
    let api = ScriptedApi::start()
        .on("GET /status/7", [busy, Answer::BreaksOff, pending()])
        .on("GET /status-live/7", [done()]);
    let ran = wait(&api, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(api.requests().len(), 3 + 1);
}

#[test]
fn waiting_gives_up_after_the_last_attempt() {
    let api =
        ScriptedApi::start().on("GET /status/7", vec![pending(); 2]).on("GET /status-live/7", vec![timed_out(); 9]);
    let ran = wait(&api, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "m3a3: user 7: Request timed out. Please try again.\n"));
    assert_eq!(api.requests().len(), 1 + 5);
    wait(&api, &["--attempts", "2"]);
    assert_eq!(api.requests().len(), 1 + 5 + 1 + 2);
}

#[test]
fn waiting_ends_at_once_when_the_job_is_dead_or_nobody_knows_the_user() {
    for (code, body) in [(200, json!({ "status": "failed", "message": "no" })), (404, json!({ "message": "no" }))] {
        let api = ScriptedApi::start().on("GET /status-live/7", [Answer::Json(code, body), done()]);
        let ran = wait(&api, &["--wait-for-user"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "m3a3: user 7: no\n"));
        assert_eq!(api.requests().len(), 1);
    }
}

#[test]
fn the_token_comes_from_the_flag_or_the_configuration() {
    let api = ScriptedApi::start().on("GET /status/7", vec![done(); 3]);
    status(&api, &["--token", "flag"]);
    Ran::of(Workdir::new().command(&["status", "7", "--url", &api.url]).env("M3A3_AUTH__TOKEN", "variable"));
    status(&api, &[]);
    let tokens: Vec<_> =
        api.requests().into_iter().map(|request| request.headers.get("authorization").cloned()).collect();
    assert_eq!(tokens, [Some("Bearer flag".to_owned()), Some("Bearer variable".to_owned()), None]);
}

#[test]
fn the_configured_port_is_asked_when_no_url_is_given() {
    let api = ScriptedApi::start().on("GET /status/7", [done()]);
    let port = api.url.rsplit(':').next().unwrap();
    let ran = Ran::of(
        Workdir::new().command(&["status", "7"]).env("M3A3_SERVE__PORT", port).env("http_proxy", "http://127.0.0.1:1"),
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}
