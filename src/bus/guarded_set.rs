//! A sorted set with a cursor beside it: both change in one transaction, and only if nobody has moved the cursor meanwhile.
//!
//! Owns a connection of its own, since WATCH holds for a connection, and which transaction it has not yet sent. It never
//! reconnects by itself: a transaction on a new connection would no longer be guarded. After any failure the connection is
//! closed, and the next [`Guarded::watch`] opens another one. Redis may still execute what was sent before, but only while
//! the cursor is where it was then. See <https://redis.io/docs/latest/develop/using-commands/transactions/>.

use std::future::Future;
use std::time::Duration;

use fred::clients::{Client, Pipeline};
use fred::error::Error;
use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface, SortedSetsInterface};
use fred::types::{ConnectHandle, CustomCommand, Value};
use tokio::time::timeout;

use super::sorted_set::{self, client_error, command_error, unexpected_reply};
use super::{Bus, BusError};
use crate::events::Event;

/// How long Redis may take for one round trip, a new connection included.
const REDIS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long Redis may take to reply a PING after it was silent.
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);

/// The cursor and the kind of the set's key, as they were read under the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The cursor; `None` where there is none.
    pub cursor: Option<String>,
    /// Whether the set's key holds nothing but a sorted set.
    pub writable: bool,
}

/// A change of the set and the cursor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction {
    /// Whether the set is emptied first, whatever its key holds.
    pub clear: bool,
    /// Members to set.
    pub set: Vec<(String, f64)>,
    /// Members to remove.
    pub remove: Vec<String>,
    /// Where the cursor is afterwards.
    pub cursor: String,
}

/// The outcome of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed. The ranks asked for, the highest score's being 0; `None` for who is not in the set.
    Executed(Vec<Option<u64>>),
    /// The cursor had been moved: nothing was changed.
    Conflict,
}

/// A sorted set that changes together with its cursor.
///
/// Each error but [`BusError::Refused`] leaves open whether a transaction was executed.
pub trait Guarded: Send {
    /// Reads the cursor, and watches it from then on.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    fn watch(&mut self) -> impl Future<Output = Result<Reading, BusError>> + Send;

    /// Executes a transaction if the cursor is where it was last read, reads the ranks of `names`, and then reads and
    /// watches the cursor again.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses; after a refusal neither the set nor the cursor has changed, except after
    /// WRONGTYPE, which Redis notices only halfway: then the cursor has moved and the set has not changed.
    fn execute(
        &mut self,
        transaction: &Transaction,
        announcement: &(impl Event + Sync),
        names: &[String],
    ) -> impl Future<Output = Result<(Outcome, Reading), BusError>> + Send;

    /// Whether Redis replies at all, within a moment: for when it was silent.
    fn is_answering(&self) -> impl Future<Output = bool> + Send;

    /// The ranks of these members, as in [`Outcome::Executed`].
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    fn ranks(&mut self, names: &[String]) -> impl Future<Output = Result<Vec<Option<u64>>, BusError>> + Send;
}

/// The sorted set and the cursor at these keys, which share a hash slot.
#[derive(Debug)]
pub struct GuardedSet {
    bus: Bus,
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
    /// The driver owns the socket.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl GuardedSet {
    pub(super) fn new(bus: Bus, key: &'static str, cursor: &'static str) -> Self {
        Self { bus, key, cursor, connection: None }
    }

    /// Deletes the cursor.
    ///
    /// # Errors
    /// When Redis is away, silent, or refuses.
    pub async fn delete_cursor(&mut self) -> Result<(), BusError> {
        let pipeline = self.pipeline().await?;
        let _: Value = pipeline.del(self.cursor).await.map_err(client_error)?;
        self.run(&pipeline, 1).await?.remove(0).map(|_| ())
    }

    async fn pipeline(&mut self) -> Result<Pipeline<Client>, BusError> {
        if !self.bus.is_connected() {
            self.connection = None;
            return Err(BusError::Disconnected);
        }
        let connection = match self.connection.take() {
            Some(connection) if !connection.driver.is_finished() => connection,
            _ => {
                let client = self.bus.single_use_client()?;
                // Dropped with the connection, and the driver with it, if it takes too long.
                let connection = Connection { driver: client.connect(), client };
                let connected = timeout(REDIS_TIMEOUT, connection.client.wait_for_connect()).await;
                connected.map_err(|_| BusError::Timeout)?.map_err(command_error)?;
                connection
            }
        };
        Ok(self.connection.insert(connection).client.pipeline())
    }

