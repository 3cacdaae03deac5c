//! The connection of a client.
//!
//! Owns the socket and the order of its output: messages that were published before a command precede its reply.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::commands::{Context, Session, Store, execute};
use super::reply::{Protocol, encode};
use super::request;
use super::subscribers::{ClientId, ClientSignals};

/// How long a client may take to authenticate.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Replies are written when they exceed this many bytes, before more requests are executed.
const REPLY_CHUNK: usize = 64 << 10;
const READ_CHUNK: usize = 16 << 10;

/// The store of all connections. Its lock makes every command atomic.
pub(super) type SharedStore = Arc<Mutex<Store>>;

/// Serves a connection until the client disconnects, reads too slowly or sends malformed input, or the broker stops.
pub(super) async fn serve(mut stream: TcpStream, id: ClientId, store: SharedStore, shutdown: CancellationToken) {
    let signals = ClientSignals::default();
    let mut connection = Connection::open(id, store, signals.clone());
    let stop = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = signals.evicted.cancelled() => tracing::warn!(client.id = id, "slow subscriber disconnected"),
        }
    };
    let _ = stream.set_nodelay(true);
    tokio::select! {
        // An I/O error is a usual end of a connection.
        _ = run_session(&mut stream, &mut connection, &signals) => {}
        () = stop => {}
    }
}

async fn run_session(stream: &mut TcpStream, connection: &mut Connection, signals: &ClientSignals) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let deadline = Instant::now() + AUTH_TIMEOUT;
    loop {
        input.reserve(READ_CHUNK);
        tokio::select! {
            () = signals.messages.notified() => connection.take_messages(&mut output),
            read = reader.read_buf(&mut input) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            () = sleep_until(deadline), if connection.is_unauthenticated() => return Ok(()),
        }
        loop {
            let next = connection.handle_requests(&mut input, &mut output);
            write(&mut writer, &mut output).await?;
            match next {
                Next::Read => break,
                Next::Continue => {}
                Next::Close => return writer.shutdown().await,
            }
        }
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), output: &mut BytesMut) -> io::Result<()> {
    writer.write_all_buf(output).await?;
    if output.capacity() > 4 * REPLY_CHUNK {
        *output = BytesMut::new();
    }
    Ok(())
}

/// What the connection does next, after its replies are written.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Read,
    /// Executes more requests from the input.
    Continue,
    Close,
}

/// A connection without its socket.
#[derive(Debug)]
struct Connection {
    store: SharedStore,
    session: Session,
}

impl Connection {
    fn open(id: ClientId, store: SharedStore, signals: ClientSignals) -> Self {
        let authenticated = {
            let mut store = lock(&store);
            store.subscribers.connect(id, signals);
            store.password.is_empty()
        };
        let (protocol, transaction, quit) = (Protocol::Resp2, None, false);
        Self { store, session: Session { id, authenticated, protocol, transaction, quit } }
    }

    fn is_unauthenticated(&self) -> bool {
        !self.session.authenticated
    }

    fn take_messages(&self, output: &mut BytesMut) {
        output.extend_from_slice(&lock(&self.store).subscribers.take_outbox(self.session.id));
    }

    /// Executes the requests in `input`.
    fn handle_requests(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Next {
        while output.len() < REPLY_CHUNK {
            match request::take(input, self.is_unauthenticated()) {
                Ok(None) => return Next::Read,
                Ok(Some(args)) if args.is_empty() => {}
                Ok(Some(args)) => self.run(args, output),
                Err(error) => {
                    output.extend_from_slice(format!("-{error}\r\n").as_bytes());
                    return Next::Close;
                }
            }
            if self.session.quit {
                return Next::Close;
            }
        }
        Next::Continue
    }

    fn run(&mut self, args: Vec<bytes::Bytes>, output: &mut BytesMut) {
        let mut store = lock(&self.store);
        let result = execute(&mut Context { store: &mut store, session: &mut self.session }, args);
        output.extend_from_slice(&store.subscribers.take_outbox(self.session.id));
        drop(store);
        encode(&result, self.session.protocol, output);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut store = lock(&self.store);
        store.subscribers.disconnect(self.session.id);
        store.keys.watches.forget(self.session.id);
    }
}

/// Ignores poisoning, because a panic in a command should end only its own connection.
fn lock(store: &SharedStore) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conversation(password: &str, input: &[u8]) -> String {
        let store = Arc::new(Mutex::new(Store::new(password.to_owned(), String::new())));
        let mut connection = Connection::open(1, store, ClientSignals::default());
        let (mut input, mut output) = (BytesMut::from(input), BytesMut::new());
        while connection.handle_requests(&mut input, &mut output) == Next::Continue {}
        String::from_utf8_lossy(&output).into_owned()
    }

    #[test]
    fn commands_are_rejected_before_authentication() {
        let results = conversation("secret", b"GET k\r\nAUTH wrong\r\nHELLO 3 AUTH default secret\r\nGET k\r\n");
        assert!(results.starts_with("-NOAUTH Authentication required.\r\n-WRONGPASS"), "{results}");
        assert!(results.ends_with("_\r\n"), "{results}");
    }

    #[test]
    fn malformed_input_is_reported_and_ends_the_connection() {
        let results = conversation("", b"PING\r\n*1\r\n:1\r\nPING\r\n");
        assert_eq!(results, "+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n");
    }

    const REQUEST: &str = "(multi|exec|discard|watch|unwatch|subscribe|psubscribe|punsubscribe|zadd|zrange|zrevrange|\
                           zrevrank|zincrby|zscore|set|get|type|hello|client|publish|pubsub|info|auth|del)\
                           ( (nx|xx|gt|ch|-1|0|3|1e999|inf|nan|k|é|\\*|9223372036854775807|withscores)){0,5}\r\n";

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(input in any::<Vec<u8>>()) {
            conversation("", &input);
            conversation("secret", &input);
        }

        #[test]
        fn no_requests_cause_a_panic(lines in proptest::collection::vec(REQUEST, 0..20)) {
            conversation("", lines.concat().as_bytes());
        }
    }
}
