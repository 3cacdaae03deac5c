//! What is known of a watched leaderboard: the standings, and whether the connection is there.

use std::time::Instant;

use super::address::Address;
use super::feed::Event;
use super::standings::Standings;

/// All that the table shows. It reads no clock: the time is passed in.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) address: Address,
    pub(super) link: Link,
    pub(super) standings: Standings,
}

/// Whether the connection is there.
#[derive(Debug, PartialEq)]
pub(super) enum Link {
    /// Not yet.
    Connecting,
    Connected,
    /// Not any more, since then and for this reason; this is the attempt to get it back, from 1.
    Reconnecting {
        since: Instant,
        attempt: u32,
        reason: String,
    },
}

impl Watch {
    pub(super) fn new(address: Address) -> Self {
        Self { address, link: Link::Connecting, standings: Standings::default() }
    }

    /// Takes in what the connection tells.
    pub(super) fn hear(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.link = Link::Connected,
            Event::Current(board) => self.standings.replace(board, now),
            Event::Update(board) => self.standings.update(board, now),
            Event::Disconnected(reason) => self.link = Link::Reconnecting { since: now, attempt: 1, reason },
            Event::StillAway(failed, why) => {
                if let Link::Reconnecting { attempt, reason, .. } = &mut self.link {
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

    pub(in crate::client) fn watch() -> Watch {
        Watch::new("http://localhost:3011".parse().unwrap())
    }

    #[test]
    fn an_outage_begins_when_the_connection_is_lost_and_the_board_stays() {
        let start = Instant::now();
        let mut watch = watch();
        assert_eq!(watch.link, Link::Connecting);
        watch.hear(Event::Connected, start);
        watch.hear(Event::Current(board(&["a"])), start);
        watch.hear(Event::Disconnected("gone".to_owned()), start);
        assert_eq!(watch.link, Link::Reconnecting { since: start, attempt: 1, reason: "gone".to_owned() });
        let later = start + std::time::Duration::from_secs(9);
        watch.hear(Event::StillAway(1, "refused".to_owned()), later);
        assert_eq!(watch.link, Link::Reconnecting { since: start, attempt: 2, reason: "refused".to_owned() });
        assert_eq!(watch.standings.rows(later).count(), 1);
        watch.hear(Event::Connected, later);
        assert_eq!(watch.link, Link::Connected);
    }
}
