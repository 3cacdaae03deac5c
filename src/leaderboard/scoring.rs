//! The task that commits scores and sends them to Redis.
//!
//! It commits the scores of many requests together and sends them by the [`RedisMirror`]. A request is answered once
//! its score is durable; Redis only adds the rank.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::board::{CURSOR, KEY};
use super::redis_mirror::{Progress, RedisMirror};
use super::scoring_error::ScoringError;
use super::store::{self, Mode, RedisScore, Submission};
use crate::bus::{Bus, BusError, Connects, GuardedSet, Reading, SortedSet, WRONG_TYPE};
use crate::db::{Database, DbError};
use crate::ids::{Score, Username};

/// The most queued requests. More are rejected.
const QUEUE_CAPACITY: usize = 4096;
/// The most scores of one commit.
const MAX_BATCH: usize = 512;
/// Between two checks of the cursor.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// For reading the scores of other programs from Redis.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The score of the first example player. Each of the next has ten points less.
const SEED_TOP: u32 = 100;
const SEED_PLAYERS: u32 = 10;

/// An accepted score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The new score of the player.
    pub score: Score,
    /// Counted from 1; `None` while Redis is unavailable.
    pub rank: Option<u64>,
}

enum Request {
    Score(ScoreRequest),
    Seed(ReplySender<()>),
    /// Answered once Redis is up to date, or rejects scores.
    CatchUp(oneshot::Sender<()>),
}

struct ScoreRequest {
    name: Username,
    mode: Mode,
    score: Score,
    answer: ReplySender<Scored>,
}

type ReplySender<T> = oneshot::Sender<Result<T, ScoringError>>;

/// Submits scores to the task; a clone shares the queue.
#[derive(Debug, Clone)]
pub struct Scoring {
    queue: mpsc::Sender<Request>,
    refusal: watch::Receiver<Option<String>>,
    refilling: watch::Receiver<bool>,
}

impl Scoring {
    /// Returns the handle and its task. `max_players` is 0 for any number.
    pub fn new(database: Database, bus: &Bus, max_players: u64) -> (Self, ScoringTask) {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let mirror = RedisMirror::new(database.clone(), bus.guarded_set(KEY, CURSOR));
        let (refusal, refilling) = (mirror.refusal(), mirror.refilling());
        let (set, connects) = (bus.sorted_set(KEY), bus.connects());
        (
            Self { queue, refusal, refilling },
            ScoringTask { database, max_players, requests, mirror, set, connects, catch_up_waiters: Vec::new() },
        )
    }

    /// Changes the score of a player. Returns once the change is durable.
    ///
    /// # Errors
    /// If the score is not accepted. Nothing has changed then; after [`ScoringError::Database`] that is unknown.
    pub async fn score(&self, name: Username, mode: Mode, score: Score) -> Result<Scored, ScoringError> {
        self.request(|answer| Request::Score(ScoreRequest { name, mode, score, answer })).await
    }

    /// Replaces the board by ten example players.
    ///
    /// # Errors
    /// Those of [`Scoring::score`].
    pub async fn seed(&self) -> Result<(), ScoringError> {
        self.request(Request::Seed).await
    }

    /// The error with which Redis rejects scores.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.borrow().clone()
    }

    /// Whether the board in Redis is incomplete, because it is being refilled.
    pub(super) fn refilling(&self) -> watch::Receiver<bool> {
        self.refilling.clone()
    }

    /// Waits until Redis is up to date, or rejects scores. Includes waiting for the connection. Cancel safe.
    pub(super) async fn caught_up(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Request::CatchUp(answer)).await.is_ok() {
            // Fails only if the task has ended.
            let _ = answered.await;
        }
    }

    async fn request<T>(&self, request: impl FnOnce(ReplySender<T>) -> Request) -> Result<T, ScoringError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(request(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScoringError::Busy,
            mpsc::error::TrySendError::Closed(_) => ScoringError::Closed,
        })?;
        answered.await.unwrap_or(Err(ScoringError::Closed))
    }
}

/// The task that commits scores and sends them to Redis.
pub struct ScoringTask {
    database: Database,
    max_players: u64,
    requests: mpsc::Receiver<Request>,
    mirror: RedisMirror<GuardedSet>,
    set: SortedSet,
    connects: Connects,
    /// Waiting until Redis is up to date.
    catch_up_waiters: Vec<oneshot::Sender<()>>,
}

