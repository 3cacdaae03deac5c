//! Scores over HTTP: modes, pages, exactness, validation.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::app::{App, eventually};
use crate::harness::problem::assert_refused;

#[tokio::test]
async fn the_response_to_a_score_extends_that_of_the_node_service_by_rank_and_score() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 10).await;
    assert_eq!(
        app.post(server.url(), "/score", &json!({ "username": "bo", "score": 20.5 })).await,
        (200, json!({ "success": true, "message": "Score updated successfully", "rank": 1, "score": 20.5 }))
    );
    assert_eq!(app.score(server.url(), "ada", 5).await["rank"], 2);
    assert_eq!(
        app.redis.ask("ZREVRANGE leaderboard 0 -1 WITHSCORES").await,
        "*4\r\n$2\r\nbo\r\n$4\r\n20.5\r\n$3\r\nada\r\n$1\r\n5\r\n"
    );
}

#[tokio::test]
async fn best_keeps_the_higher_score_and_add_sums_up() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    let post = async |name: &str, mode: &str, score: f64| {
        let (status, answer) =
            app.post(url, "/score", &json!({ "username": name, "score": score, "mode": mode })).await;
        assert_eq!(status, 200, "{answer}");
        answer["score"].as_f64().unwrap()
    };
    assert_eq!(post("a", "best", 10.0).await, 10.0);
    assert_eq!(post("a", "best", 5.0).await, 10.0);
    assert_eq!(post("a", "best", 15.0).await, 15.0);
    assert_eq!(post("a", "add", -5.0).await, 10.0);
    assert_eq!(post("a", "set", 1.0).await, 1.0);
    assert_eq!(post("b", "add", 3.0).await, 3.0);
    // For players without a row, the score in Redis counts.
    app.redis.ask("ZADD leaderboard 100 foreign 7 other inf endless").await;
    assert_eq!(post("foreign", "best", 50.0).await, 100.0);
    assert_eq!(post("endless", "best", 50.0).await, f64::MAX);
    assert_eq!(post("other", "add", 1.0).await, 8.0);
    // For players with a row, the row counts.
    app.redis.ask("ZADD leaderboard 1000 a").await;
    assert_eq!(post("a", "add", 1.0).await, 2.0);
    assert_eq!(app.redis.ask("ZSCORE leaderboard a").await, "$1\r\n2\r\n");
}

#[tokio::test]
async fn scores_of_other_programs_count_while_another_server_commits() {
    let app = App::new(&[]).await;
    let servers = [app.ready_game_server().await, app.ready_game_server().await];
    for number in 0..300 {
        app.redis.ask(&format!("ZADD leaderboard 1000 theirs{number}")).await;
    }
    let post = |number: usize| {
        let (app, url) = (&app, servers[number % 2].url());
        async move {
            let body = match number % 2 {
                0 => json!({ "username": format!("theirs{}", number / 2), "score": 1, "mode": "add" }),
                _ => json!({ "username": "ours", "score": number }),
            };
            let (status, answer) = app.post(url, "/score", &body).await;
            assert_eq!(status, 200, "{answer}");
        }
    };
    let posts = futures_util::stream::iter(0..600).map(post).buffer_unordered(16);
    posts.collect::<Vec<()>>().await;
    assert_eq!(app.count("SELECT count(*) FROM scores WHERE username LIKE 'theirs%' AND score = 1001"), 300);
}

#[tokio::test]
async fn concurrent_scores_are_all_counted_in_order() {
    let app = App::new(&[]).await;
    let servers = [app.game_server(), app.game_server()];
    for server in &servers {
        app.until(server.url(), "ready").await;
    }
    let add = |number: usize| {
        let (app, url) = (&app, servers[number % 2].url());
        let name = format!("player {}", number % 5);
        async move {
            let body = json!({ "username": name, "score": 1, "mode": "add" });
            assert_eq!(app.post(url, "/score", &body).await.0, 200);
        }
    };
    futures_util::future::join_all((0..500).map(add)).await;
    eventually("Redis equals the database", || async {
        let mut equal = true;
        for player in 0..5 {
            equal &= app.redis.ask(&format!("ZSCORE leaderboard player%20{player}")).await == "$3\r\n100\r\n";
        }
        equal.then_some(())
    })
    .await;
    assert_eq!(app.count("SELECT count(*) FROM scores WHERE score = 100"), 5);
}

