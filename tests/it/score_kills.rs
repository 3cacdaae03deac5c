//! No acknowledged score is lost, and Redis finally equals the database, after kills of servers and of Redis.
//!
//! `M3A3_TEST_SCORES=20000 cargo test --release --test it score_kills` is the large version.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel::prelude::*;
use diesel::sql_types::{Double, Text};
use futures_util::stream::{self, StreamExt};
use rand::RngExt;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::harness::app::{App, Process, answer, eventually};

const KILLS: usize = 10;
const PLAYERS: usize = 7;
const MAX_CONCURRENT: usize = 16;

/// The submitted points of one player.
#[derive(Default)]
struct Points {
    answered: AtomicI64,
    /// Without a response, so that they may count or not.
    unknown: AtomicI64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Double)]
    score: f64,
}

fn rows(app: &App) -> Vec<Row> {
    diesel::sql_query("SELECT username, score FROM scores ORDER BY username").load(&mut app.database()).unwrap()
}

/// Adds a point to a player on one of the servers.
async fn add(http: &reqwest::Client, url: String, player: usize, points: &Points) {
    let body = json!({ "username": format!("p{player}"), "score": 1, "mode": "add" });
    match answer(http.post(format!("{url}/score")).json(&body)).await {
        Ok((200, _)) => points.answered.fetch_add(1, Ordering::SeqCst),
        // Connection refused.
        Err(error) if error.is_connect() => 0,
        _ => points.unknown.fetch_add(1, Ordering::SeqCst),
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_score_counts_and_redis_finally_equals_the_database() {
    let scores: usize = std::env::var("M3A3_TEST_SCORES").map_or(1_000, |scores| scores.parse().expect("a number"));
    let mut app = App::new(&[]).await;
    let mut servers: [Process; 2] = [app.ready_game_server().await, app.ready_game_server().await];
    let (announce, urls) = watch::channel([servers[0].url().to_owned(), servers[1].url().to_owned()]);
    let points: Arc<[Points; PLAYERS]> = Arc::default();
    let admitted = Arc::new(Semaphore::new(0));
    let handing_in = {
        let (http, points, admitted) = (app.http.clone(), Arc::clone(&points), Arc::clone(&admitted));
        tokio::spawn(async move {
            let one = |score: usize| {
                let (http, points, admitted, urls) = (&http, &points, &admitted, &urls);
                async move {
                    admitted.acquire().await.unwrap().forget();
                    let url = urls.borrow()[score % 2].clone();
                    add(http, url, score % PLAYERS, &points[score % PLAYERS]).await;
                }
            };
            stream::iter(0..scores).map(one).buffer_unordered(MAX_CONCURRENT).collect::<Vec<()>>().await
        })
    };
    for _ in 0..KILLS {
        admitted.add_permits(scores / KILLS);
        // The rest of this part is in flight during the kill.
        let left = scores / KILLS / 2;
        eventually("half of the part is submitted", || async { (admitted.available_permits() < left).then_some(()) })
            .await;
        match rand::rng().random_range(0..3) {
            0 => app.redis.restart_empty().await,
            number => {
                servers[number - 1].kill();
                servers[number - 1] = app.game_server();
                announce.send_replace([servers[0].url().to_owned(), servers[1].url().to_owned()]);
            }
        }
    }
    admitted.add_permits(scores);
    handing_in.await.unwrap();

    app.redis_has_every_score().await;
    let rows = rows(&app);
    assert_eq!(rows.len(), PLAYERS);
    for (Row { username, score }, points) in rows.into_iter().zip(points.iter()) {
        let (answered, unknown) = (points.answered.load(Ordering::SeqCst), points.unknown.load(Ordering::SeqCst));
        let possible = answered..=answered + unknown;
        assert!(possible.contains(&(score as i64)), "{username}: {score}, {answered} answered, {unknown} unknown");
        let (_, shown) = app.get(servers[0].url(), &format!("/leaderboard/{username}")).await;
        assert_eq!(shown["score"].as_f64(), Some(score), "{username} in Redis: {shown}");
    }
}
