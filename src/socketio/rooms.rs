//! Rooms of a few sockets each.
//!
//! Updates are sent room by room, so that the state of a socket is still in the processor's cache when its task writes.
//! With thousands of sockets in one room, the first would be evicted before the last is reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Sockets per room. Sending touches a few kilobytes of each.
const ROOM_SIZE: usize = 64;

/// The rooms of one thread; a clone shares them.
#[derive(Clone)]
pub(super) struct Rooms(Arc<Shared>);

struct Shared {
    /// Distinguishes these rooms from those of other threads.
    number: u64,
    /// The number of taken slots in each room.
    taken: Mutex<Vec<usize>>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Shared { number: COUNTER.fetch_add(1, Ordering::Relaxed), taken: Mutex::default() }))
    }

    /// Takes a slot in the first room that has a free one.
    pub(super) fn take_slot(&self) -> RoomSlot {
        let rooms = self.clone();
        let room = self.taken(|taken| {
            let room = taken.iter().position(|&slots| slots < ROOM_SIZE).unwrap_or_else(|| {
                taken.push(0);
                taken.len() - 1
            });
            taken[room] += 1;
            room
        });
        RoomSlot { rooms, room }
    }

    /// The names of the rooms with a taken slot.
    pub(super) fn names(&self) -> Vec<String> {
        self.taken(|taken| {
            let occupied = taken.iter().enumerate().filter(|&(_, &slots)| slots > 0);
            occupied.map(|(room, _)| self.name(room)).collect()
        })
    }

    fn name(&self, room: usize) -> String {
        format!("{}.{room}", self.0.number)
    }

    fn taken<T>(&self, access: impl FnOnce(&mut Vec<usize>) -> T) -> T {
        access(&mut self.0.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A slot in a room, which is released on drop.
pub(super) struct RoomSlot {
    rooms: Rooms,
    room: usize,
}

impl RoomSlot {
    /// The name of the room.
    pub(super) fn room(&self) -> String {
        self.rooms.name(self.room)
    }
}

impl Drop for RoomSlot {
    fn drop(&mut self) {
        self.rooms.taken(|taken| taken[self.room] -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_filled_before_the_next_one_and_refilled_after_a_release() {
        let rooms = Rooms::new();
        let mut slots: Vec<RoomSlot> = (0..2 * ROOM_SIZE + 1).map(|_| rooms.take_slot()).collect();
        assert_eq!(rooms.names().len(), 3);
        assert_eq!((slots[0].room(), slots[ROOM_SIZE - 1].room()), (rooms.name(0), rooms.name(0)));
        assert_eq!((slots[ROOM_SIZE].room(), slots[2 * ROOM_SIZE].room()), (rooms.name(1), rooms.name(2)));
        slots.drain(ROOM_SIZE..2 * ROOM_SIZE);
        assert_eq!(rooms.names(), [rooms.name(0), rooms.name(2)]);
        assert_eq!(rooms.take_slot().room(), rooms.name(1));
        drop(slots);
        assert!(rooms.names().is_empty());
    }

    #[test]
    fn the_rooms_of_two_threads_have_different_names() {
        let [one, other] = [Rooms::new(), Rooms::new()].map(|rooms| rooms.take_slot().room());
        assert_ne!(one, other);
    }
}
