//! Scores on their way into the database and to Redis.
//!
//! One task takes what the routes hand in, many at a time, and has the [`Ledger`] commit and send it.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::ledger::Ledger;
use super::store::Mode;
use crate::bus::{Bus, Connects};
use crate::db::{Database, DbError};
use crate::ids::{Invalid, Score, Username};

/// How many scores may wait; past it they are refused.
const QUEUE: usize = 4096;
/// How many are committed together at most.
const BATCH: usize = 512;
/// How long after the last score the database is told that Redis has them all.
const SETTLE: Duration = Duration::from_millis(500);
/// How often to look whether Redis misses something.
const LOOK: Duration = Duration::from_secs(1);

/// Why a score was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ScoringError {
    /// More scores wait than can be taken.
    #[error("too many scores are waiting")]
    Busy,
    /// The process is ending.
    #[error("scores are no longer taken")]
    Closed,
    /// The sum would be no finite number.
    #[error("the score is not possible: {0}")]
    Impossible(#[source] Invalid),
    /// Redis does not let the board be written; nothing was changed.
    #[error("the board cannot be written: {0}")]
    Refused(String),
    /// The database did not take it.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A score that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// What the player has now.
    pub score: Score,
    /// The player's place, from 1; `None` while Redis cannot say.
    pub rank: Option<u64>,
}

/// What was handed in, and who waits for the answer.
pub(super) enum Request {
    /// A score.
    Score(ScoreRequest),
    /// The example board.
    Seed(Answer<()>),
    /// A look at what Redis misses.
    CatchUp(oneshot::Sender<()>),
}

/// A score that was handed in.
pub(super) struct ScoreRequest {
    pub name: Username,
    pub mode: Mode,
    pub score: Score,
    pub answer: Answer<Scored>,
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, ScoringError>>;

/// Hands scores in; a clone shares the queue.
#[derive(Debug, Clone)]
pub struct Scoring {
    queue: mpsc::Sender<Request>,
}

impl Scoring {
    /// The handle, and the task behind it. `owner` names this process among those on the database.
    pub fn new(database: Database, bus: &Bus, owner: String) -> (Self, ScoringTask) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let ledger = Ledger::new(database, bus, owner);
        (Self { queue }, ScoringTask { requests, ledger, connects: bus.connects() })
    }

    /// Changes a player's score, and answers once that is durable.
    ///
    /// # Errors
    /// When it is not taken; nothing has changed then, except after [`ScoringError::Database`], when it is unknown.
    pub async fn score(&self, name: Username, mode: Mode, score: Score) -> Result<Scored, ScoringError> {
        self.ask(|answer| Request::Score(ScoreRequest { name, mode, score, answer })).await
    }

    /// Replaces the whole board by ten example players.
    ///
    /// # Errors
    /// As for [`Scoring::score`].
    pub async fn seed(&self) -> Result<(), ScoringError> {
        self.ask(Request::Seed).await
    }

    /// Waits until Redis has everything that it missed, or has refused it; where it is away, until it is back. Cancel safe.
    pub(super) async fn caught_up(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Request::CatchUp(answer)).await.is_ok() {
            // It goes unanswered only where the task is gone, and then there is nothing to wait for.
            let _ = answered.await;
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ScoringError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(request(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScoringError::Busy,
            mpsc::error::TrySendError::Closed(_) => ScoringError::Closed,
        })?;
        answered.await.unwrap_or(Err(ScoringError::Closed))
    }
}

/// The task that commits and sends.
pub struct ScoringTask {
    requests: mpsc::Receiver<Request>,
    ledger: Ledger,
    connects: Connects,
}

impl ScoringTask {
    /// Serves until nobody holds a [`Scoring`] any more, so that what was handed in is never left behind.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        let mut due = Instant::now() + LOOK;
        loop {
            tokio::select! {
                count = self.requests.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    let asked = self.ledger.serve(&mut batch).await;
                    due = due.min(Instant::now() + SETTLE);
                    if !asked {
                        continue;
                    }
                }
                () = self.connects.next() => {}
                () = sleep_until(due) => {}
            }
            self.ledger.catch_up(&mut self.requests).await;
            due = Instant::now() + LOOK;
        }
        // Where Redis still misses something, the note stays, and the next process sees to it.
        let _ = self.ledger.settle().await;
    }
}
