//! Negative zero is displayed as `-0`, also after restarts and refills of Redis.

use crate::harness::app::{App, eventually};
use crate::harness::feed::Feed;
use crate::harness::websocket::SocketClient;

/// Submits a score with this spelling, and returns the spelling of the new score in the response.
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

/// Asserts that every view of the board contains these players in this order, with these spellings of their scores.
async fn assert_shown(app: &App, url: &str, players: &[(&str, &str)]) {
    let entry = |(name, score): &(&str, &str)| format!(r#"{{"username":"{name}","score":{score}}}"#);
    let board = format!("[{}]", players.iter().map(entry).collect::<Vec<_>>().join(","));
    let ranked: Vec<String> = (1..)
        .zip(players)
        .map(|(rank, (name, score))| format!(r#"{{"rank":{rank},"score":{score},"username":"{name}"}}"#))
        .collect();

    let page = text(app, url, "/leaderboard").await;
    assert!(page.contains(&format!("\"players\":[{}]", ranked.join(","))), "{page}");
    for (at, (name, score)) in players.iter().enumerate() {
        let player = text(app, url, &format!("/leaderboard/{name}")).await;
        assert!(player.contains(&format!("\"score\":{score},\"total\"")), "{player}");
        let near = (at.saturating_sub(2)..players.len().min(at + 3)).filter(|near| *near != at);
        let neighbours: Vec<&str> = near.map(|near| ranked[near].as_str()).collect();
        assert!(player.contains(&format!("\"neighbours\":[{}]", neighbours.join(","))), "{player}");
    }
    let mut feed = Feed::open(&app.http, url).await;
    feed.until_text(&format!("\ndata: {board}")).await;
    let mut socket = SocketClient::connect(url).await;
    // A concurrent update may arrive before the first board.
    while socket.packet().await.unwrap() != format!("42[\"current_leaderboard\",{board}]") {}
}

#[tokio::test]
async fn negative_zero_keeps_its_sign_in_every_response() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    let mut feed = Feed::open(&app.http, url).await;
    let mut socket = SocketClient::connect(url).await;

    assert_eq!(post(&app, url, "set", "set", "-0").await, "-0");
    let board = r#"[{"username":"set","score":-0}]"#;
    feed.until_text(&format!("\ndata: {board}")).await;
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
async fn negative_zero_survives_a_restart_and_a_refill_of_redis() {
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
async fn for_players_of_other_programs_the_sign_of_zero_is_that_of_redis() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    // A real Redis uses an encoding that preserves the sign if a member is as long as this.
    let long = "é".repeat(33);
    app.redis.ask(&format!("ZADD leaderboard -1 {long}")).await;
    app.redis.ask("ZADD leaderboard 1 theirs").await;
    app.redis.ask("ZADD leaderboard -0 theirs").await;
    post(&app, server.url(), "ours", "set", "1").await;
    post(&app, server.url(), "ours", "set", "-0").await;
    // In this encoding, replacing zero by negative zero changes nothing.
    assert_eq!(post(&app, server.url(), "ours", "set", "0").await, "0");
    let kept = app.redis.ask("ZSCORE leaderboard theirs").await;
    let theirs = kept.lines().nth(1).unwrap();
    assert_shown(&app, server.url(), &[("theirs", theirs), ("ours", "0"), (&long, "-1")]).await;
}