impl ScoringTask {
    /// Runs until every [`Scoring`] is dropped, so that no submitted score is lost.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        let mut due = Instant::now();
        loop {
            tokio::select! {
                count = self.requests.recv_many(&mut batch, MAX_BATCH) => match count {
                    0 => return,
                    _ if !self.serve(&mut batch).await => continue,
                    _ => {}
                },
                () = self.connects.next() => {}
                () = sleep_until(due) => {}
            }
            let progress = self.mirror.catch_up().await;
            if matches!(progress, Progress::UpToDate(_)) || self.mirror.is_refused() {
                for waiter in self.catch_up_waiters.drain(..) {
                    // Fails if the waiter has gone.
                    let _ = waiter.send(());
                }
            }
            due = Instant::now() + if progress == Progress::Advanced { Duration::ZERO } else { POLL_INTERVAL };
        }
    }

    /// Handles requests in order, and consecutive scores together. Returns whether one waits for Redis to catch up.
    async fn serve(&mut self, batch: &mut Vec<Request>) -> bool {
        let mut scores = Vec::new();
        let mut catch_up = false;
        for request in batch.drain(..) {
            match request {
                Request::Score(score) => scores.push(score),
                Request::Seed(answer) => {
                    self.score(std::mem::take(&mut scores)).await;
                    // Fails if the client has disconnected.
                    let _ = answer.send(self.seed().await);
                }
                Request::CatchUp(answer) => {
                    catch_up = true;
                    self.catch_up_waiters.retain(|waiter| !waiter.is_closed());
                    self.catch_up_waiters.push(answer);
                }
            }
        }
        self.score(scores).await;
        catch_up
    }

    async fn score(&mut self, requests: Vec<ScoreRequest>) {
        if requests.is_empty() {
            return;
        }
        let names: Vec<String> = requests.iter().map(|request| request.name.as_str().to_owned()).collect();
        let (answers, committed) = self.commit(requests).await;
        let commit = match committed {
            Ok(commit) => commit,
            Err(error) => {
                for answer in answers {
                    // Fails if the client has disconnected.
                    let _ = answer.send(Err(error.clone().into()));
                }
                return;
            }
        };
        let ranks = match self.mirror.follow(&commit, &names).await {
            Progress::UpToDate(ranks) => ranks,
            Progress::Advanced | Progress::Stalled => vec![None; names.len()],
        };
        for ((answer, result), rank) in answers.into_iter().zip(commit.results).zip(ranks) {
            let scored = result.map(|score| Scored { score, rank: rank.map(|rank| rank + 1) }).map_err(Into::into);
            // Fails if the client has disconnected. The score is stored.
            let _ = answer.send(scored);
        }
    }

    async fn commit(&self, requests: Vec<ScoreRequest>) -> (Vec<ReplySender<Scored>>, Result<store::Commit, DbError>) {
        let relative = requests.iter().filter(|request| request.mode != Mode::Set);
        let relative: Vec<String> = relative.map(|request| request.name.as_str().to_owned()).collect();
        let found = self.foreign_scores(relative).await;
        let mut answers = Vec::with_capacity(requests.len());
        let mut submissions = Vec::with_capacity(requests.len());
        for ScoreRequest { name, mode, score, answer } in requests {
            let redis_score = found.iter().flatten().find(|(found, _)| found == name.as_str());
            let redis_score = redis_score.map_or(RedisScore::Unknown, |(_, redis_score)| *redis_score);
            answers.push(answer);
            submissions.push(Submission { name, mode, score, redis_score });
        }
        let max_players = self.max_players;
        let committed = match found {
            Ok(_) => self.database.write(move |connection| store::commit(connection, &submissions, max_players)).await,
            Err(error) => Err(error),
        };
        (answers, committed)
    }

    /// The scores in Redis of those players that have none in the database: another program may have written them.
    async fn foreign_scores(&self, names: Vec<String>) -> Result<Vec<(String, RedisScore)>, DbError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.database.read_point(|connection| store::without_score(connection, &names))?;
        // Do not wait for a Redis that has not replied in time.
        if names.is_empty() || self.mirror.is_silent() {
            return Ok(Vec::new());
        }
        let scores = self.set.scores_and_cursor(names.clone(), CURSOR);
        let (cursor, scores) = match timeout(LOOKUP_TIMEOUT, scores).await {
            Ok(Ok(found)) => found,
            // A value of another type contains no scores.
            Ok(Err(BusError::Refused(reason))) if reason.starts_with(WRONG_TYPE) => (None, vec![None; names.len()]),
            Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
        };
        // Read after the cursor. Otherwise the cursor would seem to be ahead after a commit of another server.
        let (version, removals) = self
            .database
            .read_point(|connection| Ok((store::version(connection)?, store::removals(connection, &names)?)))?;
        let seen = version.seen(&Reading { cursor, writable: true });
        let known = names.into_iter().zip(removals).zip(scores).map(|((name, removed), score)| {
            // Ignore scores that Redis has yet to remove.
            let score = score.filter(|_| seen.is_some_and(|seen| seen >= removed)).map(Score::nearest);
            (name, RedisScore::Known(score))
        });
        Ok(known.collect())
    }

    /// Replaces the whole board by the example board.
    async fn seed(&mut self) -> Result<(), ScoringError> {
        let players: Vec<(String, f64)> = (1..=SEED_PLAYERS)
            .map(|number| (format!("Player {number}"), f64::from(SEED_TOP - 10 * (number - 1))))
            .collect();
        self.database.write(move |connection| store::reset(connection, &players)).await?;
        // On failure, the task retries.
        self.mirror.catch_up().await;
        Ok(())
    }
}
