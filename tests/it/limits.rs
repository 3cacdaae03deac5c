//! Limits of requests by client address and by user.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::app::{App, Process, eventually};
use crate::harness::feed::Feed;
use crate::harness::openapi::Description;
use crate::harness::pictures::jpeg;
use crate::harness::raw_http::{connect, read_answer};
use crate::harness::websocket::{self, SocketClient, Websocket};
use crate::harness::{until_async, within};

const ADA: &str = "192.0.2.1";
const BOB: &str = "192.0.2.2";

/// An installation behind a proxy on this machine, which is the test.
async fn app(settings: &[&str]) -> App {
    App::new(&[&["serve.trusted_proxies=127.0.0.1/32"], settings].concat()).await
}

fn upload(app: &App, server: &Process, user: &str) -> RequestBuilder {
    let image = Part::bytes(jpeg(1)).file_name("image");
    let form = Form::new().text("userId", user.to_owned()).part("image", image);
    app.http.post(format!("{}/enqueue", server.url())).multipart(form)
}

fn score(app: &App, server: &Process, player: &str) -> RequestBuilder {
    app.http.post(format!("{}/score", server.url())).json(&json!({ "username": player, "score": 7 }))
}

fn order(app: &App, server: &Process, order: &str, user: &str) -> RequestBuilder {
    app.http.post(format!("{}/place_order", server.url())).json(&json!({ "orderId": order, "userId": user }))
}

async fn send(request: RequestBuilder, address: &str) -> Response {
    request.header("X-Forwarded-For", address).send().await.unwrap()
}

async fn status(request: RequestBuilder, address: &str) -> u16 {
    send(request, address).await.status().as_u16()
}

/// Asserts a refusal by this limit, and returns the wait that it asks for, in seconds.
async fn assert_limited(request: RequestBuilder, address: &str, limit: &str, policy: &str) -> u64 {
    let response = send(request, address).await;
    assert_eq!(response.status(), 429);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let wait: u64 = header("retry-after").parse().unwrap();
    assert_eq!(header("ratelimit"), format!("\"{limit}\";r=0;t={wait}"));
    assert_eq!(header("ratelimit-policy"), format!("\"{limit}\";{policy}"));
    let problem: Value = response.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("\"{limit}\"")) && detail.contains(&format!(" {wait} second")), "{detail}");
    wait
}

