//! The leaderboard while Redis is unavailable, has lost data, or rejects writes.

use diesel::prelude::*;
use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::feed::Feed;
use crate::harness::problem::assert_refused;

#[tokio::test]
async fn an_empty_redis_is_refilled_from_the_database() {
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
    app.redis_has_every_score().await;
}

#[tokio::test]
async fn scores_are_accepted_during_an_outage_of_redis_and_sent_afterwards() {
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
    assert_eq!(app.players(server.url()).await, ["before", "while"], "the board of the database");
    app.redis.restart_empty().await;
    eventually("the board is back", || async { (app.redis.ask("ZCARD leaderboard").await == ":2\r\n").then_some(()) })
        .await;
    assert_eq!(app.players(server.url()).await, ["before", "while"]);
    eventually("ranks are returned again", || async {
        app.score(server.url(), "after", 3).await.get("rank").map(|rank| assert_eq!(rank, 2))
    })
    .await;
}

#[tokio::test]
async fn the_board_is_read_from_the_database_while_redis_is_unavailable() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    for (name, score) in [("a", 1), ("b", 1), ("é", 1), ("Z", 1), ("top", 9), ("low", -3)] {
        app.score(url, name, score).await;
    }
    app.score(url, "gone", 5).await;
    assert!(app.command(&["leaderboard", "remove", "gone"]).status().unwrap().success());
    app.redis_has_every_score().await;
    let paths = [
        "/leaderboard",
        "/leaderboard?offset=1&limit=3",
        "/leaderboard?offset=99",
        "/leaderboard/b",
        "/leaderboard/top",
        "/leaderboard/low",
        "/leaderboard/%C3%A9",
        "/leaderboard/gone",
        "/leaderboard/nobody",
    ];
    let mut of_redis = Vec::new();
    for path in paths {
        let (status, answer) = app.get(url, path).await;
        assert_eq!(answer.get("source"), None, "{path}");
        of_redis.push((status, answer));
    }
    app.redis.stop().await;
    app.until(url, "degraded").await;
    for (path, (status, mut expected)) in paths.into_iter().zip(of_redis) {
        let mut answer = app.get(url, path).await;
        let members = [&mut answer.1, &mut expected].map(|body| body.as_object_mut().unwrap());
        // Errors have ids.
        let [of_database, of_redis] = members;
        if status == 200 {
            of_redis.insert("source".to_owned(), "database".into());
        } else {
            of_database.remove("requestId");
            of_redis.remove("requestId");
        }
        assert_eq!(answer, (status, expected), "{path}");
    }
    let mut feed = Feed::open(&app.http, url).await;
    assert_eq!(feed.board().await.1[0], json!({ "username": "top", "score": 9 }));
    app.score(url, "new", 10).await;
    eventually("the new score is shown", || async { (app.players(url).await[..2] == ["new", "top"]).then_some(()) })
        .await;
    assert_eq!(app.get(url, "/leaderboard/top").await.1["rank"], 2);
    app.redis.restart_empty().await;
    app.redis.ask("ZADD leaderboard 11 theirs").await;
    feed.until_board(|board| board[0]["username"] == "theirs").await;
    eventually("the board of Redis is read again", || async {
        let (_, page) = app.get(url, "/leaderboard?limit=1").await;
        (page["players"][0]["username"] == "theirs" && page.get("source").is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_seed_during_an_outage_of_redis_resets_the_board_afterwards() {
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
async fn missed_scores_do_not_remove_members_of_other_programs() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    app.score(server.url(), "ours", 1).await;
    app.redis.restart_empty().await;
    app.redis.ask("ZADD leaderboard 5 theirs").await;
    app.redis_has_every_score().await;
    assert_eq!(app.players(server.url()).await, ["theirs", "ours"]);
}

#[tokio::test]
async fn a_board_that_another_program_deletes_on_a_running_redis_stays_deleted() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 3).await;
    app.score(server.url(), "bo", 2).await;
    app.redis.ask("DEL leaderboard").await;
    // A second server reads the board too, at the latest before its first score.
    let second = app.ready_game_server().await;
    app.score(second.url(), "cy", 1).await;
    app.score(server.url(), "cy", 4).await;
    app.redis_has_every_score().await;
    assert_eq!(app.players(server.url()).await, ["cy"]);
    assert_eq!(app.count("SELECT count(*) FROM scores"), 3);
}

#[tokio::test]
async fn a_score_that_redis_rejects_is_stored_and_sent_later() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    app.score(url, "ada", 1).await;
    app.redis.ask("SET leaderboard text").await;
    for mode in ["set", "best", "add"] {
        for name in ["ada", "new"] {
            let body = json!({ "username": name, "score": 5, "mode": mode });
            let (status, answer) = app.post(url, "/score", &body).await;
            assert_eq!((status, answer.get("rank")), (200, None), "{mode} of {name}: {answer}");
        }
    }
    assert_refused("reading", app.http.get(format!("{url}/leaderboard")), 503, "sorted set").await;
    assert_eq!(app.count("SELECT count(*) FROM scores WHERE score = 10"), 2);
    let (status, readiness) = app.get(url, "/readyz").await;
    assert_eq!((status, &readiness["status"]), (200, &json!("degraded")));
    assert!(readiness["checks"]["leaderboard"].as_str().unwrap().contains("WRONGTYPE"), "{readiness}");
    app.redis.ask("DEL leaderboard").await;
    eventually("Redis contains both players", || async {
        (app.redis.ask("ZCARD leaderboard").await == ":2\r\n").then_some(())
    })
    .await;
    app.until(url, "ready").await;
    assert_eq!(app.score(url, "bo", 11).await["rank"], 1);
}

