//! Scores that are committed together and sent in one command: each is answered for itself.
//!
//! The command is one ZADD of what the players have then, which Redis takes or refuses as a whole. So what is refused
//! alone is a sum that no double can hold, or what came before the command that mended the board.

use std::pin::Pin;

use diesel::prelude::*;
use futures_util::poll;
use m3a3::bus::Bus;
use m3a3::db::schema::{scores, unsent_scores};
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
        let (scoring, task) = Scoring::new(database.clone(), &bus, "this process".to_owned());
        (Self { redis, database, scoring, _folder: folder }, task)
    }

    async fn score(&self, name: &str, mode: Mode, score: f64) -> Result<Scored, ScoringError> {
        self.scoring.score(name.parse().unwrap(), mode, Score::new(score).unwrap()).await
    }

    /// The scores in the database.
    fn rows(&self) -> Vec<(String, f64)> {
        let rows = scores::table.order(scores::username).select((scores::username, scores::score));
        self.database.read_point(|connection| rows.load(connection)).unwrap()
    }

    /// How many notes there are of what Redis may not have.
    fn unsent(&self) -> i64 {
        self.database.read_point(|connection| unsent_scores::table.count().get_result(connection)).unwrap()
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
    assert_eq!(refused.to_string(), "the score is not possible: got inf, expected a finite number");
    assert_eq!(within("an answer", other).await.unwrap(), taken(5.0, 2));
    assert_eq!(within("an answer", best).await.unwrap(), taken(7.0, 1));
    assert_eq!(within("an answer", last).await.unwrap(), taken(0.0, 3));
    let board = "*6\r\n$2\r\ncy\r\n$1\r\n7\r\n$2\r\nbo\r\n$1\r\n5\r\n$3\r\nada\r\n$1\r\n0\r\n";
    assert_eq!(lab.redis.ask("ZREVRANGE leaderboard 0 -1 WITHSCORES").await, board);
    until("nothing is noted as unsent", || lab.unsent() == 0).await;
    assert_eq!(lab.rows(), [("ada", 0.0), ("bo", 5.0), ("cy", 7.0)].map(|(name, score)| (name.to_owned(), score)));
}

#[tokio::test]
async fn of_one_batch_redis_refuses_a_score_and_takes_others() {
    let (lab, task) = Lab::new().await;
    lab.redis.ask("SET leaderboard text").await;
    let before = handed_in(lab.score("ada", Mode::Set, 1000.0)).await;
    let seed = handed_in(lab.scoring.seed()).await;
    let after = handed_in(lab.score("bo", Mode::Set, 95.0)).await;
    let _serving = tokio::spawn(task.run());

    let refused = within("an answer", before).await.unwrap_err();
    assert!(matches!(&refused, ScoringError::Refused(reason) if reason.starts_with("WRONGTYPE")), "{refused}");
    within("an answer", seed).await.unwrap();
    assert_eq!(within("an answer", after).await.unwrap(), taken(95.0, 2));
    assert_eq!(lab.redis.ask("ZSCORE leaderboard ada").await, "$-1\r\n");
    assert_eq!(lab.redis.ask("ZCARD leaderboard").await, ":11\r\n");
    until("nothing is noted as unsent", || lab.unsent() == 0).await;
    let rows = lab.rows();
    assert_eq!((rows.len(), &rows[10]), (11, &("bo".to_owned(), 95.0)), "ada is not there");
}
