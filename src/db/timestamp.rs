//! Formats times of the database: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;
use serde::Serializer;

use super::UnixMillis;

/// Formats a time; one that is out of the range of the calendar as its number.
pub(crate) fn text(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| format!("{at:.3}"))
}

/// For `#[serde(serialize_with)]`.
pub(crate) fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// The same for an optional time.
pub(crate) fn serialize_optional<S: Serializer>(at: &Option<UnixMillis>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, serializer),
        None => serializer.serialize_none(),
    }
}
