//! Validated values: ids of users, jobs and orders, image paths, player names, scores, email addresses.
//!
//! Owns nothing, consumes nothing, publishes nothing and imports nothing of the crate. Each type has one fallible
//! constructor, after which no further checks are needed.

mod email_address;
mod image_path;
mod job;
mod order;
mod score;
mod text;
mod trace_parent;
mod user;
mod username;

use serde_json::Value;

pub use email_address::EmailAddress;
pub use image_path::ImagePath;
pub use job::JobId;
pub use order::{CustomerId, OrderId};
pub use score::Score;
pub use trace_parent::TraceParent;
pub use user::UserId;
pub use username::Username;

/// A validation error.
///
/// Both texts are for the client and complete the sentence "got …, expected …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("got {got}, expected {expected}")]
pub struct Invalid {
    /// The invalid value, shortened for messages.
    pub got: String,
    /// The values that are allowed.
    pub expected: &'static str,
}

impl Invalid {
    /// The error for a JSON value, or for a missing field (`None`).
    pub fn json(value: Option<&Value>, expected: &'static str) -> Self {
        let got = match value {
            None => "nothing".to_owned(),
            Some(Value::String(text)) => return Self::text(text, expected),
            Some(Value::Array(_)) => "an array".to_owned(),
            Some(Value::Object(_)) => "an object".to_owned(),
            Some(other) => other.to_string(),
        };
        Self { got, expected }
    }

    /// The error for a text.
    pub fn text(text: &str, expected: &'static str) -> Self {
        const SHOWN: usize = 60;
        let got = match text.char_indices().nth(SHOWN) {
            None => format!("the string {text:?}"),
            Some((cut, _)) => format!("a string of {} bytes that begins with {:?}", text.len(), &text[..cut]),
        };
        Self { got, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_contains_the_start_of_a_long_value() {
        let error = ImagePath::new(&"x".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("got a string of 1048576 bytes that begins with \"xxx"), "{error}");
        assert!(error.len() < 200);
    }
}
