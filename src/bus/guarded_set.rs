//! A sorted set with a cursor: both change in one transaction, which is only executed if the cursor has not changed.
//!
//! Owns a connection of its own, because WATCH belongs to a connection. It never reconnects automatically: a
//! transaction on a new connection would not be guarded. After any failure the connection is closed, and the next
//! [`Guarded::watch`] opens another. Redis may still execute an earlier transaction then, but only if the cursor has
//! not changed. See <https://redis.io/docs/latest/develop/using-commands/transactions/>.

use std::future::Future;
use std::time::Duration;

use fred::clients::{Client, Pipeline};
use fred::error::Error;
use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface, SortedSetsInterface};
use fred::types::{ConnectHandle, CustomCommand, Value};
use tokio::time::timeout;

use super::connections::Connections;
use super::error::BusError;
use super::sorted_set::WRONG_TYPE;
use crate::events::Event;

/// For one round trip, a new connection included.
const REDIS_TIMEOUT: Duration = Duration::from_secs(1);
/// For the PING after a timeout.
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);

/// The cursor and the type of the set, as read under the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// `None` if the key is missing.
    pub cursor: Option<String>,
    /// Whether the key of the set holds a sorted set, or nothing.
    pub writable: bool,
}

/// A change of the set and of the cursor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction {
    /// Whether to delete the key of the set first, whatever its type.
    pub clear: bool,
    /// Members to set.
    pub set: Vec<(String, f64)>,
    /// Members to remove.
    pub remove: Vec<String>,
    /// The new cursor.
    pub cursor: String,
}

/// The outcome of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Executed. Contains the requested ranks, with 0 for the highest score and `None` for missing members.
    Executed(Vec<Option<u64>>),
    /// The cursor had changed, so the transaction was not executed.
    Conflict,
}

/// A sorted set that changes together with its cursor.
///
/// After any error except [`BusError::Refused`], it is unknown whether the transaction was executed.
pub trait Guarded: Send {
    /// Watches the cursor, and reads it.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    fn watch(&mut self) -> impl Future<Output = Result<Reading, BusError>> + Send;

    /// Executes a transaction if the cursor has not changed since it was last read, reads the ranks of `names`, and
    /// then watches and reads the cursor again.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error. After an error reply, neither the
    /// set nor the cursor has changed. The exception is WRONGTYPE, which Redis detects during the execution: then only
    /// the cursor has changed.
    fn execute(
        &mut self,
        transaction: &Transaction,
        announcement: &(impl Event + Sync),
        names: &[String],
    ) -> impl Future<Output = Result<(Outcome, Reading), BusError>> + Send;

    /// Whether Redis replies to a PING. Used after a timeout.
    fn is_answering(&self) -> impl Future<Output = bool> + Send;

    /// The ranks of these members, as in [`Outcome::Executed`].
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    fn ranks(&mut self, names: &[String]) -> impl Future<Output = Result<Vec<Option<u64>>, BusError>> + Send;
}

/// The sorted set and its cursor, whose keys are in the same hash slot.
#[derive(Debug)]
pub struct GuardedSet {
    connections: Connections,
    key: &'static str,
    cursor: &'static str,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    driver: ConnectHandle,
}

impl Drop for Connection {
    /// Aborts the driver, which owns the socket.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl GuardedSet {
    pub(super) fn new(connections: Connections, key: &'static str, cursor: &'static str) -> Self {
        Self { connections, key, cursor, connection: None }
    }

    /// Deletes the cursor.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn delete_cursor(&mut self) -> Result<(), BusError> {
        let pipeline = self.pipeline().await?;
        let _: Value = pipeline.del(self.cursor).await.map_err(BusError::client)?;
        self.run(&pipeline, 1).await?.remove(0).map(|_| ())
    }

    async fn pipeline(&mut self) -> Result<Pipeline<Client>, BusError> {
        if !self.connections.is_connected() {
            self.connection = None;
            return Err(BusError::Disconnected);
        }
        let connection = match self.connection.take() {
            Some(connection) if !connection.driver.is_finished() => connection,
            _ => {
                let client = self.connections.single_use_client()?;
                // A timeout drops the connection and so aborts its driver.
                let connection = Connection { driver: client.connect(), client };
                let connected = timeout(REDIS_TIMEOUT, connection.client.wait_for_connect()).await;
                connected.map_err(|_| BusError::Timeout)?.map_err(BusError::command)?;
                connection
            }
        };
        Ok(self.connection.insert(connection).client.pipeline())
    }

    /// Sends a pipeline of `commands` commands, and returns the reply to each. Any other failure than an error reply
    /// closes the connection.
    async fn run(
        &mut self,
        pipeline: &Pipeline<Client>,
        commands: usize,
    ) -> Result<Vec<Result<Value, BusError>>, BusError> {
        // Closes the connection on failure, and when this future is dropped.
        let connection = self.connection.take();
        let replies = timeout(REDIS_TIMEOUT, pipeline.try_all::<Value>()).await.map_err(|_| BusError::Timeout)?;
        let replies: Vec<_> = replies.into_iter().map(|reply| reply.map_err(BusError::command)).collect();
        let lost = |reply: &Result<Value, BusError>| matches!(reply, Err(error) if !error.is_refusal());
        if let Some(at) = replies.iter().position(lost) {
            return Err(replies.into_iter().nth(at).and_then(Result::err).unwrap_or_else(BusError::unexpected_reply));
        }
        if replies.len() != commands {
            return Err(BusError::unexpected_reply());
        }
        self.connection = connection;
        Ok(replies)
    }

    /// Adds the three commands that watch and read the cursor.
    async fn add_watch(&self, pipeline: &Pipeline<Client>) -> Result<(), Error> {
        let _: Value = pipeline.custom(command("WATCH"), vec![self.cursor]).await?;
        let _: Value = pipeline.get(self.cursor).await?;
        let _: Value = pipeline.custom(command("TYPE"), vec![self.key]).await?;
        Ok(())
    }

    async fn add_transaction(
        &self,
        pipeline: &Pipeline<Client>,
        transaction: &Transaction,
        announcement: &impl Event,
    ) -> Result<usize, Error> {
        let Transaction { clear, set, remove, cursor } = transaction;
        add(pipeline, "MULTI").await?;
        if *clear {
            let _: Value = pipeline.del(self.key).await?;
        }
        if !set.is_empty() {
            let members: Vec<(f64, Value)> = set.iter().map(|(name, score)| (*score, name.as_str().into())).collect();
            let _: Value = pipeline.zadd(self.key, None, None, false, false, members).await?;
        }
        if !remove.is_empty() {
            let _: Value = pipeline.zrem(self.key, remove.clone()).await?;
        }
        let _: Value = pipeline.set(self.cursor, cursor.as_str(), None, None, false).await?;
        let _: Value = pipeline.publish(announcement.channel(), announcement.payload()).await?;
        add(pipeline, "EXEC").await?;
        Ok(4 + usize::from(*clear) + usize::from(!set.is_empty()) + usize::from(!remove.is_empty()))
    }

    async fn add_ranks(&self, pipeline: &Pipeline<Client>, names: &[String]) -> Result<(), Error> {
        for name in names {
            let _: Value = pipeline.zrevrank(self.key, name.as_str(), false).await?;
        }
        Ok(())
    }
}

