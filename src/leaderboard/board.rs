//! The board as it is shown: the top ten, highest first.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::bus::Member;
use crate::ids::Score;

/// The sorted set in Redis.
pub const KEY: &str = "leaderboard";
/// How far it is, in the same hash slot of a cluster.
pub const CURSOR: &str = "{leaderboard}:cursor";

/// How many players the board shows.
pub const TOP: u64 = 10;

/// One line of the board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The player.
    pub username: String,
    /// What the player has.
    pub score: Score,
}

impl From<Member> for Entry {
    /// Infinity, which only another program can have written, has no JSON.
    fn from(member: Member) -> Self {
        Self { username: member.name, score: Score::nearest(member.score) }
    }
}

/// The top ten at one moment, rendered once for everyone who watches.
#[derive(Debug, Clone)]
pub struct Board {
    /// Grows with every reading of the board by this process.
    pub reading: u64,
    /// A JSON array of [`Entry`].
    pub json: Arc<str>,
    /// The same as a server-sent event.
    pub event: Bytes,
}

impl Board {
    /// Renders a reading.
    pub fn new(reading: u64, members: Vec<Member>) -> Self {
        let entries: Vec<Entry> = members.into_iter().map(Entry::from).collect();
        // Strings and numbers always make JSON, and JSON has no raw line breaks, which an event could not hold.
        let json: Arc<str> = serde_json::to_string(&entries).unwrap_or_else(|_| "[]".to_owned()).into();
        let event = format!("id: {reading}\ndata: {json}\n\n").into();
        Self { reading, json, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_exact_json_on_one_line() {
        let member = |name: &str, score| Member { name: name.to_owned(), score };
        let members = vec![
            member("a\nb\"c", f64::INFINITY),
            member("é🦀", 9_007_199_254_740_992.0),
            member("z", 0.1),
            member("n", -0.0),
            member("y", -7.0),
        ];
        let board = Board::new(3, members);
        let json = r#"[{"username":"a\nb\"c","score":1.7976931348623157e+308},{"username":"é🦀","score":9007199254740992},{"username":"z","score":0.1},{"username":"n","score":-0},{"username":"y","score":-7}]"#;
        assert_eq!(&*board.json, json);
        assert_eq!(board.event, format!("id: 3\ndata: {json}\n\n"));
    }
}
