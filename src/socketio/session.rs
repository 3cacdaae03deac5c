//! Where sessions come in: one acceptor for each thread, which feeds whoever came in by it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, watch};
use tower_service::Service;

use super::error::{InvalidRequest, RequestError};
use super::handshake::{HandshakeQuery, Transport};
use super::rooms::{RoomSlot, Rooms};
use super::{Sockets, Update, argument};
use crate::http::Problem;

/// A packet that a session of the polling transport refuses without doing anything.
const NOOP: &str = "6";

/// The acceptor of one thread; a clone is the same one.
#[derive(Clone)]
pub(super) struct SessionAcceptor {
    pub(super) sockets: Sockets,
    rooms: Rooms,
}

impl SessionAcceptor {
    /// Opens an acceptor on this thread, and feeds its sockets on this thread until all are closed.
    pub(super) fn open(sockets: &Sockets) -> Self {
        let (shared, rooms) = (&sockets.0, Rooms::new());
        let feeding = feed(shared.io.clone(), rooms.clone(), shared.latest.subscribe());
        shared.tasks.spawn(shared.closed.clone().run_until_cancelled_owned(feeding));
        Self { sockets: sockets.clone(), rooms }
    }

    /// The request for a session, old or new, as engineioxide takes it; a new one takes its permit with it.
    ///
    /// # Errors
    /// 503 when there are too many sessions, or when all are being closed.
    pub(super) fn admit<B>(
        &self,
        query: &HandshakeQuery,
        method: http::Method,
        body: B,
    ) -> Result<http::Request<B>, Problem> {
        let mut request = query.request(method, body)?;
        if query.session.is_none() {
            let permit = self.sockets.0.session_permits.clone().try_acquire_owned().map_err(|error| match error {
                TryAcquireError::Closed => Problem::unavailable("no session is opened while the server stops"),
                TryAcquireError::NoPermits => Problem::unavailable("there are as many sessions as there may be"),
            })?;
            request.extensions_mut().insert(SessionPermit(Arc::new((self.rooms.take_slot(), permit))));
        }
        Ok(request)
    }

    /// Has engineioxide answer a request of the polling transport.
    pub(super) async fn ask(&self, request: http::Request<Full<Bytes>>) -> http::Response<Bytes> {
        let Ok(response) = self.sockets.0.engine.clone().call(request).await;
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await;
        http::Response::from_parts(head, body.to_bytes())
    }
}

impl SessionAcceptor {
    /// Whether a session is there and still polling.
    ///
    /// # Errors
    /// What engine.io would refuse a request of this session for.
    pub(super) async fn check_session(&self, session: Sid) -> Result<(), RequestError> {
        // engineioxide has nothing to say of the packet itself, but that it is a bad one.
        match InvalidRequest::of(&self.post(session, NOOP).await?) {
            Some(invalid) => Err(invalid.into()),
            None => Ok(()),
        }
    }

    /// Posts a packet to a session in the client's name.
    pub(super) async fn post(&self, session: Sid, packet: &'static str) -> Result<http::Response<Bytes>, Problem> {
        let query = HandshakeQuery { transport: Transport::Polling, session: Some(session) };
        let request = self.admit(&query, Method::POST, Full::from(packet))?;
        Ok(self.ask(request).await)
    }
}

/// Emits each update to everyone, room by room. Those that come meanwhile become one, and who has not got the one before
/// yet gets the latest.
async fn feed(io: SocketIo, rooms: Rooms, mut latest: watch::Receiver<Option<Update>>) {
    let mut sent = HashMap::new();
    while latest.changed().await.is_ok() {
        let mut before = std::mem::take(&mut sent);
        for room in rooms.names() {
            let update = latest.borrow().clone();
            let (Some((event, json)), Some(everyone)) = (update, io.of("/")) else { continue };
            // It came while the rooms before this one got the one before.
            let has_it = before.remove(&room).is_some_and(|last| Arc::ptr_eq(&last, &json));
            sent.insert(room.clone(), Arc::clone(&json));
            if has_it {
                continue;
            }
            let Some(argument) = argument(event, &json) else { continue };
            if let Err(error) = everyone.to(room).volatile().emit(event, argument).await {
                tracing::warn!(event, error = &error as &dyn std::error::Error, "an update could not be sent");
            }
            // The room's sockets write first.
            tokio::task::yield_now().await;
        }
    }
}

/// A session's permit, kept with its request for as long as engineioxide keeps the session.
#[derive(Clone)]
pub(super) struct SessionPermit(Arc<(RoomSlot, OwnedSemaphorePermit)>);

impl SessionPermit {
    /// The permit of a socket's session.
    pub(super) fn of(socket: &SocketRef) -> Option<&Self> {
        socket.req_parts().extensions.get()
    }

    /// Has the socket be fed.
    pub(super) fn join(&self, socket: &SocketRef) {
        socket.join(self.0.0.room());
        // It may have been closed meanwhile, and nobody else would remove it then.
        if !socket.connected() {
            socket.leave_all();
        }
    }
}
