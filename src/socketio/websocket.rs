//! The websocket transport: the upgraded connection.

use http::Method;
use socketioxide::socket::Sid;
use tower_service::Service;

use super::closing_stream::ClosingStream;
use super::error::{InvalidRequest, RequestError};
use super::handshake::{self, HandshakeQuery, PATHS, Transport};
use super::session::SessionAcceptor;
use crate::http::stalled_write::WriteTimeoutStream;
use crate::http::{Problem, Upgrade, auth};

/// A packet that ends a session of the polling transport.
const CLOSE: &str = "1";

/// Accepts an upgrade with a 101 response and a session, or rejects it.
pub(super) async fn accept(acceptor: SessionAcceptor, upgrade: Upgrade) {
    match check(&acceptor, &upgrade).await {
        Ok((query, request)) => open(&acceptor, upgrade, &query, request).await,
        Err(error) => {
            let response = error.into_full_response(upgrade.head().uri.path());
            upgrade.refuse(response).await;
        }
    }
}

/// All checks, which must precede the 101 response.
async fn check(
    acceptor: &SessionAcceptor,
    upgrade: &Upgrade,
) -> Result<(HandshakeQuery, http::Request<()>), RequestError> {
    let head = upgrade.head();
    if !PATHS.contains(&head.uri.path()) {
        return Err(Problem::not_found("There is no websocket at this address.").into());
    }
    let query = HandshakeQuery::parse(head.uri.query().unwrap_or_default(), handshake::Method::of(&head.method))?;
    if query.transport != Transport::Websocket {
        return Err(InvalidRequest::BadRequest.into());
    }
    upgrade.check()?;
    if let Some(session) = query.session {
        acceptor.check_session(session).await?;
    }
    let token = auth::bearer_text(head.headers());
    let request = acceptor.admit(&query, Method::GET, (), token, || upgrade.session())?;
    Ok((query, request))
}

async fn open(acceptor: &SessionAcceptor, upgrade: Upgrade, query: &HandshakeQuery, request: http::Request<()>) {
    // The client has disconnected, and there is no session yet.
    let held = upgrade.hold();
    let Ok((stream, prefix)) = upgrade.accept().await else { return };
    let stream = ClosingStream::new(stream, prefix, held);
    let mut stream = WriteTimeoutStream::new(stream, acceptor.sockets.0.settings.write_timeout);
    if let Some(session) = query.session {
        acceptor.sockets.0.tasks.spawn(close_abandoned(acceptor.clone(), session, stream.dropped()));
    }
    if let Err(error) = acceptor.sockets.0.engine.clone().call((stream, request)).await {
        tracing::debug!(%error, "websocket upgrade failed");
    }
}

/// Closes a session whose websocket was lost before it replaced polling. engineioxide would keep the session forever,
/// because it sends no pings during the upgrade.
async fn close_abandoned(acceptor: SessionAcceptor, session: Sid, dropped: impl Future<Output = ()>) {
    let closed = acceptor.sockets.0.closed.clone();
    if closed.run_until_cancelled(dropped).await.is_some() {
        // After a successful upgrade, the session is closed already or rejects this packet.
        let _ = acceptor.post(session, CLOSE).await;
    }
}