impl Guarded for GuardedSet {
    async fn is_answering(&self) -> bool {
        timeout(PROBE_TIMEOUT, self.connections.ping()).await.is_ok_and(|answered| answered.is_ok())
    }

    async fn watch(&mut self) -> Result<Reading, BusError> {
        let pipeline = self.pipeline().await?;
        // DISCARD ends an earlier watch. Both also verify the permission for transactions: if MULTI is rejected, Redis
        // executes the following commands one by one.
        add(&pipeline, "MULTI").await.map_err(BusError::client)?;
        add(&pipeline, "DISCARD").await.map_err(BusError::client)?;
        self.add_watch(&pipeline).await.map_err(BusError::client)?;
        let mut replies = self.run(&pipeline, 5).await?;
        let watched = replies.split_off(2);
        replies.into_iter().collect::<Result<Vec<_>, _>>()?;
        reading(watched)
    }

    async fn execute(
        &mut self,
        transaction: &Transaction,
        announcement: &(impl Event + Sync),
        names: &[String],
    ) -> Result<(Outcome, Reading), BusError> {
        // The watch belongs to the connection.
        let Some(connection) = &self.connection else { return Err(BusError::Disconnected) };
        let pipeline = connection.client.pipeline();
        let commands = self.add_transaction(&pipeline, transaction, announcement).await.map_err(BusError::client)?;
        self.add_ranks(&pipeline, names).await.map_err(BusError::client)?;
        self.add_watch(&pipeline).await.map_err(BusError::client)?;
        let mut replies = self.run(&pipeline, commands + names.len() + 3).await?;
        let watched = replies.split_off(commands + names.len());
        let ranks = replies.split_off(commands);
        // The first error is the cause; EXEC only reports that there was one.
        let executed = match replies.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(executed) => executed,
            Err(error) => {
                // A server that has become a replica rejects all writes. A new connection may reach the new primary.
                self.connection = None;
                return Err(error);
            }
        };
        let outcome = match executed.last() {
            Some(Value::Array(_)) => Outcome::Executed(ranks.into_iter().map(rank).collect()),
            Some(Value::Null) => Outcome::Conflict,
            _ => return Err(BusError::unexpected_reply()),
        };
        Ok((outcome, reading(watched)?))
    }

    async fn ranks(&mut self, names: &[String]) -> Result<Vec<Option<u64>>, BusError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let Some(connection) = &self.connection else { return Err(BusError::Disconnected) };
        let pipeline = connection.client.pipeline();
        self.add_ranks(&pipeline, names).await.map_err(BusError::client)?;
        Ok(self.run(&pipeline, names.len()).await?.into_iter().map(rank).collect())
    }
}

fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, None, false)
}

async fn add(pipeline: &Pipeline<Client>, name: &'static str) -> Result<(), Error> {
    let _: Value = pipeline.custom(command(name), Vec::<Value>::new()).await?;
    Ok(())
}

/// Interprets the replies to WATCH, GET and TYPE. A cursor of another type counts as an unknown cursor, and a key of
/// unknown type as a sorted set.
fn reading(replies: Vec<Result<Value, BusError>>) -> Result<Reading, BusError> {
    let [watch, cursor, kind] = <[_; 3]>::try_from(replies).map_err(|_| BusError::unexpected_reply())?;
    watch?;
    let cursor = match cursor {
        Ok(Value::Null) => None,
        Ok(text) => Some(text.into_string().unwrap_or_default()),
        Err(BusError::Refused(reason)) if reason.starts_with(WRONG_TYPE) => Some(String::new()),
        Err(error) => return Err(error),
    };
    let writable = kind.map_or(true, |kind| kind.as_str().is_none_or(|kind| kind == "none" || kind == "zset"));
    Ok(Reading { cursor, writable })
}

/// `None` also if the Redis user lacks the permission for ZREVRANK.
fn rank(reply: Result<Value, BusError>) -> Option<u64> {
    reply.ok().and_then(|rank| rank.as_u64())
}
