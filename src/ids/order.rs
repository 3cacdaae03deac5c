//! Orders, and who placed them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Invalid, text};

const MAX_CHARS: usize = 255;
const EXPECTED: &str = "a string of 1 to 255 characters without control characters";

/// An order: the shop's own id for it, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OrderId(String);

/// Who placed an order: the shop's own id for a customer, kept byte for byte. It need not be a [`super::UserId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct CustomerId(String);

impl OrderId {
    /// Reads an order's id from JSON.
    ///
    /// # Errors
    /// When it is missing, no string, empty, longer than 255 characters, or holds control characters.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        text::from_json(value, MAX_CHARS, EXPECTED).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderId {
    type Err = Invalid;

    fn from_str(id: &str) -> Result<Self, Invalid> {
        text::checked(id, MAX_CHARS, EXPECTED).map(Self)
    }
}

impl TryFrom<String> for OrderId {
    type Error = Invalid;

    fn try_from(id: String) -> Result<Self, Invalid> {
        id.parse()
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CustomerId {
    /// Reads a customer's id from JSON.
    ///
    /// # Errors
    /// When it is missing, no string, empty, longer than 255 characters, or holds control characters.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        text::from_json(value, MAX_CHARS, EXPECTED).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CustomerId {
    type Err = Invalid;

    fn from_str(id: &str) -> Result<Self, Invalid> {
        text::checked(id, MAX_CHARS, EXPECTED).map(Self)
    }
}

impl TryFrom<String> for CustomerId {
    type Error = Invalid;

    fn try_from(id: String) -> Result<Self, Invalid> {
        id.parse()
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_is_named_by_any_short_text() {
        assert_eq!(OrderId::from_json(Some(&json!("o-1"))).unwrap().as_str(), "o-1");
        for bad in [json!(1), json!(""), json!("a\nb"), json!("x".repeat(256)), json!(null), json!([])] {
            assert!(OrderId::from_json(Some(&bad)).is_err(), "{bad}");
            assert!(CustomerId::from_json(Some(&bad)).is_err(), "{bad}");
        }
    }
}
