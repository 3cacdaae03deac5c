//! Orders: placed once, by HTTP or by another program's message, and never lost.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::app::{App, answer, eventually, webhooks};
use crate::harness::problem::assert_refused;
use crate::harness::receiver::{Answer, Receiver};
use crate::harness::redis::TestRedis;

fn post(app: &App, url: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    app.http.post(format!("{url}/place_order")).header("Content-Type", "application/json").body(body)
}

fn placed() -> (u16, Value) {
    (200, json!({ "success": true, "message": "Order Placed" }))
}

/// An installation with a webhook.
async fn with_webhook(receiver: &Receiver) -> App {
    App::new(&[&format!("webhook.url={}", receiver.url)]).await
}

#[tokio::test]
async fn a_placed_order_lists_its_jobs() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let server = app.game_server();
    assert_eq!(app.place_order(server.url(), "o-1", "u-7").await, placed());
    let mut order = app.order_until(server.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    let placed_at = order.as_object_mut().unwrap().remove("placedAt").unwrap();
    let jobs = json!([
        { "kind": "webhook", "state": "done", "attempts": 1 },
        { "kind": "warehouse", "state": "queued", "attempts": 0 },
        { "kind": "email", "state": "queued", "attempts": 0 },
    ]);
    assert_eq!(order, json!({ "orderId": "o-1", "userId": "u-7", "jobs": jobs }));
    let placed_at: jiff::Timestamp = placed_at.as_str().unwrap().parse().unwrap();
    assert_eq!(placed_at.as_millisecond(), app.count("SELECT placed_at FROM orders"));
    let unknown = app.http.get(format!("{}/orders/o-2", server.url()));
    assert_refused("an unknown order", unknown, 404, "order").await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn repeating_an_order_succeeds_and_changes_nothing() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let servers = [app.game_server(), app.game_server()];
    let repeats = (0..20).map(|repeat| app.place_order(servers[repeat % 2].url(), "o-1", "u-7"));
    assert!(join_all(repeats).await.iter().all(|answer| *answer == placed()));
    app.assert_no_job_is_left().await;
    assert_eq!(app.place_order(servers[0].url(), "o-1", "u-7").await, placed(), "also when it is reported");
    assert_eq!(app.count("SELECT count(*) FROM orders"), 1);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'webhook'"), 1);
    app.assert_no_job_is_left().await;
    assert_eq!(receiver.deliveries().len(), 1);
}

#[tokio::test]
async fn an_order_of_another_customer_is_a_conflict_and_changes_nothing() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let server = app.game_server();
    assert_eq!(app.place_order(server.url(), "o-1", "u-7").await, placed());
    let body = json!({ "orderId": "o-1", "userId": "u-8" }).to_string();
    let detail = assert_refused("another's order", post(&app, server.url(), body), 409, "orderId").await;
    assert!(!detail.contains("u-7"), "{detail}");
    assert_eq!(app.get(server.url(), "/orders/o-1").await.1["userId"], "u-7");
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'webhook'"), 1);
}

#[tokio::test]
async fn any_short_text_is_a_valid_order_id() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let server = app.game_server();
    let ids = ["a/b", "a b+c", "50%41", "100%", "?q=1#x", "é 😀 写真", "..", "%", "\"'\\", &"x".repeat(255)];
    for id in ids {
        assert_eq!(app.place_order(server.url(), id, "u").await, placed(), "{id}");
        // `Url` resolves ".." in any encoding; the server does not.
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let target = format!("/orders/{encoded}");
        let found = crate::harness::raw_http::get(server.url(), &target).await;
        let found: Value = serde_json::from_slice(&found.body).unwrap();
        assert_eq!(found["orderId"], id, "{found}");
    }
    app.assert_no_job_is_left().await;
    let mut reported: Vec<String> = receiver.deliveries().iter().map(|delivery| delivery.order()).collect();
    let mut expected = ids.map(str::to_owned).to_vec();
    reported.sort();
    expected.sort();
    assert_eq!(reported, expected);
    for target in ["/orders/%FF", "/orders/%00", "/orders/a%0Ab", "/orders/", "/orders", "/orders/%zz"] {
        let status = crate::harness::raw_http::get(server.url(), target).await.status;
        assert!((400..500).contains(&status), "{target}: {status}");
    }
}

