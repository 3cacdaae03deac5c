//! Receiving of messages.
//!
//! Owns the subscriptions. One connection receives for the whole process, and a bounded channel for each topic delivers
//! to the subscribers. A slow subscriber loses messages instead of using memory, and receives [`Signal::Resync`].

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::{Message as FredMessage, MessageKind, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionState;
use super::reason::reason;
use super::throttle::Throttle;
use crate::events::{Event, Topic};

/// The most messages of a topic that wait for its slowest subscriber.
const CHANNEL_CAPACITY: usize = 4096;
/// Between attempts to subscribe while connected.
const RETRY_DELAY: Duration = Duration::from_millis(500);
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// An item of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal<E> {
    /// A message.
    Event(E),
    /// Messages may have been lost: the subscription was established or re-established, or the subscriber was too slow.
    /// Read the database.
    Resync,
}

/// The messages of one topic; see [`super::Bus::subscribe`].
#[derive(Debug)]
pub struct Subscription<E> {
    deliveries: broadcast::Receiver<Delivery>,
    /// The topic was already subscribed to, so no [`Delivery::Resync`] follows.
    starts_with_resync: bool,
    malformed: Arc<Throttle>,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Subscription<E> {
    /// The next signal, or `None` once the bus has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Signal<E>> {
        if std::mem::take(&mut self.starts_with_resync) {
            return Some(Signal::Resync);
        }
        loop {
            let message = match self.deliveries.recv().await {
                Ok(Delivery::Message(message)) => message,
                Ok(Delivery::Resync) => return Some(Signal::Resync),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(topic = %E::TOPIC, missed, "subscriber is too slow, messages were lost");
                    return Some(Signal::Resync);
                }
                Err(RecvError::Closed) => return None,
            };
            match E::parse(&message.channel, &message.payload) {
                Ok(event) => return Some(Signal::Event(event)),
                Err(error) => {
                    if self.malformed.admits(Instant::now()) {
                        tracing::warn!(channel = message.channel, %error, "dropped a malformed message");
                    }
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Delivery {
    Message(Arc<Message>),
    Resync,
}

#[derive(Debug)]
struct Message {
    channel: String,
    payload: Bytes,
}

/// The subscribed topics of this process.
#[derive(Debug)]
pub(super) struct Fanout {
    /// `None` once the bus has stopped.
    routes: Mutex<Option<HashMap<Topic, Route>>>,
    added: Notify,
}

#[derive(Debug)]
struct Route {
    subscribers: broadcast::Sender<Delivery>,
    /// Whether Redis has confirmed the subscription on the current connection.
    active: bool,
    /// Shared by all subscribers, so that a malformed message is logged once.
    malformed: Arc<Throttle>,
}

impl Default for Route {
    fn default() -> Self {
        let malformed = Arc::new(Throttle::new(LOG_INTERVAL));
        Self { subscribers: broadcast::Sender::new(CHANNEL_CAPACITY), active: false, malformed }
    }
}

impl Default for Fanout {
    fn default() -> Self {
        Self { routes: Mutex::new(Some(HashMap::new())), added: Notify::new() }
    }
}

impl Fanout {
    /// Adds a subscriber to the topic of the event.
    pub(super) fn subscribe<E: Event>(&self) -> Subscription<E> {
        let mut routes = self.lock();
        let mut closed = HashMap::new();
        let route = routes.as_mut().unwrap_or(&mut closed).entry(E::TOPIC).or_default();
        let subscription = Subscription {
            deliveries: route.subscribers.subscribe(),
            starts_with_resync: route.active,
            malformed: Arc::clone(&route.malformed),
            event: PhantomData,
        };
        drop(routes);
        self.added.notify_one();
        subscription
    }

    /// Delivers messages until `stop`, which ends every subscription.
    pub(super) async fn dispatch(
        self: Arc<Self>,
        mut messages: broadcast::Receiver<FredMessage>,
        stop: CancellationToken,
    ) {
        while let Some(message) = stop.run_until_cancelled(messages.recv()).await {
            match message {
                Ok(message) => self.deliver(message),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "messages arrive faster than they are delivered, some were lost");
                    self.each_route(|_, route| route.resync());
                }
                Err(RecvError::Closed) => break,
            }
        }
        *self.lock() = None;
    }

    fn deliver(&self, message: FredMessage) {
        let channel = message.channel.to_string();
        let payload = match message.value {
            Value::Bytes(bytes) => bytes,
            text => text.into_bytes_str().map(|text| text.into_inner()).unwrap_or_default(),
        };
        let by_pattern = message.kind == MessageKind::PMessage;
        let message = Arc::new(Message { channel, payload });
        self.each_route(|topic, route| {
            let matches = match topic {
                Topic::Channel(name) => !by_pattern && message.channel == *name,
                Topic::Prefix(prefix) => by_pattern && message.channel.starts_with(prefix),
            };
            if matches {
                // Fails only without subscribers.
                let _ = route.subscribers.send(Delivery::Message(Arc::clone(&message)));
            }
        });
    }

    /// Subscribes in Redis, again after each reconnect, until `stop`.
    pub(super) async fn keep_subscribed(
        self: Arc<Self>,
        client: Client,
        mut state: watch::Receiver<ConnectionState>,
        stop: CancellationToken,
    ) {
        let mut subscribed_on = ConnectionState::Connecting;
        loop {
            let now = *state.borrow_and_update();
            if now.is_connected() && now != subscribed_on {
                subscribed_on = now;
                self.each_route(|_, route| route.active = false);
            }
            let unconfirmed = now.is_connected() && !self.confirm(&client).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.added.notified() => {}
                Ok(()) = state.changed() => {}
                () = tokio::time::sleep(RETRY_DELAY), if unconfirmed => {}
            }
        }
    }

    /// Subscribes to the topics that are not active. Returns whether all are active.
    async fn confirm(&self, client: &Client) -> bool {
        let mut inactive = Vec::new();
        self.each_route(|topic, route| {
            if !route.active {
                inactive.push(*topic);
            }
        });
        if inactive.is_empty() {
            return true;
        }
        if let Err(error) = subscribe(client, &inactive).await {
            tracing::debug!(error = &*reason(&error), "Redis did not confirm the subscriptions");
            return false;
        }
        self.each_route(|topic, route| {
            if inactive.contains(topic) {
                route.active = true;
                route.resync();
            }
        });
        true
    }

    fn each_route(&self, mut act: impl FnMut(&Topic, &mut Route)) {
        for (topic, route) in self.lock().iter_mut().flatten() {
            act(topic, route);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<Topic, Route>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Route {
    fn resync(&self) {
        // Fails only without subscribers.
        let _ = self.subscribers.send(Delivery::Resync);
    }
}

/// Subscribes to the topics, and waits for the confirmation.
async fn subscribe(client: &Client, topics: &[Topic]) -> Result<(), Error> {
    let (mut channels, mut patterns) = (Vec::new(), Vec::new());
    for topic in topics {
        match topic {
            Topic::Channel(name) => channels.push((*name).to_owned()),
            Topic::Prefix(prefix) => patterns.push(format!("{prefix}*")),
        }
    }
    if !channels.is_empty() {
        client.subscribe(channels).await?;
    }
    if !patterns.is_empty() {
        client.psubscribe(patterns).await?;
    }
    // The library returns before it has sent anything. Redis replies in order, so a PONG confirms the subscriptions.
    let _: Value = client.ping(None).await?;
    Ok(())
}
