//! Commands on one sorted set.
//!
//! Owns nothing: the key is the caller's. Each method is one round trip. What Redis refuses ([`BusError::Refused`]) is told
//! apart from silence ([`BusError::Disconnected`], [`BusError::Command`]), after which a change may have happened or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::{Client, Pipeline};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface, SortedSetsInterface, TransactionInterface};
use fred::types::{InfoKind, Value};

use super::throttle::Throttle;
use super::{Bus, BusError};
use crate::events::Event;

/// How often the same is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// One sorted set in Redis; a clone speaks to the same one.
#[derive(Debug, Clone)]
pub struct SortedSet {
    bus: Bus,
    key: &'static str,
    /// For what Redis refuses beside a change, as it may each time.
    refusals: Arc<Throttle>,
}

/// A member with its score. Members of other programs need not be UTF-8; what is not is replaced by U+FFFD.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its score; may be infinite where another program wrote it.
    pub score: f64,
}

/// A part of the set, highest score first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// How many members the whole set has.
    pub total: u64,
    /// The members of this part.
    pub members: Vec<Member>,
}

/// A change of the set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Members to set, in this order.
    pub set: Vec<(String, f64)>,
    /// Members to remove, after that.
    pub remove: Vec<String>,
    /// Members whose rank is wanted, after that.
    pub ranks_of: Vec<String>,
}

/// What a change met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The Redis that was changed; another run of the server has another one.
    pub run_id: String,
    /// Whether the key was there before the change.
    pub existed: bool,
    /// The ranks asked for, the highest score's being 0; `None` for who is not in the set.
    pub ranks: Vec<Option<u64>>,
}

impl SortedSet {
    pub(super) fn new(bus: Bus, key: &'static str) -> Self {
        Self { bus, key, refusals: Arc::new(Throttle::new(LOG_INTERVAL)) }
    }

