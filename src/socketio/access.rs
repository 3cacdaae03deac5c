//! Access to the sockets of a board that is not public: the token of a client, and its expiry.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use socketioxide::extract::{SocketRef, TryData};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::sockets::Sockets;
use crate::http::Problem;
use crate::http::auth::Admission;

/// The token in the `Authorization` header of a session's first request. Stored in the request extensions, which
/// engineioxide keeps as long as the session. Without `Debug`, so that it is never logged.
#[derive(Clone)]
pub(super) struct HandshakeToken(pub(super) Arc<str>);

/// The payload of a CONNECT packet: `auth` of the official client.
#[derive(Deserialize)]
pub(super) struct Credentials {
    token: Option<String>,
}

/// Admits a socket that connects to a namespace, by the token of its CONNECT packet, or else that of the handshake.
///
/// # Errors
/// The reason, which the client gets in a CONNECT_ERROR packet (Socket.IO protocol 5).
pub(super) async fn admit(
    sockets: &Sockets,
    socket: &SocketRef,
    TryData(credentials): TryData<Credentials>,
) -> Result<(), String> {
    // A payload of another kind has no token.
    let given = credentials.ok().and_then(|credentials| credentials.token);
    let handshake = socket.req_parts().extensions.get::<HandshakeToken>();
    let token = given.as_deref().or_else(|| handshake.map(|token| &*token.0));
    if token.is_none() {
        let reason = "This needs a token: { auth: { token } }, or the header \"Authorization: Bearer TOKEN\".";
        return Err(reason.to_owned());
    }
    let Admission { expires } = sockets.0.readers.admit(token).await.map_err(Problem::into_detail)?;
    if let Some(expires) = expires {
        disconnect_at(sockets, socket, expires);
    }
    Ok(())
}

/// How long a full buffer of a socket delays its disconnection, at most.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Disconnects a socket at this time, unless it is closed before.
fn disconnect_at(sockets: &Sockets, socket: &SocketRef, expires: Instant) {
    let gone = CancellationToken::new();
    let guard = Arc::new(gone.clone().drop_guard());
    // Without a call, the handler is dropped with the socket, which cancels too.
    socket.on_disconnect(async move || drop(guard));
    let (shared, id, namespace) = (sockets.0.clone(), socket.id, socket.ns().to_owned());
    sockets.0.tasks.spawn(async move {
        let disconnecting = async {
            sleep_until(expires).await;
            // This thread inserts the socket into its namespace before it runs another task.
            while let Some(socket) = shared.io.of(&*namespace).and_then(|sockets| sockets.get_socket(id)) {
                // No update reaches it from now on, even if its client keeps its buffer full.
                socket.leave_all();
                if socket.disconnect().is_ok() {
                    return;
                }
                sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            () = gone.cancelled() => {}
            () = shared.closed.cancelled() => {}
            () = disconnecting => {}
        }
    });
}