#[tokio::test]
async fn another_program_s_order_is_recorded_once_by_any_number_of_processes() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let servers = [app.game_server(), app.game_server(), app.game_server()];
    eventually("all three listen", || async { (app.redis.listeners("order_placed").await == 3).then_some(()) }).await;
    for order in 0..50 {
        let message = json!({ "orderId": format!("o-{order}"), "userId": "u-7", "more": [1] }).to_string();
        app.redis.publish("order_placed", message).await;
    }
    receiver.until(50).await;
    let conflicting = json!({ "orderId": "o-1", "userId": "u-8" }).to_string();
    app.redis.publish("order_placed", conflicting).await;
    let last = json!({ "orderId": "last", "userId": "u-7" }).to_string();
    app.redis.publish("order_placed", &last).await;
    app.redis.publish("order_placed", &last).await;
    for server in &servers {
        app.order_until(server.url(), "last", |jobs| jobs[0]["state"] == "done").await;
        assert_eq!(app.get(server.url(), "/orders/o-1").await.1["userId"], "u-7");
    }
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM orders"), 51);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'webhook'"), 51);
    assert_eq!(receiver.deliveries().len(), 51);
}

#[tokio::test]
async fn malformed_messages_are_dropped() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let mut server = app.game_server();
    eventually("it listens", || async { (app.redis.listeners("order_placed").await == 1).then_some(()) }).await;
    let long = json!({ "orderId": "x".repeat(1 << 20), "userId": "u" }).to_string();
    let deep = "[".repeat(100_000);
    for malformed in [
        &b""[..],
        b"null",
        b"[]",
        b"42",
        b"\"o-1\"",
        b"{\"orderId\":\"o-1\"",
        b"{\"orderId\":\"o-1\"}",
        b"{\"orderId\":1,\"userId\":\"u\"}",
        b"{\"orderId\":\"o-1\",\"userId\":7}",
        b"{\"orderId\":\"\",\"userId\":\"u\"}",
        b"{\"orderId\":[\"o-1\"],\"userId\":\"u\"}",
        b"{\"orderId\":\"a\\u0000b\",\"userId\":\"u\"}",
        b"{\"orderId\":\"\xff\",\"userId\":\"u\"}",
        b"\x00\x01\xff",
        long.as_bytes(),
        deep.as_bytes(),
    ] {
        app.redis.publish("order_placed", malformed).await;
    }
    let good = json!({ "orderId": "good", "userId": "u" }).to_string();
    app.redis.publish("order_placed", good).await;
    app.order_until(server.url(), "good", |jobs| jobs[0]["state"] == "done").await;
    assert_eq!(app.count("SELECT count(*) FROM orders"), 1);
    app.assert_no_job_is_left().await;
    assert!(server.stop().success());
    let log = server.stderr();
    assert!(log.contains("dropped a malformed message") && log.contains("order_placed"), "{log}");
}

