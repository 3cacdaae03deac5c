//! One connection to Redis, which is re-established until the bus stops.
//!
//! Owns the settings of the client library, and a loop that restarts the library's own loop when that ends. Comments
//! mark the settings whose defaults lose messages or hang.

use std::future::Future;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{Config, Options, ReconnectPolicy, ServerConfig, UnresponsiveConfig};
use fred::types::{Builder, ConnectHandle, RespVersion, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::BusError;
use super::reason::reason;

/// The event buffer for a client whose connects and errors are read, but not its messages.
pub(super) const FEW_EVENTS: usize = 64;
/// The event buffer for a client with subscriptions. The default of 32 would drop most of a burst. The library
/// allocates seven buffers of this size: about 700 bytes for each event.
pub(super) const MANY_EVENTS: usize = 4096;

/// Between two PINGs, and the timeout for each. The library's check for unresponsive connections restarts with every
/// command, so it never fires on a busy connection.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Before an unchanged error is logged again.
const LOG_REMINDER_INTERVAL: Duration = Duration::from_secs(30);
/// For QUIT, and then for the end of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Before the library is restarted after its loop has ended.
const RESTART_DELAY: Duration = Duration::from_secs(1);

const SCHEMES: [&str; 2] = ["redis", "valkey"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// During the first attempt.
    Connecting,
    /// With the number of connects so far. Redis has forgotten the state of earlier connections.
    Connected(u64),
    /// The next attempt follows.
    Disconnected,
}

impl ConnectionState {
    pub(super) fn is_connected(self) -> bool {
        matches!(self, Self::Connected(_))
    }
}

/// For the single attempt of [`connection_error`].
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Parses a Redis URL.
pub(super) fn config(url: &str) -> Result<Config, BusError> {
    let (scheme, _) = url.split_once("://").ok_or_else(|| BusError::Url("it has no scheme".to_owned()))?;
    if scheme != "unix" && !SCHEMES.iter().any(|known| scheme.starts_with(known)) {
        return Err(BusError::Url("its scheme is none of redis, rediss and redis+unix".to_owned()));
    }
    let mut config = Config::from_url(url).map_err(|error| BusError::Url(reason(&error).into_owned()))?;
    let is_unsupported =
        |text: &String| text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\''));
    // The library sends the credentials in an inline command, which would split them.
    if config.username.iter().chain(&config.password).any(is_unsupported) {
        return Err(BusError::Credentials);
    }
    config.version = RespVersion::RESP3;
    // Retry the first connect like any later one.
    config.fail_fast = false;
    Ok(config)
}

/// The address of Redis, without the credentials.
pub(super) fn address(config: &Config) -> String {
    match &config.server {
        ServerConfig::Unix { path } => path.display().to_string(),
        server => server.hosts().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A disconnected client that connects only once. After its connection has ended, every command fails.
pub(super) fn single_use_client(config: &Config) -> Result<Client, BusError> {
    let config = Config { fail_fast: true, ..config.clone() };
    build(&config, None, FEW_EVENTS)
}

/// A disconnected client with a buffer for so many events.
pub(super) fn client(config: &Config, events: usize) -> Result<Client, BusError> {
    // Unlimited attempts, with a backoff from 1 ms to 2 s. The library also waits before the first attempt, so a longer
    // first backoff would delay the start of the process.
    let mut policy = ReconnectPolicy::new_exponential(0, 1, 2000, 2);
    policy.set_jitter(5);
    build(config, Some(policy), events)
}

fn build(config: &Config, reconnect: Option<ReconnectPolicy>, events: usize) -> Result<Client, BusError> {
    let mut builder = Builder::from_config(config.clone());
    if let Some(policy) = reconnect {
        builder.set_policy(policy);
    }
    builder.with_connection_config(|connection| {
        connection.connection_timeout = Duration::from_secs(5);
        connection.internal_command_timeout = Duration::from_secs(10);
        // Never resend a command that may have been executed.
        connection.max_command_attempts = 1;
        connection.unresponsive =
            UnresponsiveConfig { max_timeout: Some(Duration::from_secs(10)), interval: Duration::from_secs(2) };
        connection.tcp.nodelay = Some(true);
        // max_command_buffer_len stays unset: after one back-pressure error, every later command would time out.
    });
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = Duration::from_secs(2);
        performance.broadcast_channel_capacity = events;
    });
    builder.build().map_err(|error| BusError::Url(reason(&error).into_owned()))
}

/// Connects once, and returns the error if that fails.
pub(super) async fn connection_error(config: &Config) -> Option<String> {
    let config = Config { fail_fast: true, ..config.clone() };
    let mut builder = Builder::from_config(config);
    builder.with_connection_config(|connection| {
        connection.connection_timeout = PROBE_TIMEOUT;
        connection.internal_command_timeout = PROBE_TIMEOUT;
    });
    let client = match builder.build() {
        Ok(client) => client,
        Err(error) => return Some(reason(&error).into_owned()),
    };
    let connected = timeout(PROBE_TIMEOUT * 2, client.init()).await;
    // The client may hang.
    let _ = timeout(CLOSE_TIMEOUT, client.quit()).await;
    match connected {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(reason(&error).into_owned()),
        Err(_) => Some("it does not answer".to_owned()),
    }
}

