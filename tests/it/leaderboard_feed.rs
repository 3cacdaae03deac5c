//! The board as server-sent events.

use diesel::prelude::*;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::harness::app::App;
use crate::harness::feed::Feed;
use crate::harness::problem::assert_refused;
use crate::harness::{tcp, until};

#[tokio::test]
async fn a_feed_starts_with_the_board_and_gets_every_latest_state() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    app.score(url, "ada", 1).await;
    let mut feed = Feed::open(&app.http, url).await;
    assert_eq!(feed.headers()["cache-control"], "no-cache, no-transform");
    assert_eq!(feed.block().await.as_deref(), Some("retry: 2000"));
    let (first, board) = feed.board().await;
    assert_eq!(board, json!([{ "username": "ada", "score": 1 }]));
    for score in 2..=50 {
        app.score(url, "bo", score).await;
    }
    feed.until(&json!([{ "username": "bo", "score": 50 }, { "username": "ada", "score": 1 }])).await;
    app.post(url, "/seed", &json!({})).await;
    loop {
        let (id, board) = feed.board().await;
        assert!(id > first, "ids grow");
        if board[0]["username"] == "Player 1" {
            assert_eq!(board.as_array().unwrap().len(), 10);
            break;
        }
    }
}

#[tokio::test]
async fn an_empty_board_is_an_empty_array() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    assert_eq!(Feed::open(&app.http, server.url()).await.board().await.1, json!([]));
}

#[tokio::test]
async fn a_message_of_any_program_triggers_a_broadcast() {
    let app = App::new(&[]).await;
    let servers = [app.game_server(), app.game_server()];
    let mut feeds = Vec::new();
    for server in &servers {
        app.until(server.url(), "ready").await;
        let mut feed = Feed::open(&app.http, server.url()).await;
        feed.board().await;
        feeds.push(feed);
    }
    app.redis.ask("ZADD leaderboard 5 theirs").await;
    for payload in ["null", "{\"half", "", "changed"] {
        app.redis.publish("leaderboard_update", payload).await;
    }
    app.redis.publish("leaderboard_update", [0xff, 0x00]).await;
    for feed in &mut feeds {
        feed.until(&json!([{ "username": "theirs", "score": 5 }])).await;
    }
    // A score for one server reaches the feeds of both.
    app.score(servers[0].url(), "ours", 6).await;
    for feed in &mut feeds {
        feed.until(&json!([{ "username": "ours", "score": 6 }, { "username": "theirs", "score": 5 }])).await;
    }
}

#[tokio::test]
async fn names_and_scores_that_json_cannot_represent_do_not_break_the_board() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.redis.ask("ZADD leaderboard inf endless -inf bottom 1 %FF%FE 2 line%0D%0Abreak").await;
    let mut feed = Feed::open(&app.http, server.url()).await;
    let (_, board) = feed.board().await;
    let names = ["endless", "line\r\nbreak", "\u{fffd}\u{fffd}", "bottom"];
    assert_eq!(
        board.as_array().unwrap().iter().map(|entry| entry["username"].as_str().unwrap()).collect::<Vec<_>>(),
        names
    );
    assert_eq!((&board[0]["score"], &board[3]["score"]), (&json!(f64::MAX), &json!(f64::MIN)));
}

#[tokio::test]
async fn after_a_reconnect_the_board_is_read_again() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 1).await;
    let mut feed = Feed::open(&app.http, server.url()).await;
    feed.board().await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    // A new feed gets its first board as soon as the board can be read.
    let mut late = Feed::open(&app.http, server.url()).await;
    app.redis.restart_empty().await;
    for feed in [&mut feed, &mut late] {
        feed.until(&json!([{ "username": "ada", "score": 1 }])).await;
    }
}

