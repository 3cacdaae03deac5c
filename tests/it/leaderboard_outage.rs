//! The leaderboard while Redis is away, comes back empty, or refuses.

use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::problem::assert_refused;

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_filled_from_the_database() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    for (name, score) in [("ada", 3), ("bo", 2), ("cy", 1)] {
        app.score(server.url(), name, score).await;
    }
    app.redis.restart_empty().await;
    app.until(server.url(), "ready").await;
    eventually("the board is back", || async { (app.redis.ask("ZCARD leaderboard").await == ":3\r\n").then_some(()) })
        .await;
    assert_eq!(app.players(server.url()).await, ["ada", "bo", "cy"]);
    everything_is_sent(&app).await;
}

#[tokio::test]
async fn scores_are_taken_while_redis_is_away_and_applied_when_it_is_back() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "before", 1).await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    let answer = app.score(server.url(), "while", 2).await;
    assert_eq!(answer, json!({ "success": true, "message": "Score updated successfully", "score": 2 }));
    for _ in 0..3 {
        let body = json!({ "username": "before", "score": 10, "mode": "add" });
        assert_eq!(app.post(server.url(), "/score", &body).await.0, 200);
    }
    let reading = app.http.get(format!("{}/leaderboard", server.url()));
    assert_refused("reading without Redis", reading, 503, "try again").await;
    app.redis.restart_empty().await;
    eventually("the board is back", || async { (app.redis.ask("ZCARD leaderboard").await == ":2\r\n").then_some(()) })
        .await;
    assert_eq!(app.players(server.url()).await, ["before", "while"]);
    eventually("ranks are known again", || async {
        app.score(server.url(), "after", 3).await.get("rank").map(|rank| assert_eq!(rank, 2))
    })
    .await;
}

#[tokio::test]
async fn a_seed_while_redis_is_away_empties_the_board_when_it_is_back() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "gone", 1000).await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    assert_eq!(app.post(server.url(), "/seed", &json!({})).await.0, 200);
    app.score(server.url(), "late", 95).await;
    app.redis.restart_empty().await;
    app.redis.ask("ZADD leaderboard 7 foreign").await;
    eventually("the seed is applied", || async {
        (app.redis.ask("ZCARD leaderboard").await == ":11\r\n").then_some(())
    })
    .await;
    assert_eq!(app.players(server.url()).await[..3], ["Player 1", "late", "Player 2"].map(str::to_owned));
}

#[tokio::test]
async fn members_of_other_programs_stay_when_missed_scores_are_sent() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    app.score(server.url(), "ours", 1).await;
    app.redis.restart_empty().await;
    app.redis.ask("ZADD leaderboard 5 theirs").await;
    everything_is_sent(&app).await;
    assert_eq!(app.players(server.url()).await, ["theirs", "ours"]);
}

/// Waits until every commit is known to be in Redis.
async fn everything_is_sent(app: &App) {
    eventually("nothing is noted as unsent", || async {
        (app.count("SELECT count(*) FROM unsent_scores") == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_board_that_another_program_deletes_on_a_running_redis_stays_deleted() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 3).await;
    app.score(server.url(), "bo", 2).await;
    app.redis.ask("DEL leaderboard").await;
    // A second server that starts now looks at the board too, and after its own score it has surely looked.
    let second = app.ready_game_server().await;
    app.score(second.url(), "cy", 1).await;
    app.score(server.url(), "cy", 4).await;
    everything_is_sent(&app).await;
    assert_eq!(app.players(server.url()).await, ["cy"]);
    assert_eq!(app.count("SELECT count(*) FROM scores"), 3);
}

#[tokio::test]
async fn what_redis_refuses_is_told_and_undone_and_works_again_once_that_is_mended() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    app.score(url, "ada", 1).await;
    app.redis.ask("SET leaderboard text").await;
    for mode in ["set", "best", "add"] {
        for name in ["ada", "new"] {
            let body = json!({ "username": name, "score": 5, "mode": mode });
            let what = format!("{mode} of {name}");
            let request = app.http.post(format!("{url}/score")).json(&body);
            assert_refused(&what, request, 503, "holds something else than a sorted set").await;
        }
    }
    assert_refused("reading", app.http.get(format!("{url}/leaderboard")), 503, "sorted set").await;
    assert_eq!(app.count("SELECT count(*) FROM scores WHERE score <> 1"), 0, "what was refused has changed nothing");
    app.redis.ask("DEL leaderboard").await;
    let body = json!({ "username": "ada", "score": 5, "mode": "add" });
    assert_eq!(app.post(url, "/score", &body).await.1["score"], 6);
    assert_eq!(app.score(url, "bo", 9).await["rank"], 1);
    // A seed puts a board there whatever the key held.
    app.redis.ask("SET leaderboard text").await;
    assert_eq!(app.post(url, "/seed", &json!({})).await.0, 200);
    assert_eq!(app.players(url).await.len(), 10);
}

#[tokio::test]
async fn scores_of_a_server_that_was_killed_reach_redis_through_another() {
    let mut app = App::new(&[]).await;
    let mut doomed = app.ready_game_server().await;
    app.redis.stop().await;
    app.until(doomed.url(), "degraded").await;
    app.score(doomed.url(), "orphan", 1).await;
    doomed.kill();
    app.redis.restart_empty().await;
    // The board is there, so that nothing is filled anew; the note of the dead server tells what is missing.
    app.redis.ask("ZADD leaderboard 5 theirs").await;
    let heir = app.ready_game_server().await;
    eventually("the orphan is on the board", || async {
        app.players(heir.url()).await.contains(&"orphan".to_owned()).then_some(())
    })
    .await;
    everything_is_sent(&app).await;
}
