//! The websocket transport: the connection itself, once HTTP has let go of it.

use actix_web::http::StatusCode;
use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use socketioxide::socket::Sid;
use tower_service::Service;

use super::PATHS;
use super::asked::{Asked, Transport};
use super::entrance::Entrance;
use super::polling::refused;
use super::wire::Wire;
use crate::http::{Problem, Upgrade};

/// A packet that ends a session of the polling transport, and one that it refuses without doing anything.
const CLOSE: &str = "1";
const NOOP: &str = "6";

/// Answers a request for a websocket: 101 and a session, or a problem.
pub(super) async fn take(entrance: Entrance, upgrade: Upgrade) {
    match check(&entrance, &upgrade).await {
        Ok((asked, request)) => open(&entrance, upgrade, &asked, request).await,
        Err(problem) => upgrade.refuse(&problem).await,
    }
}

/// Everything that can be wrong with a request has to be found before the 101.
async fn check(entrance: &Entrance, upgrade: &Upgrade) -> Result<(Asked, http::Request<()>), Problem> {
    let uri = &upgrade.head().uri;
    if !PATHS.contains(&uri.path()) {
        return Err(Problem::not_found("There is no websocket at this address."));
    }
    upgrade.check()?;
    let asked = Asked::parse(uri.query().unwrap_or_default())?;
    if asked.transport != Transport::Websocket {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "A websocket request has to say transport=websocket."));
    }
    if let Some(session) = asked.session {
        // It knows the session, and that it is still polling, if it has nothing to say but that the packet is bad.
        if let Some(problem) = refused(&post(entrance, session, NOOP).await?) {
            return Err(problem);
        }
    }
    let request = entrance.admit(&asked, Method::GET, ())?;
    Ok((asked, request))
}

async fn open(entrance: &Entrance, upgrade: Upgrade, asked: &Asked, request: http::Request<()>) {
    // Without a 101 there is no session to end.
    let Ok((stream, early)) = upgrade.accept().await else { return };
    let mut wire = Wire::new(stream, early, entrance.sockets.0.settings.write_timeout);
    if let Some(session) = asked.session {
        entrance.sockets.0.tasks.spawn(clear(entrance.clone(), session, wire.watch()));
    }
    if let Err(error) = entrance.sockets.0.engine.clone().call((wire, request)).await {
        tracing::debug!(%error, "a websocket came to nothing");
    }
}

/// Ends a session whose websocket is gone before it took over from polling. engineioxide would keep it for ever: it does
/// not ping while a session is on its way from one to the other.
async fn clear(entrance: Entrance, session: Sid, gone: impl Future<Output = ()>) {
    let closed = entrance.sockets.0.closed.clone();
    if closed.run_until_cancelled(gone).await.is_some() {
        // One that did take over is closed already, or refuses to be closed this way.
        let _ = post(&entrance, session, CLOSE).await;
    }
}

/// Posts a packet to a session in the client's name.
async fn post(entrance: &Entrance, session: Sid, packet: &'static str) -> Result<http::Response<Bytes>, Problem> {
    let asked = Asked { transport: Transport::Polling, session: Some(session) };
    let request = entrance.admit(&asked, Method::POST, Full::from(packet))?;
    Ok(entrance.ask(request).await)
}
