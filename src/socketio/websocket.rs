//! The websocket transport: the connection itself, once HTTP has let go of it.

use http::Method;
use socketioxide::socket::Sid;
use tower_service::Service;

use super::PATHS;
use super::error::{InvalidRequest, RequestError};
use super::handshake::{self, HandshakeQuery, Transport};
use super::session::SessionAcceptor;
use super::stalled_write::WriteTimeoutStream;
use crate::http::{Problem, Upgrade};

/// A packet that ends a session of the polling transport.
const CLOSE: &str = "1";

/// Answers a request for a websocket: 101 and a session, or a refusal.
pub(super) async fn take(acceptor: SessionAcceptor, upgrade: Upgrade) {
    match check(&acceptor, &upgrade).await {
        Ok((query, request)) => open(&acceptor, upgrade, &query, request).await,
        Err(refusal) => {
            let response = refusal.response(upgrade.head().uri.path());
            upgrade.refuse(response).await;
        }
    }
}

/// Everything that can be wrong with a request has to be found before the 101.
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
    let request = acceptor.admit(&query, Method::GET, ())?;
    Ok((query, request))
}

async fn open(acceptor: &SessionAcceptor, upgrade: Upgrade, query: &HandshakeQuery, request: http::Request<()>) {
    // Without a 101 there is no session to end.
    let Ok((stream, prefix)) = upgrade.accept().await else { return };
    let mut stream = WriteTimeoutStream::new(stream, prefix, acceptor.sockets.0.settings.write_timeout);
    if let Some(session) = query.session {
        acceptor.sockets.0.tasks.spawn(clear(acceptor.clone(), session, stream.watch()));
    }
    if let Err(error) = acceptor.sockets.0.engine.clone().call((stream, request)).await {
        tracing::debug!(%error, "a websocket came to nothing");
    }
}

/// Ends a session whose websocket is gone before it took over from polling. engineioxide would keep it for ever: it does
/// not ping while a session is on its way from one to the other.
async fn clear(acceptor: SessionAcceptor, session: Sid, gone: impl Future<Output = ()>) {
    let closed = acceptor.sockets.0.closed.clone();
    if closed.run_until_cancelled(gone).await.is_some() {
        // One that did take over is closed already, or refuses to be closed this way.
        let _ = acceptor.post(session, CLOSE).await;
    }
}