/// Returns the state of the connection, and the task that maintains it until `stop` and then closes it.
pub(super) fn maintain(
    client: &Client,
    purpose: &'static str,
    address: &str,
    stop: CancellationToken,
) -> (watch::Receiver<ConnectionState>, impl Future<Output = ()> + use<>) {
    let (state, receiver) = watch::channel(ConnectionState::Connecting);
    let log = ConnectionLog { purpose, address: address.to_owned(), last: None };
    (receiver, run(client.clone(), state, log, stop))
}

async fn run(client: Client, state: watch::Sender<ConnectionState>, mut log: ConnectionLog, stop: CancellationToken) {
    let (mut errors, mut connects) = (client.error_rx(), client.reconnect_rx());
    let mut driver = client.connect();
    let mut connections = 0;
    loop {
        // Errors first: if both are buffered, the connect is the later one, or another error follows it.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            event = errors.recv() => if let Ok((error, _)) = event {
                state.send_replace(ConnectionState::Disconnected);
                log.disconnected(&error);
            },
            event = connects.recv() => if !matches!(event, Err(RecvError::Closed)) {
                connections += 1;
                state.send_replace(ConnectionState::Connected(connections));
                log.connected();
            },
            beat = heartbeat(&client), if state.borrow().is_connected() => if let Err(error) = beat {
                state.send_replace(ConnectionState::Disconnected);
                log.disconnected(&error);
                // The first poll sends the request; the events report its outcome. (Connecting the client again while
                // its driver runs would corrupt its count of queued commands, and it would stop flushing.)
                let _ = timeout(Duration::ZERO, client.force_reconnection()).await;
            },
            ended = &mut driver => {
                state.send_replace(ConnectionState::Disconnected);
                log.gave_up(ended.ok().and_then(Result::err));
                stop.run_until_cancelled(sleep(RESTART_DELAY)).await;
                driver = client.connect();
            }
        }
    }
    if state.send_replace(ConnectionState::Disconnected).is_connected() {
        close(&client, &mut driver).await;
    }
    driver.abort();
}

/// Waits for the interval, and then sends a PING. Returns only a timeout as an error, because events report the others.
async fn heartbeat(client: &Client) -> Result<(), Error> {
    sleep(HEARTBEAT_INTERVAL).await;
    let with_timeout = client.with_options(&Options { timeout: Some(HEARTBEAT_INTERVAL), ..Options::default() });
    match with_timeout.ping::<Value>(None).await {
        Err(error) if *error.kind() == ErrorKind::Timeout => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn close(client: &Client, driver: &mut ConnectHandle) {
    // Redis may have become unreachable.
    let _ = timeout(CLOSE_TIMEOUT, client.quit()).await;
    let _ = timeout(CLOSE_TIMEOUT, driver).await;
}

/// Logs every change of a connection, and a lasting error once per interval.
struct ConnectionLog {
    purpose: &'static str,
    address: String,
    last: Option<(ErrorKind, Instant)>,
}

impl ConnectionLog {
    fn connected(&mut self) {
        let Self { purpose, address, .. } = self;
        tracing::info!(redis.connection = purpose, redis.address = %address, "connected to Redis");
        self.last = None;
    }

    fn disconnected(&mut self, error: &Error) {
        let now = Instant::now();
        let known =
            self.last.as_ref().is_some_and(|(kind, at)| kind == error.kind() && now - *at < LOG_REMINDER_INTERVAL);
        if known {
            return;
        }
        self.last = Some((error.kind().clone(), now));
        let (purpose, address, reason) = (self.purpose, &self.address, reason(error));
        if *error.kind() == ErrorKind::Auth {
            tracing::error!(
                redis.connection = purpose, redis.address = %address, error = &*reason,
                "Redis rejects the user or the password, retrying"
            );
        } else {
            tracing::warn!(
                redis.connection = purpose, redis.address = %address, error = &*reason,
                "Redis is unreachable, retrying"
            );
        }
    }

    fn gave_up(&self, error: Option<Error>) {
        let reason = error.as_ref().map(reason).unwrap_or_default();
        let (purpose, address) = (self.purpose, &self.address);
        tracing::warn!(
            redis.connection = purpose, redis.address = %address, error = &*reason,
            "the Redis client has stopped and is restarted"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_url_omits_the_password() {
        for (url, shown) in [
            ("redis://127.0.0.1", "127.0.0.1:6379"),
            ("redis://:secret@127.0.0.1:7000/2", "127.0.0.1:7000"),
            ("redis+unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            assert_eq!(address(&config(url).unwrap()), shown);
        }
    }

    #[test]
    fn the_error_for_an_invalid_url_omits_the_password() {
        for url in [
            "",
            "localhost:6379",
            "http://:secret@x",
            "redis://:secret@",
            "redis://:secret@x:port",
            "redis://:se cret@x",
        ] {
            let error = config(url).unwrap_err().to_string();
            assert!(error.contains("Redis URL") && !error.contains("secret"), "{error}");
        }
        assert!(matches!(config("redis://:a%20b@x"), Err(BusError::Credentials)));
        assert!(matches!(config("redis://:a%0D%0Ab@x"), Err(BusError::Credentials)));
    }
}
