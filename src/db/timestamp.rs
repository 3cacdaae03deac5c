//! Times of the database as people and programs are shown them: RFC 3339 in UTC, with milliseconds.

use jiff::Timestamp;
use serde::Serializer;

use super::UnixMillis;

/// Writes a time; one that no calendar has is written as its number.
pub fn text(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| format!("{at:.3}"))
}

/// For `#[serde(serialize_with)]`.
///
/// # Errors
/// What the serializer says.
pub fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// The same for a time that may be missing.
///
/// # Errors
/// What the serializer says.
pub fn serialize_optional<S: Serializer>(at: &Option<UnixMillis>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, serializer),
        None => serializer.serialize_none(),
    }
}
