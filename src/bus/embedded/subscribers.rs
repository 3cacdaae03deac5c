//! Who is connected and who listens to what.
//!
//! Owns the subscriptions and, for every client, the messages that wait to be written to it. A client that does not
//! read them in time is evicted: a slow subscriber must cost memory neither without bound nor for long.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::glob;
use super::reply::{Protocol, Reply};

/// The most bytes of messages that wait for one client.
pub const MAX_OUTBOX: usize = 8 << 20;

/// A connection's number, never used twice.
pub type ClientId = u64;

/// What a connection listens to: names of channels, or patterns of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// SUBSCRIBE.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
}

/// How the broker reaches a connection's task.
#[derive(Debug, Clone, Default)]
pub struct ClientSignals {
    /// Rings when messages wait.
    pub messages: Arc<Notify>,
    /// Cancelled when the client was too slow.
    pub evicted: CancellationToken,
}

#[derive(Debug)]
struct Client {
    protocol: Protocol,
    signals: ClientSignals,
    outbox: BytesMut,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
}

impl Client {
    fn names_mut(&mut self, kind: SubscriptionKind) -> &mut BTreeSet<Bytes> {
        match kind {
            SubscriptionKind::Channel => &mut self.channels,
            SubscriptionKind::Pattern => &mut self.patterns,
        }
    }

    /// Whether the message could be left for the client.
    fn deliver(&mut self, message: &[u8]) -> bool {
        if self.outbox.len() + message.len() > MAX_OUTBOX {
            self.outbox = BytesMut::new();
            self.signals.evicted.cancel();
        }
        if self.signals.evicted.is_cancelled() {
            return false;
        }
        self.outbox.extend_from_slice(message);
        self.signals.messages.notify_one();
        true
    }
}

/// All clients and their subscriptions.
#[derive(Debug, Default)]
pub struct Subscribers {
    clients: HashMap<ClientId, Client>,
    channels: HashMap<Bytes, HashSet<ClientId>>,
    patterns: HashMap<Bytes, HashSet<ClientId>>,
}

impl Subscribers {
    /// A connection came.
    pub fn connect(&mut self, id: ClientId, signals: ClientSignals) {
        let (protocol, outbox) = (Protocol::Resp2, BytesMut::new());
        let client = Client { protocol, signals, outbox, channels: BTreeSet::new(), patterns: BTreeSet::new() };
        self.clients.insert(id, client);
    }

    /// A connection went; its subscriptions go with it.
    pub fn disconnect(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        for channel in &client.channels {
            remove_subscriber(&mut self.channels, channel, id);
        }
        for pattern in &client.patterns {
            remove_subscriber(&mut self.patterns, pattern, id);
        }
    }

