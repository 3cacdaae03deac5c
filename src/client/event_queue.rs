//! The queue between the connection and the view.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::board::Board;

/// An event of the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The server accepted the connection. The first board follows.
    Connected,
    /// The board at the start of a connection.
    Current(Board),
    /// The board after a change.
    Update(Board),
    /// The connection was lost for this reason. Attempts to reconnect follow.
    Disconnected(String),
    /// The attempt with this number, counted from 1, failed for this reason.
    ReconnectFailed(u32, String),
}

/// A bounded queue of events; a clone shares it. The writer never waits for the reader.
///
/// A slow reader skips intermediate boards but always receives the latest.
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

    /// Adds an event. A full queue drops its oldest update, or its oldest event if it has no update.
    pub(super) fn push(&self, event: Event) {
        let mut queue = self.lock();
        if queue.events.len() >= Self::CAPACITY {
            let dropped = queue.events.iter().position(|event| matches!(event, Event::Update(_)));
            queue.events.remove(dropped.unwrap_or_default());
        }
        queue.events.push_back(event);
        self.0.changed.notify_all();
    }

    /// Ends the queue after its last event.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Takes all events. Blocks the thread until there is one or the timeout has passed. Returns `None` after the last
    /// event.
    pub(super) fn take(&self, timeout: Duration) -> Option<VecDeque<Event>> {
        let is_waiting = |queue: &mut Queue| queue.events.is_empty() && !queue.closed;
        let waited = self.0.changed.wait_timeout_while(self.lock(), timeout, is_waiting);
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
    fn a_slow_reader_skips_updates_but_gets_every_state_and_the_newest_board() {
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
    fn the_queue_is_bounded_without_updates_too() {
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
    fn an_event_and_the_end_wake_the_reader() {
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
    fn a_timeout_returns_no_events() {
        assert_eq!(EventQueue::default().take(Duration::from_millis(1)), Some(VecDeque::new()));
    }
}