    /// The members from rank `offset` on, at most `limit`, highest score first, equal scores by descending name.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn page(&self, offset: u64, limit: u64) -> Result<Page, BusError> {
        let pipeline = self.client()?.pipeline();
        let last = offset.saturating_add(limit).saturating_sub(1);
        let _: Value = pipeline.zcard(self.key).await.map_err(broken)?;
        // Where the limit is 0, the last rank is before the first, which selects nothing (but for offset 0).
        if limit > 0 {
            let _: Value = pipeline.zrevrange(self.key, rank(offset), rank(last), true).await.map_err(broken)?;
        }
        let mut answers = answers(&pipeline).await?.into_iter();
        let total = answers.next().and_then(|total| total.as_u64()).ok_or_else(unexpected)?;
        let members = answers.next().map_or_else(|| Ok(Vec::new()), members)?;
        Ok(Page { total, members })
    }

    /// A member's rank (the highest score's is 0) and score; `None` where it is not in the set.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn standing(&self, name: &str) -> Result<Option<(u64, f64)>, BusError> {
        let pipeline = self.client()?.pipeline();
        let _: Value = pipeline.zrevrank(self.key, name, false).await.map_err(broken)?;
        let _: Value = pipeline.zscore(self.key, name).await.map_err(broken)?;
        let answers = answers(&pipeline).await?;
        Ok(answers.first().and_then(Value::as_u64).zip(answers.get(1).and_then(Value::as_f64)))
    }

    /// The scores of these members, in their order; `None` for who is not in the set.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn scores(&self, names: Vec<String>) -> Result<Vec<Option<f64>>, BusError> {
        let pipeline = self.client()?.pipeline();
        for name in names {
            let _: Value = pipeline.zscore(self.key, name).await.map_err(broken)?;
        }
        Ok(answers(&pipeline).await?.iter().map(Value::as_f64).collect())
    }

    /// Which Redis this is, and whether the key is there.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn presence(&self) -> Result<(String, bool), BusError> {
        let changed = self.send(&Change::default(), None).await?;
        Ok((changed.run_id, changed.existed))
    }

    /// Makes a change, in one pipeline.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses; after a refusal nothing is set.
    pub async fn change(&self, change: &Change) -> Result<Changed, BusError> {
        self.send(change, None).await
    }

    /// Makes a change and announces it, in one pipeline.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses; after a refusal nothing is set, but the announcement has gone out.
    pub async fn change_and_announce(&self, change: &Change, announcement: &impl Event) -> Result<Changed, BusError> {
        self.send(change, Some((announcement.channel(), announcement.payload()))).await
    }

    async fn send(&self, change: &Change, announcement: Option<(String, String)>) -> Result<Changed, BusError> {
        let pipeline = self.client()?.pipeline();
        // EXISTS, INFO, then what changes the set, then the announcement and the ranks.
        let changes = usize::from(!change.set.is_empty()) + usize::from(!change.remove.is_empty());
        // Where nothing is changed, the question itself must be answered.
        let decisive = if changes == 0 { 0..1 } else { 2..2 + changes };
        self.fill(&pipeline, change, announcement).await.map_err(broken)?;
        let mut answers = Vec::new();
        for (at, answer) in pipeline.try_all::<Value>().await.into_iter().enumerate() {
            answers.push(match answer.map_err(failed) {
                // That nobody is told, or that it says nothing of itself, does not mean that it refused the change.
                Err(BusError::Refused(reason)) if !decisive.contains(&at) => {
                    if self.refusals.admits(Instant::now()) {
                        tracing::warn!(reason, "Redis has taken a change, but refuses a command beside it");
                    }
                    Value::Null
                }
                answer => answer?,
            });
        }
        let ranks = answers.len().saturating_sub(change.ranks_of.len());
        // A Redis that keeps its name to itself is taken for always the same.
        let run_id = match answers.get(1) {
            Some(Value::Null) => String::new(),
            info => info.and_then(run_id).ok_or_else(unexpected)?,
        };
        Ok(Changed {
            run_id,
            // A Redis that does not say is taken for one that had it: it is not filled anew.
            existed: answers.first().and_then(Value::as_u64) != Some(0),
            ranks: answers.iter().skip(ranks).map(Value::as_u64).collect(),
        })
    }

    /// Adds the commands to the pipeline, which sends nothing yet.
    async fn fill(
        &self,
        pipeline: &Pipeline<Client>,
        change: &Change,
        announcement: Option<(String, String)>,
    ) -> Result<(), Error> {
        let _: Value = pipeline.exists(self.key).await?;
        let _: Value = pipeline.info(Some(InfoKind::Server)).await?;
        if !change.set.is_empty() {
            let members: Vec<(f64, Value)> =
                change.set.iter().map(|(name, score)| (*score, name.as_str().into())).collect();
            let _: Value = pipeline.zadd(self.key, None, None, false, false, members).await?;
        }
        if !change.remove.is_empty() {
            let _: Value = pipeline.zrem(self.key, change.remove.clone()).await?;
        }
        if let Some((channel, payload)) = announcement {
            let _: Value = pipeline.publish(channel, payload).await?;
        }
        for name in &change.ranks_of {
            let _: Value = pipeline.zrevrank(self.key, name.as_str(), false).await?;
        }
        Ok(())
    }

    /// Replaces the whole set, whatever the key held, and announces it, in one transaction.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn replace(&self, set: &[(String, f64)], announcement: &impl Event) -> Result<(), BusError> {
        let transaction = self.client()?.multi();
        let queued = async {
            let _: Value = transaction.del(self.key).await?;
            if !set.is_empty() {
                let members: Vec<(f64, Value)> =
                    set.iter().map(|(name, score)| (*score, name.as_str().into())).collect();
                let _: Value = transaction.zadd(self.key, None, None, false, false, members).await?;
            }
            let _: Value = transaction.publish(announcement.channel(), announcement.payload()).await?;
            transaction.exec::<Value>(true).await
        };
        queued.await.map(|_| ()).map_err(failed)
    }

    /// Whether Redis is connected.
    pub fn is_connected(&self) -> bool {
        self.bus.is_connected()
    }

    fn client(&self) -> Result<&Client, BusError> {
        if self.bus.is_connected() { Ok(&self.bus.commands) } else { Err(BusError::Disconnected) }
    }
}

/// Sends a pipeline: all its answers, or the first error among them.
async fn answers(pipeline: &Pipeline<Client>) -> Result<Vec<Value>, BusError> {
    pipeline.try_all::<Value>().await.into_iter().collect::<Result<_, _>>().map_err(failed)
}

fn members(answer: Value) -> Result<Vec<Member>, BusError> {
    let pairs: Vec<(Vec<u8>, f64)> = answer.convert().map_err(failed)?;
    let named = |(name, score): (Vec<u8>, f64)| Member { name: String::from_utf8_lossy(&name).into_owned(), score };
    Ok(pairs.into_iter().map(named).collect())
}

/// The `run_id` in the answer of INFO.
fn run_id(info: &Value) -> Option<String> {
    let info = info.as_str()?;
    info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned())
}

fn rank(rank: u64) -> i64 {
    i64::try_from(rank).unwrap_or(i64::MAX)
}

/// An error of the library before anything was sent.
fn broken(error: Error) -> BusError {
    BusError::Command(error.into())
}

fn failed(error: Error) -> BusError {
    match error.kind() {
        // It will answer once it has read its files.
        ErrorKind::Unknown if error.details().starts_with("LOADING") => BusError::Command(error.into()),
        // What Redis itself answered; the library has a kind of its own for few of its errors.
        ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Unknown => {
            BusError::Refused(error.details().to_owned())
        }
        _ => BusError::Command(error.into()),
    }
}

fn unexpected() -> BusError {
    BusError::Refused("its answer is not of the form that was expected".to_owned())
}
