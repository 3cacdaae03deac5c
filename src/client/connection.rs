//! The connection to the game server: one after the other, until it is asked to stop.
//!
//! `rust_socketio` can reconnect by itself (`reconnect_on_disconnect`), but not reliably enough for a screen that stays
//! open for days: after 15 minutes without a server its backoff runs out and it tries without a pause; an attempt has no
//! timeout, so that a server which accepts and then says nothing is waited for without end; an attempt that fails tells
//! nobody; and its blocking client spins on a connection that was closed in order. So each connection here is a client of
//! its own, without reconnecting, on a runtime of its own: when the runtime goes, so does everything that the client
//! spawned. What notices a dead connection remains the library's: the end of the socket, or a heartbeat that fails to
//! come (`pingInterval` + `pingTimeout` of the server).
//!
//! Only WebSockets are used: they need no upgrade, they pass no proxy that the environment names, and a server that is
//! none of ours says so with its status.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event as SocketEvent, Payload, TransportType};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::board::Board;
use super::event_queue::{Event, EventQueue};
use super::sanitize::sanitized;
use crate::backoff;

/// How long a server may take from the first packet until it knows us.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before the first attempt to reconnect; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait between two attempts, and how long a connection has to last for the retries to start anew.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How much of a stranger's explanation is sender.
const MAX_REASON_CHARS: usize = 200;

/// Why a game server cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no connection.
    #[error("no answer from {address} (is the game server running?): {cause}")]
    Unreachable {
        /// Where it was tried.
        address: Address,
        /// What the system message.
        cause: String,
    },
    /// What answers is something else.
    #[error("{address} is no Socket.IO server: {cause}")]
    NotSocketIo {
        /// Where it was tried.
        address: Address,
        /// What is wrong with the answer.
        cause: String,
    },
    /// The server does not want us.
    #[error("{address} refuses the connection: {cause}")]
    Refused {
        /// Where it was tried.
        address: Address,
        /// What the server message.
        cause: String,
    },
    /// The server accepts, and says nothing.
    #[error("{0} did not answer within {CONNECT_TIMEOUT:?}")]
    Timeout(Address),
    /// The connection could not even be tried.
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

    /// The reason alone, for who knows the address.
    fn reason(&self) -> String {
        match self {
            Self::Unreachable { cause, .. } | Self::Refused { cause, .. } => cause.clone(),
            Self::NotSocketIo { cause, .. } => format!("no Socket.IO server: {cause}"),
            Self::Timeout(_) => "no answer".to_owned(),
            Self::Runtime(error) => error.to_string(),
        }
    }
}

/// How a connection ended.
enum End {
    /// As it was asked to.
    Stopped,
    /// Before it began.
    Failed(ConnectError),
    /// After it began.
    Lost(String),
}

/// Keeps a connection to the server until `stop`, and feeds what comes. A connection that is lost is got back, however
/// long that takes. At its end the queue is closed.
///
/// # Errors
/// When the first connection fails.
pub async fn stay_connected(address: Address, queue: EventQueue, stop: CancellationToken) -> Result<(), ConnectError> {
    let result = reconnect_loop(&address, &queue, &stop).await;
    queue.close();
    result
}

async fn reconnect_loop(address: &Address, queue: &EventQueue, stop: &CancellationToken) -> Result<(), ConnectError> {
    let mut was_connected = false;
    let mut failures = 0;
    let mut retries = 0;
    loop {
        let begun = Instant::now();
        match run_connection_on_thread(address, queue, stop).await {
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
        if timeout(backoff(retries, rand::random()), stop.cancelled()).await.is_ok() {
            return Ok(());
        }
        retries = retries.saturating_add(1);
    }
}

/// How long to wait before attempt number `attempt`, from 0, to reconnect: half of it is left to chance, so that those who
/// lost a server together do not come back together. `random` is uniform in `0.0..1.0`.
fn backoff(attempt: u32, random: f64) -> Duration {
    backoff::jittered(attempt.saturating_add(1), MIN_BACKOFF, MAX_BACKOFF, random)
}

/// One connection, on a thread and a runtime of its own.
async fn run_connection_on_thread(address: &Address, queue: &EventQueue, stop: &CancellationToken) -> End {
    let (address, queue, stop) = (address.clone(), queue.clone(), stop.clone());
    let running = tokio::task::spawn_blocking(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return End::Failed(ConnectError::Runtime(error)),
        };
        let connected = stop.run_until_cancelled(run_connection(&address, &queue));
        let end = runtime.block_on(connected).unwrap_or(End::Stopped);
        // It does not wait for a name that is still being looked up.
        runtime.shutdown_background();
        end
    });
    // The library can panic on what a server sends; that is the end of this connection, not of the program.
    running.await.unwrap_or_else(|_| End::Lost("the connection broke down".to_owned()))
}

