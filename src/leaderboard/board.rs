//! The displayed board: the top ten, highest score first.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::bus::Member;
use crate::ids::Score;

/// The key of the sorted set in Redis.
pub const KEY: &str = "leaderboard";
/// The key of the cursor, in the same hash slot.
pub(super) const CURSOR: &str = "{leaderboard}:cursor";

/// The number of players on the board.
pub(super) const TOP: u64 = 10;

/// A player on the board.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Entry {
    #[schema(example = "ada")]
    pub(super) username: String,
    #[schema(value_type = f64, example = 42)]
    pub(super) score: Score,
}

impl From<Member> for Entry {
    /// Infinity, which only another program can write, has no JSON representation.
    fn from(member: Member) -> Self {
        Self { username: member.name, score: Score::nearest(member.score) }
    }
}

/// The top ten at one moment, rendered once for all subscribers.
#[derive(Debug, Clone)]
pub(super) struct Board {
    /// Increases with every read by this process.
    pub(super) read_seq: u64,
    /// A JSON array of [`Entry`].
    pub(super) json: Arc<str>,
    /// The same as a server-sent event.
    pub(super) event: Bytes,
}

impl Board {
    pub(super) fn new(read_seq: u64, members: Vec<Member>) -> Self {
        let entries: Vec<Entry> = members.into_iter().map(Entry::from).collect();
        // Strings and numbers always serialize. JSON has no raw line breaks, which would end the event.
        let json: Arc<str> = serde_json::to_string(&entries).unwrap_or_else(|_| "[]".to_owned()).into();
        let event = format!("id: {read_seq}\ndata: {json}\n\n").into();
        Self { read_seq, json, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_rendered_as_one_line_of_json() {
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