#[tokio::test]
async fn a_feed_keeps_its_board_while_redis_is_refilled() {
    let mut app = App::new(&[]).await;
    drop(app.ready_game_server().await);
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
                INSERT INTO scores (seq, username, score) SELECT i, printf('p%05d', i), i FROM n";
    diesel::sql_query(rows).execute(&mut app.database()).unwrap();
    diesel::sql_query("UPDATE leaderboard SET seq = 30000").execute(&mut app.database()).unwrap();
    app.redis.restart_empty().await;
    let server = app.game_server();
    let mut feed = Feed::open(&app.http, server.url()).await;
    // A new client gets the content of Redis. The last of three chunks contains the highest scores.
    let first = json!({ "username": "p30000", "score": 30000 });
    feed.until_board(|board| board.get(0) == Some(&first)).await;
    app.redis.restart_empty().await;
    app.redis_has_every_score().await;
    app.score(server.url(), "p29999", 50000).await;
    loop {
        let (_, board) = feed.board().await;
        if board[0]["score"] == 50000 {
            break;
        }
        assert_eq!(board[0], first);
    }
}

#[tokio::test]
async fn other_origins_may_read_only_the_feed_by_default() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    let get = |path: &str| app.http.get(format!("{url}{path}")).header("origin", "https://example.org").send();
    let feed = get("/leaderboard-feed").await.unwrap();
    assert_eq!(feed.headers()["access-control-allow-origin"], "*");
    for headers in ["last-event-id", "Accept, Cache-Control, Last-Event-ID", "content-type", "authorization,x-own"] {
        let preflight = app.http.request(Method::OPTIONS, format!("{url}/leaderboard-feed"));
        let preflight =
            preflight.header("origin", "https://example.org").header("access-control-request-method", "GET");
        let allowed = preflight.header("access-control-request-headers", headers).send().await.unwrap();
        assert_eq!(allowed.status(), 204, "{headers}");
        assert_eq!(allowed.headers()["access-control-allow-origin"], "*");
        assert_eq!(allowed.headers()["access-control-allow-headers"], headers);
    }
    let page = get("/leaderboard").await.unwrap();
    assert!(!page.headers().contains_key("access-control-allow-origin"));
    assert_refused("POST", app.http.post(format!("{url}/leaderboard-feed")), 405, "GET, HEAD").await;
}

#[tokio::test]
async fn sigterm_closes_two_hundred_feeds_and_the_process_exits_successfully() {
    let app = App::new(&[]).await;
    let mut server = app.ready_game_server().await;
    let mut feeds = Vec::new();
    for _ in 0..200 {
        let mut feed = Feed::open(&app.http, server.url()).await;
        feed.board().await;
        feeds.push(feed);
    }
    assert!(server.stop().success());
    for feed in &mut feeds {
        feed.until_closed().await;
    }
}

#[tokio::test]
async fn feeds_open_no_connection_to_redis() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let connections = || tcp::established().iter().filter(|end| end.local == app.redis.address()).count();
    let mut feeds = vec![Feed::open(&app.http, server.url()).await];
    // After an update, all connections that updates need are open.
    app.score(server.url(), "ada", 1).await;
    feeds[0].until(&json!([{ "username": "ada", "score": 1 }])).await;
    let before = connections();
    assert!(before > 0);
    for _ in 0..50 {
        feeds.push(Feed::open(&app.http, server.url()).await);
    }
    app.score(server.url(), "ada", 2).await;
    for feed in &mut feeds {
        feed.until(&json!([{ "username": "ada", "score": 2 }])).await;
    }
    assert_eq!(connections(), before);
}

#[tokio::test]
async fn a_feed_that_is_never_read_does_not_delay_the_shutdown() {
    let app = App::new(&["shutdown.grace_s=600"]).await;
    let mut server = app.ready_game_server().await;
    // A board of 10 MB exceeds the socket buffers, so that the server must buffer the rest.
    for player in 0..10 {
        app.redis.ask(&format!("ZADD leaderboard {player} {player}{}", "x".repeat(1_000_000))).await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let mut feed = socket.connect(address).await.unwrap();
    feed.write_all(b"GET /leaderboard-feed HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let client = feed.local_addr().unwrap();
    until("the connection is full", || {
        let ends = tcp::established();
        ends.iter().any(|end| (end.local, end.peer) == (address, client) && end.unsent > 100_000)
    })
    .await;
    assert!(server.stop().success(), "its ten minutes of grace would not be over by now");
}
