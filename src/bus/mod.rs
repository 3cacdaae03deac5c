//! Redis: typed messages and sorted sets.
//!
//! Owns every use of the client library, and two connections for each process: one for commands, one for subscriptions.
//! A [`GuardedSet`] has a third. Consumes a URL. Publishes and receives the types of [`crate::events`]. A message is a
//! doorbell: it may be lost, and then [`Signal::Resync`] tells the subscriber to read the database. The bus stores
//! nothing, and publishing never waits for Redis: messages that cannot be sent are dropped, counted and logged. Only
//! [`SortedSet`] and [`GuardedSet`] wait for a reply.

mod connection;
mod connections;
pub mod embedded;
mod error;
mod guarded_set;
mod inbox;
mod publisher;
mod reason;
mod relay;
mod sorted_set;
mod subscription;
mod throttle;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{EventInterface, PubsubInterface};
use fred::types::config::Config;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::{CHANNELS, Event};
use connections::Connections;
pub use connections::Connects;
pub use error::BusError;
pub use guarded_set::{Guarded, GuardedSet, Outcome, Reading, Transaction};
pub(crate) use inbox::remove_recorded;
pub use inbox::{Received, Recorder, record};
use publisher::Publisher;
use relay::{AddressLookup, Relay};
pub use sorted_set::{Member, Page, SortedSet, WRONG_TYPE};
use subscription::Fanout;
pub use subscription::{Signal, Subscription};

/// The connections to Redis; a clone shares them. Works on any thread and any Tokio runtime.
#[derive(Debug, Clone)]
pub struct Bus {
    connections: Connections,
    publisher: Publisher,
    fanout: Arc<Fanout>,
}

/// The tasks of a [`Bus`], which run on the Tokio runtime where it was started.
#[derive(Debug)]
#[must_use = "await its end, so that the last messages are sent"]
pub struct BusTask {
    tasks: TaskTracker,
}

impl BusTask {
    /// Waits for all tasks after the shutdown token was cancelled. Earlier messages are sent if Redis accepts them
    /// within a second. Dropping this lets the tasks end in the background.
    pub async fn finished(self) {
        self.tasks.wait().await;
    }
}

