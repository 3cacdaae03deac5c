//! Request ids, spans and the access log, and the trace context that a job takes over from its request.

use std::collections::BTreeMap;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::app::{App, Process, eventually};
use crate::harness::feed::Feed;
use crate::harness::pictures::jpeg;
use crate::harness::raw_http::exchange;
use crate::harness::within;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_SPAN_ID: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE_ID}-{PARENT_SPAN_ID}-01")
}

fn id_of(response: &Response) -> String {
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids.len(), 1, "{response:?}");
    ids[0].to_str().unwrap().to_owned()
}

/// The log of a process with `log.format=json`, after it was stopped.
fn log(process: &mut Process) -> Vec<Value> {
    assert!(process.stop().success());
    process.stderr().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn messages<'a>(log: &'a [Value], message: &'a str) -> impl Iterator<Item = &'a Value> {
    log.iter().filter(move |event| event["message"] == message)
}

#[tokio::test]
async fn every_response_of_the_api_server_has_a_request_id_of_its_own() {
    let app = App::new(&[]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let live = accepted["statusUrl"].as_str().unwrap().to_owned() + "/live";
    app.outcome(serve.url(), &accepted).await;
    let mut ids = BTreeMap::new();
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/readyz", 200),
        (Method::GET, "/metrics", 200),
        (Method::GET, "/", 200),
        (Method::GET, "/status/1", 200),
        (Method::GET, "/status/x", 400),
        (Method::GET, "/status/404", 404),
        (Method::GET, "/status-live/404?timeout=1", 408),
        (Method::GET, live.as_str(), 200),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/status/1", 405),
        (Method::POST, "/enqueue", 415),
        (Method::HEAD, "/healthz", 200),
    ] {
        let response = app.http.request(method.clone(), format!("{}{path}", serve.url())).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        let id = id_of(&response);
        if response.headers().get("content-type").is_some_and(|value| value == "application/problem+json") {
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["requestId"], id.as_str(), "{method} {path}: {problem}");
        }
        if let Some(other) = ids.insert(id, path) {
            panic!("{other} and {path} have the same id");
        }
    }
}

#[tokio::test]
async fn every_response_of_the_game_server_has_a_request_id() {
    let app = App::new(&[]).await;
    let game = app.ready_game_server().await;
    let feed = Feed::open(&app.http, game.url()).await;
    assert!(feed.headers().contains_key("x-request-id"));
    for (path, status) in [("/leaderboard", 200), ("/orders/none", 404), ("/socket.io/?EIO=4&transport=polling", 200)] {
        let response = app.http.get(format!("{}{path}", game.url())).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        id_of(&response);
    }
}

#[tokio::test]
async fn a_well_formed_request_id_of_the_client_is_returned_and_any_other_is_replaced() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let send = async |path: &str, id: &str| {
        let response = app.http.get(format!("{}{path}", serve.url())).header("X-Request-Id", id).send().await.unwrap();
        (id_of(&response), response.text().await.unwrap())
    };
    let longest = "x".repeat(128);
    for id in ["a", "0af7651916cd43dd8448eb211c80319c", "A-z_0.9", &longest] {
        assert_eq!(send("/healthz", id).await.0, id);
        let (returned, problem) = send("/nowhere", id).await;
        assert_eq!(returned, id);
        assert_eq!(serde_json::from_str::<Value>(&problem).unwrap()["requestId"], id);
    }
    let too_long = "x".repeat(129);
    for id in ["", "a b", "a\"b", "a/b", "caf\u{e9}", &too_long] {
        let (returned, _) = send("/healthz", id).await;
        assert_ne!(returned, id);
        assert!(!returned.is_empty() && returned.len() < 128, "{returned}");
    }
}

#[tokio::test]
async fn a_held_poll_keeps_the_request_id_of_its_client() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let live = format!("{}{}/live?timeout=1", serve.url(), accepted["statusUrl"].as_str().unwrap());
    let response = app.http.get(live).header("X-Request-Id", "held-1").send().await.unwrap();
    assert_eq!((response.status().as_u16(), id_of(&response).as_str()), (408, "held-1"));
}

