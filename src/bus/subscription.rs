//! Messages that come from Redis.
//!
//! Owns the subscriptions: one connection hears for the whole process, and each topic fans out here through a bounded
//! channel. Who reads too slowly loses messages, not memory, and is told by [`Signal::Resync`].

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
use super::throttle::Throttle;
use crate::events::{Event, Topic};

/// How many messages of a topic may wait for its slowest reader.
const CHANNEL_CAPACITY: usize = 4096;
/// How often a subscription is tried again while the connection stands but Redis does not confirm it.
const RETRY_DELAY: Duration = Duration::from_millis(500);
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What a subscription tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal<E> {
    /// A message.
    Event(E),
    /// The subscription has begun or begun again, or its reader was too slow: messages may have been missed, so look at
    /// the truth.
    Resync,
}

/// The messages of one topic; see [`super::Bus::subscribe`].
#[derive(Debug)]
pub struct Subscription<E> {
    deliveries: broadcast::Receiver<Delivery>,
    /// The subscription stood before this reader came, so its beginning was announced to others only.
    starts_with_resync: bool,
    malformed: Arc<Throttle>,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Subscription<E> {
    /// The next signal, or `None` once the bus has stopped.
    ///
    /// Cancel safe: when the future is dropped, no signal is lost.
    pub async fn next(&mut self) -> Option<Signal<E>> {
        if std::mem::take(&mut self.starts_with_resync) {
            return Some(Signal::Resync);
        }
        loop {
            let message = match self.deliveries.recv().await {
                Ok(Delivery::Message(message)) => message,
                Ok(Delivery::Resync) => return Some(Signal::Resync),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(topic = ?E::TOPIC, missed, "messages came faster than they were read");
                    return Some(Signal::Resync);
                }
                Err(RecvError::Closed) => return None,
            };
            match E::parse(&message.channel, &message.payload) {
                Ok(event) => return Some(Signal::Event(event)),
                Err(error) => {
                    if self.malformed.admits(Instant::now()) {
                        tracing::warn!(channel = message.channel, %error, "a malformed message was dropped");
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

/// Every topic that someone in this process has subscribed to.
#[derive(Debug)]
pub struct Fanout {
    /// `None` once the bus has stopped.
    routes: Mutex<Option<HashMap<Topic, Route>>>,
    added: Notify,
}

#[derive(Debug)]
struct Route {
    readers: broadcast::Sender<Delivery>,
    /// Whether Redis has confirmed the subscription on the present connection.
    active: bool,
    /// One for all readers, so that a malformed message is logged once.
    malformed: Arc<Throttle>,
}

impl Default for Route {
    fn default() -> Self {
        let malformed = Arc::new(Throttle::new(LOG_INTERVAL));
        Self { readers: broadcast::Sender::new(CHANNEL_CAPACITY), active: false, malformed }
    }
}

impl Default for Fanout {
    fn default() -> Self {
        Self { routes: Mutex::new(Some(HashMap::new())), added: Notify::new() }
    }
}

impl Fanout {
    /// A new reader of the event's topic.
    pub fn subscribe<E: Event>(&self) -> Subscription<E> {
        let mut routes = self.lock();
        let mut closed = HashMap::new();
        let route = routes.as_mut().unwrap_or(&mut closed).entry(E::TOPIC).or_default();
        let subscription = Subscription {
            deliveries: route.readers.subscribe(),
            starts_with_resync: route.active,
            malformed: Arc::clone(&route.malformed),
            event: PhantomData,
        };
        drop(routes);
        self.added.notify_one();
        subscription
    }

    /// Hands out messages until `stop`, after which every subscription ends.
    pub async fn dispatch(self: Arc<Self>, mut messages: broadcast::Receiver<FredMessage>, stop: CancellationToken) {
        while let Some(message) = stop.run_until_cancelled(messages.recv()).await {
            match message {
                Ok(message) => self.deliver(message),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "messages came faster than they could be handed out");
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
                // Without readers nobody misses it.
                let _ = route.readers.send(Delivery::Message(Arc::clone(&message)));
            }
        });
    }

    /// Makes and remakes the subscriptions in Redis until `stop`.
    pub async fn keep_subscribed(
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

    /// Subscribes what is not active; whether nothing remains to be subscribed.
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
            tracing::debug!(error = error.details(), "Redis did not confirm the subscriptions");
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
        // Without readers nobody needs to know.
        let _ = self.readers.send(Delivery::Resync);
    }
}

/// Subscribes to the topics and waits until Redis has done so.
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
    // The library answers before it has written anything; Redis answers in order, so its PONG proves what came before.
    let _: Value = client.ping(None).await?;
    Ok(())
}
