//! What the names that other people choose have in common.

use serde_json::Value;

use super::Invalid;

/// A text from JSON of 1 to `max_chars` characters without control characters, byte for byte as it came.
pub(super) fn from_json(value: Option<&Value>, max_chars: usize, expected: &'static str) -> Result<String, Invalid> {
    match value {
        Some(Value::String(text)) => checked(text, max_chars, expected),
        other => Err(Invalid::json(other, expected)),
    }
}

/// The text itself, if it has 1 to `max_chars` characters and none of them is a control character.
pub(super) fn checked(text: &str, max_chars: usize, expected: &'static str) -> Result<String, Invalid> {
    let fits = !text.is_empty() && text.chars().take(max_chars + 1).count() <= max_chars;
    let is_plain = fits && !text.chars().any(char::is_control);
    if is_plain { Ok(text.to_owned()) } else { Err(Invalid::text(text, expected)) }
}
