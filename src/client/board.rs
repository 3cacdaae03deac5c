//! A leaderboard as sent by the server.

use std::fmt;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// The best players, highest score first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Board(pub(super) Vec<Entry>);

/// A player with the score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Entry {
    pub(super) username: String,
    pub(super) score: Score,
}

/// A number with the spelling of the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score(Number);

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        // The parser reads -0 as a double, which would be displayed as -0.0.
        f.write_str(if text == "-0.0" { "-0" } else { &text })
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Board {
    /// Parses the argument of an event: `[{"username", "score"}, …]`. Ignores other fields. Returns `None` if it has
    /// another form.
    pub(super) fn from_json(argument: &Value) -> Option<Self> {
        argument.as_array()?.iter().map(Entry::from_json).collect::<Option<_>>().map(Self)
    }
}

impl Entry {
    fn from_json(value: &Value) -> Option<Self> {
        let Value::Number(score) = value.get("score")? else { return None };
        Some(Self { username: value.get("username")?.as_str()?.to_owned(), score: Score(score.clone()) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A board of these players, with scores from their number down to 1.
    pub(in crate::client) fn board(names: &[&str]) -> Board {
        let entries = names.iter().zip((1..=names.len()).rev());
        Board(entries.map(|(name, score)| Entry { username: (*name).to_owned(), score: Score(score.into()) }).collect())
    }

    /// Arbitrary JSON, similar to a board.
    pub(in crate::client) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 32, 5, |inner| {
            let key = prop_oneof![Just("username".to_owned()), Just("score".to_owned()), any::<String>()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn scores_keep_their_spelling() {
        let text = r#"[{"username":"a","score":100},{"username":"b","score":0.1},{"username":"c","score":-0},{"username":"d","score":-9007199254740993}]"#;
        let board = Board::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&board).unwrap(), text);
    }

    #[test]
    fn other_json_is_not_a_board() {
        for bad in [
            json!(null),
            json!({}),
            json!([1]),
            json!([{ "username": "a" }]),
            json!([{ "username": "a", "score": "1" }]),
            json!([{ "username": 1, "score": 1 }]),
        ] {
            assert_eq!(Board::from_json(&bad), None, "{bad}");
        }
        assert_eq!(Board::from_json(&json!([])), Some(Board::default()));
    }

    proptest! {
        #[test]
        fn any_json_is_parsed_or_rejected(json in any_json()) {
            if let Some(Board(entries)) = Board::from_json(&json) {
                prop_assert_eq!(entries.len(), json.as_array().unwrap().len());
            }
        }
    }
}