#[tokio::test]
async fn after_concurrent_seeds_and_scores_of_two_servers_redis_equals_the_database() {
    let app = App::new(&[]).await;
    let servers = [app.ready_game_server().await, app.ready_game_server().await];
    let one = |number: usize| {
        let (app, url) = (&app, servers[number % 2].url());
        async move {
            let status = match number % 40 {
                7 | 18 => app.post(url, "/seed", &json!({})).await.0,
                _ => {
                    let body = json!({ "username": format!("player {}", number % 5), "score": number });
                    app.post(url, "/score", &body).await.0
                }
            };
            assert_eq!(status, 200);
        }
    };
    futures_util::future::join_all((0..400).map(one)).await;
    app.redis_has_every_score().await;
    let (_, page) = app.get(servers[0].url(), "/leaderboard?limit=1000").await;
    assert_eq!(page["total"], app.count("SELECT count(*) FROM scores"));
    for player in page["players"].as_array().unwrap() {
        let (name, score) = (player["username"].as_str().unwrap(), &player["score"]);
        let same = format!("SELECT count(*) FROM scores WHERE username = '{name}' AND score = {score}");
        assert_eq!(app.count(&same), 1, "{player}");
    }
}

#[tokio::test]
async fn a_seed_replaces_the_board_and_ignores_the_body() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 1000).await;
    for body in ["", "null", "{\"half", "x=1"] {
        let request = app.http.post(format!("{}/seed", server.url())).header("content-type", "text/x").body(body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({ "success": true, "message": "Leaderboard seeded successfully" }));
    }
    let (_, page) = app.get(server.url(), "/leaderboard").await;
    let expected: Vec<Value> = (1..=10)
        .map(|number| json!({ "rank": number, "username": format!("Player {number}"), "score": 110 - 10 * number }))
        .collect();
    assert_eq!(page, json!({ "total": 10, "offset": 0, "limit": 10, "players": expected }));
    assert_eq!(app.count("SELECT count(*) FROM scores"), 10);
}

#[tokio::test]
async fn a_page_and_a_player_with_neighbours_can_be_read() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    for number in 1..=7 {
        app.score(url, &format!("p/{number}"), number).await;
    }
    let (status, page) = app.get(url, "/leaderboard?offset=2&limit=2").await;
    let players = json!([{ "rank": 3, "username": "p/5", "score": 5 }, { "rank": 4, "username": "p/4", "score": 4 }]);
    assert_eq!((status, page), (200, json!({ "total": 7, "offset": 2, "limit": 2, "players": players })));
    assert_eq!(app.get(url, "/leaderboard?offset=100").await.1["players"], json!([]));

    let (status, player) = app.get(url, "/leaderboard/p%2F6").await;
    let names = |player: &Value| {
        let neighbours = player["neighbours"].as_array().unwrap().iter();
        neighbours.map(|neighbour| neighbour["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((status, &player["rank"], &player["score"], &player["total"]), (200, &json!(2), &json!(6), &json!(7)));
    assert_eq!(names(&player), ["p/7", "p/5", "p/4"]);
    assert_eq!(names(&app.get(url, "/leaderboard/p%2F1").await.1), ["p/3", "p/2"]);
    let unknown = app.http.get(format!("{url}/leaderboard/nobody"));
    assert_refused("an unknown player", unknown, 404, "no such player").await;
    for query in ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=%2B1", "limit="] {
        let name = query.split('=').next().unwrap();
        assert_refused(query, app.http.get(format!("{url}/leaderboard?{query}")), 400, name).await;
    }
}

#[tokio::test]
async fn names_and_scores_are_returned_exactly() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    let longest = "é".repeat(64);
    let names = [" ada ", "ada", "Åsa", "A\u{30a}sa", "日本語", "🦀🦀", "<b>\"'\\", "__proto__", longest.as_str()];
    for (number, name) in names.iter().enumerate() {
        app.score(url, name, number).await;
    }
    let mut read = app.players(url).await;
    read.reverse();
    assert_eq!(read, names);

    for (written, read) in [
        ("1e308", "1e+308"),
        ("-1e308", "-1e+308"),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740993", "-9007199254740992"),
        ("0.1", "0.1"),
        ("100.0", "100"),
        ("5e-324", "5e-324"),
        ("-0", "-0"),
        ("-0.0", "-0"),
        ("0", "0"),
    ] {
        let body = format!("{{\"username\":\"exact\",\"score\":{written}}}");
        let request = app.http.post(format!("{url}/score")).header("content-type", "application/json").body(body);
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(text.contains(&format!("\"score\":{read},")), "{written}: {text}");
        let board = app.http.get(format!("{url}/leaderboard/exact")).send().await.unwrap().text().await.unwrap();
        let shown = board.contains(&format!("\"score\":{read},\"total\""));
        assert!(shown, "{written}: {board}");
    }
}

