//! The state of both connections, and the client for commands.
//!
//! Owns nothing but handles: `connection` maintains the connections. The sorted sets share it with the bus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Value;
use fred::types::config::Config;
use tokio::sync::watch;

use super::connection::{self, ConnectionState};
use super::error::BusError;

/// Handles to the connections; a clone shares them.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    config: Arc<Config>,
    commands: Client,
    /// Of the connection for commands, and of the one for subscriptions.
    states: [watch::Receiver<ConnectionState>; 2],
}

impl Connections {
    pub(super) fn new(config: Config, commands: Client, states: [watch::Receiver<ConnectionState>; 2]) -> Self {
        Self { config: Arc::new(config), commands, states }
    }

    /// The client for commands.
    ///
    /// # Errors
    /// [`BusError::Disconnected`] unless both connections are established.
    pub(super) fn commands(&self) -> Result<&Client, BusError> {
        if self.is_connected() { Ok(&self.commands) } else { Err(BusError::Disconnected) }
    }

    /// A client for one more connection, which is not re-established.
    pub(super) fn single_use_client(&self) -> Result<Client, BusError> {
        connection::single_use_client(&self.config)
    }

    pub(super) fn connects(&self) -> Connects {
        Connects { state: self.states[0].clone(), seen: 0 }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.states.iter().all(|state| state.borrow().is_connected())
    }

    pub(super) async fn connected(&self) {
        for state in &self.states {
            // The connection of a finished task is never established.
            if state.clone().wait_for(|state| state.is_connected()).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) async fn first_attempt_ended(&self) {
        for state in &self.states {
            // A finished task makes no further attempt.
            let _ = state.clone().wait_for(|state| *state != ConnectionState::Connecting).await;
        }
    }

    pub(super) async fn ping(&self) -> Result<Duration, BusError> {
        let client = self.commands()?;
        let start = Instant::now();
        let _: Value = client.ping(None).await.map_err(BusError::client)?;
        Ok(start.elapsed())
    }
}

/// The connects of the command connection; see [`Bus::connects`](super::Bus::connects).
#[derive(Debug)]
pub struct Connects {
    state: watch::Receiver<ConnectionState>,
    seen: u64,
}

impl Connects {
    /// Waits for the next connect that this has not returned yet. Never returns once the bus has stopped. Cancel safe.
    pub async fn next(&mut self) {
        let seen = self.seen;
        let is_new = |state: &ConnectionState| matches!(state, ConnectionState::Connected(count) if *count > seen);
        let state = self.state.wait_for(is_new).await.map(|state| *state);
        match state {
            Ok(ConnectionState::Connected(count)) => self.seen = count,
            _ => std::future::pending().await,
        }
    }

    /// Whether there is a connect that [`Connects::next`] has not returned yet.
    pub fn has_unseen(&self) -> bool {
        matches!(*self.state.borrow(), ConnectionState::Connected(count) if count > self.seen)
    }
}