#[tokio::test]
async fn an_address_above_its_limit_is_refused_before_its_upload_is_read_and_others_are_served() {
    let app = app(&["limits.uploads_per_minute=1", "limits.uploads_burst=2"]).await;
    let server = app.serve();
    for _ in 0..2 {
        assert_eq!(status(upload(&app, &server, "1"), ADA).await, 200);
    }
    let wait = assert_limited(upload(&app, &server, "1"), ADA, "upload", "q=1;w=60").await;
    assert!((1..=60).contains(&wait), "{wait}");
    // The answer precedes the body, which never arrives.
    let mut stream = connect(server.url()).await;
    let head = format!(
        "POST /enqueue HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {ADA}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(stream).await.unwrap();
    assert_eq!(answer.status, 429);

    assert_eq!(status(upload(&app, &server, "1"), BOB).await, 200);
    assert_eq!(status(app.http.get(format!("{}/status/1", server.url())), ADA).await, 200, "another limit");
    assert_eq!(app.count("SELECT count(*) FROM images"), 3);
    // A proxy that is not configured would make all clients one, so loopback addresses have no limit.
    assert_eq!(upload(&app, &server, "1").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn all_addresses_of_an_ipv6_network_of_64_bits_are_one() {
    let app = app(&["limits.scores_per_minute=1", "limits.scores_burst=1", "limits.orders_per_minute=1"]).await;
    let game = app.ready_game_server().await;
    assert_eq!(status(score(&app, &game, "ada"), "2001:db8:1:2::1").await, 200);
    assert_limited(score(&app, &game, "ada"), "2001:db8:1:2:3:4:5:6", "score", "q=1;w=60").await;
    assert_eq!(status(score(&app, &game, "ada"), "2001:db8:1:3::1").await, 200);
    assert_eq!(status(order(&app, &game, "a", "1"), "2001:db8:1:2::1").await, 200, "another limit");
}

#[tokio::test]
async fn other_requests_are_limited_and_monitors_and_preflights_are_not() {
    let app = app(&["limits.requests_per_minute=1", "limits.requests_burst=1"]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    for (server, path) in [(&serve, "/status/1"), (&game, "/leaderboard")] {
        let get = |path: &str| app.http.get(format!("{}{path}", server.url()));
        assert_ne!(status(get(path), ADA).await, 429);
        assert_limited(get(path), ADA, "request", "q=1;w=60").await;
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(status(get(path), ADA).await, 200, "{path}");
        }
        let options = app.http.request(Method::OPTIONS, format!("{}{path}", server.url()));
        assert_eq!(status(options, ADA).await, 204);
        let scraped = app.http.get(format!("{}/metrics", server.url())).send().await.unwrap().text().await.unwrap();
        assert!(scraped.contains("\nm3a3_limited_requests_total{limit=\"request\"} 1.0\n"), "{scraped}");
    }
    let upgrade = websocket::request("/socket.io/?EIO=4&transport=websocket", |head| {
        head.replacen("Host:", &format!("X-Forwarded-For: {ADA}\r\nHost:"), 1)
    });
    let refused = Websocket::request(game.url(), &upgrade).await;
    assert_eq!(refused.expect_err("a refusal").status, 429, "a websocket is a request");
}

#[tokio::test]
async fn every_limited_operation_describes_its_refusal() {
    let limits = ["uploads", "scores", "orders", "requests"]
        .map(|kind| [format!("limits.{kind}_per_minute=1"), format!("limits.{kind}_burst=1")]);
    let limits: Vec<&str> = limits.iter().flatten().map(String::as_str).collect();
    let app = app(&limits).await;
    for server in [app.serve(), app.ready_game_server().await] {
        let mut description = Description::of(&app, server.url()).await;
        let names: Vec<String> = description.operations().into_keys().collect();
        for (number, name) in names.iter().enumerate() {
            let (address, (method, url)) = (format!("198.51.100.{number}"), description.example(name));
            let request = || app.http.request(method.clone(), &url);
            // Long polls and the feed have the limit of all other requests.
            let first = if method == Method::POST { request() } else { app.http.get(format!("{}/docs", server.url())) };
            assert_ne!(status(first, &address).await, 429, "{name}");
            let response = send(request(), &address).await;
            let is_limited = response.status() == 429;
            assert_eq!(is_limited, !["get /healthz", "get /readyz", "get /metrics"].contains(&name.as_str()), "{name}");
            description.check(name, response).await;
        }
    }
}

#[tokio::test]
async fn a_backend_has_limits_by_user_only() {
    let settings = ["upload", "score", "order"].map(|kind| {
        [
            format!("limits.{kind}s_per_minute=1"),
            format!("limits.{kind}s_burst=1"),
            format!("limits.user_{kind}s_burst=2"),
        ]
    });
    let settings = settings.concat();
    let users = ["uploads", "scores", "orders"].map(|kind| format!("limits.user_{kind}_per_minute=1"));
    let settings: Vec<_> = settings.iter().chain(&users).map(String::as_str).chain(["auth.token=s3cret"]).collect();
    let app = app(&settings).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    for user in ["7", "8"] {
        let requests = || [upload(&app, &serve, user), score(&app, &game, user), order(&app, &game, user, user)];
        for _ in 0..2 {
            for request in requests() {
                assert_eq!(status(request.bearer_auth("s3cret"), ADA).await, 200);
            }
        }
        for (request, limit) in requests().into_iter().zip(["user_upload", "user_score", "user_order"]) {
            assert_limited(request.bearer_auth("s3cret"), ADA, limit, "q=1;w=60").await;
        }
    }
    let path = json!({ "userId": 7, "imagePath": "uploads/x.jpg" });
    let by_path = app.http.post(format!("{}/enqueue", serve.url())).json(&path).bearer_auth("s3cret");
    assert_limited(by_path, ADA, "user_upload", "q=1;w=60").await;
    assert_eq!(app.count("SELECT count(*) FROM images"), 4, "nothing was stored");
    assert_eq!(status(upload(&app, &serve, "9").bearer_auth("wrong"), ADA).await, 401);
    assert_limited(upload(&app, &serve, "9").bearer_auth("wrong"), ADA, "upload", "q=1;w=60").await;
}

#[tokio::test]
async fn held_polls_are_limited_until_their_clients_disconnect() {
    let app = app(&["limits.polls=2"]).await;
    let server = app.serve();
    app.upload(server.url(), 1, &jpeg(1)).await;
    let poll = || app.http.get(format!("{}/status-live/1?timeout=60", server.url()));
    let hold = || tokio::spawn(send(poll(), ADA));
    let held = [hold(), hold()];
    let held_polls = async |number: f64| {
        let text = app.http.get(format!("{}/metrics", server.url())).send().await.unwrap().text().await.unwrap();
        text.contains(&format!("\nm3a3_held_polls {number:?}\n"))
    };
    until_async("two polls are held", async || held_polls(2.0).await).await;
    assert_limited(poll(), ADA, "poll", "q=2;qu=\"concurrent-requests\"").await;
    let other = tokio::spawn(send(poll(), BOB));
    until_async("another address is served", async || held_polls(3.0).await).await;
    held.iter().for_each(tokio::task::JoinHandle::abort);
    let quick = || app.http.get(format!("{}/status-live/1?timeout=1", server.url()));
    eventually("a poll is admitted", || async { (status(quick(), ADA).await == 408).then_some(()) }).await;
    other.abort();
}

#[tokio::test]
async fn feeds_and_sockets_are_limited_until_they_are_closed() {
    let app = app(&["limits.feeds=1", "limits.sockets=1"]).await;
    let game = app.ready_game_server().await;
    let feed = || app.http.get(format!("{}/leaderboard-feed", game.url()));
    let open = send(feed(), ADA).await;
    assert_eq!(open.status(), 200);
    assert_limited(feed(), ADA, "feed", "q=1;qu=\"concurrent-requests\"").await;
    // It is not of this address.
    let _other = Feed::open(&app.http, game.url()).await;
    drop(open);
    eventually("a feed is admitted", || async { (status(feed(), ADA).await == 200).then_some(()) }).await;

    let target = "/socket.io/?EIO=4&transport=websocket";
    let upgrade = |address: &str| {
        websocket::request(target, |head| head.replacen("Host:", &format!("X-Forwarded-For: {address}\r\nHost:"), 1))
    };
    let websocket = Websocket::request(game.url(), &upgrade(ADA)).await.expect("a websocket");
    let mut socket = SocketClient { websocket };
    // Without a namespace, a session outlives its connection by the timeout of CONNECT.
    socket.websocket.text("40").await;
    while !socket.packet().await.expect("a packet").starts_with("40") {}
    let refused = Websocket::request(game.url(), &upgrade(ADA)).await.expect_err("a refusal");
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("ratelimit: \"socket\";r=0;t=5"), "{}", refused.head);
    let polling = || app.http.get(format!("{}/socket.io/?EIO=4&transport=polling", game.url()));
    assert_limited(polling(), ADA, "socket", "q=1;qu=\"concurrent-requests\"").await;
    assert!(Websocket::request(game.url(), &upgrade(BOB)).await.is_ok(), "another address");
    drop(socket);
    eventually("a session is admitted", || async { (status(polling(), ADA).await == 200).then_some(()) }).await;
}

/// The files below a folder of the installation that are not folders.
pub fn files(app: &App, folder: &str) -> Vec<std::path::PathBuf> {
    let mut folders = vec![app.dir.path().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[tokio::test]
async fn an_upload_that_its_last_field_makes_refused_leaves_no_file() {
    let app = app(&["limits.user_uploads_per_minute=1", "limits.user_uploads_burst=1"]).await;
    let server = app.serve();
    let late = |user: &'static str| {
        let form = Form::new().part("image", Part::bytes(jpeg(2)).file_name("image")).text("userId", user);
        app.http.post(format!("{}/enqueue", server.url())).multipart(form)
    };
    assert_eq!(status(upload(&app, &server, "7"), ADA).await, 200);
    let stored = files(&app, "data/uploads");
    assert_limited(late("7"), ADA, "user_upload", "q=1;w=60").await;
    assert_eq!(status(late("nobody"), ADA).await, 400);
    assert_eq!(files(&app, "data/uploads"), stored);
    assert_eq!(status(late("8"), ADA).await, 200);
    assert_eq!(files(&app, "data/uploads").len(), stored.len() + 1);
}

#[tokio::test]
async fn uploads_in_progress_are_limited_until_their_clients_disconnect() {
    let app = app(&["limits.held_uploads=2", "limits.uploads_per_minute=0"]).await;
    let server = app.serve();
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(server.url()).await;
        let head = format!(
            "POST /enqueue HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {ADA}\r\n\
             Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server awaits the body.
        let mut interim = [0; 25];
        within("the interim response", stream.read_exact(&mut interim)).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        held.push(stream);
    }
    assert_limited(upload(&app, &server, "1"), ADA, "held_upload", "q=2;qu=\"concurrent-requests\"").await;
    assert_eq!(status(upload(&app, &server, "1"), BOB).await, 200, "another address");
    drop(held);
    let admitted = || async { (status(upload(&app, &server, "1"), ADA).await == 200).then_some(()) };
    eventually("an upload is admitted", admitted).await;
}

#[tokio::test]
async fn a_client_of_a_trusted_proxy_cannot_make_the_proxy_look_unknown() {
    let app = app(&["limits.requests_per_minute=1", "limits.requests_burst=1"]).await;
    let mut server = app.serve();
    let get = || app.http.get(format!("{}/status/1", server.url()));
    assert_eq!(status(get(), "127.0.0.1").await, 404);
    assert_limited(get(), "127.0.0.1", "request", "q=1;w=60").await;
    assert!(server.stop().success());
    let log = server.stderr();
    assert!(!log.contains("trusted_proxies"), "{log}");
}

#[tokio::test]
async fn zero_turns_each_limit_off() {
    let off = ["uploads_per_minute", "scores_per_minute", "orders_per_minute", "requests_per_minute"];
    let off = off.into_iter().chain(["polls", "feeds", "sockets", "held_uploads"]).map(|key| format!("limits.{key}=0"));
    let bursts = ["uploads", "scores", "orders", "requests"].map(|kind| format!("limits.{kind}_burst=1"));
    let settings: Vec<_> = off.chain(bursts).collect();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let app = app(&settings).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    for number in 0..5 {
        let order = order(&app, &game, &number.to_string(), "1");
        let get = app.http.get(format!("{}/status/1", serve.url()));
        for request in [upload(&app, &serve, "1"), score(&app, &game, "ada"), order, get] {
            assert_eq!(status(request, ADA).await, 200);
        }
    }
}
