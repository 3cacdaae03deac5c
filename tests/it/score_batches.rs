//! Scores that are committed together and sent in one command: each has a result of its own.
//!
//! A sum that is not finite is rejected alone, as is a score that depends on one that only Redis may have.

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
    /// With the task, which has not started: scores that are submitted before its start are one batch.
    async fn new() -> (Self, ScoringTask) {
        let redis = TestRedis::start().await;
        let folder = tempfile::tempdir().unwrap();
        let (database, _thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        let (bus, _tasks) = Bus::start(&redis.url(), CancellationToken::new()).unwrap();
        until("Redis is connected", || bus.is_connected()).await;
        let (scoring, task) = Scoring::new(database.clone(), &bus, 0);
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

fn accepted(score: f64, rank: u64) -> Scored {
    Scored { score: Score::new(score).unwrap(), rank: Some(rank) }
}

/// Submits a request, and does not wait for its response.
async fn submitted<F: Future>(request: F) -> Pin<Box<F>> {
    let mut request = Box::pin(request);
    assert!(poll!(&mut request).is_pending(), "nobody serves it yet");
    request
}

#[tokio::test]
async fn a_sum_that_is_not_finite_is_rejected_alone() {
    let (lab, task) = Lab::new().await;
    let first = submitted(lab.score("ada", Mode::Set, 1e308)).await;
    let impossible = submitted(lab.score("ada", Mode::Add, 1e308)).await;
    let other = submitted(lab.score("bo", Mode::Set, 5.0)).await;
    let best = submitted(lab.score("cy", Mode::Best, 7.0)).await;
    let last = submitted(lab.score("ada", Mode::Add, -1e308)).await;
    let _serving = tokio::spawn(task.run());

    assert_eq!(within("a response", first).await.unwrap(), accepted(1e308, 3), "the rank after the batch");
    let refused = within("a response", impossible).await.unwrap_err();
    assert_eq!(refused.to_string(), "the resulting score is invalid: got inf, expected a finite number");
    assert_eq!(within("a response", other).await.unwrap(), accepted(5.0, 2));
    assert_eq!(within("a response", best).await.unwrap(), accepted(7.0, 1));
    assert_eq!(within("a response", last).await.unwrap(), accepted(0.0, 3));
    let board = "*6\r\n$2\r\ncy\r\n$1\r\n7\r\n$2\r\nbo\r\n$1\r\n5\r\n$3\r\nada\r\n$1\r\n0\r\n";
    assert_eq!(lab.redis.ask("ZREVRANGE leaderboard 0 -1 WITHSCORES").await, board);
    assert_eq!(
        lab.rows(),
        [("ada", 0.0), ("bo", 5.0), ("cy", 7.0)].map(|(name, score)| (name.to_owned(), Some(score)))
    );
}

#[tokio::test]
async fn a_batch_that_redis_rejects_is_stored_and_answered_without_ranks() {
    let (lab, task) = Lab::new().await;
    lab.redis.ask("SET leaderboard text").await;
    let set = submitted(lab.score("ada", Mode::Set, 1000.0)).await;
    let add = submitted(lab.score("ada", Mode::Add, 1.0)).await;
    let _serving = tokio::spawn(task.run());

    let unranked = |score: f64| Scored { score: Score::new(score).unwrap(), rank: None };
    assert_eq!(within("a response", set).await.unwrap(), unranked(1000.0));
    assert_eq!(within("a response", add).await.unwrap(), unranked(1001.0));
    assert_eq!(lab.rows(), [("ada".to_owned(), Some(1001.0))]);
    assert!(lab.scoring.refusal().is_some_and(|reason| reason.starts_with("WRONGTYPE")));
    assert_eq!(lab.redis.ask("GET leaderboard").await, "$4\r\ntext\r\n", "what another program wrote is kept");

    // A seed replaces a value of any type, and later scores have ranks again.
    within("a response", lab.scoring.seed()).await.unwrap();
    assert_eq!(within("a response", lab.score("bo", Mode::Set, 95.0)).await.unwrap(), accepted(95.0, 2));
    assert_eq!(lab.redis.ask("ZSCORE leaderboard ada").await, "$-1\r\n");
    assert_eq!(lab.redis.ask("ZCARD leaderboard").await, ":11\r\n");
    assert_eq!(lab.scoring.refusal(), None);
}
