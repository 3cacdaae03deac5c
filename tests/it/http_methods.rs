//! HEAD, streams of HTTP/1.0 clients, and query parameters.

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::app::{App, DEADLINE};
use crate::harness::openapi::Description;
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;
use crate::harness::{raw_http, within};

#[tokio::test]
async fn head_is_answered_as_get_without_a_body_on_every_route() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.up(), app.ready_game_server().await);
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let done = app.outcome(serve.url(), &accepted).await;
    app.score(game.url(), "ada", 1).await;
    app.place_order(game.url(), "A-1001", "u").await;
    // Lists of jobs must not change between the two requests.
    app.assert_none_is_left_of(&["thumbnail", "warehouse", "email"]).await;
    let status = accepted["statusUrl"].as_str().unwrap().to_owned();
    let thumbnail = done["thumbnailUrl"].as_str().unwrap().to_owned();
    for (url, paths) in [
        (serve.url(), [&status, &thumbnail]),
        (game.url(), [&"/orders/A-1001".to_owned(), &"/leaderboard/ada".to_owned()]),
    ] {
        let description = Description::of(&app, url).await;
        let examples = description.operations().into_keys().map(|name| description.example(&name));
        let reading = examples.filter(|(method, _)| *method == Method::GET).map(|(_, url)| url);
        for target in reading.chain(paths.map(|path| format!("{url}{path}"))) {
            let send = |method, target: &str| {
                // The id is in problems, whose length it would change.
                app.http.request(method, target).header("X-Request-Id", "same").timeout(DEADLINE).send()
            };
            // The metrics change, and polls are held; HEAD is answered at once.
            let statuses = match &target {
                metrics if metrics.ends_with("/metrics") => Some([200, 200]),
                poll if poll.ends_with("/live") || poll.contains("/status-live/") => Some([200, 408]),
                _ => None,
            };
            if let Some(statuses) = statuses {
                let target = if target.ends_with("/live") { format!("{url}{status}/live") } else { target };
                let got = send(Method::HEAD, &target).await.unwrap().status();
                assert!(statuses.contains(&got.as_u16()), "{target}: {got}");
                continue;
            }
            let [get, head] = [Method::GET, Method::HEAD].map(|method| send(method, &target));
            let (get, head) = (get.await.unwrap(), head.await.unwrap());
            assert_eq!(head.status(), get.status(), "{target}");
            for name in ["content-type", "content-length", "etag", "cache-control", "transfer-encoding"] {
                let is_stream = target.ends_with("/leaderboard-feed") && name == "transfer-encoding";
                assert!(head.headers().get(name) == get.headers().get(name) || is_stream, "{target}: {name}");
            }
            assert_eq!(head.bytes().await.unwrap(), "", "{target}");
        }
    }
    for (target, status) in [("/enqueue", 405), ("/nothing", 404)] {
        assert_eq!(app.http.head(format!("{}{target}", serve.url())).send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn head_of_a_long_poll_is_answered_at_once() {
    let app = App::new(&["serve.long_poll_timeout_s=60"]).await;
    let serve = app.serve();
    let job = app.upload(serve.url(), 1, &jpeg(1)).await["statusUrl"].as_str().unwrap().to_owned();
    for path in ["/status-live/1".to_owned(), "/status-live/2?timeout=60".to_owned(), format!("{job}/live")] {
        let request = app.http.head(format!("{}{path}", serve.url())).timeout(DEADLINE);
        assert_eq!(request.send().await.unwrap().status(), 408, "{path}");
    }
    let _worker = app.worker();
    app.assert_no_job_is_left().await;
    assert_eq!(app.http.head(format!("{}/status-live/1", serve.url())).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn head_of_the_feed_is_answered_at_once_and_leaves_the_connection_usable() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let head = "HEAD /leaderboard-feed HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = raw_http::exchange(server.url(), format!("{head}{head}{last}")).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/event-stream"), "{}", answer.head);
    let rest = String::from_utf8(answer.body).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK") && rest.ends_with("{\"status\":\"ok\"}"), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 2, "{rest}");
}

