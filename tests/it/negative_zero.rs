//! Negative zero: handed in as `-0`, it is shown as `-0`, whatever Redis and restarts do to it.

use crate::harness::app::{App, eventually};
use crate::harness::feed::Feed;
use crate::harness::websocket::SocketClient;

/// Hands in a score as it is written, and returns how the answer writes what the player has now.
async fn post(app: &App, url: &str, name: &str, mode: &str, score: &str) -> String {
    let body = format!(r#"{{"username":"{name}","score":{score},"mode":"{mode}"}}"#);
    let request = app.http.post(format!("{url}/score")).header("content-type", "application/json").body(body);
    let answer = request.send().await.unwrap().text().await.unwrap();
    let (_, score) = answer.split_once("\"score\":").unwrap_or_else(|| panic!("{answer}"));
    score.split(',').next().unwrap().to_owned()
}

async fn text(app: &App, url: &str, path: &str) -> String {
    app.http.get(format!("{url}{path}")).send().await.unwrap().text().await.unwrap()
}

/// Expects these players, highest first, with their scores written so, wherever the board is shown.
async fn assert_shown(app: &App, url: &str, players: &[(&str, &str)]) {
    let entry = |(name, score): &(&str, &str)| format!(r#"{{"username":"{name}","score":{score}}}"#);
    let board = format!("[{}]", players.iter().map(entry).collect::<Vec<_>>().join(","));
    let ranked: Vec<String> = (1..)
        .zip(players)
        .map(|(rank, (name, score))| format!(r#"{{"rank":{rank},"score":{score},"username":"{name}"}}"#))
        .collect();

    let page = text(app, url, "/leaderboard").await;
    assert!(page.contains(&format!("\"players\":[{}]", ranked.join(","))), "{page}");
    for (name, score) in players {
        let player = text(app, url, &format!("/leaderboard/{name}")).await;
        assert!(player.contains(&format!("\"score\":{score},\"total\"")), "{player}");
        let neighbour = format!("\"score\":{score},\"username\":\"{name}\"}}");
        assert!(player.contains(&neighbour), "{player}");
    }
    let mut feed = Feed::open(&app.http, url).await;
    while !feed.block().await.unwrap().ends_with(&format!("\ndata: {board}")) {}
    let mut socket = SocketClient::connect(url).await;
    // An update of just now may come before the greeting.
    while socket.packet().await.unwrap() != format!("42[\"current_leaderboard\",{board}]") {}
}

#[tokio::test]
async fn negative_zero_is_answered_and_shown_everywhere_as_it_was_handed_in() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    let mut feed = Feed::open(&app.http, url).await;
    let mut socket = SocketClient::connect(url).await;

    assert_eq!(post(&app, url, "set", "set", "-0").await, "-0");
    let board = r#"[{"username":"set","score":-0}]"#;
    while !feed.block().await.unwrap().ends_with(&format!("\ndata: {board}")) {}
    while socket.packet().await.unwrap() != format!("42[\"update_leaderboard\",{board}]") {}

    assert_eq!(post(&app, url, "best", "best", "-0.0").await, "-0");
    assert_eq!(post(&app, url, "best", "best", "0").await, "-0", "zero is not higher");
    assert_eq!(post(&app, url, "best", "best", "-1").await, "-0");
    assert_eq!(post(&app, url, "add", "add", "-0").await, "-0");
    assert_eq!(post(&app, url, "add", "add", "-0").await, "-0");
    assert_eq!(post(&app, url, "zero", "set", "0").await, "0");
    assert_shown(&app, url, &[("zero", "0"), ("set", "-0"), ("best", "-0"), ("add", "-0")]).await;

    assert_eq!(post(&app, url, "add", "add", "0").await, "0");
    assert_eq!(post(&app, url, "set", "set", "0").await, "0");
    assert_eq!(post(&app, url, "zero", "set", "-0").await, "-0");
    assert_shown(&app, url, &[("zero", "-0"), ("set", "0"), ("best", "-0"), ("add", "0")]).await;
    assert_eq!(app.post(url, "/seed", &serde_json::json!({})).await.0, 200);
    assert_eq!(post(&app, url, "set", "add", "0").await, "0");
}

#[tokio::test]
async fn negative_zero_outlives_the_server_and_a_redis_that_comes_back_empty() {
    let mut app = App::new(&[]).await;
    let mut server = app.ready_game_server().await;
    for (name, score) in [("b", "-0"), ("a", "0")] {
        post(&app, server.url(), name, "set", score).await;
    }
    assert!(server.stop().success());
    let server = app.ready_game_server().await;
    assert_shown(&app, server.url(), &[("b", "-0"), ("a", "0")]).await;

    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    assert_eq!(post(&app, server.url(), "c", "set", "-0").await, "-0");
    app.redis.restart_empty().await;
    eventually("the board is back", || async { (app.redis.ask("ZCARD leaderboard").await == ":3\r\n").then_some(()) })
        .await;
    assert_shown(&app, server.url(), &[("c", "-0"), ("b", "-0"), ("a", "0")]).await;
    assert_eq!(post(&app, server.url(), "b", "add", "-0").await, "-0");
}

#[tokio::test]
async fn a_redis_that_keeps_the_sign_of_zero_has_it_of_its_own_players_and_not_of_ours() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    // A set with a member as long as this is one that keeps it, at a real Redis.
    let long = "é".repeat(33);
    app.redis.ask(&format!("ZADD leaderboard -1 {long}")).await;
    app.redis.ask("ZADD leaderboard 1 theirs").await;
    app.redis.ask("ZADD leaderboard -0 theirs").await;
    post(&app, server.url(), "ours", "set", "1").await;
    post(&app, server.url(), "ours", "set", "-0").await;
    // To such a set, a zero over a negative one is no change.
    assert_eq!(post(&app, server.url(), "ours", "set", "0").await, "0");
    let kept = app.redis.ask("ZSCORE leaderboard theirs").await;
    let theirs = kept.lines().nth(1).unwrap();
    assert_shown(&app, server.url(), &[("theirs", theirs), ("ours", "0"), (&long, "-1")]).await;
}
