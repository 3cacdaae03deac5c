//! Clients and their subscriptions.
//!
//! Owns the subscriptions and an outbox of messages for each client. A client whose outbox is full is disconnected, so
//! that a slow subscriber uses bounded memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::glob;
use super::reply::{Protocol, Reply};

/// The most bytes of messages in one outbox.
const MAX_OUTBOX: usize = 8 << 20;

/// The number of a connection, never reused.
pub(crate) type ClientId = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscriptionKind {
    /// SUBSCRIBE.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
}

/// Notifies the task of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientSignals {
    /// Notified when the outbox has messages.
    pub(crate) messages: Arc<Notify>,
    /// Cancelled when the outbox is full.
    pub(crate) evicted: CancellationToken,
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

    /// Adds a message to the outbox. Returns `false` if the client is evicted.
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
pub(crate) struct Subscribers {
    clients: HashMap<ClientId, Client>,
    channels: HashMap<Bytes, HashSet<ClientId>>,
    patterns: HashMap<Bytes, HashSet<ClientId>>,
}

impl Subscribers {
    pub(crate) fn connect(&mut self, id: ClientId, signals: ClientSignals) {
        let (protocol, outbox) = (Protocol::Resp2, BytesMut::new());
        let client = Client { protocol, signals, outbox, channels: BTreeSet::new(), patterns: BTreeSet::new() };
        self.clients.insert(id, client);
    }

    /// Removes a client and its subscriptions.
    pub(crate) fn disconnect(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        for channel in &client.channels {
            remove_subscriber(&mut self.channels, channel, id);
        }
        for pattern in &client.patterns {
            remove_subscriber(&mut self.patterns, pattern, id);
        }
    }

    /// Sets the encoding of later messages to a client.
    pub(crate) fn set_protocol(&mut self, id: ClientId, protocol: Protocol) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.protocol = protocol;
        }
    }

    pub(crate) fn take_outbox(&mut self, id: ClientId) -> BytesMut {
        self.clients.get_mut(&id).map(|client| std::mem::take(&mut client.outbox)).unwrap_or_default()
    }

    /// The number of channels and patterns that a client has subscribed to.
    pub(crate) fn subscriptions(&self, id: ClientId) -> usize {
        self.clients.get(&id).map_or(0, |client| client.channels.len() + client.patterns.len())
    }

    /// The channels or patterns that a client has subscribed to.
    pub(crate) fn names(&mut self, id: ClientId, kind: SubscriptionKind) -> Vec<Bytes> {
        self.clients.get_mut(&id).map(|client| client.names_mut(kind).iter().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn subscribe(&mut self, id: ClientId, kind: SubscriptionKind, name: &[u8]) {
        // A copy: the bytes of a request keep its whole read buffer alive.
        let name = Bytes::copy_from_slice(name);
        if let Some(client) = self.clients.get_mut(&id) {
            client.names_mut(kind).insert(name.clone());
            self.subscribers_mut(kind).entry(name).or_default().insert(id);
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: ClientId, kind: SubscriptionKind, name: &[u8]) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.names_mut(kind).remove(name);
            remove_subscriber(self.subscribers_mut(kind), name, id);
        }
    }

    /// Sends a message to all subscribers. Returns the number of deliveries; a client with several matching
    /// subscriptions receives and counts each.
    pub(crate) fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> usize {
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

    /// The number of clients that have subscribed to a channel by name.
    pub(crate) fn subscriber_count(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, HashSet::len)
    }

    /// The number of distinct patterns with subscribers.
    pub(crate) fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    fn subscribers_mut(&mut self, kind: SubscriptionKind) -> &mut HashMap<Bytes, HashSet<ClientId>> {
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

fn remove_subscriber(subscribers: &mut HashMap<Bytes, HashSet<ClientId>>, name: &[u8], id: ClientId) {
    if let Some(ids) = subscribers.get_mut(name) {
        ids.remove(&id);
        if ids.is_empty() {
            subscribers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_does_not_read_is_evicted() {
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
    fn disconnecting_removes_all_traces_of_a_client() {
        let mut subscribers = Subscribers::default();
        subscribers.connect(1, ClientSignals::default());
        subscribers.subscribe(1, SubscriptionKind::Channel, b"c");
        subscribers.subscribe(1, SubscriptionKind::Pattern, b"p*");
        subscribers.disconnect(1);
        assert!(subscribers.channels.is_empty() && subscribers.patterns.is_empty() && subscribers.clients.is_empty());
    }
}