/// One connection from its beginning to its end.
async fn run_connection(address: &Address, queue: &EventQueue) -> End {
    let (sender, mut receiver) = mpsc::channel(16);
    match timeout(CONNECT_TIMEOUT, open(address, sender, &mut receiver)).await {
        Err(_) => return End::Failed(ConnectError::Timeout(address.clone())),
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

/// What the library's callbacks tell. They go when the client's task goes, and the channel ends with the last of them.
enum SocketMessage {
    Connected,
    Board(Event),
    Ended(String),
}

/// Connects, and retries until the server has message that it knows us.
async fn open(
    address: &Address,
    sender: mpsc::Sender<SocketMessage>,
    receiver: &mut mpsc::Receiver<SocketMessage>,
) -> Result<(), ConnectError> {
    let client = client(address, sender).connect().await;
    drop(client.map_err(|error| ConnectError::new(address, &error))?);
    match receiver.recv().await {
        Some(SocketMessage::Ended(cause)) => Err(ConnectError::Refused { address: address.clone(), cause }),
        Some(_) => Ok(()),
        None => Err(ConnectError::Refused { address: address.clone(), cause: "it closes the connection".to_owned() }),
    }
}

fn client(address: &Address, sender: mpsc::Sender<SocketMessage>) -> ClientBuilder {
    let on = |message: fn(&Payload) -> Option<SocketMessage>| {
        let sender = sender.clone();
        move |payload: Payload, _: Client| {
            let sender = sender.clone();
            async move {
                if let Some(message) = message(&payload) {
                    // Nobody listens any more only when the connection is being given up.
                    let _ = sender.send(message).await;
                }
            }
            .boxed()
        }
    };
    ClientBuilder::new(address.socket())
        .transport_type(TransportType::Websocket)
        .reconnect(false)
        .on(SocketEvent::Connect, on(|_| Some(SocketMessage::Connected)))
        .on("current_leaderboard", on(|payload| board(payload).map(Event::Current).map(SocketMessage::Board)))
        .on("update_leaderboard", on(|payload| board(payload).map(Event::Update).map(SocketMessage::Board)))
        .on(SocketEvent::Close, on(|_| Some(SocketMessage::Ended("the server ended the connection".to_owned()))))
        .on(SocketEvent::Error, on(|payload| Some(SocketMessage::Ended(reason(payload)))))
}

/// The board that an event brings; what is none is sender to the log and left out.
fn board(payload: &Payload) -> Option<Board> {
    let board = match payload {
        Payload::Text(arguments) => arguments.first().and_then(Board::from_json),
        _ => None,
    };
    if board.is_none() {
        tracing::warn!("the server sent something that is no leaderboard; it is left out");
    }
    board
}

/// What an error says; the library has one text for everything that goes wrong below it.
fn reason(payload: &Payload) -> String {
    let text = match payload {
        Payload::Text(values) => values.first().and_then(|value| value.as_str()),
        _ => None,
    };
    match text {
        None | Some("EngineIO Error") => "the connection broke".to_owned(),
        Some(text) => sanitized(text, MAX_REASON_CHARS),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::board::tests::any_json;
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_half_of_each_is_chance() {
        let retries: Vec<_> = (0..7).map(|attempt| backoff(attempt, 1.0).as_millis()).collect();
        assert_eq!(retries, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(backoff(u32::MAX, 0.0), MAX_BACKOFF / 2);
    }

    #[test]
    fn an_error_is_told_by_its_deepest_cause() {
        let address: Address = "http://h".parse().unwrap();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = ConnectError::new(&address, &refused);
        assert_eq!(error.to_string(), "no answer from http://h (is the game server running?): connection refused");
        let error = ConnectError::new(&address, &"x".parse::<u8>().unwrap_err());
        assert_eq!(error.to_string(), "http://h is no Socket.IO server: invalid digit found in string");
    }

    #[test]
    fn an_error_of_the_library_is_told_in_our_words() {
        assert_eq!(reason(&Payload::from("EngineIO Error")), "the connection broke");
        assert_eq!(reason(&Payload::from("go \u{1b}away")), "go \u{fffd}away");
        assert_eq!(reason(&Payload::from(json!({}))), "the connection broke");
    }

    proptest! {
        #[test]
        fn no_payload_is_too_strange(arguments in prop::collection::vec(any_json(), 0..3)) {
            let payload = Payload::Text(arguments);
            reason(&payload);
            board(&payload);
        }
    }
}
