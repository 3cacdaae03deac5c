//! Where sessions come in: one entrance for each thread, which feeds whoever came in by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, watch};
use tower_service::Service;

use super::asked::Asked;
use super::{Sockets, Update, argument};
use crate::http::Problem;

/// The entrance of one thread; a clone is the same one.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) sockets: Sockets,
    room: Arc<str>,
}

impl Entrance {
    /// Opens an entrance on this thread, and feeds its sockets on this thread until all are closed.
    pub(super) fn open(sockets: &Sockets) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let room: Arc<str> = COUNTER.fetch_add(1, Ordering::Relaxed).to_string().into();
        let shared = &sockets.0;
        let feeding = feed(shared.io.clone(), room.to_string(), shared.newest.subscribe());
        shared.tasks.spawn(shared.closed.clone().run_until_cancelled_owned(feeding));
        Self { sockets: sockets.clone(), room }
    }

    /// The request for a session, old or new, as engineioxide takes it; a new one takes its place with it.
    ///
    /// # Errors
    /// 503 when there are too many sessions, or when all are being closed.
    pub(super) fn admit<B>(&self, asked: &Asked, method: http::Method, body: B) -> Result<http::Request<B>, Problem> {
        let mut request = asked.request(method, body)?;
        if asked.session.is_none() {
            let permit = self.sockets.0.places.clone().try_acquire_owned().map_err(|error| match error {
                TryAcquireError::Closed => Problem::unavailable("no session is opened while the server stops"),
                TryAcquireError::NoPermits => Problem::unavailable("there are as many sessions as there may be"),
            })?;
            request.extensions_mut().insert(Place { room: self.room.clone(), _permit: Arc::new(permit) });
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

/// Emits each update to everyone in the room. Those that come meanwhile become one.
async fn feed(io: SocketIo, room: String, mut newest: watch::Receiver<Option<Update>>) {
    while newest.changed().await.is_ok() {
        let update = newest.borrow_and_update().clone();
        let (Some((event, json)), Some(everyone)) = (update, io.of("/")) else { continue };
        let Some(argument) = argument(event, &json) else { continue };
        if let Err(error) = everyone.to(room.clone()).volatile().emit(event, argument).await {
            tracing::warn!(event, error = &error as &dyn std::error::Error, "an update could not be sent");
        }
    }
}

/// A session's place, kept with its request for as long as engineioxide keeps the session.
#[derive(Clone)]
pub(super) struct Place {
    room: Arc<str>,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Place {
    /// The place of a socket's session.
    pub(super) fn of(socket: &SocketRef) -> Option<&Self> {
        socket.req_parts().extensions.get()
    }

    /// Has the socket be fed.
    pub(super) fn join(&self, socket: &SocketRef) {
        socket.join(self.room.to_string());
        // It may have been closed meanwhile, and nobody else would remove it then.
        if !socket.connected() {
            socket.leave_all();
        }
    }
}
