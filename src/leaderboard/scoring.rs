//! Scores on their way into the database and to Redis.
//!
//! One task takes what the routes hand in, many at a time, commits it, and has the [`RedisMirror`] send it. A score is
//! answered once it is durable; Redis only adds the rank.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::board::{CURSOR, KEY};
use super::redis_mirror::{Progress, RedisMirror};
use super::store::{self, Mode, RedisScore, Rejection, Submission};
use crate::bus::{Bus, BusError, Connects, GuardedSet, Reading, SortedSet, WRONG_TYPE};
use crate::db::{Database, DbError};
use crate::ids::{Invalid, Score, Username};

/// How many scores may wait; past it they are refused.
const QUEUE_CAPACITY: usize = 4096;
/// How many are committed together at most.
const MAX_BATCH: usize = 512;
/// How often to look whether Redis misses something.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long Redis may take to say which scores other programs have written.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The players of the example board, each with ten points less than the one before, from this number down.
const SEED_TOP: u32 = 100;
const SEED_PLAYERS: u32 = 10;

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
    /// The score depends on one that another program may have written, and Redis cannot be asked.
    #[error("Redis cannot say whether another program has written a score of this player")]
    NeedsRedis,
    /// The database did not take it.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A score that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The player's score afterwards.
    pub score: Score,
    /// The player's place, from 1; `None` while Redis cannot say.
    pub rank: Option<u64>,
}

enum Request {
    Score(ScoreRequest),
    Seed(ReplySender<()>),
    /// Answered once Redis misses nothing, or refuses.
    CatchUp(oneshot::Sender<()>),
}

struct ScoreRequest {
    name: Username,
    mode: Mode,
    score: Score,
    answer: ReplySender<Scored>,
}

type ReplySender<T> = oneshot::Sender<Result<T, ScoringError>>;

/// Hands scores in; a clone shares the queue.
#[derive(Debug, Clone)]
pub struct Scoring {
    queue: mpsc::Sender<Request>,
    refusal: watch::Receiver<Option<String>>,
    refilling: watch::Receiver<bool>,
}

impl Scoring {
    /// The handle, and the task behind it.
    pub fn new(database: Database, bus: &Bus) -> (Self, ScoringTask) {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let mirror = RedisMirror::new(database.clone(), bus.guarded_set(KEY, CURSOR));
        let (refusal, refilling) = (mirror.refusal(), mirror.refilling());
        let (set, connects) = (bus.sorted_set(KEY), bus.connects());
        (
            Self { queue, refusal, refilling },
            ScoringTask { database, requests, mirror, set, connects, catch_up_waiters: Vec::new() },
        )
    }

    /// Changes a player's score, and answers once that is durable.
    ///
    /// # Errors
    /// When it is not taken; nothing has changed then, except after [`ScoringError::Database`], when it is unknown.
    pub async fn score(&self, name: Username, mode: Mode, score: Score) -> Result<Scored, ScoringError> {
        self.request(|answer| Request::Score(ScoreRequest { name, mode, score, answer })).await
    }

    /// Replaces the whole board by ten example players.
    ///
    /// # Errors
    /// As for [`Scoring::score`].
    pub async fn seed(&self) -> Result<(), ScoringError> {
        self.request(Request::Seed).await
    }

    /// Why Redis refuses to take scores, where it does.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.borrow().clone()
    }

    /// Whether the board in Redis is incomplete, since it is being filled.
    pub(super) fn refilling(&self) -> watch::Receiver<bool> {
        self.refilling.clone()
    }

    /// Waits until Redis has everything that it missed, or refuses it; where it is away, until it is back. Cancel safe.
    pub(super) async fn caught_up(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Request::CatchUp(answer)).await.is_ok() {
            // It goes unanswered only where the task is gone, and then there is nothing to wait for.
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

/// The task that commits and sends.
pub struct ScoringTask {
    database: Database,
    requests: mpsc::Receiver<Request>,
    mirror: RedisMirror<GuardedSet>,
    set: SortedSet,
    connects: Connects,
    /// Those that wait until Redis misses nothing.
    catch_up_waiters: Vec<oneshot::Sender<()>>,
}

impl ScoringTask {
    /// Serves until nobody holds a [`Scoring`] any more, so that what was handed in is never left behind.
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
                for waiting in self.catch_up_waiters.drain(..) {
                    // It may have stopped waiting.
                    let _ = waiting.send(());
                }
            }
            due = Instant::now() + if progress == Progress::Advanced { Duration::ZERO } else { POLL_INTERVAL };
        }
    }

    /// Serves requests in their order, neighbouring scores together. Whether someone waits for Redis to catch up.
    async fn serve(&mut self, batch: &mut Vec<Request>) -> bool {
        let mut scores = Vec::new();
        let mut catch_up = false;
        for request in batch.drain(..) {
            match request {
                Request::Score(score) => scores.push(score),
                Request::Seed(answer) => {
                    self.score(std::mem::take(&mut scores)).await;
                    // The client may have gone away.
                    let _ = answer.send(self.seed().await);
                }
                Request::CatchUp(answer) => {
                    catch_up = true;
                    self.catch_up_waiters.retain(|waiting| !waiting.is_closed());
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
                    // The client may have gone away.
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
            // The client may have gone away; the score is stored all the same.
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
        let committed = match found {
            Ok(_) => self.database.write(move |connection| store::commit(connection, &submissions)).await,
            Err(error) => Err(error),
        };
        (answers, committed)
    }

    /// What Redis holds for those of the players that have no score of ours: another program may have written one.
    async fn foreign_scores(&self, names: Vec<String>) -> Result<Vec<(String, RedisScore)>, DbError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.database.read_point(|connection| store::without_score(connection, &names))?;
        // A Redis that was silent is not waited for.
        if names.is_empty() || self.mirror.is_silent() {
            return Ok(Vec::new());
        }
        let asked = self.set.scores_and_cursor(names.clone(), CURSOR);
        let (cursor, scores) = match timeout(LOOKUP_TIMEOUT, asked).await {
            Ok(Ok(found)) => found,
            // What is no sorted set holds no scores.
            Ok(Err(BusError::Refused(reason))) if reason.starts_with(WRONG_TYPE) => (None, vec![None; names.len()]),
            Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
        };
        // Read after the cursor, which would seem to be ahead where another server has just committed.
        let (version, removals) = self
            .database
            .read_point(|connection| Ok((store::version(connection)?, store::removals(connection, &names)?)))?;
        let seen = version.seen(&Reading { cursor, writable: true });
        let known = names.into_iter().zip(removals).zip(scores).map(|((name, removed), score)| {
            // What Redis still has to remove does not count.
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
        // Where Redis does not take it now, it does later.
        self.mirror.catch_up().await;
        Ok(())
    }
}

impl From<Rejection> for ScoringError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Impossible(invalid) => Self::Impossible(invalid),
            Rejection::NeedsRedis => Self::NeedsRedis,
        }
    }
}