#[tokio::test]
async fn the_accepting_process_decides_the_jobs_of_an_order() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = App::new(&[]).await;
    let without = app.game_server();
    let with = app.start(&["game-server", "--set", &format!("webhook.url={}", receiver.url)]);
    eventually("both listen", || async { (app.redis.listeners("order_placed").await == 2).then_some(()) }).await;
    assert_eq!(app.place_order(without.url(), "quiet", "u").await, placed());
    // The other process receives it from the channel, and then again by HTTP.
    assert_eq!(app.place_order(with.url(), "quiet", "u").await, placed());
    assert_eq!(app.place_order(with.url(), "loud", "u").await, placed());
    app.order_until(with.url(), "loud", |jobs| jobs[0]["state"] == "done").await;
    assert_eq!(webhooks(&app.get(with.url(), "/orders/quiet").await.1), json!([]));
    assert_eq!(receiver.deliveries().len(), 1);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn orders_are_accepted_and_reported_while_redis_is_away() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = App::with_redis(TestRedis::down(), &[&format!("webhook.url={}", receiver.url)]);
    let server = app.game_server();
    app.until(server.url(), "degraded").await;
    assert_eq!(app.place_order(server.url(), "o-1", "u").await, placed());
    app.order_until(server.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_order_wakes_its_worker_at_once() {
    // No sweep runs during the test: only the wake signal can have started the webhook.
    let receiver = Receiver::always(Answer::Status(200));
    let url = format!("webhook.url={}", receiver.url);
    let app = App::new(&["jobs.sweep_interval_s=3600", &url]).await;
    let server = app.game_server();
    eventually("it listens", || async { (app.redis.listeners("order_placed").await == 1).then_some(()) }).await;
    assert_eq!(app.place_order(server.url(), "o-1", "u").await, placed());
    receiver.until(1).await;
    app.redis.publish("order_placed", json!({ "orderId": "o-2", "userId": "u" }).to_string()).await;
    receiver.until(2).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn an_invalid_body_is_refused_by_the_name_of_the_field_and_changes_nothing() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = with_webhook(&receiver).await;
    let server = app.game_server();
    let url = server.url();
    let deep = "[".repeat(100_000);
    let long = json!({ "orderId": "x".repeat(1 << 20), "userId": "u" }).to_string();
    let long_user = json!({ "orderId": "o", "userId": "x".repeat(1 << 20) }).to_string();
    let a_little_long = json!({ "orderId": "é".repeat(256), "userId": "u" }).to_string();
    for (body, names) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("{\"orderId\":\"o\",\"userId\":\"u\"", "JSON"),
        ("{\"orderId\":\"o\",\"userId\":\"u\"} x", "JSON"),
        ("{orderId:1}", "JSON"),
        ("{\"orderId\":\"\\ud800\",\"userId\":\"u\"}", "JSON"),
        (&deep, "JSON"),
        ("null", "object"),
        ("[]", "object"),
        ("[{\"orderId\":\"o\",\"userId\":\"u\"}]", "object"),
        ("\"o\"", "object"),
        ("42", "object"),
        ("{}", "orderId: got nothing"),
        ("{}", "userId: got nothing"),
        ("{\"userId\":\"u\"}", "orderId: got nothing"),
        ("{\"orderId\":\"o\"}", "userId: got nothing"),
        ("{\"orderId\":42,\"userId\":\"u\"}", "orderId: got 42"),
        ("{\"orderId\":\"o\",\"userId\":42}", "userId: got 42"),
        ("{\"orderId\":null,\"userId\":\"u\"}", "orderId: got null"),
        ("{\"orderId\":true,\"userId\":\"u\"}", "orderId: got true"),
        ("{\"orderId\":[\"o\"],\"userId\":\"u\"}", "orderId: got an array"),
        ("{\"orderId\":{},\"userId\":\"u\"}", "orderId: got an object"),
        ("{\"orderId\":\"\",\"userId\":\"u\"}", "orderId: got the string \"\""),
        ("{\"orderId\":\"o\",\"userId\":\"\"}", "userId: got the string \"\""),
        ("{\"orderId\":\"a\\nb\",\"userId\":\"u\"}", "orderId: got the string"),
        ("{\"orderId\":\"a\\u0000b\",\"userId\":\"u\"}", "orderId: got the string"),
        ("{\"orderid\":\"o\",\"userId\":\"u\"}", "orderid: got an unknown field, expected \"orderId\" or \"userId\""),
        (&long, "orderId: got a string of 1048576 bytes"),
        (&long_user, "userId: got a string of 1048576 bytes"),
        (&a_little_long, "orderId: got a string of 512 bytes"),
    ] {
        let what = &body[..body.len().min(80)];
        assert_refused(what, post(&app, url, body.to_owned()), 400, names).await;
    }
    assert_refused("no UTF-8", post(&app, url, b"{\"orderId\":\"\xff\"}".to_vec()), 400, "JSON").await;
    assert_refused("10 MB", post(&app, url, vec![b' '; 10_000_000]), 413, "2097152 bytes").await;

    let good = json!({ "orderId": "o", "userId": "u" }).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = app.http.post(format!("{url}/place_order")).header("Content-Type", content_type);
        assert_refused(content_type, request.body(good.clone()), 415, "application/json").await;
    }
    let untyped = app.http.post(format!("{url}/place_order")).body(good.clone());
    assert_refused("no content type", untyped, 415, "application/json").await;
    assert_refused("GET", app.http.get(format!("{url}/place_order")), 405, "POST").await;
    assert_refused("POST", app.http.post(format!("{url}/orders/o")), 405, "GET").await;
    let long_id = format!("{url}/orders/{}", "x".repeat(256));
    assert_refused("a long id", app.http.get(long_id), 400, "orderId: got").await;

    assert_eq!((app.count("SELECT count(*) FROM orders"), app.count("SELECT count(*) FROM jobs")), (0, 0));
    assert_eq!(answer(post(&app, url, good)).await.unwrap(), placed());
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn orders_need_the_token() {
    let app = App::new(&["auth.token=s3cret"]).await;
    let server = app.game_server();
    let url = server.url();
    let body = json!({ "orderId": "o", "userId": "u" }).to_string();
    assert_refused("no token", post(&app, url, body.clone()), 401, "Authorization").await;
    assert_refused("a wrong token", post(&app, url, body.clone()).bearer_auth("x"), 401, "token").await;
    assert_refused("no token", app.http.get(format!("{url}/orders/o")), 401, "Authorization").await;
    assert_eq!(app.count("SELECT count(*) FROM orders"), 0);
    assert_eq!(answer(post(&app, url, body).bearer_auth("s3cret")).await.unwrap(), placed());
    let order = answer(app.http.get(format!("{url}/orders/o")).bearer_auth("s3cret")).await.unwrap();
    assert_eq!((order.0, webhooks(&order.1)), (200, json!([])));
    app.assert_no_job_is_left().await;
}
