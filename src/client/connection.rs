//! The connection to the game server, which is re-established until the client stops.
//!
//! `rust_socketio` can reconnect (`reconnect_on_disconnect`), but not reliably enough for a screen that stays open for
//! days: after 15 minutes without a server its backoff ends and it retries without a delay; an attempt has no timeout,
//! so a server that accepts the connection and then sends nothing blocks it forever; a failed attempt is not reported;
//! and its blocking client spins after an orderly close. So each connection is a new client without reconnecting, on a
//! runtime of its own, which ends all tasks that the client has spawned. The library still detects a lost connection:
//! by the end of the socket, or a missing heartbeat (`pingInterval` + `pingTimeout` of the server).
//!
//! Only websockets are used: they need no upgrade, ignore proxies from the environment, and report a server without
//! Socket.IO by its status.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event as SocketEvent, Payload, TransportType};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::board::Board;
use super::event_queue::{Event, EventQueue};
use super::refusal::{MAX_REASON_CHARS, reason};
use super::sanitize::sanitized;
use crate::backoff;

/// From the first packet to the acceptance by the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Before the first attempt to reconnect. Doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest delay between two attempts. A connection that lasts longer resets the backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// A game server, and the token for its board; without `Debug`, so that the token is never logged.
#[derive(Clone)]
pub struct Server {
    /// Its URL.
    pub address: Address,
    /// `None` if the board is public.
    pub token: Option<String>,
}

/// A failed connection to a game server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection failed.
    #[error("no answer from {address} (is the game server running?): {cause}")]
    Unreachable {
        /// The address of the attempt.
        address: Address,
        /// The error of the system.
        cause: String,
    },
    /// The server does not implement Socket.IO.
    #[error("{address} is not a Socket.IO server: {cause}")]
    NotSocketIo {
        /// The address of the attempt.
        address: Address,
        /// The error in its response.
        cause: String,
    },
    /// The server rejected the connection.
    #[error("{address} rejected the connection: {cause}")]
    Refused {
        /// The address of the attempt.
        address: Address,
        /// The reason given by the server.
        cause: String,
    },
    /// The server accepted the connection, but sent nothing.
    #[error("{0} did not answer within {CONNECT_TIMEOUT:?}")]
    Timeout(Address),
    /// The runtime for the connection could not be created.
    #[error("cannot start a connection")]
    Runtime(#[source] io::Error),
}

impl ConnectError {
    fn new(address: &Address, error: &(dyn Error + 'static)) -> Self {
        let mut deepest = error;
        let mut is_io = error.is::<io::Error>();
        while let Some(cause) = deepest.source() {
            is_io |= cause.is::<io::Error>();
            deepest = cause;
        }
        let (address, cause) = (address.clone(), sanitized(&deepest.to_string(), MAX_REASON_CHARS));
        if is_io { Self::Unreachable { address, cause } } else { Self::NotSocketIo { address, cause } }
    }

    /// The reason, without the address.
    fn reason(&self) -> String {
        match self {
            Self::Unreachable { cause, .. } | Self::Refused { cause, .. } => cause.clone(),
            Self::NotSocketIo { cause, .. } => format!("not a Socket.IO server: {cause}"),
            Self::Timeout(_) => "no answer".to_owned(),
            Self::Runtime(error) => error.to_string(),
        }
    }
}

/// The end of a connection.
enum End {
    /// By a request to stop.
    Stopped,
    /// Before it was established.
    Failed(ConnectError),
    /// After it was established.
    Lost(String),
}

/// Stays connected to the server until `stop`, and pushes events into `queue`. A lost connection is re-established,
/// with unlimited attempts. Closes the queue at the end.
///
/// # Errors
/// If the first connection fails.
pub async fn stay_connected(server: Server, queue: EventQueue, stop: CancellationToken) -> Result<(), ConnectError> {
    let result = reconnect_loop(&server, &queue, &stop).await;
    queue.close();
    result
}

async fn reconnect_loop(server: &Server, queue: &EventQueue, stop: &CancellationToken) -> Result<(), ConnectError> {
    let mut was_connected = false;
    let mut failures = 0;
    let mut retries = 0;
    loop {
        let begun = Instant::now();
        match run_connection_on_thread(server, queue, stop).await {
            End::Stopped => return Ok(()),
            End::Failed(error) if !was_connected => return Err(error),
            End::Failed(error) => {
                failures += 1;
                tracing::debug!(attempt = failures, "cannot reconnect: {error}");
                queue.push(Event::ReconnectFailed(failures, error.reason()));
            }
            End::Lost(reason) => {
                was_connected = true;
                failures = 0;
                if begun.elapsed() > MAX_BACKOFF {
                    retries = 0;
                }
                queue.push(Event::Disconnected(reason));
            }
        }
        if timeout(reconnect_delay(retries, rand::random()), stop.cancelled()).await.is_ok() {
            return Ok(());
        }
        retries = retries.saturating_add(1);
    }
}

/// The delay before the reconnect attempt with this number, counted from 0. Half of it is random, so that clients that
/// were disconnected together do not reconnect together. `random` is uniform in `0.0..1.0`.
fn reconnect_delay(attempt: u32, random: f64) -> Duration {
    backoff::jittered(attempt.saturating_add(1), MIN_BACKOFF, MAX_BACKOFF, random)
}

/// Runs one connection on a thread and a runtime of its own.
async fn run_connection_on_thread(server: &Server, queue: &EventQueue, stop: &CancellationToken) -> End {
    let (server, queue, stop) = (server.clone(), queue.clone(), stop.clone());
    let running = tokio::task::spawn_blocking(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return End::Failed(ConnectError::Runtime(error)),
        };
        let connected = stop.run_until_cancelled(run_connection(&server, &queue));
        let end = runtime.block_on(connected).unwrap_or(End::Stopped);
        // Does not wait for a pending name lookup.
        runtime.shutdown_background();
        end
    });
    // The library may panic on input from a server. That ends only this connection.
    running.await.unwrap_or_else(|_| End::Lost("the connection failed".to_owned()))
}

