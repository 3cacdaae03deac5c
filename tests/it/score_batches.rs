//! Scores that are committed together and sent in one command: each is answered for itself.
//!
//! What is refused alone is a sum that no double can hold, or a score that depends on one that only Redis may have.

use std::pin::Pin;

use diesel::prelude::*;
use futures_util::poll;
use m3a3::bus::Bus;
use m3a3::db::schema::scores;
use m3a3::db::{Database, Location};
use m3a3::ids::Score;
use m3a3::leaderboard::{Mode, Scored, Scoring, ScoringError, ScoringTask};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::redis::TestRedis;
use crate::harness::{until, within};

/// The scoring of a process.
struct Lab {
    redis: TestRedis,
    database: Database,
    scoring: Scoring,
    _folder: TempDir,
}

impl Lab {
    /// With the task, which has not begun: what is handed in before it does is one batch.
    async fn new() -> (Self, ScoringTask) {
        let redis = TestRedis::start().await;
        let folder = tempfile::tempdir().unwrap();
        let (database, _thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        let (bus, _tasks) = Bus::start(&redis.url(), CancellationToken::new()).unwrap();
        until("Redis is connected", || bus.is_connected()).await;
        let (scoring, task) = Scoring::new(database.clone(), &bus);
        (Self { redis, database, scoring, _folder: folder }, task)
    }

    async fn score(&self, name: &str, mode: Mode, score: f64) -> Result<Scored, ScoringError> {
        self.scoring.score(name.parse().unwrap(), mode, Score::new(score).unwrap()).await
    }

    /// The scores in the database.
    fn rows(&self) -> Vec<(String, Option<f64>)> {
        let rows = scores::table.order(scores::username).select((scores::username, scores::score));
        self.database.read_point(|connection| rows.load(connection)).unwrap()
    }
}

fn taken(score: f64, rank: u64) -> Scored {
    Scored { score: Score::new(score).unwrap(), rank: Some(rank) }
}

/// Hands a request in, and leaves it waiting for its answer.
async fn handed_in<F: Future>(request: F) -> Pin<Box<F>> {
    let mut request = Box::pin(request);
    assert!(poll!(&mut request).is_pending(), "nobody serves it yet");
    request
}

#[tokio::test]
async fn a_sum_that_no_double_can_hold_is_refused_alone() {
    let (lab, task) = Lab::new().await;
    let first = handed_in(lab.score("ada", Mode::Set, 1e308)).await;
    let impossible = handed_in(lab.score("ada", Mode::Add, 1e308)).await;
    let other = handed_in(lab.score("bo", Mode::Set, 5.0)).await;
    let best = handed_in(lab.score("cy", Mode::Best, 7.0)).await;
    let last = handed_in(lab.score("ada", Mode::Add, -1e308)).await;
    let _serving = tokio::spawn(task.run());

    assert_eq!(within("an answer", first).await.unwrap(), taken(1e308, 3), "the rank is that after the batch");
    let refused = within("an answer", impossible).await.unwrap_err();
    assert_eq!(refused.to_string(), "the resulting score is invalid: got inf, expected a finite number");
    assert_eq!(within("an answer", other).await.unwrap(), taken(5.0, 2));
    assert_eq!(within("an answer", best).await.unwrap(), taken(7.0, 1));
    assert_eq!(within("an answer", last).await.unwrap(), taken(0.0, 3));
    let board = "*6\r\n$2\r\ncy\r\n$1\r\n7\r\n$2\r\nbo\r\n$1\r\n5\r\n$3\r\nada\r\n$1\r\n0\r\n";
    assert_eq!(lab.redis.ask("ZREVRANGE leaderboard 0 -1 WITHSCORES").await, board);
    assert_eq!(
        lab.rows(),
        [("ada", 0.0), ("bo", 5.0), ("cy", 7.0)].map(|(name, score)| (name.to_owned(), Some(score)))
    );
}

#[tokio::test]
async fn a_batch_that_redis_refuses_is_stored_and_answered_without_ranks() {
    let (lab, task) = Lab::new().await;
    lab.redis.ask("SET leaderboard text").await;
    let set = handed_in(lab.score("ada", Mode::Set, 1000.0)).await;
    let add = handed_in(lab.score("ada", Mode::Add, 1.0)).await;
    let _serving = tokio::spawn(task.run());

    let unranked = |score: f64| Scored { score: Score::new(score).unwrap(), rank: None };
    assert_eq!(within("an answer", set).await.unwrap(), unranked(1000.0));
    assert_eq!(within("an answer", add).await.unwrap(), unranked(1001.0));
    assert_eq!(lab.rows(), [("ada".to_owned(), Some(1001.0))]);
    assert!(lab.scoring.refusal().is_some_and(|reason| reason.starts_with("WRONGTYPE")));
    assert_eq!(lab.redis.ask("GET leaderboard").await, "$4\r\ntext\r\n", "what another program wrote is kept");

    // A seed puts a board there whatever the key holds, and what follows is ranked again.
    within("an answer", lab.scoring.seed()).await.unwrap();
    assert_eq!(within("an answer", lab.score("bo", Mode::Set, 95.0)).await.unwrap(), taken(95.0, 2));
    assert_eq!(lab.redis.ask("ZSCORE leaderboard ada").await, "$-1\r\n");
    assert_eq!(lab.redis.ask("ZCARD leaderboard").await, ":11\r\n");
    assert_eq!(lab.scoring.refusal(), None);
}