#[tokio::test]
async fn an_invalid_score_is_rejected_with_the_name_of_the_field_and_changes_nothing() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    app.score(url, "ada", 1e308).await;
    let megabyte = format!(r#"{{"username":"{}","score":1}}"#, "x".repeat(1 << 20));
    let cases = [
        ("{}", 400, "username: got nothing"),
        (r#"{"username":"a"}"#, 400, "score: got nothing"),
        (r#"{"score":1}"#, 400, "username: got nothing"),
        (r#"{"username":1,"score":1}"#, 400, "username: got 1"),
        (r#"{"username":"","score":1}"#, 400, "username: got the string \"\""),
        (r#"{"username":"a\u0000","score":1}"#, 400, "username"),
        (megabyte.as_str(), 400, "username: got a string of 1048576 bytes"),
        (r#"{"username":"a","score":"42"}"#, 400, "score: got the string \"42\""),
        (r#"{"username":"a","score":null}"#, 400, "score: got null"),
        (r#"{"username":"a","score":[1]}"#, 400, "score: got an array"),
        (r#"{"username":"a","score":NaN}"#, 400, "score: "),
        (r#"{"username":"a","score":1e999}"#, 400, "score: "),
        (r#"{"username":"a","score":1,"mode":"max"}"#, 400, "mode: got the string \"max\""),
        (r#"{"username":"a","score":1,"mode":1}"#, 400, "mode: got 1"),
        (r#"{"username":"ada","score":1e308,"mode":"add"}"#, 400, "score: got inf"),
        (r#"[{"username":"a","score":1}]"#, 400, "not an object"),
        (r#"{"username":"a","#, 400, "not valid JSON"),
        ("", 400, "not valid JSON"),
        ("\u{feff}{}", 400, "username: got nothing"),
    ];
    for (body, status, names) in cases {
        let request = app.http.post(format!("{url}/score")).header("content-type", "application/json");
        let shown: String = body.chars().take(60).collect();
        assert_refused(&shown, request.body(body.to_owned()), status, names).await;
    }
    let large = app.http.post(format!("{url}/score")).header("content-type", "application/json");
    assert_refused("10 MB", large.body(vec![b' '; 10 << 20]), 413, "larger than").await;
    let form = app.http.post(format!("{url}/score")).header("content-type", "application/x-www-form-urlencoded");
    assert_refused("a form", form.body("username=a&score=1"), 415, "application/json").await;
    assert_refused("GET", app.http.get(format!("{url}/score")), 405, "POST").await;
    assert_eq!(app.players(url).await, ["ada"]);
    assert_eq!(app.count("SELECT count(*) FROM scores WHERE score = 1e308"), 1);
}

#[tokio::test]
async fn only_changes_of_the_board_require_the_token() {
    let app = App::new(&["auth.token=s3cret"]).await;
    let server = app.ready_game_server().await;
    let url = server.url();
    let score = || app.http.post(format!("{url}/score")).json(&json!({ "username": "a", "score": 1 }));
    assert_refused("no token", score(), 401, "Authorization").await;
    assert_refused("no token", app.http.post(format!("{url}/seed")), 401, "Authorization").await;
    assert_eq!(score().bearer_auth("s3cret").send().await.unwrap().status(), 200);
    assert_eq!(app.players(url).await, ["a"]);
}