/// Runs one connection.
async fn run_connection(server: &Server, queue: &EventQueue) -> End {
    let (sender, mut receiver) = mpsc::channel(16);
    match timeout(CONNECT_TIMEOUT, open(server, sender, &mut receiver)).await {
        Err(_) => return End::Failed(ConnectError::Timeout(server.address.clone())),
        Ok(Err(error)) => return End::Failed(error),
        Ok(Ok(())) => queue.push(Event::Connected),
    }
    while let Some(message) = receiver.recv().await {
        match message {
            SocketMessage::Connected => {}
            SocketMessage::Board(event) => queue.push(event),
            SocketMessage::Ended(reason) => return End::Lost(reason),
        }
    }
    End::Lost("the server closed the connection".to_owned())
}

/// A message of a callback. The channel ends with the task of the client, which owns the callbacks.
enum SocketMessage {
    Connected,
    Board(Event),
    Ended(String),
}

/// Connects, and waits until the server has accepted the connection.
async fn open(
    server: &Server,
    sender: mpsc::Sender<SocketMessage>,
    receiver: &mut mpsc::Receiver<SocketMessage>,
) -> Result<(), ConnectError> {
    let address = &server.address;
    let client = client(server, sender).connect().await;
    drop(client.map_err(|error| ConnectError::new(address, &error))?);
    match receiver.recv().await {
        Some(SocketMessage::Ended(cause)) => Err(ConnectError::Refused { address: address.clone(), cause }),
        Some(_) => Ok(()),
        None => Err(ConnectError::Refused { address: address.clone(), cause: "it closed the connection".to_owned() }),
    }
}

fn client(server: &Server, sender: mpsc::Sender<SocketMessage>) -> ClientBuilder {
    let on = |to_message: fn(&Payload) -> Option<SocketMessage>| {
        let sender = sender.clone();
        move |payload: Payload, _: Client| {
            let sender = sender.clone();
            async move {
                if let Some(message) = to_message(&payload) {
                    // Fails only while the connection is being dropped.
                    let _ = sender.send(message).await;
                }
            }
            .boxed()
        }
    };
    let builder = ClientBuilder::new(server.address.socket());
    let builder = match &server.token {
        Some(token) => builder.auth(json!({ "token": token })),
        None => builder,
    };
    builder
        .transport_type(TransportType::Websocket)
        .reconnect(false)
        .on(SocketEvent::Connect, on(|_| Some(SocketMessage::Connected)))
        .on("current_leaderboard", on(|payload| board(payload).map(Event::Current).map(SocketMessage::Board)))
        .on("update_leaderboard", on(|payload| board(payload).map(Event::Update).map(SocketMessage::Board)))
        .on(SocketEvent::Close, on(|_| Some(SocketMessage::Ended("the server ended the connection".to_owned()))))
        .on(SocketEvent::Error, on(|payload| Some(SocketMessage::Ended(reason(payload)))))
}

/// The board of an event. An invalid one is logged and ignored.
fn board(payload: &Payload) -> Option<Board> {
    let board = match payload {
        Payload::Text(arguments) => arguments.first().and_then(Board::from_json),
        _ => None,
    };
    if board.is_none() {
        tracing::warn!("ignored an invalid leaderboard from the server");
    }
    board
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::board::tests::any_json;
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_half_of_each_is_random() {
        let delays: Vec<_> = (0..7).map(|attempt| reconnect_delay(attempt, 1.0).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(reconnect_delay(u32::MAX, 0.0), MAX_BACKOFF / 2);
    }

    #[test]
    fn an_error_shows_its_deepest_cause() {
        let address: Address = "http://h".parse().unwrap();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = ConnectError::new(&address, &refused);
        assert_eq!(error.to_string(), "no answer from http://h (is the game server running?): connection refused");
        let error = ConnectError::new(&address, &"x".parse::<u8>().unwrap_err());
        assert_eq!(error.to_string(), "http://h is not a Socket.IO server: invalid digit found in string");
    }

    proptest! {
        #[test]
        fn any_payload_is_accepted(arguments in prop::collection::vec(any_json(), 0..3)) {
            let payload = Payload::Text(arguments);
            reason(&payload);
            board(&payload);
        }
    }
}
