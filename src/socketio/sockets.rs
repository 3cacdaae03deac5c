//! All sockets, and sending to them.

use std::sync::Arc;
use std::time::Duration;

use engineioxide::service::NotFoundService;
use serde_json::value::RawValue;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use socketioxide::{ParserConfig, SocketIo};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{self, Credentials};
use super::session_permit::SessionPermit;
use crate::http::ReaderAuth;

/// Includes the sessions of clients that have gone: a session outlives its last poll by the ping timeout.
const MAX_SESSIONS: usize = 50_000;
/// The most packets that wait for a client, apart from updates: the first board, a ping, an error.
const MAX_BUFFERED_PACKETS: usize = 16;
/// For the frames of a websocket, in bytes. Clients send very little.
const READ_BUFFER_SIZE: usize = 512;
/// For closing all sockets, including those whose clients do not read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The limits of sessions.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Between two pings.
    pub ping_interval: Duration,
    /// From a ping to its pong.
    pub ping_timeout: Duration,
    /// From the connection to the CONNECT packet.
    pub connect_timeout: Duration,
    /// The longest time during which a websocket client reads nothing.
    pub write_timeout: Duration,
    /// The most bytes of one request or message.
    pub max_payload: usize,
}

impl Default for Settings {
    /// The timeouts of the protocol, and a payload far above that of any known client.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            write_timeout: Duration::from_secs(30),
            max_payload: 64 << 10,
        }
    }
}

/// An event and its rendered argument.
pub(super) type Update = (&'static str, Arc<str>);

/// All sockets; a clone shares them.
#[derive(Clone)]
pub struct Sockets(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) readers: ReaderAuth,
    pub(super) io: SocketIo,
    pub(super) engine: SocketIoService<NotFoundService>,
    pub(super) session_permits: Arc<Semaphore>,
    pub(super) latest: watch::Sender<Option<Update>>,
    pub(super) tasks: TaskTracker,
    pub(super) closed: CancellationToken,
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new()
    }
}

impl Sockets {
    /// No sockets, with the default settings.
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    /// No sockets, with these settings.
    pub fn with(settings: Settings) -> Self {
        Self::with_access(settings, ReaderAuth::everyone())
    }

    /// No sockets, with these settings, for clients that are admitted.
    pub(crate) fn with_access(settings: Settings, readers: ReaderAuth) -> Self {
        let parser = ParserConfig::common().max_incoming_binary_buf_size(settings.max_payload).max_incoming_binaries(8);
        let (engine, io) = SocketIo::builder()
            .with_parser(parser)
            .ping_interval(settings.ping_interval)
            .ping_timeout(settings.ping_timeout)
            .connect_timeout(settings.connect_timeout)
            .max_payload(settings.max_payload as u64)
            .max_buffer_size(MAX_BUFFERED_PACKETS)
            .ws_read_buffer_size(READ_BUFFER_SIZE)
            .ws_max_message_size(settings.max_payload)
            .ws_max_frame_size(settings.max_payload)
            .build_svc();
        let sockets = Self(Arc::new(Shared {
            settings,
            readers,
            io,
            engine,
            session_permits: Arc::new(Semaphore::new(MAX_SESSIONS)),
            latest: watch::Sender::new(None),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
        }));
        sockets.on_connect(|_| {});
        sockets
    }

    /// Sets the handler for sockets that connect to the main namespace. A socket receives broadcasts before the handler
    /// runs, so it misses no update that is newer than what the handler sends. Clients that are not admitted get an
    /// error instead, and nothing else. There is no other namespace.
    pub fn on_connect(&self, handler: impl Fn(Socket) + Send + Sync + 'static) {
        let handler = Arc::new(handler);
        let connected = async move |socket: SocketRef| {
            if let Some(permit) = SessionPermit::of(&socket) {
                permit.join_room(&socket);
            }
            handler(Socket(socket));
        };
        if self.0.readers.is_open() {
            self.0.io.ns("/", connected);
            return;
        }
        // Weak, since what is shared contains the namespace.
        let sockets = Arc::downgrade(&self.0);
        let admit = async move |socket: SocketRef, credentials: TryData<Credentials>| match sockets.upgrade() {
            Some(shared) => access::admit(&Self(shared), &socket, credentials).await,
            None => Err("the server is shutting down".to_owned()),
        };
        self.0.io.ns("/", connected.with(admit));
    }

    /// Sends an event with one JSON argument to every connected socket.
    ///
    /// Returns immediately. A socket that has not received the previous update yet gets only this one.
    pub async fn broadcast(&self, event: &'static str, json: Arc<str>) {
        self.0.latest.send_replace(Some((event, json)));
    }

    /// Sets the latest update without sending it. Sockets that have not received the previous update get this one
    /// instead. Call this before sending the same state to a single socket, so that no older update follows.
    pub fn set_latest(&self, event: &'static str, json: &Arc<str>) {
        self.0.latest.send_if_modified(|latest| {
            *latest = Some((event, Arc::clone(json)));
            false
        });
    }

    /// The number of sockets that are connected to the main namespace. Takes time proportional to it.
    pub fn connected(&self) -> usize {
        self.0.io.of("/").map_or(0, |all| all.sockets().len())
    }

    /// Closes all sockets, and rejects new ones. The runtimes of the sockets must run until this returns, which takes
    /// at most two seconds.
    pub async fn close(&self) {
        self.0.session_permits.close();
        if timeout(CLOSE_TIMEOUT, self.0.io.close()).await.is_err() {
            tracing::warn!("sockets did not close in time");
        }
        self.0.closed.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// A connected socket.
pub struct Socket(SocketRef);

impl Socket {
    /// Whether the socket is still connected.
    pub fn is_connected(&self) -> bool {
        self.0.connected()
    }

    /// Sends an event with one JSON argument. Unlike an update, it is not replaced by a later one.
    pub fn emit(&self, event: &'static str, json: &Arc<str>) {
        let Some(argument) = argument(event, json) else { return };
        // Fails if the socket is disconnected or its buffer is full. The latter ends with the heartbeat.
        if let Err(error) = self.0.emit(event, argument) {
            tracing::debug!(event, error = &error as &dyn std::error::Error, "cannot send an event to a socket");
        }
    }
}

/// The argument as it is, without parsing its content.
pub(super) fn argument<'a>(event: &str, json: &'a str) -> Option<&'a RawValue> {
    serde_json::from_str(json)
        .inspect_err(|error| tracing::error!(event, %error, "cannot send an event: its argument is not JSON"))
        .ok()
}
