//! Accepting of sessions. Each thread has an acceptor, which also sends updates to the sockets of its sessions.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use socketioxide::SocketIo;
use socketioxide::socket::Sid;
use tokio::sync::{TryAcquireError, watch};
use tower_service::Service;

use super::access::HandshakeToken;
use super::error::{InvalidRequest, RequestError};
use super::handshake::{HandshakeQuery, Transport};
use super::rooms::Rooms;
use super::session_permit::SessionPermit;
use super::sockets::{Sockets, Update, argument};
use crate::http::Problem;
use crate::http::limits::ConcurrencyGuard;

/// A packet that a session of the polling transport rejects without any effect.
const NOOP: &str = "6";

/// The acceptor of one thread; a clone shares it.
#[derive(Clone)]
pub(super) struct SessionAcceptor {
    pub(super) sockets: Sockets,
    rooms: Rooms,
}

impl SessionAcceptor {
    /// Creates an acceptor on this thread, and a task that sends updates to its sockets until all are closed.
    pub(super) fn open(sockets: &Sockets) -> Self {
        let (shared, rooms) = (&sockets.0, Rooms::new());
        let sending = send_updates(shared.io.clone(), rooms.clone(), shared.latest.subscribe());
        shared.tasks.spawn(shared.closed.clone().run_until_cancelled_owned(sending));
        Self { sockets: sockets.clone(), rooms }
    }

    /// The request for engineioxide. That of a new session contains a permit, with the guard of the limit of its
    /// client's address, and the client's token if sockets need one.
    ///
    /// # Errors
    /// 503 if there are too many sessions, or if all are being closed; 429 above that limit.
    pub(super) fn admit<B>(
        &self,
        query: &HandshakeQuery,
        method: http::Method,
        body: B,
        token: Option<&str>,
        guard: impl FnOnce() -> Result<Option<ConcurrencyGuard>, Problem>,
    ) -> Result<http::Request<B>, Problem> {
        let mut request = query.request(method, body)?;
        if query.session.is_none() {
            let permit = self.sockets.0.session_permits.clone().try_acquire_owned().map_err(|error| match error {
                TryAcquireError::Closed => Problem::unavailable("no new session: the server is shutting down"),
                TryAcquireError::NoPermits => Problem::unavailable("no new session: there are too many"),
            })?;
            let guard = guard()?;
            request.extensions_mut().insert(SessionPermit::new(self.rooms.take_slot(), permit, guard));
            if let Some(token) = token.filter(|_| !self.sockets.0.readers.is_open()) {
                request.extensions_mut().insert(HandshakeToken(token.into()));
            }
        }
        Ok(request)
    }

    /// Passes a request of the polling transport to engineioxide.
    pub(super) async fn call(&self, request: http::Request<Full<Bytes>>) -> http::Response<Bytes> {
        let Ok(response) = self.sockets.0.engine.clone().call(request).await;
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await;
        http::Response::from_parts(head, body.to_bytes())
    }

    /// Checks that a session exists and still uses polling.
    ///
    /// # Errors
    /// The error with which engine.io would reject a request of this session.
    pub(super) async fn check_session(&self, session: Sid) -> Result<(), RequestError> {
        // For the packet itself, engineioxide returns an error without a reason.
        match InvalidRequest::of(&self.post(session, NOOP).await?) {
            Some(invalid) => Err(invalid.into()),
            None => Ok(()),
        }
    }

    /// Posts a packet to a session on behalf of its client.
    pub(super) async fn post(&self, session: Sid, packet: &'static str) -> Result<http::Response<Bytes>, Problem> {
        let query = HandshakeQuery { transport: Transport::Polling, session: Some(session) };
        let request = self.admit(&query, Method::POST, Full::from(packet), None, || Ok(None))?;
        Ok(self.call(request).await)
    }
}

/// Sends each update to all sockets, room by room. Updates that arrive meanwhile are merged, and rooms that have not
/// received the previous update get only the latest.
async fn send_updates(io: SocketIo, rooms: Rooms, mut latest: watch::Receiver<Option<Update>>) {
    let mut sent = HashMap::new();
    while latest.changed().await.is_ok() {
        let mut before = std::mem::take(&mut sent);
        for room in rooms.names() {
            let update = latest.borrow().clone();
            let (Some((event, json)), Some(namespace)) = (update, io.of("/")) else { continue };
            // The update arrived while the previous one was sent to the rooms before this one.
            let already_sent = before.remove(&room).is_some_and(|last| Arc::ptr_eq(&last, &json));
            sent.insert(room.clone(), Arc::clone(&json));
            if already_sent {
                continue;
            }
            let Some(argument) = argument(event, &json) else { continue };
            if let Err(error) = namespace.to(room).volatile().emit(event, argument).await {
                tracing::warn!(event, error = &error as &dyn std::error::Error, "cannot send an update");
            }
            // Lets the sockets of this room write first.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn a_client_at_its_limit_is_sent_to_another_server_during_the_shutdown() {
        let acceptor = SessionAcceptor::open(&Sockets::new());
        let query = HandshakeQuery { transport: Transport::Polling, session: None };
        let status = || {
            let limited = || Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many sessions"));
            acceptor.admit(&query, Method::GET, (), None, limited).map(drop).unwrap_err().status_code().as_u16()
        };
        assert_eq!(status(), 429);
        acceptor.sockets.close().await;
        assert_eq!(status(), 503);
    }
}