    /// Messages to this client are written in that protocol from now on.
    pub fn set_protocol(&mut self, id: ClientId, protocol: Protocol) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.protocol = protocol;
        }
    }

    /// Takes what waits for a client.
    pub fn take_outbox(&mut self, id: ClientId) -> BytesMut {
        self.clients.get_mut(&id).map(|client| std::mem::take(&mut client.outbox)).unwrap_or_default()
    }

    /// How many channels and patterns a client listens to.
    pub fn subscriptions(&self, id: ClientId) -> usize {
        self.clients.get(&id).map_or(0, |client| client.channels.len() + client.patterns.len())
    }

    /// What a client listens to.
    pub fn names(&mut self, id: ClientId, kind: SubscriptionKind) -> Vec<Bytes> {
        self.clients.get_mut(&id).map(|client| client.names_mut(kind).iter().cloned().collect()).unwrap_or_default()
    }

    /// A client begins to listen.
    pub fn subscribe(&mut self, id: ClientId, kind: SubscriptionKind, name: &[u8]) {
        // A copy of its own: the bytes of a request belong to a whole read buffer.
        let name = Bytes::copy_from_slice(name);
        if let Some(client) = self.clients.get_mut(&id) {
            client.names_mut(kind).insert(name.clone());
            self.listeners(kind).entry(name).or_default().insert(id);
        }
    }

    /// A client stops listening.
    pub fn unsubscribe(&mut self, id: ClientId, kind: SubscriptionKind, name: &[u8]) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.names_mut(kind).remove(name);
            remove_subscriber(self.listeners(kind), name, id);
        }
    }

    /// Leaves a message for everyone who listens, and counts them; who listens twice gets and counts it twice.
    pub fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> usize {
        let mut receivers = 0;
        if let Some(ids) = self.channels.get(channel) {
            let message =
                Reply::Push(vec![Reply::text("message"), Reply::Bulk(channel.clone()), Reply::Bulk(payload.clone())]);
            receivers += deliver(&mut self.clients, ids, &message);
        }
        for (pattern, ids) in &self.patterns {
            if glob::matches(pattern, channel) {
                let message = Reply::Push(vec![
                    Reply::text("pmessage"),
                    Reply::Bulk(pattern.clone()),
                    Reply::Bulk(channel.clone()),
                    Reply::Bulk(payload.clone()),
                ]);
                receivers += deliver(&mut self.clients, ids, &message);
            }
        }
        receivers
    }

    /// How many clients listen to this channel by its name.
    pub fn subscriber_count(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, HashSet::len)
    }

    /// How many different patterns have listeners.
    pub fn patterns(&self) -> usize {
        self.patterns.len()
    }

    fn listeners(&mut self, kind: SubscriptionKind) -> &mut HashMap<Bytes, HashSet<ClientId>> {
        match kind {
            SubscriptionKind::Channel => &mut self.channels,
            SubscriptionKind::Pattern => &mut self.patterns,
        }
    }
}

fn deliver(clients: &mut HashMap<ClientId, Client>, ids: &HashSet<ClientId>, message: &Reply) -> usize {
    let mut encoded: [Option<BytesMut>; 2] = [None, None];
    let mut receivers = 0;
    for id in ids {
        let Some(client) = clients.get_mut(id) else { continue };
        let protocol = client.protocol;
        let bytes = encoded[usize::from(protocol == Protocol::Resp3)].get_or_insert_with(|| {
            let mut bytes = BytesMut::new();
            message.encode(protocol, &mut bytes);
            bytes
        });
        receivers += usize::from(client.deliver(bytes));
    }
    receivers
}

fn remove_subscriber(listeners: &mut HashMap<Bytes, HashSet<ClientId>>, name: &[u8], id: ClientId) {
    if let Some(ids) = listeners.get_mut(name) {
        ids.remove(&id);
        if ids.is_empty() {
            listeners.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_read_is_evicted_and_the_others_are_not() {
        let mut subscribers = Subscribers::default();
        let (slow, quick) = (ClientSignals::default(), ClientSignals::default());
        for (id, signals) in [(1, &slow), (2, &quick)] {
            subscribers.connect(id, signals.clone());
            subscribers.subscribe(id, SubscriptionKind::Channel, b"c");
        }
        let (channel, payload) = (Bytes::from_static(b"c"), Bytes::from(vec![0; MAX_OUTBOX / 4]));
        for _ in 0..3 {
            assert_eq!(subscribers.publish(&channel, &payload), 2);
            subscribers.take_outbox(2);
        }
        assert_eq!(subscribers.publish(&channel, &payload), 1);
        assert!(slow.evicted.is_cancelled() && !quick.evicted.is_cancelled());
        assert!(subscribers.take_outbox(1).is_empty());
    }

    #[test]
    fn nothing_of_a_client_remains_when_it_goes() {
        let mut subscribers = Subscribers::default();
        subscribers.connect(1, ClientSignals::default());
        subscribers.subscribe(1, SubscriptionKind::Channel, b"c");
        subscribers.subscribe(1, SubscriptionKind::Pattern, b"p*");
        subscribers.disconnect(1);
        assert!(subscribers.channels.is_empty() && subscribers.patterns.is_empty() && subscribers.clients.is_empty());
    }
}
