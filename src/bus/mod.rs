//! Redis: typed messages out and in, and whether it is there.
//!
//! Owns the two connections of a process (one for commands, one for subscriptions; a [`GuardedSet`] has a third) and every use of the client library;
//! consumes nothing but a URL. It publishes and hears the types of [`crate::events`]. A message is a doorbell: it may get
//! lost, and then [`Signal::Resync`] says "look at the truth". The bus never stores anything, and who publishes never waits
//! for Redis: what cannot be sent is dropped, counted and logged. Only a [`SortedSet`] and a [`GuardedSet`] are waited for.

mod connection;
pub mod embedded;
mod guarded_set;
mod inbox;
mod publisher;
mod relay;
mod sorted_set;
mod subscription;
mod throttle;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Value;
use fred::types::config::Config;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::{CHANNELS, Event};
use connection::ConnectionState;
pub use guarded_set::{Guarded, GuardedSet, Outcome, Reading, Transaction};
pub use inbox::{Received, Recorder, record};
use publisher::Publisher;
use relay::{AddressLookup, Relay};
pub use sorted_set::{Member, Page, SortedSet, WRONG_TYPE};
use subscription::Fanout;
pub use subscription::{Signal, Subscription};

/// Why the bus cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The URL does not say where Redis is.
    #[error("the Redis URL cannot be used: {0}")]
    Url(String),
    /// The user or the password holds characters that the client library cannot send.
    #[error("the user and the password in the Redis URL must not hold spaces, quotes or control characters")]
    Credentials,
    /// No port can be opened for connections to a broker that is looked up.
    #[error("cannot open a port for connections to the broker")]
    Relay(#[source] std::io::Error),
    /// There is no connection just now; the bus keeps trying.
    #[error("Redis is not connected")]
    Disconnected,
    /// Redis has not answered in time.
    #[error("Redis does not answer in time")]
    Timeout,
    /// Redis answered that it will not do this; what it said.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// Redis did not answer, or with an error.
    #[error("Redis did not answer as it should")]
    Command(#[source] Box<dyn Error + Send + Sync>),
}

impl BusError {
    /// Whether Redis has answered, and refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// The connections to Redis; a clone shares them.
///
/// It may be used from any thread and any Tokio runtime.
#[derive(Debug, Clone)]
pub struct Bus {
    config: Arc<Config>,
    commands: Client,
    states: [watch::Receiver<ConnectionState>; 2],
    publisher: Publisher,
    fanout: Arc<Fanout>,
}

/// The tasks of a [`Bus`], which run on the Tokio runtime where it was started.
#[derive(Debug)]
#[must_use = "whoever starts a bus awaits its end, so that the last messages are sent"]
pub struct BusTask {
    tasks: TaskTracker,
}

impl BusTask {
    /// Waits for the end of all tasks, after the bus's shutdown token was cancelled. What was published before that is
    /// sent if Redis takes it within a second. Dropping it lets the tasks end by themselves.
    pub async fn finished(self) {
        self.tasks.wait().await;
    }
}

/// The connects of a connection; see [`Bus::connects`].
#[derive(Debug)]
pub struct Connects {
    state: watch::Receiver<ConnectionState>,
    seen: u64,
}

impl Connects {
    /// Waits for the next connect that it has not seen of; never ends once the bus has stopped. Cancel safe.
    pub async fn next(&mut self) {
        let seen = self.seen;
        let connected =
            self.state.wait_for(|state| matches!(state, ConnectionState::Connected(count) if *count > seen)).await;
        let state = connected.map(|state| *state);
        match state {
            Ok(ConnectionState::Connected(count)) => self.seen = count,
            _ => std::future::pending().await,
        }
    }

    /// Whether there is a connect that it has not seen of.
    pub fn has_unseen(&self) -> bool {
        matches!(*self.state.borrow(), ConnectionState::Connected(count) if count > self.seen)
    }
}

impl Bus {
    /// Starts connecting and returns at once, whether Redis answers or not; the bus tries again for ever, also when Redis
    /// refuses the password, until `shutdown` is cancelled.
    ///
    /// `url` is `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS (which needs a default rustls
    /// crypto provider to be installed), or `redis+unix:///path/of/the.sock`.
    ///
    /// # Errors
    /// When the URL cannot be used. The message does not show the password.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(url: &str, shutdown: CancellationToken) -> Result<(Self, BusTask), BusError> {
        let config = connection::config(url)?;
        let address = connection::address(&config);
        Self::start_on(&config, &address, None, shutdown)
    }

    /// The same with a URL that changes, and is looked up at each connect: that of an embedded broker. Its host is an
    /// IP address. `find` may block; it returns `None` while there is no broker.
    ///
    /// # Errors
    /// When no port can be opened, by which connections are passed on.
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
        // The command connection is needed until the publisher has sent its last messages.
        let published = CancellationToken::new();

        let (commands_state, maintaining) = connection::maintain(&commands, "commands", address, published.clone());
        let (publisher, sending) = Publisher::new(commands.clone(), commands_state.clone(), shutdown.clone());
        let fanout = Arc::new(Fanout::default());
        // Opened before the connection is, so that it misses nothing.
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
        let config = Arc::new(config.clone());
        Ok((
            Self { config, commands, states: [commands_state, subscriptions_state], publisher, fanout },
            BusTask { tasks },
        ))
    }

    /// Connects to this URL once, over a connection of its own, and says what stands in the way of it; `None` when nothing
    /// does.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub async fn connection_error(url: &str) -> Result<Option<String>, BusError> {
        Ok(connection::connection_error(&connection::config(url)?).await)
    }

    /// Rings the doorbell: queues the event for sending and returns at once. It never fails: when Redis is away or the
    /// queue is full, the message is dropped, counted and logged.
    pub fn publish<E: Event>(&self, event: &E) {
        self.publisher.publish(event.channel(), event.payload());
    }

    /// How many messages were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.publisher.dropped()
    }

    /// The messages of [`Event::TOPIC`] from now on, with a [`Signal::Resync`] as soon as Redis has confirmed the
    /// subscription and after every reconnect. A message that is not of the event's form is logged with its channel and
    /// dropped.
    ///
    /// Topics are meant not to overlap: a channel that two prefix topics carry is received twice.
    pub fn subscribe<E: Event>(&self) -> Subscription<E> {
        self.fanout.subscribe()
    }

    /// The sorted set at this key.
    pub fn sorted_set(&self, key: &'static str) -> SortedSet {
        SortedSet::new(self.clone(), key)
    }

    /// The sorted set at `key` and the cursor at `cursor`, which change together. The two keys share a hash slot.
    pub fn guarded_set(&self, key: &'static str, cursor: &'static str) -> GuardedSet {
        GuardedSet::new(self.clone(), key, cursor)
    }

    /// A client for one connection that nobody keeps up.
    fn single_use_client(&self) -> Result<Client, BusError> {
        connection::single_use_client(&self.config)
    }

    /// The connects of the command connection from now on; the first is seen even if it was before.
    pub fn connects(&self) -> Connects {
        Connects { state: self.states[0].clone(), seen: 0 }
    }

    /// Whether both connections stand.
    pub fn is_connected(&self) -> bool {
        self.states.iter().all(|state| state.borrow().is_connected())
    }

    /// Waits until both connections stand. Cancel safe.
    pub async fn connected(&self) {
        for state in &self.states {
            // A state whose task has ended will never stand.
            if state.clone().wait_for(|state| state.is_connected()).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until both connections were tried at least once, and so stand if Redis is there. Cancel safe.
    pub async fn first_attempt_ended(&self) {
        for state in &self.states {
            // A state whose task has ended is not tried any more.
            let _ = state.clone().wait_for(|state| *state != ConnectionState::Connecting).await;
        }
    }

    /// How many subscribers each of our channels has; those of patterns are counted together, under `patterns`.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses to.
    pub async fn subscriber_counts(&self) -> Result<Vec<(String, u64)>, BusError> {
        let failed = |error: fred::error::Error| BusError::Command(error.into());
        let counts: HashMap<String, u64> = self.commands.pubsub_numsub(CHANNELS.to_vec()).await.map_err(failed)?;
        let patterns: u64 = self.commands.pubsub_numpat().await.map_err(failed)?;
        let count = |name: &str| (name.to_owned(), counts.get(name).copied().unwrap_or(0));
        Ok(CHANNELS.into_iter().map(count).chain([("patterns".to_owned(), patterns)]).collect())
    }

    /// How long Redis takes to answer.
    ///
    /// # Errors
    /// When there is no connection, or no answer within two seconds.
    pub async fn ping(&self) -> Result<Duration, BusError> {
        if !self.is_connected() {
            return Err(BusError::Disconnected);
        }
        let asked = Instant::now();
        let _: Value = self.commands.ping(None).await.map_err(|error| BusError::Command(error.into()))?;
        Ok(asked.elapsed())
    }
}
