//! Commands on one sorted set that change nothing.
//!
//! Owns nothing: the key is the caller's. Each method is one round trip. [`GuardedSet`](super::GuardedSet) makes changes.

use fred::clients::{Client, Pipeline};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{KeysInterface, SortedSetsInterface};
use fred::types::sorted_sets::Ordering;
use fred::types::{SetOptions, Value};

use super::{Bus, BusError};

/// How Redis begins the refusal of a command that the key's type does not know.
pub const WRONG_TYPE: &str = "WRONGTYPE";

/// One sorted set in Redis; a clone speaks to the same one.
#[derive(Debug, Clone)]
pub struct SortedSet {
    bus: Bus,
    key: &'static str,
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

impl SortedSet {
    pub(super) fn new(bus: Bus, key: &'static str) -> Self {
        Self { bus, key }
    }

    /// The members from rank `offset` on, at most `limit`, highest score first, equal scores by descending name.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn page(&self, offset: u64, limit: u64) -> Result<Page, BusError> {
        let pipeline = self.client()?.pipeline();
        let last = offset.saturating_add(limit).saturating_sub(1);
        let _: Value = pipeline.zcard(self.key).await.map_err(client_error)?;
        // Where the limit is 0, the last rank is before the first, which selects nothing (but for offset 0).
        if limit > 0 {
            let _: Value = pipeline.zrevrange(self.key, rank(offset), rank(last), true).await.map_err(client_error)?;
        }
        let mut replies = replies(&pipeline).await?.into_iter();
        let total = replies.next().and_then(|total| total.as_u64()).ok_or_else(unexpected_reply)?;
        let members = replies.next().map_or_else(|| Ok(Vec::new()), members)?;
        Ok(Page { total, members })
    }

    /// A member's rank (the highest score's is 0) and score; `None` where it is not in the set.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn rank_and_score(&self, name: &str) -> Result<Option<(u64, f64)>, BusError> {
        let pipeline = self.client()?.pipeline();
        let _: Value = pipeline.zrevrank(self.key, name, false).await.map_err(client_error)?;
        let _: Value = pipeline.zscore(self.key, name).await.map_err(client_error)?;
        let replies = replies(&pipeline).await?;
        Ok(replies.first().and_then(Value::as_u64).zip(replies.get(1).and_then(Value::as_f64)))
    }

    /// The scores of these members, in their order; `None` for who is not in the set.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn scores(&self, names: Vec<String>) -> Result<Vec<Option<f64>>, BusError> {
        let pipeline = self.client()?.pipeline();
        for name in names {
            let _: Value = pipeline.zscore(self.key, name).await.map_err(client_error)?;
        }
        Ok(replies(&pipeline).await?.iter().map(Value::as_f64).collect())
    }

    /// The text at `cursor`, and the scores of these members, in their order, read one right after the other.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn scores_and_cursor(
        &self,
        names: Vec<String>,
        cursor: &str,
    ) -> Result<(Option<String>, Vec<Option<f64>>), BusError> {
        let pipeline = self.client()?.pipeline();
        let _: Value = pipeline.get(cursor).await.map_err(client_error)?;
        for name in names {
            let _: Value = pipeline.zscore(self.key, name).await.map_err(client_error)?;
        }
        let mut replies = replies(&pipeline).await?.into_iter();
        let cursor = replies.next().and_then(Value::into_string);
        Ok((cursor, replies.map(|score| score.as_f64()).collect()))
    }

    /// Asks Redis to change the score of a player that does not exist, if it did: shows whether the set can be written,
    /// and changes nothing.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn check_writable(&self) -> Result<(), BusError> {
        // No score is less than this one, so that it changes even a member of that name only if it cannot.
        let nobody = (f64::NEG_INFINITY, Value::from(""));
        let (existing, greater) = (Some(SetOptions::XX), Some(Ordering::GreaterThan));
        let asked = self.client()?.zadd::<Value, _, _>(self.key, existing, greater, false, false, nobody).await;
        asked.map(|_| ()).map_err(command_error)
    }

    fn client(&self) -> Result<&Client, BusError> {
        if self.bus.is_connected() { Ok(&self.bus.commands) } else { Err(BusError::Disconnected) }
    }
}

/// Sends a pipeline: all its replies, or the first error among them.
async fn replies(pipeline: &Pipeline<Client>) -> Result<Vec<Value>, BusError> {
    pipeline.try_all::<Value>().await.into_iter().collect::<Result<_, _>>().map_err(command_error)
}

fn members(reply: Value) -> Result<Vec<Member>, BusError> {
    let pairs: Vec<(Vec<u8>, f64)> = reply.convert().map_err(command_error)?;
    let named = |(name, score): (Vec<u8>, f64)| Member { name: String::from_utf8_lossy(&name).into_owned(), score };
    Ok(pairs.into_iter().map(named).collect())
}

fn rank(rank: u64) -> i64 {
    i64::try_from(rank).unwrap_or(i64::MAX)
}

/// An error of the library before anything was sent.
pub(super) fn client_error(error: Error) -> BusError {
    BusError::Command(error.into())
}

pub(super) fn command_error(error: Error) -> BusError {
    match error.kind() {
        // It will reply once it has read its files.
        ErrorKind::Unknown if error.details().starts_with("LOADING") => BusError::Command(error.into()),
        // What Redis itself answered; the library has a kind of its own for few of its errors.
        ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Unknown => {
            BusError::Refused(error.details().to_owned())
        }
        _ => BusError::Command(error.into()),
    }
}

pub(super) fn unexpected_reply() -> BusError {
    BusError::Refused("its reply is not of the form that was expected".to_owned())
}