    /// Sends a pipeline of so many commands, and returns the reply to each. The connection survives only refusals.
    async fn run(
        &mut self,
        pipeline: &Pipeline<Client>,
        commands: usize,
    ) -> Result<Vec<Result<Value, BusError>>, BusError> {
        // Closed unless all goes well, and also when this future is dropped halfway.
        let connection = self.connection.take();
        let replies = timeout(REDIS_TIMEOUT, pipeline.try_all::<Value>()).await.map_err(|_| BusError::Timeout)?;
        let replies: Vec<_> = replies.into_iter().map(|reply| reply.map_err(command_error)).collect();
        let lost = |reply: &Result<Value, BusError>| matches!(reply, Err(error) if !error.is_refusal());
        if let Some(at) = replies.iter().position(lost) {
            return Err(replies.into_iter().nth(at).and_then(Result::err).unwrap_or_else(unexpected_reply));
        }
        if replies.len() != commands {
            return Err(unexpected_reply());
        }
        self.connection = connection;
        Ok(replies)
    }

    /// Adds the three commands that read the cursor under a watch.
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
        timeout(PROBE_TIMEOUT, self.bus.ping()).await.is_ok_and(|answered| answered.is_ok())
    }

    async fn watch(&mut self) -> Result<Reading, BusError> {
        let pipeline = self.pipeline().await?;
        // DISCARD ends an earlier watch. Both also show that transactions are allowed: where MULTI is refused, the
        // commands behind it would be executed one by one.
        add(&pipeline, "MULTI").await.map_err(client_error)?;
        add(&pipeline, "DISCARD").await.map_err(client_error)?;
        self.add_watch(&pipeline).await.map_err(client_error)?;
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
        // Without the connection of the watch there is no guard.
        let Some(connection) = &self.connection else { return Err(BusError::Disconnected) };
        let pipeline = connection.client.pipeline();
        let commands = self.add_transaction(&pipeline, transaction, announcement).await.map_err(client_error)?;
        self.add_ranks(&pipeline, names).await.map_err(client_error)?;
        self.add_watch(&pipeline).await.map_err(client_error)?;
        let mut replies = self.run(&pipeline, commands + names.len() + 3).await?;
        let watched = replies.split_off(commands + names.len());
        let ranks = replies.split_off(commands);
        // The first refusal says why; EXEC only says that there was one.
        let executed = match replies.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(executed) => executed,
            Err(error) => {
                // A server that has become a replica refuses for ever; another connection may lead to its successor.
                self.connection = None;
                return Err(error);
            }
        };
        let outcome = match executed.last() {
            Some(Value::Array(_)) => Outcome::Executed(ranks.into_iter().map(rank).collect()),
            Some(Value::Null) => Outcome::Conflict,
            _ => return Err(unexpected_reply()),
        };
        Ok((outcome, reading(watched)?))
    }

    async fn ranks(&mut self, names: &[String]) -> Result<Vec<Option<u64>>, BusError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let Some(connection) = &self.connection else { return Err(BusError::Disconnected) };
        let pipeline = connection.client.pipeline();
        self.add_ranks(&pipeline, names).await.map_err(client_error)?;
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

/// What WATCH, GET and TYPE have answered. A cursor that is no text counts as a strange one, and a key whose type is not
/// shown as a sorted set.
fn reading(replies: Vec<Result<Value, BusError>>) -> Result<Reading, BusError> {
    let [watch, cursor, kind] = <[_; 3]>::try_from(replies).map_err(|_| unexpected_reply())?;
    watch?;
    let cursor = match cursor {
        Ok(Value::Null) => None,
        Ok(text) => Some(text.into_string().unwrap_or_default()),
        Err(BusError::Refused(reason)) if reason.starts_with(sorted_set::WRONG_TYPE) => Some(String::new()),
        Err(error) => return Err(error),
    };
    let writable = kind.map_or(true, |kind| kind.as_str().is_none_or(|kind| kind == "none" || kind == "zset"));
    Ok(Reading { cursor, writable })
}

/// A user of Redis without the right to ZREVRANK gets no ranks.
fn rank(reply: Result<Value, BusError>) -> Option<u64> {
    reply.ok().and_then(|rank| rank.as_u64())
}
