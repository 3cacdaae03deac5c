//! Reading a sorted set.
//!
//! Owns nothing: the caller owns the key. Each method is one round trip. [`GuardedSet`](super::GuardedSet) makes
//! changes.

use fred::clients::{Client, Pipeline};
use fred::interfaces::{KeysInterface, SortedSetsInterface};
use fred::types::sorted_sets::Ordering;
use fred::types::{SetOptions, Value};

use super::connections::Connections;
use super::error::BusError;

/// The prefix of the error for a command on a key of another type.
pub const WRONG_TYPE: &str = "WRONGTYPE";

/// A sorted set in Redis; a clone refers to the same one.
#[derive(Debug, Clone)]
pub struct SortedSet {
    connections: Connections,
    key: &'static str,
}

/// A member with its score. Invalid UTF-8, written by another client, is replaced by U+FFFD.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The member.
    pub name: String,
    /// May be infinite if written by another client.
    pub score: f64,
}

/// A range of the set, highest score first, equal scores in descending order of the member.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The number of members in the whole set.
    pub total: u64,
    /// The members of the range.
    pub members: Vec<Member>,
}

impl SortedSet {
    pub(super) fn new(connections: Connections, key: &'static str) -> Self {
        Self { connections, key }
    }

    /// At most `limit` members from rank `offset`, highest score first, equal scores in descending order of the member.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn page(&self, offset: u64, limit: u64) -> Result<Page, BusError> {
        let pipeline = self.connections.commands()?.pipeline();
        let last = offset.saturating_add(limit).saturating_sub(1);
        let _: Value = pipeline.zcard(self.key).await.map_err(BusError::client)?;
        // A limit of 0 would be a range that ends before it starts, except at offset 0.
        if limit > 0 {
            let _: Value =
                pipeline.zrevrange(self.key, rank(offset), rank(last), true).await.map_err(BusError::client)?;
        }
        let mut replies = replies(&pipeline).await?.into_iter();
        let total = replies.next().and_then(|total| total.as_u64()).ok_or_else(BusError::unexpected_reply)?;
        let members = replies.next().map_or_else(|| Ok(Vec::new()), members)?;
        Ok(Page { total, members })
    }

    /// The rank and score of a member; `None` if it is missing. The highest score has rank 0.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn rank_and_score(&self, name: &str) -> Result<Option<(u64, f64)>, BusError> {
        let pipeline = self.connections.commands()?.pipeline();
        let _: Value = pipeline.zrevrank(self.key, name, false).await.map_err(BusError::client)?;
        let _: Value = pipeline.zscore(self.key, name).await.map_err(BusError::client)?;
        let replies = replies(&pipeline).await?;
        Ok(replies.first().and_then(Value::as_u64).zip(replies.get(1).and_then(Value::as_f64)))
    }

    /// The scores of these members, in the same order; `None` for missing members.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn scores(&self, names: Vec<String>) -> Result<Vec<Option<f64>>, BusError> {
        let pipeline = self.connections.commands()?.pipeline();
        for name in names {
            let _: Value = pipeline.zscore(self.key, name).await.map_err(BusError::client)?;
        }
        Ok(replies(&pipeline).await?.iter().map(Value::as_f64).collect())
    }

    /// The string at `cursor`, and the scores of these members in the same order, from one pipeline.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn scores_and_cursor(
        &self,
        names: Vec<String>,
        cursor: &str,
    ) -> Result<(Option<String>, Vec<Option<f64>>), BusError> {
        let pipeline = self.connections.commands()?.pipeline();
        let _: Value = pipeline.get(cursor).await.map_err(BusError::client)?;
        for name in names {
            let _: Value = pipeline.zscore(self.key, name).await.map_err(BusError::client)?;
        }
        let mut replies = replies(&pipeline).await?.into_iter();
        let cursor = replies.next().and_then(Value::into_string);
        Ok((cursor, replies.map(|score| score.as_f64()).collect()))
    }

    /// Checks that the set can be written, by a write that changes nothing.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn check_writable(&self) -> Result<(), BusError> {
        // XX and GT: only a member "" with a score below negative infinity would change.
        let member = (f64::NEG_INFINITY, Value::from(""));
        let (existing, greater) = (Some(SetOptions::XX), Some(Ordering::GreaterThan));
        let result =
            self.connections.commands()?.zadd::<Value, _, _>(self.key, existing, greater, false, false, member).await;
        result.map(|_| ()).map_err(BusError::command)
    }
}

/// Sends a pipeline. Returns all replies, or the first error.
async fn replies(pipeline: &Pipeline<Client>) -> Result<Vec<Value>, BusError> {
    pipeline.try_all::<Value>().await.into_iter().collect::<Result<_, _>>().map_err(BusError::command)
}

fn members(reply: Value) -> Result<Vec<Member>, BusError> {
    let pairs: Vec<(Vec<u8>, f64)> = reply.convert().map_err(BusError::command)?;
    let named = |(name, score): (Vec<u8>, f64)| Member { name: String::from_utf8_lossy(&name).into_owned(), score };
    Ok(pairs.into_iter().map(named).collect())
}

fn rank(rank: u64) -> i64 {
    i64::try_from(rank).unwrap_or(i64::MAX)
}
