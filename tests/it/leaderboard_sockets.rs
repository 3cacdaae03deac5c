//! The board over Socket.IO.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::app::{App, eventually};
use crate::harness::feed::Feed;
use crate::harness::websocket::SocketClient;
use crate::harness::within;

/// Connects, and returns the first board.
async fn connect(url: &str) -> (SocketClient, Value) {
    let mut client = SocketClient::connect(url).await;
    loop {
        // A concurrent update may arrive before the first board.
        let (name, board) = client.event().await.expect("a greeting");
        if name == "current_leaderboard" {
            return (client, board);
        }
    }
}

#[tokio::test]
async fn a_socket_gets_the_board_and_then_every_latest_state() {
    let app = App::new(&[]).await;
    let servers = [app.ready_game_server().await, app.ready_game_server().await];
    app.score(servers[0].url(), "ada", 1).await;
    let (mut here, board) = connect(servers[0].url()).await;
    assert_eq!(board, json!([{ "username": "ada", "score": 1 }]));
    let (mut there, _) = connect(servers[1].url()).await;
    for score in 2..=30 {
        app.score(servers[0].url(), "bo", score).await;
    }
    let last = json!([{ "username": "bo", "score": 30 }, { "username": "ada", "score": 1 }]);
    here.until_update(&last).await;
    there.until_update(&last).await;
    assert_eq!(connect(servers[1].url()).await.1, last);
}

#[tokio::test]
async fn updates_within_the_interval_are_merged_and_the_last_state_is_sent() {
    let app = App::new(&["game.broadcast_interval_ms=500"]).await;
    let server = app.ready_game_server().await;
    let (mut client, _) = connect(server.url()).await;
    let scores = 100;
    for score in 1..=scores {
        app.score(server.url(), "ada", score).await;
    }
    let before = client.until_update(&json!([{ "username": "ada", "score": scores }])).await;
    assert!(before < scores, "{scores} scores made {before} updates and a last one");
}

#[tokio::test]
async fn a_socket_gets_its_first_board_after_an_outage_of_redis_and_all_get_an_update() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 1).await;
    let (mut early, _) = connect(server.url()).await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    app.score(server.url(), "bo", 2).await;
    let mut late = SocketClient::connect(server.url()).await;
    app.redis.restart_empty().await;
    let board = json!([{ "username": "bo", "score": 2 }, { "username": "ada", "score": 1 }]);
    early.until_update(&board).await;
    let (name, _) = late.event().await.expect("a greeting");
    assert!(["current_leaderboard", "update_leaderboard"].contains(&name.as_str()));
    late.until_update(&board).await;
}

/// Posts a score repeatedly until the server has exited. Returns the number of accepted ones.
async fn post_until_refused(request: reqwest::RequestBuilder, body: Value) -> i64 {
    let mut taken = 0;
    // Connections are refused in the end, but every accepted request succeeds.
    while let Ok(answer) = request.try_clone().unwrap().json(&body).send().await {
        assert_eq!(answer.status(), 200);
        taken += 1;
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_closes_a_thousand_sockets_and_two_hundred_feeds_and_answers_scores_in_flight() {
    let app = App::new(&["shutdown.grace_s=600"]).await;
    let mut server = app.ready_game_server().await;
    let url = server.url().to_owned();
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.extend(join_all((0..100).map(|_| connect(&url))).await);
    }
    let mut feeds = join_all((0..200).map(|_| Feed::open(&app.http, &url))).await;
    // A client with an incomplete body is disconnected like all others.
    let mut half_sent = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    half_sent.write_all(head.as_bytes()).await.unwrap();
    let posting: Vec<_> = (0..50)
        .map(|player| {
            let request = app.http.post(format!("{url}/score"));
            tokio::spawn(post_until_refused(
                request,
                json!({ "username": format!("p{player}"), "score": 1, "mode": "add" }),
            ))
        })
        .collect();
    eventually("scores are in flight", || async { (app.count("SELECT count(*) FROM scores") >= 50).then_some(()) })
        .await;
    let ended = tokio::task::block_in_place(|| server.stop());
    assert!(ended.success(), "it waited for nobody, or its ten minutes of grace would not be over by now");
    let answered: i64 = join_all(posting).await.into_iter().map(Result::unwrap).sum();
    let total: i64 = app.count("SELECT cast(sum(score) AS INTEGER) FROM scores");
    assert!(answered > 50 && total >= answered, "{answered} were answered, {total} are there");
    for feed in &mut feeds {
        feed.until_closed().await;
    }
    within("every socket is closed", async {
        for (socket, _) in &mut sockets {
            socket.websocket.until_closed().await;
        }
    })
    .await;
}
