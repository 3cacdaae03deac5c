//! Socket.IO v4 on `/socket.io/`: the bridge from actix-web to socketioxide.
//!
//! Owns its path, the sessions and their connections. Consumes what is broadcast and publishes it to every socket; what
//! clients send is read, bounded and dropped, as nothing is asked of them. Never knows what an event means, and never
//! keeps more for a client than the latest update.
//!
//! A polling request is an ordinary one and handed over as such. A websocket leaves actix-web with its 101: the bare
//! connection goes to engineioxide, so that no frame is copied on its way. Everything of a socket runs on the thread that
//! accepted it, and each thread feeds its own sockets: waking a task of another thread costs a system call each.
//!
//! An update is sent as volatile: engineioxide keeps one for each socket, the latest, until the client has taken what it
//! was sent before. So a slow client misses updates but never the last one, and takes no memory and nobody's time.

mod error;
mod handshake;
mod polling;
mod rooms;
mod session;
mod stalled_write;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::web;
use engineioxide::service::NotFoundService;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::service::SocketIoService;
use socketioxide::{ParserConfig, SocketIo};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use session::{SessionAcceptor, SessionPermit};

use crate::http::{Upgrade, Websockets};

/// Where Socket.IO is spoken, with a slash at the end or without.
const PATHS: [&str; 2] = ["/socket.io", "/socket.io/"];
/// How many sessions there may be, also of clients that never come back: a session outlives its last poll by a while.
const MAX_SESSIONS: usize = 50_000;
/// How many packets may wait for a client, updates not among them: its greeting, a ping, the answer to a bad request.
const MAX_BUFFERED_PACKETS: usize = 16;
/// What a websocket's frames are read into. Clients send next to nothing.
const READ_BUFFER_SIZE: usize = 512;
/// How long saying goodbye may take, to clients that do not read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How sessions are kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How often a client is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may take to say so.
    pub ping_timeout: Duration,
    /// How long a client may take from its connection to its CONNECT packet.
    pub connect_timeout: Duration,
    /// How long a websocket's client may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// The most bytes that a client may send at once.
    pub max_payload: usize,
}

impl Default for Settings {
    /// The protocol's times, and a payload far above what any client has to say.
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

/// An event and its argument, rendered.
type Update = (&'static str, Arc<str>);

/// All sockets; a clone shares them.
#[derive(Clone)]
pub struct Sockets(Arc<Shared>);

struct Shared {
    settings: Settings,
    io: SocketIo,
    engine: SocketIoService<NotFoundService>,
    session_permits: Arc<Semaphore>,
    latest: watch::Sender<Option<Update>>,
    tasks: TaskTracker,
    closed: CancellationToken,
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new()
    }
}

impl Sockets {
    /// No sockets yet.
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    /// The same, kept otherwise.
    pub fn with(settings: Settings) -> Self {
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

    /// Says what greets a socket that has connected to the main namespace. It is among the receivers of broadcasts by
    /// then, so that it misses none that comes after what it is greeted with.
    pub fn on_connect(&self, greet: impl Fn(Socket) + Send + Sync + 'static) {
        let greet = Arc::new(greet);
        self.0.io.ns("/", async move |socket: SocketRef| {
            if let Some(permit) = SessionPermit::of(&socket) {
                permit.join(&socket);
            }
            greet(Socket(socket));
        });
    }

    /// Adds the polling half of Socket.IO, for every origin; the other half is theirs as [`Websockets`].
    pub fn routes(&self, services: &mut web::ServiceConfig) {
        let cors = Cors::default().allow_any_origin().send_wildcard().allow_any_method().allow_any_header();
        let resource = web::resource(PATHS)
            .wrap(cors)
            .app_data(web::Data::new(SessionAcceptor::open(self)))
            .route(web::get().to(polling::get))
            .route(web::post().to(polling::post))
            .default_service(web::to(polling::other));
        services.service(resource);
    }

    /// Sends an event with one argument, which is JSON, to every socket that is connected.
    ///
    /// Returns at once, and the latest wins: a socket that has not taken the one before yet gets this one instead.
    pub async fn broadcast(&self, event: &'static str, json: Arc<str>) {
        self.0.latest.send_replace(Some((event, json)));
    }

    /// Makes this the latest update without sending it: who has still to get the one before gets this one instead. Whatever
    /// a socket is greeted with must be set first, so that no older update follows the greeting.
    pub fn set_latest(&self, event: &'static str, json: &Arc<str>) {
        self.0.latest.send_if_modified(|latest| {
            *latest = Some((event, Arc::clone(json)));
            false
        });
    }

    /// How many sockets are connected to the main namespace. It counts them.
    pub fn connected(&self) -> usize {
        self.0.io.of("/").map_or(0, |all| all.sockets().len())
    }

    /// Says goodbye to all, lets nobody in any more, and ends what is still held. The runtimes that serve them have to
    /// live until it returns, which takes two seconds at most.
    pub async fn close(&self) {
        self.0.session_permits.close();
        if timeout(CLOSE_TIMEOUT, self.0.io.close()).await.is_err() {
            tracing::warn!("some sockets did not take their goodbye");
        }
        self.0.closed.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Websockets for Sockets {
    fn on_this_thread(&self) -> impl Fn(Upgrade) -> LocalBoxFuture<'static, ()> + Clone + use<> {
        let acceptor = SessionAcceptor::open(self);
        move |upgrade| websocket::take(acceptor.clone(), upgrade).boxed_local()
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

/// One connected socket.
pub struct Socket(SocketRef);

impl Socket {
    /// Whether it is still there.
    pub fn is_connected(&self) -> bool {
        self.0.connected()
    }

    /// Sends it an event with one argument, which is JSON. Unlike an update, it is not replaced by a later one.
    pub fn emit(&self, event: &'static str, json: &Arc<str>) {
        let Some(argument) = argument(event, json) else { return };
        // The only reasons are a socket that is gone, and one that lets its greeting lie; its heartbeat ends that.
        if let Err(error) = self.0.emit(event, argument) {
            tracing::debug!(event, error = &error as &dyn std::error::Error, "a socket could not be sent an event");
        }
    }
}

/// The argument as it is written, without a look at what it says.
fn argument<'a>(event: &str, json: &'a str) -> Option<&'a RawValue> {
    serde_json::from_str(json)
        .inspect_err(|error| tracing::error!(event, %error, "an event is not sent, its argument is no JSON"))
        .ok()
}