impl Bus {
    /// Starts connecting and returns immediately. The bus reconnects until `shutdown` is cancelled, even if Redis
    /// rejects the password.
    ///
    /// `url` is `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS (which needs a default rustls
    /// crypto provider to be installed), or `redis+unix:///path/of/the.sock`.
    ///
    /// # Errors
    /// If the URL is invalid. The message does not contain the password.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(url: &str, shutdown: CancellationToken) -> Result<(Self, BusTask), BusError> {
        let config = connection::config(url)?;
        let address = connection::address(&config);
        Self::start_on(&config, &address, None, shutdown)
    }

    /// Like [`Bus::start`], with a URL that is looked up at each connect: that of an embedded broker. Its host is an IP
    /// address. `find` may block. It returns `None` while there is no broker.
    ///
    /// # Errors
    /// If the relay cannot open a port.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start_with_lookup(
        find: impl Fn() -> Option<String> + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) -> Result<(Self, BusTask), BusError> {
        let lookup = AddressLookup::new(find);
        let relay = Relay::open(lookup.clone()).map_err(BusError::Relay)?;
        let url = format!("redis://{}", relay.address().map_err(BusError::Relay)?);
        let mut config = connection::config(&url)?;
        config.credential_provider = Some(Arc::new(lookup));
        Self::start_on(&config, "looked up", Some(relay), shutdown)
    }

    fn start_on(
        config: &Config,
        address: &str,
        relay: Option<Relay>,
        shutdown: CancellationToken,
    ) -> Result<(Self, BusTask), BusError> {
        let commands = connection::client(config, connection::FEW_EVENTS)?;
        let subscriptions = connection::client(config, connection::MANY_EVENTS)?;
        let tasks = TaskTracker::new();
        // The publisher needs the command connection for its last messages.
        let published = CancellationToken::new();

        let (commands_state, maintaining) = connection::maintain(&commands, "commands", address, published.clone());
        let (publisher, sending) = Publisher::new(commands.clone(), commands_state.clone(), shutdown.clone());
        let fanout = Arc::new(Fanout::default());
        // Created before the connection, so that it misses no message.
        let messages = subscriptions.message_rx();
        let (subscriptions_state, subscriptions_maintained) =
            connection::maintain(&subscriptions, "subscriptions", address, shutdown.clone());
        let subscribed =
            Arc::clone(&fanout).keep_subscribed(subscriptions, subscriptions_state.clone(), shutdown.clone());

        let relay_stop = CancellationToken::new();
        if let Some(relay) = relay {
            tasks.spawn(relay.run(relay_stop.clone()));
        }
        tasks.spawn(async move {
            maintaining.await;
            relay_stop.cancel();
        });
        tasks.spawn(subscriptions_maintained);
        tasks.spawn(async move {
            sending.await;
            published.cancel();
        });
        tasks.spawn(subscribed);
        tasks.spawn(Arc::clone(&fanout).dispatch(messages, shutdown));
        tasks.close();
        let connections = Connections::new(config.clone(), commands, [commands_state, subscriptions_state]);
        Ok((Self { connections, publisher, fanout }, BusTask { tasks }))
    }

    /// Connects to `url` once, over a connection of its own. Returns the reason if that fails.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub async fn connection_error(url: &str) -> Result<Option<String>, BusError> {
        Ok(connection::connection_error(&connection::config(url)?).await)
    }

    /// Queues an event and returns immediately. If Redis is disconnected or the queue is full, the message is dropped,
    /// counted and logged.
    pub fn publish<E: Event>(&self, event: &E) {
        self.publisher.publish(event.channel(), event.payload());
    }

    /// The number of dropped messages since the start.
    pub fn dropped(&self) -> u64 {
        self.publisher.dropped()
    }

    /// The messages of [`Event::TOPIC`] from now on. A [`Signal::Resync`] follows each time Redis has confirmed the
    /// subscription, which includes every reconnect. Malformed messages are logged with their channel and dropped.
    ///
    /// Topics must not overlap: a channel that matches two prefix topics is received twice.
    pub fn subscribe<E: Event>(&self) -> Subscription<E> {
        self.fanout.subscribe()
    }

    /// The sorted set at `key`.
    pub fn sorted_set(&self, key: &'static str) -> SortedSet {
        SortedSet::new(self.connections.clone(), key)
    }

    /// The sorted set at `key` with the cursor at `cursor`. Both keys must be in the same hash slot.
    pub fn guarded_set(&self, key: &'static str, cursor: &'static str) -> GuardedSet {
        GuardedSet::new(self.connections.clone(), key, cursor)
    }

    /// The connects of the command connection. An existing connection counts as the first.
    pub fn connects(&self) -> Connects {
        self.connections.connects()
    }

    /// Whether both connections are established.
    pub fn is_connected(&self) -> bool {
        self.connections.is_connected()
    }

    /// Waits until both connections are established. Cancel safe.
    pub async fn connected(&self) {
        self.connections.connected().await;
    }

    /// Waits for the end of the first connection attempt, successful or not. Cancel safe.
    pub async fn first_attempt_ended(&self) {
        self.connections.first_attempt_ended().await;
    }

    /// The number of subscribers of each of our channels, and of distinct patterns under `patterns`.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn subscriber_counts(&self) -> Result<Vec<(String, u64)>, BusError> {
        let client = self.connections.commands()?;
        let counts: HashMap<String, u64> = client.pubsub_numsub(CHANNELS.to_vec()).await.map_err(BusError::client)?;
        let patterns: u64 = client.pubsub_numpat().await.map_err(BusError::client)?;
        let count = |name: &str| (name.to_owned(), counts.get(name).copied().unwrap_or(0));
        Ok(CHANNELS.into_iter().map(count).chain([("patterns".to_owned(), patterns)]).collect())
    }

    /// The round-trip time of a PING.
    ///
    /// # Errors
    /// If Redis is disconnected, or does not reply within two seconds.
    pub async fn ping(&self) -> Result<Duration, BusError> {
        self.connections.ping().await
    }
}
