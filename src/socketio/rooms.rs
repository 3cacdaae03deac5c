//! Rooms of a few sockets each. Who hands something to all sockets does it room by room, so that what a socket is made of
//! is still in the processor's cache when its task writes: of thousands, the first would have left it before the last one
//! is reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many sockets share a room. A few kilobytes are touched of each.
const ROOM_SIZE: usize = 64;

/// The rooms of one thread; a clone is the same ones.
#[derive(Clone)]
pub(super) struct Rooms(Arc<Shared>);

struct Shared {
    /// Tells these rooms from those of other threads.
    number: u64,
    /// How many slots are taken in each.
    taken: Mutex<Vec<usize>>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Shared { number: COUNTER.fetch_add(1, Ordering::Relaxed), taken: Mutex::default() }))
    }

    /// Takes a seat in the first room that has one.
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

    /// The names of the rooms in which somebody has a seat.
    pub(super) fn names(&self) -> Vec<String> {
        self.taken(|taken| {
            let occupied = taken.iter().enumerate().filter(|&(_, &slots)| slots > 0);
            occupied.map(|(room, _)| self.name(room)).collect()
        })
    }

    fn name(&self, room: usize) -> String {
        format!("{}.{room}", self.0.number)
    }

    fn taken<T>(&self, look: impl FnOnce(&mut Vec<usize>) -> T) -> T {
        look(&mut self.0.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A permit in a room, free again when it is dropped.
pub(super) struct RoomSlot {
    rooms: Rooms,
    room: usize,
}

impl RoomSlot {
    /// The room's name.
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
    fn a_room_is_filled_before_the_next_one_and_again_when_somebody_has_left() {
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
