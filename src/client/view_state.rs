//! The state of the view: the standings and the connection.

use std::time::Instant;

use super::address::Address;
use super::event_queue::Event;
use super::standings::Standings;

/// The state that the table displays. Reads no clock: the time is a parameter.
#[derive(Debug)]
pub(super) struct ViewState {
    pub(super) address: Address,
    pub(super) connection: ConnectionStatus,
    pub(super) standings: Standings,
}

#[derive(Debug, PartialEq)]
pub(super) enum ConnectionStatus {
    Connecting,
    Connected,
    /// With the current attempt, counted from 1.
    Reconnecting {
        since: Instant,
        attempt: u32,
        reason: String,
    },
}

impl ViewState {
    pub(super) fn new(address: Address) -> Self {
        Self { address, connection: ConnectionStatus::Connecting, standings: Standings::default() }
    }

    pub(super) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connection = ConnectionStatus::Connected,
            Event::Current(board) => self.standings.replace(board, now),
            Event::Update(board) => self.standings.update(board, now),
            Event::Disconnected(reason) => {
                self.connection = ConnectionStatus::Reconnecting { since: now, attempt: 1, reason }
            }
            Event::ReconnectFailed(failed, why) => {
                if let ConnectionStatus::Reconnecting { attempt, reason, .. } = &mut self.connection {
                    *attempt = failed.saturating_add(1);
                    *reason = why;
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::board::tests::board;
    use super::*;

    pub(in crate::client) fn view() -> ViewState {
        ViewState::new("http://localhost:3011".parse().unwrap())
    }

    #[test]
    fn the_board_stays_during_an_outage() {
        let start = Instant::now();
        let mut view = view();
        assert_eq!(view.connection, ConnectionStatus::Connecting);
        view.apply(Event::Connected, start);
        view.apply(Event::Current(board(&["a"])), start);
        view.apply(Event::Disconnected("gone".to_owned()), start);
        assert_eq!(
            view.connection,
            ConnectionStatus::Reconnecting { since: start, attempt: 1, reason: "gone".to_owned() }
        );
        let later = start + std::time::Duration::from_secs(9);
        view.apply(Event::ReconnectFailed(1, "refused".to_owned()), later);
        assert_eq!(
            view.connection,
            ConnectionStatus::Reconnecting { since: start, attempt: 2, reason: "refused".to_owned() }
        );
        assert_eq!(view.standings.rows(later).count(), 1);
        view.apply(Event::Connected, later);
        assert_eq!(view.connection, ConnectionStatus::Connected);
    }
}