#[tokio::test]
async fn the_access_log_has_one_line_per_request_when_it_is_on() {
    let app = App::new(&["log.requests=true", "log.format=json"]).await;
    let mut serve = app.serve();
    for (path, id) in [("/status/404", "first"), ("/nowhere", "second")] {
        let url = format!("{}{path}", serve.url());
        app.http.get(url).header("X-Request-Id", id).send().await.unwrap();
    }
    let log = log(&mut serve);
    let lines: Vec<_> = messages(&log, "request finished").collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, (id, route)) in lines.iter().zip([("first", "/status/{user_id}"), ("second", "none")]) {
        let span = &line["span"];
        assert_eq!((&line["level"], &span["name"]), (&json!("INFO"), &json!("request")), "{line}");
        assert_eq!((&span["method"], &span["request.id"]), (&json!("GET"), &json!(id)), "{line}");
        assert_eq!((&span["route"], &span["status"]), (&json!(route), &json!(404)), "{line}");
        assert!(span["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    }
}

#[tokio::test]
async fn the_access_log_has_a_line_for_a_client_that_disconnects() {
    let app = App::new(&["log.requests=true", "log.format=json"]).await;
    let mut serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let live = format!("{}{}/live?timeout=60", serve.url(), accepted["statusUrl"].as_str().unwrap());
    let poll = tokio::spawn(app.http.get(live).header("X-Request-Id", "left").send());
    let held = |wanted: &'static str| {
        let (http, url) = (app.http.clone(), format!("{}/metrics", serve.url()));
        async move {
            let metrics = http.get(url).send().await.unwrap().text().await.unwrap();
            metrics.lines().any(|line| line == wanted).then_some(())
        }
    };
    eventually("the poll is held", || held("m3a3_held_polls 1.0")).await;
    poll.abort();
    eventually("the poll is dropped", || held("m3a3_held_polls 0.0")).await;
    let log = log(&mut serve);
    let aborted: Vec<_> = messages(&log, "request aborted").collect();
    assert_eq!(aborted.len(), 1, "{aborted:?}");
    assert_eq!(aborted[0]["span"]["request.id"], "left", "{aborted:?}");
}

#[tokio::test]
async fn the_access_log_is_off_by_default_and_a_refusal_is_logged_in_the_span_of_its_request() {
    let app = App::new(&["log.level=m3a3=debug", "log.format=json"]).await;
    let mut serve = app.serve();
    app.http.get(format!("{}/nowhere", serve.url())).header("X-Request-Id", "refused-1").send().await.unwrap();
    let log = log(&mut serve);
    assert_eq!(messages(&log, "request finished").count(), 0);
    let refused: Vec<_> = log.iter().filter(|event| event["span"]["request.id"] == "refused-1").collect();
    assert_eq!(refused.len(), 1, "{log:?}");
    assert_eq!((&refused[0]["level"], &refused[0]["span"]["route"]), (&json!("DEBUG"), &json!("none")));
}

#[tokio::test]
async fn a_job_is_logged_in_a_span_that_is_linked_to_the_trace_of_its_request() {
    let app = App::new(&["log.format=json"]).await;
    let serve = app.serve();
    let body = reqwest::multipart::Part::bytes(jpeg(1)).file_name("image");
    let form = reqwest::multipart::Form::new().text("userId", "7").part("image", body);
    let request = app.http.post(format!("{}/enqueue", serve.url())).multipart(form);
    let accepted: Value = request.header("traceparent", traceparent()).send().await.unwrap().json().await.unwrap();
    let other = app.upload(serve.url(), 8, &jpeg(2)).await;
    let mut worker = app.worker();
    for job in [&accepted, &other] {
        assert_eq!(app.outcome(serve.url(), job).await["status"], "done");
    }
    let log = log(&mut worker);
    let done = |job: &Value| {
        let event = messages(&log, "job done").find(|event| event["span"]["job.id"] == job["jobId"]);
        event.unwrap_or_else(|| panic!("{job} is not in {log:?}"))["span"].clone()
    };
    let traced = done(&accepted);
    assert_eq!((&traced["name"], &traced["kind"], &traced["attempt"]), (&json!("job"), &json!("thumbnail"), &json!(1)));
    assert_eq!(traced["user.id"], 7);
    assert_eq!((&traced["trace_id"], &traced["parent_span_id"]), (&json!(TRACE_ID), &json!(PARENT_SPAN_ID)));
    let plain = done(&other);
    assert_eq!(
        (&plain["user.id"], &plain["trace_id"], &plain["parent_span_id"]),
        (&json!(8), &Value::Null, &Value::Null)
    );
    let traced = format!("SELECT count(*) FROM jobs WHERE traceparent = '{}'", traceparent());
    assert!(app.count(&traced) >= 2, "the jobs for the thumbnail and the warehouse");
}

#[tokio::test]
async fn an_order_stores_its_trace_context_and_a_malformed_one_is_ignored() {
    let app = App::new(&["webhook.url=http://127.0.0.1:1/"]).await;
    let game = app.ready_game_server().await;
    let malformed = [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
        format!("{}-x", traceparent()),
        traceparent().to_uppercase(),
    ];
    for (number, parent) in malformed.iter().chain([&traceparent()]).enumerate() {
        let order = json!({ "orderId": format!("o{number}"), "userId": "1" });
        let request = app.http.post(format!("{}/place_order", game.url())).header("traceparent", parent).json(&order);
        assert_eq!(request.send().await.unwrap().status(), 200, "{parent}");
    }
    let of_order = |condition: &str| app.count(&format!("SELECT count(*) FROM jobs WHERE {condition}"));
    assert_eq!(of_order("traceparent IS NOT NULL AND payload LIKE '%\"o3\"%'"), of_order("payload LIKE '%\"o3\"%'"));
    assert_eq!(of_order("traceparent IS NOT NULL AND payload NOT LIKE '%\"o3\"%'"), 0);
}

#[tokio::test]
async fn two_trace_contexts_in_one_request_are_ignored() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let body = json!({ "userId": 1, "imagePath": "x.jpg" }).to_string();
    let (parent, length) = (traceparent(), body.len());
    let request = format!(
        "POST /enqueue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\ntraceparent: {parent}\r\ntraceparent: {parent}\r\n\r\n{body}"
    );
    let response = within("a response", exchange(serve.url(), request)).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE traceparent IS NOT NULL"), 0);
}
