//! The permit of a session: its share of the session limits, and its room.

use std::sync::Arc;

use socketioxide::extract::SocketRef;
use tokio::sync::OwnedSemaphorePermit;

use super::rooms::RoomSlot;
use crate::http::limits::ConcurrencyGuard;

/// Stored in the request extensions, which engineioxide keeps as long as the session.
#[derive(Clone)]
pub(super) struct SessionPermit(Arc<(RoomSlot, OwnedSemaphorePermit, Option<ConcurrencyGuard>)>);

impl SessionPermit {
    /// `guard` is the share of the limit of the client's address.
    pub(super) fn new(slot: RoomSlot, permit: OwnedSemaphorePermit, guard: Option<ConcurrencyGuard>) -> Self {
        Self(Arc::new((slot, permit, guard)))
    }

    /// The permit of the session of a socket.
    pub(super) fn of(socket: &SocketRef) -> Option<&Self> {
        socket.req_parts().extensions.get()
    }

    /// Adds the socket to the room, so that it receives updates.
    pub(super) fn join_room(&self, socket: &SocketRef) {
        socket.join(self.0.0.room());
        // Nothing else would remove a socket that was closed meanwhile.
        if !socket.connected() {
            socket.leave_all();
        }
    }
}
