//! Validation of names and ids that clients choose.

use serde_json::Value;

use super::Invalid;

/// A JSON string that passes [`checked`].
pub(super) fn from_json(value: Option<&Value>, max_chars: usize, expected: &'static str) -> Result<String, Invalid> {
    match value {
        Some(Value::String(text)) => checked(text, max_chars, expected),
        other => Err(Invalid::json(other, expected)),
    }
}

/// The unchanged text, if it has 1 to `max_chars` characters without control characters.
pub(super) fn checked(text: &str, max_chars: usize, expected: &'static str) -> Result<String, Invalid> {
    let fits = !text.is_empty() && text.chars().take(max_chars + 1).count() <= max_chars;
    let is_plain = fits && !text.chars().any(char::is_control);
    if is_plain { Ok(text.to_owned()) } else { Err(Invalid::text(text, expected)) }
}
