//! The values that name things: users, jobs, pictures, orders, players and their scores.
//!
//! Owns nothing, consumes nothing, publishes nothing and imports nothing of the crate. Each type has one fallible
//! constructor; past it, nobody checks again.

mod email_address;
mod image_path;
mod job;
mod order;
mod score;
mod text;
mod user;
mod username;

use serde_json::Value;

pub use email_address::EmailAddress;
pub use image_path::ImagePath;
pub use job::JobId;
pub use order::{CustomerId, OrderId};
pub use score::Score;
pub use user::UserId;
pub use username::Username;

/// A value that is not what it should be: what came, and what would be right.
///
/// Both texts are written for the person who sent the value and complete the sentence "got …, expected …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("got {got}, expected {expected}")]
pub struct Invalid {
    /// What came, shortened to a length that fits a message.
    pub got: String,
    /// What is allowed.
    pub expected: &'static str,
}

impl Invalid {
    /// An [`Invalid`] for a JSON value, or for a field that is missing (`None`).
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

    /// An [`Invalid`] for a text.
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
    fn an_error_says_what_came_and_what_is_allowed_without_repeating_a_megabyte() {
        let error = ImagePath::new(&"x".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("got a string of 1048576 bytes that begins with \"xxx"), "{error}");
        assert!(error.len() < 200);
    }
}
