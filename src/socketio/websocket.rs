//! The websocket transport: the connection itself, once HTTP has let go of it.

use http::Method;
use socketioxide::socket::Sid;
use tower_service::Service;

use super::PATHS;
use super::asked::{self, Asked, Transport};
use super::entrance::Entrance;
use super::refusal::{InvalidRequest, Refusal};
use super::wire::Wire;
use crate::http::{Problem, Upgrade};

/// A packet that ends a session of the polling transport.
const CLOSE: &str = "1";

/// Answers a request for a websocket: 101 and a session, or a refusal.
pub(super) async fn take(entrance: Entrance, upgrade: Upgrade) {
    match check(&entrance, &upgrade).await {
        Ok((asked, request)) => open(&entrance, upgrade, &asked, request).await,
        Err(refusal) => {
            let response = refusal.response(upgrade.head().uri.path());
            upgrade.refuse(response).await;
        }
    }
}

/// Everything that can be wrong with a request has to be found before the 101.
async fn check(entrance: &Entrance, upgrade: &Upgrade) -> Result<(Asked, http::Request<()>), Refusal> {
    let head = upgrade.head();
    if !PATHS.contains(&head.uri.path()) {
        return Err(Problem::not_found("There is no websocket at this address.").into());
    }
    let asked = Asked::parse(head.uri.query().unwrap_or_default(), asked::Method::of(&head.method))?;
    if asked.transport != Transport::Websocket {
        return Err(InvalidRequest::BadRequest.into());
    }
    upgrade.check()?;
    if let Some(session) = asked.session {
        entrance.check_session(session).await?;
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
        let _ = entrance.post(session, CLOSE).await;
    }
}