#[tokio::test]
async fn an_empty_redis_is_refilled_after_scores_and_writes_of_other_programs() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    for number in 0..50 {
        app.score(server.url(), &format!("player {number}"), number).await;
    }
    app.redis.restart_empty().await;
    app.redis.ask("ZADD leaderboard 7 theirs").await;
    for number in 50..56 {
        app.score(server.url(), &format!("player {number}"), number).await;
    }
    app.redis_has_every_score().await;
    assert_eq!(app.redis.ask("ZCARD leaderboard").await, ":57\r\n");
}

#[tokio::test]
async fn a_redis_with_an_older_board_is_updated() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "early", 1).await;
    let cursor = app.redis.ask("GET {leaderboard}:cursor").await;
    let cursor = cursor.split("\r\n").nth(1).unwrap().to_owned();
    app.score(server.url(), "early", 2).await;
    app.score(server.url(), "late", 3).await;
    drop(server);
    app.redis.restart_empty().await;
    // The content of a snapshot after the first score.
    app.redis.ask("ZADD leaderboard 1 early 7 theirs").await;
    app.redis.ask(&format!("SET {{leaderboard}}:cursor {cursor}")).await;
    let server = app.ready_game_server().await;
    app.redis_has_every_score().await;
    assert_eq!(app.players(server.url()).await, ["theirs", "late", "early"]);
}

#[tokio::test]
async fn a_database_that_was_restored_from_a_backup_replaces_the_board() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 1).await;
    app.score(server.url(), "lost", 2).await;
    drop(server);
    let seq = app.count("SELECT max(seq) FROM scores");
    let mut database = app.database();
    for restore in [format!("DELETE FROM scores WHERE seq = {seq}"), format!("UPDATE leaderboard SET seq = {seq} - 1")]
    {
        diesel::sql_query(restore).execute(&mut database).unwrap();
    }
    let server = app.ready_game_server().await;
    app.redis_has_every_score().await;
    assert_eq!(app.players(server.url()).await, ["ada"]);
}

#[tokio::test]
async fn an_operator_can_replace_the_board_after_a_restore() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    for (name, score) in [("ada", 1), ("lost", 2)] {
        app.score(server.url(), name, score).await;
    }
    drop(server);
    let seq = app.count("SELECT max(seq) FROM scores");
    let mut database = app.database();
    for restore in [format!("DELETE FROM scores WHERE seq = {seq}"), format!("UPDATE leaderboard SET seq = {seq} + 5")]
    {
        diesel::sql_query(restore).execute(&mut database).unwrap();
    }
    assert!(app.command(&["leaderboard", "refill", "--replace"]).status().unwrap().success());
    let server = app.ready_game_server().await;
    app.redis_has_every_score().await;
    assert_eq!(app.players(server.url()).await, ["ada"]);
}

#[tokio::test]
async fn a_flushed_redis_is_refilled() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 1).await;
    app.redis.ask("FLUSHALL").await;
    app.redis_has_every_score().await;
    assert_eq!(app.players(server.url()).await, ["ada"]);
}

#[tokio::test]
async fn without_redis_a_score_that_depends_on_another_program_is_rejected() {
    let mut app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ours", 1).await;
    app.redis.ask("ZADD leaderboard 70 theirs").await;
    app.redis.stop().await;
    app.until(server.url(), "degraded").await;
    for mode in ["add", "best"] {
        let body = json!({ "username": "theirs", "score": 5, "mode": mode });
        let request = app.http.post(format!("{}/score", server.url())).json(&body);
        assert_refused(mode, request, 503, "another program may have written").await;
    }
    let body = json!({ "username": "ours", "score": 5, "mode": "add" });
    assert_eq!(app.post(server.url(), "/score", &body).await.1["score"], 6);
    assert_eq!(app.count("SELECT count(*) FROM scores"), 1, "nothing was committed of theirs");
}

#[tokio::test]
async fn operators_can_refill_the_board_and_remove_players() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    for (name, score) in [("ada", 3), ("bo", 2)] {
        app.score(server.url(), name, score).await;
    }
    app.redis.ask("ZREM leaderboard ada").await;
    assert!(app.command(&["leaderboard", "refill"]).status().unwrap().success());
    eventually("ada is back", || async { (app.players(server.url()).await == ["ada", "bo"]).then_some(()) }).await;
    assert!(app.command(&["leaderboard", "remove", "ada"]).status().unwrap().success());
    eventually("ada is removed", || async { (app.players(server.url()).await == ["bo"]).then_some(()) }).await;
    let body = json!({ "username": "ada", "score": 5, "mode": "add" });
    assert_eq!(app.post(server.url(), "/score", &body).await.1["score"], 5, "nothing is left of the old score");
    assert_eq!(app.command(&["leaderboard", "remove", "nobody"]).status().unwrap().code(), Some(1));
}

#[tokio::test]
async fn scores_of_a_killed_server_are_sent_by_another() {
    let mut app = App::new(&[]).await;
    let mut doomed = app.ready_game_server().await;
    app.redis.stop().await;
    app.until(doomed.url(), "degraded").await;
    app.score(doomed.url(), "orphan", 1).await;
    doomed.kill();
    app.redis.restart_empty().await;
    app.redis.ask("ZADD leaderboard 5 theirs").await;
    let heir = app.ready_game_server().await;
    eventually("the orphan is on the board", || async {
        app.players(heir.url()).await.contains(&"orphan".to_owned()).then_some(())
    })
    .await;
    app.redis_has_every_score().await;
}
