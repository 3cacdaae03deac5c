//! The queue between the connection and what shows it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::board::Board;

/// Something that the connection has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The server knows us; the first board follows.
    Connected,
    /// The board as it is at the start of a connection.
    Current(Board),
    /// The board after a change.
    Update(Board),
    /// The connection is gone, for this reason; attempts to get it back follow.
    Disconnected(String),
    /// The attempt of this number, from 1, failed for this reason.
    ReconnectFailed(u32, String),
}

/// A bounded queue of events, whose clones share it. The writer never retries for the reader.
///
/// A reader that is too slow misses boards that newer ones have overtaken; never the newest.
#[derive(Debug, Clone, Default)]
pub struct EventQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    closed: bool,
}

impl EventQueue {
    const CAPACITY: usize = 256;

    /// Adds an event. When the queue is full, its oldest update makes room, or, without one, its oldest event.
    pub(super) fn push(&self, event: Event) {
        let mut queue = self.lock();
        if queue.events.len() >= Self::CAPACITY {
            let overtaken = queue.events.iter().position(|event| matches!(event, Event::Update(_)));
            queue.events.remove(overtaken.unwrap_or_default());
        }
        queue.events.push_back(event);
        self.0.changed.notify_all();
    }

    /// Says that no event will follow.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Takes what is there, after waiting for it at most this long; maybe nothing. `None` after the last event.
    ///
    /// It blocks the thread.
    pub(super) fn take(&self, timeout: Duration) -> Option<VecDeque<Event>> {
        let nothing_new = |queue: &mut Queue| queue.events.is_empty() && !queue.closed;
        let waited = self.0.changed.wait_timeout_while(self.lock(), timeout, nothing_new);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let events = std::mem::take(&mut queue.events);
        (!events.is_empty() || !queue.closed).then_some(events)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::board;
    use super::*;

    #[test]
    fn a_slow_reader_misses_overtaken_updates_but_no_state_and_not_the_newest_board() {
        let queue = EventQueue::default();
        queue.push(Event::Connected);
        for _ in 0..EventQueue::CAPACITY * 3 {
            queue.push(Event::Update(board(&["old"])));
        }
        queue.push(Event::Disconnected(String::new()));
        queue.push(Event::Update(board(&["newest"])));
        let events = queue.take(Duration::ZERO).unwrap();
        assert_eq!(events.len(), EventQueue::CAPACITY);
        assert_eq!(events.front(), Some(&Event::Connected));
        assert_eq!(events.back(), Some(&Event::Update(board(&["newest"]))));
        assert!(events.contains(&Event::Disconnected(String::new())));
    }

    #[test]
    fn even_without_updates_it_stays_bounded() {
        let queue = EventQueue::default();
        for attempt in 0..2000 {
            queue.push(Event::ReconnectFailed(attempt, String::new()));
        }
        let events = queue.take(Duration::ZERO).unwrap();
        assert_eq!(
            (events.len(), events.back()),
            (EventQueue::CAPACITY, Some(&Event::ReconnectFailed(1999, String::new())))
        );
    }

    #[test]
    fn the_reader_wakes_up_for_an_event_and_for_the_end() {
        let queue = EventQueue::default();
        let writer = queue.clone();
        let thread = std::thread::spawn(move || {
            writer.push(Event::Connected);
            writer.close();
        });
        let timeout = Duration::from_secs(20);
        assert_eq!(queue.take(timeout), Some([Event::Connected].into()));
        assert_eq!(queue.take(timeout), None);
        thread.join().unwrap();
    }

    #[test]
    fn nothing_is_there_in_time() {
        assert_eq!(EventQueue::default().take(Duration::from_millis(1)), Some(VecDeque::new()));
    }
}