#[tokio::test]
async fn the_feed_of_an_http_1_0_client_has_no_chunks_and_ends_with_the_connection() {
    let app = App::new(&[]).await;
    let mut server = app.ready_game_server().await;
    app.score(server.url(), "ada", 1).await;
    for connection in ["", "Connection: keep-alive\r\n"] {
        let mut stream = raw_http::connect(server.url()).await;
        let request = format!("GET /leaderboard-feed HTTP/1.0\r\nHost: x\r\n{connection}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        within("the feed sends a board", async {
            while !received.ends_with(b"}]\n\n") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0, "the stream has ended");
            }
        })
        .await;
        let text = String::from_utf8(received).unwrap();
        let (head, events) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK"), "{head}");
        for name in ["transfer-encoding", "content-length", "connection: keep-alive"] {
            assert!(!head.to_ascii_lowercase().contains(name), "{head}");
        }
        let board = "data: [{\"username\":\"ada\",\"score\":1}]\n\n";
        assert!(events.starts_with("retry: 2000\n\nid: ") && events.ends_with(board), "{events}");
        if connection.is_empty() {
            continue;
        }
        assert!(server.stop().success());
        let mut rest = Vec::new();
        assert_eq!(within("the feed ends", stream.read_to_end(&mut rest)).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn unknown_query_parameters_are_refused_except_those_that_clients_add() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    app.score(game.url(), "ada", 1).await;
    app.place_order(game.url(), "o", "u").await;
    let status = accepted["statusUrl"].as_str().unwrap();
    let strict = [
        (serve.url(), "/status/1"),
        (serve.url(), status),
        (serve.url(), "/users/1"),
        (serve.url(), "/users/1/images"),
        (serve.url(), "/admin/jobs"),
        (game.url(), "/leaderboard"),
        (game.url(), "/leaderboard/ada"),
        (game.url(), "/orders/o"),
    ];
    for (url, path) in strict {
        let get = |query: &str| app.http.get(format!("{url}{path}?{query}"));
        assert_refused(path, get("Limit=1"), 400, "Limit: got an unknown parameter, expected").await;
        for query in ["_=1764271800", "t=1", "1764271800", "utm_source=mail&gclid=x&fbclid=y"] {
            assert_eq!(get(query).send().await.unwrap().status(), 200, "{path}?{query}");
        }
    }
    let live = app.http.get(format!("{}/status-live/1?wait=1", serve.url()));
    assert_refused("a poll", live, 400, "wait: got an unknown parameter, expected only \"timeout\"").await;
    for (url, path) in [(game.url(), "/score"), (game.url(), "/place_order"), (serve.url(), "/enqueue")] {
        let post = app.http.post(format!("{url}{path}?mode=best")).json(&serde_json::json!({}));
        assert_refused(path, post, 400, "mode: got an unknown parameter, expected none").await;
    }
    for (url, path) in [
        (serve.url(), "/"),
        (serve.url(), "/docs"),
        (serve.url(), "/openapi.json"),
        (serve.url(), "/healthz"),
        (serve.url(), "/readyz"),
        (serve.url(), "/metrics"),
        (game.url(), "/leaderboard-feed"),
    ] {
        let any = app.http.get(format!("{url}{path}?any=1"));
        assert_eq!(any.send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn links_begin_with_the_public_url_and_pages_have_relative_ones() {
    let app = App::new(&["serve.public_url=https://shop.example/images/"]).await;
    let up = app.up();
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    let base = "https://shop.example/images";
    let job = accepted["jobId"].as_str().unwrap();
    assert_eq!(accepted["statusUrl"], format!("{base}/jobs/{job}"));
    app.assert_no_job_is_left().await;
    app.upload(up.url(), 1, &jpeg(2)).await;
    app.assert_no_job_is_left().await;
    let (_, status) = app.get(up.url(), "/status/1").await;
    let (_, page) = app.get(up.url(), "/users/1/images?limit=1").await;
    let links = [
        &status["thumbnailUrl"],
        &status["variants"]["thumb"]["url"],
        &page["images"][0]["thumbnailUrl"],
        &page["images"][0]["variants"]["thumb"]["url"],
        &page["next"],
        &app.get(up.url(), &format!("/jobs/{job}/live")).await.1["thumbnailUrl"],
    ];
    for link in links {
        let path = link.as_str().unwrap().strip_prefix(base).unwrap_or_else(|| panic!("{link}"));
        assert_eq!(app.http.get(format!("{}{path}", up.url())).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(app.get(up.url(), "/openapi.json").await.1["servers"][0]["url"], base);
    let game = app.game_server();
    for url in [up.url(), game.url()] {
        for path in ["/", "/docs"] {
            let page = app.http.get(format!("{url}{path}")).send().await.unwrap().text().await.unwrap();
            for absolute in ["href=\"/", "fetch('/", "fetch(`/", "src=\"/", "'POST', '/", "EventSource('/", "statusUrl"]
            {
                assert!(!page.contains(absolute), "{url}{path} has {absolute}");
            }
        }
    }
}
