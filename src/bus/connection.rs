//! One connection to Redis, kept for as long as the bus lives.
//!
//! Owns the client library's settings and the loop that outlives every way in which its own may end. Some settings are
//! there because their defaults lose messages or hang; each says so.

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

use super::BusError;

/// How many events may wait for a reader where only connects and errors are read.
pub const FEW_EVENTS: usize = 64;
/// How many messages may wait for the dispatcher. The library's 32 would drop most of a burst, but it allocates seven
/// rings of this size at once: about 700 bytes for each of these places.
pub const MANY_EVENTS: usize = 4096;

/// How often a connection is asked whether it lives, and how long it may take to answer. The library's own check of
/// unresponsive connections starts anew with every command that is sent, so it never ends on a busy one.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// How long an unchanged reason for having no connection stays unmentioned.
const LOG_REMINDER_INTERVAL: Duration = Duration::from_secs(30);
/// How long QUIT and the end of the connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait before the library is started again after it gave up.
const RESTART_DELAY: Duration = Duration::from_secs(1);

const SCHEMES: [&str; 2] = ["redis", "valkey"];

/// Whether a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first attempt has not ended.
    Connecting,
    /// Yes, for the so many-th time; what was said on an earlier connection is forgotten.
    Connected(u64),
    /// No; the next attempt follows.
    Disconnected,
}

impl ConnectionState {
    /// Whether a connection stands.
    pub fn is_connected(self) -> bool {
        matches!(self, Self::Connected(_))
    }
}

/// How long one attempt may take that somebody waits for.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads a Redis URL.
pub fn config(url: &str) -> Result<Config, BusError> {
    let (scheme, _) = url.split_once("://").ok_or_else(|| BusError::Url("it has no scheme".to_owned()))?;
    if scheme != "unix" && !SCHEMES.iter().any(|known| scheme.starts_with(known)) {
        return Err(BusError::Url("its scheme is none of redis, rediss and redis+unix".to_owned()));
    }
    let mut config = Config::from_url(url).map_err(|error| BusError::Url(error.details().to_owned()))?;
    let is_unsupported =
        |text: &String| text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\''));
    // The library sends them inside an inline command, where they would be taken apart.
    if config.username.iter().chain(&config.password).any(is_unsupported) {
        return Err(BusError::Credentials);
    }
    config.version = RespVersion::RESP3;
    // A Redis that is away at start is waited for like one that goes away later.
    config.fail_fast = false;
    Ok(config)
}

/// Where Redis is, without the credentials.
pub fn address(config: &Config) -> String {
    match &config.server {
        ServerConfig::Unix { path } => path.display().to_string(),
        server => server.hosts().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A client that is not connected yet, and connects only once: after the end of its connection every command fails.
pub fn single_use_client(config: &Config) -> Result<Client, BusError> {
    let config = Config { fail_fast: true, ..config.clone() };
    build(&config, None, FEW_EVENTS)
}

/// A client that is not connected yet. `events` is how many messages and changes of state may wait for their readers.
pub fn client(config: &Config, events: usize) -> Result<Client, BusError> {
    // For ever; from 1 ms to 2 s. The library waits before the first attempt too, which delays the start of the process.
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
        // A command that may have been executed is not sent again.
        connection.max_command_attempts = 1;
        connection.unresponsive =
            UnresponsiveConfig { max_timeout: Some(Duration::from_secs(10)), interval: Duration::from_secs(2) };
        connection.tcp.nodelay = Some(true);
        // max_command_buffer_len stays unset: after one back-pressure error every command would time out for ever.
    });
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = Duration::from_secs(2);
        performance.broadcast_channel_capacity = events;
    });
    builder.build().map_err(|error| BusError::Url(error.details().to_owned()))
}

/// Connects once, and says what stands in the way.
pub async fn connection_error(config: &Config) -> Option<String> {
    let config = Config { fail_fast: true, ..config.clone() };
    let mut builder = Builder::from_config(config);
    builder.with_connection_config(|connection| {
        connection.connection_timeout = PROBE_TIMEOUT;
        connection.internal_command_timeout = PROBE_TIMEOUT;
    });
    let client = match builder.build() {
        Ok(client) => client,
        Err(error) => return Some(error.details().to_owned()),
    };
    let connected = timeout(PROBE_TIMEOUT * 2, client.init()).await;
    // It may be stuck in the middle of something.
    let _ = timeout(CLOSE_TIMEOUT, client.quit()).await;
    match connected {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.details().to_owned()),
        Err(_) => Some("it does not answer".to_owned()),
    }
}

/// The state of a client's connection, and the task that keeps it connected until `stop` and then says goodbye.
pub fn maintain(
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
        // Errors first: where both wait, the connect is the later one, or another error will follow it.
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
                // It is sent at the first poll; how it ends is told by the events. (Connecting a client anew while its
                // driver runs would leave its count of queued commands wrong, and then it no longer flushes.)
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

/// Waits until it is time to ask whether the connection lives, and asks. Only silence is an error here: all others come
/// as events.
async fn heartbeat(client: &Client) -> Result<(), Error> {
    sleep(HEARTBEAT_INTERVAL).await;
    let with_timeout = client.with_options(&Options { timeout: Some(HEARTBEAT_INTERVAL), ..Options::default() });
    match with_timeout.ping::<Value>(None).await {
        Err(error) if *error.kind() == ErrorKind::Timeout => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn close(client: &Client, driver: &mut ConnectHandle) {
    // Redis may be gone by now, and then there is nobody to tell.
    let _ = timeout(CLOSE_TIMEOUT, client.quit()).await;
    let _ = timeout(CLOSE_TIMEOUT, driver).await;
}

/// What is logged about a connection: every change, but a lasting trouble only now and then.
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
        let (purpose, address, reason) = (self.purpose, &self.address, error.details());
        if *error.kind() == ErrorKind::Auth {
            tracing::error!(
                redis.connection = purpose, redis.address = %address, error = reason,
                "Redis refuses the user or the password, trying again"
            );
        } else {
            tracing::warn!(
                redis.connection = purpose, redis.address = %address, error = reason,
                "Redis is away, trying again"
            );
        }
    }

    fn gave_up(&self, error: Option<Error>) {
        let reason = error.as_ref().map_or("", Error::details);
        let (purpose, address) = (self.purpose, &self.address);
        tracing::warn!(
            redis.connection = purpose, redis.address = %address, error = reason,
            "the Redis client gave up and is started again"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_redis_is_and_the_address_hides_the_password() {
        for (url, shown) in [
            ("redis://127.0.0.1", "127.0.0.1:6379"),
            ("redis://:secret@127.0.0.1:7000/2", "127.0.0.1:7000"),
            ("redis+unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            assert_eq!(address(&config(url).unwrap()), shown);
        }
    }

    #[test]
    fn an_unusable_url_is_told_without_the_password() {
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
