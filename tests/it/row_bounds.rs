//! Bounds of the rows that requests may add: users, players, idempotency keys and orders. What exists is not affected.

use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::app::{App, Process, eventually};
use crate::harness::binary::Ran;
use crate::harness::openapi::Description;
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;

const DAY_S: u64 = 86_400;

fn upload(app: &App, server: &Process, user: u32) -> RequestBuilder {
    // Unique, since simultaneous uploads of the same bytes share a file.
    let image = Part::bytes([jpeg(1), user.to_be_bytes().to_vec()].concat()).file_name("x.jpg");
    let form = Form::new().text("userId", user.to_string()).part("image", image);
    app.http.post(format!("{}/enqueue", server.url())).multipart(form)
}

fn put(app: &App, server: &Process, user: u32) -> RequestBuilder {
    app.http.put(format!("{}/users/{user}", server.url())).json(&json!({ "username": "ada" }))
}

fn score(app: &App, server: &Process, player: &str, mode: &str) -> RequestBuilder {
    let body = json!({ "username": player, "score": 7, "mode": mode });
    app.http.post(format!("{}/score", server.url())).json(&body)
}

fn order(app: &App, server: &Process, order: &str, user: &str) -> RequestBuilder {
    app.http.post(format!("{}/place_order", server.url())).json(&json!({ "orderId": order, "userId": user }))
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

fn change(app: &App, statement: &str) {
    diesel::RunQueryDsl::execute(diesel::sql_query(statement), &mut app.database()).unwrap();
}

/// Asserts that a daily limit refuses a request, and asks to wait for about a day.
fn assert_daily_limit(response: &Response, limit: &str) {
    assert_eq!(response.status(), 429);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let wait: u64 = header("retry-after").parse().unwrap();
    assert!((DAY_S - 600..=DAY_S).contains(&wait), "{wait}");
    assert_eq!(header("ratelimit"), format!("\"{limit}\";r=0;t={wait}"));
    assert_eq!(header("ratelimit-policy"), format!("\"{limit}\";q=2;w=86400"));
}

#[tokio::test]
async fn new_users_beyond_the_bound_are_refused_and_others_are_served() {
    let app = App::new(&["limits.users=2"]).await;
    let serve = app.serve();
    let mut api = Description::of(&app, serve.url()).await;
    assert_eq!(status(upload(&app, &serve, 1)).await, 200);
    assert_eq!(status(put(&app, &serve, 2)).await, 201);
    let by_path = |user: u32| {
        let body = json!({ "userId": user, "imagePath": "later.jpg" });
        app.http.post(format!("{}/enqueue", serve.url())).json(&body)
    };
    let jobs = app.count("SELECT count(*) FROM jobs");
    api.expect("put /users/{userId}", put(&app, &serve, 3), 507).await;
    api.expect("post /enqueue", upload(&app, &serve, 3), 507).await;
    api.expect("post /enqueue", by_path(3), 507).await;
    assert_refused("a new user", put(&app, &serve, 3), 507, "userId: there are 2 users").await;
    let left = ["users", "images", "jobs"].map(|table| app.count(&format!("SELECT count(*) FROM {table}")));
    assert_eq!(left, [2, 1, jobs]);
    for user in [1, 2] {
        for request in [upload(&app, &serve, user), by_path(user), put(&app, &serve, user)] {
            assert_eq!(status(request).await, 200, "user {user}");
        }
    }
    // Another program changes the table.
    change(&app, "INSERT INTO users (id) VALUES (4), (5)");
    change(&app, "DELETE FROM users WHERE id IN (4, 5)");
    assert_eq!(status(put(&app, &serve, 3)).await, 507);
}

#[tokio::test]
async fn simultaneous_uploads_of_new_users_do_not_exceed_the_bound() {
    let app = App::new(&["limits.users=5"]).await;
    let servers = [app.serve(), app.serve()];
    let requests = (1..=40).map(|user| {
        let server = &servers[user as usize % 2];
        status(if user % 3 == 0 { put(&app, server, user) } else { upload(&app, server, user) })
    });
    let statuses = join_all(requests).await;
    assert!(statuses.iter().all(|status| [200, 201, 507].contains(status)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status < 300).count(), 5);
    assert_eq!(app.count("SELECT count(*) FROM users"), 5);
}

#[tokio::test]
async fn new_players_beyond_the_bound_are_refused_and_others_are_served() {
    let app = App::new(&["limits.players=4"]).await;
    let servers = [app.ready_game_server().await, app.ready_game_server().await];
    let game = &servers[0];
    assert_eq!(status(score(&app, game, "ada", "set")).await, 200);
    let names: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
    let scores = names.iter().enumerate().map(|(number, name)| status(score(&app, &servers[number % 2], name, "set")));
    let statuses = join_all(scores).await;
    assert!(statuses.iter().all(|status| [200, 507].contains(status)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3);
    assert_eq!(app.count("SELECT count(*) FROM scores"), 4);

    let mut api = Description::of(&app, game.url()).await;
    api.expect("post /score", score(&app, game, "new", "best"), 507).await;
    assert_refused("a new player", score(&app, game, "new", "set"), 507, "username: there are 4 players").await;
    for mode in ["set", "best", "add"] {
        assert_eq!(status(score(&app, game, "ada", mode)).await, 200, "{mode}");
    }
    let removed = Ran::of(&mut app.command(&["leaderboard", "remove", "ada"]));
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(status(score(&app, game, "new", "set")).await, 507, "a removed player keeps the row");
    assert_eq!(status(score(&app, game, "ada", "set")).await, 200, "and may come back");
}

#[tokio::test]
async fn the_bound_of_players_begins_anew_when_the_board_is_replaced() {
    let app = App::new(&["limits.players=11"]).await;
    let game = app.ready_game_server().await;
    for _ in 0..2 {
        // Ten players.
        assert_eq!(app.post(game.url(), "/seed", &json!({})).await.0, 200);
        assert_eq!(status(score(&app, &game, "ada", "set")).await, 200);
        assert_eq!(status(score(&app, &game, "bo", "set")).await, 507);
    }
}

#[tokio::test]
async fn idempotency_keys_of_a_user_are_bounded_until_they_expire() {
    let app = App::new(&["limits.user_idempotency_keys=2"]).await;
    let serve = app.serve();
    let with_key = |user: u32, key: &str| upload(&app, &serve, user).header("Idempotency-Key", key);
    for key in ["a", "b"] {
        assert_eq!(status(with_key(1, key)).await, 200);
    }
    let images = app.count("SELECT count(*) FROM images");
    let mut api = Description::of(&app, serve.url()).await;
    api.expect("post /enqueue", with_key(1, "c"), 429).await;
    assert_daily_limit(&with_key(1, "c").send().await.unwrap(), "user_idempotency_keys");
    for key in ["a", "b"] {
        assert_eq!(status(with_key(1, key)).await, 200, "a repeat");
    }
    assert_eq!(app.count("SELECT count(*) FROM images"), images);
    assert_eq!(status(upload(&app, &serve, 1)).await, 200, "without a key");
    assert_eq!(status(with_key(2, "c")).await, 200, "another user");

    change(&app, "UPDATE idempotency_keys SET created_at = created_at - 86400000 WHERE idempotency_key = 'a'");
    assert_eq!(status(with_key(1, "c")).await, 200);
    assert_eq!(status(with_key(1, "d")).await, 429);
}

#[tokio::test]
async fn orders_of_a_customer_are_bounded_within_24_hours() {
    let app = App::new(&["limits.user_orders_per_day=2"]).await;
    let game = app.ready_game_server().await;
    for id in ["a", "b"] {
        assert_eq!(status(order(&app, &game, id, "ada")).await, 200);
    }
    let mut api = Description::of(&app, game.url()).await;
    api.expect("post /place_order", order(&app, &game, "c", "ada"), 429).await;
    assert_daily_limit(&order(&app, &game, "c", "ada").send().await.unwrap(), "user_orders_per_day");
    assert_eq!(status(order(&app, &game, "a", "ada")).await, 200, "a repeat");
    assert_eq!(status(order(&app, &game, "d", "bo")).await, 200, "another customer");
    assert_eq!(status(order(&app, &game, "d", "ada")).await, 409, "an id of another customer");
    assert_eq!(app.count("SELECT count(*) FROM orders"), 3);

    change(&app, "UPDATE orders SET placed_at = placed_at - 86400000 WHERE id = 'a'");
    assert_eq!(status(order(&app, &game, "c", "ada")).await, 200);
    assert_eq!(status(order(&app, &game, "e", "ada")).await, 429);

    let listens = || async { (app.redis.listeners("order_placed").await == 1).then_some(()) };
    eventually("the server listens", listens).await;
    app.redis.publish("order_placed", json!({ "orderId": "m", "userId": "ada" }).to_string()).await;
    let recorded = || async { (app.count("SELECT count(*) FROM orders WHERE id = 'm'") == 1).then_some(()) };
    eventually("the order of a message is recorded", recorded).await;
}

#[tokio::test]
async fn refused_requests_are_counted_by_their_limit() {
    let size = jpeg(1).len() + size_of::<u32>();
    let quota = format!("limits.user_bytes={}", 2 * size);
    let bounds = ["users=1", "players=1", "user_images=3", "user_idempotency_keys=1", "user_orders_per_day=1"];
    let settings = bounds.map(|bound| format!("limits.{bound}"));
    let settings: Vec<&str> = settings.iter().chain([&quota]).map(String::as_str).collect();
    let app = App::new(&settings).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let with_key = |key: &str| upload(&app, &serve, 1).header("Idempotency-Key", key);
    let by_path = || {
        let body = json!({ "userId": 1, "imagePath": "later.jpg" });
        app.http.post(format!("{}/enqueue", serve.url())).json(&body)
    };
    for (request, expected) in [
        (with_key("a"), 200),
        (put(&app, &serve, 2), 507),
        (with_key("b"), 429),
        (upload(&app, &serve, 1), 200),
        (upload(&app, &serve, 1), 413),
        (by_path(), 200),
        (by_path(), 429),
        (by_path(), 429),
        (score(&app, &game, "ada", "set"), 200),
        (score(&app, &game, "bo", "set"), 507),
        (order(&app, &game, "a", "ada"), 200),
        (order(&app, &game, "b", "ada"), 429),
    ] {
        assert_eq!(status(request).await, expected);
    }
    let metrics = |server: &Process| app.http.get(format!("{}/metrics", server.url())).send();
    let scraped =
        [metrics(&serve).await.unwrap().text().await.unwrap(), metrics(&game).await.unwrap().text().await.unwrap()];
    for (server, limit, count) in [
        (0, "users", 1),
        (0, "user_idempotency_keys", 1),
        (0, "user_bytes", 1),
        (0, "user_images", 2),
        (0, "players", 0),
        (1, "players", 1),
        (1, "user_orders_per_day", 1),
    ] {
        let line = format!("\nm3a3_limited_requests_total{{limit=\"{limit}\"}} {count}.0\n");
        assert!(scraped[server].contains(&line), "{limit}: {}", scraped[server]);
    }
}

#[tokio::test]
async fn zero_turns_each_bound_off() {
    let bounds = ["user_bytes", "user_images", "users", "players", "user_idempotency_keys", "user_orders_per_day"];
    let settings = bounds.map(|bound| format!("limits.{bound}=0"));
    let app = App::new(&settings.each_ref().map(String::as_str)).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    for number in 0..3 {
        let name = number.to_string();
        let requests = [
            upload(&app, &serve, 1 + number).header("Idempotency-Key", &name),
            upload(&app, &serve, 1).header("Idempotency-Key", format!("{name}-1")),
            score(&app, &game, &name, "set"),
            order(&app, &game, &name, "ada"),
        ];
        for request in requests {
            assert_eq!(status(request).await, 200);
        }
    }
    let (_, user): (_, Value) = app.get(serve.url(), "/users/1").await;
    assert_eq!(user["images"], 4);
}
