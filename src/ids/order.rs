//! Ids of orders and their customers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Invalid, text};

const MAX_CHARS: usize = 255;
const EXPECTED: &str = "a string of 1 to 255 characters without control characters";

/// The shop's id of an order: 1 to 255 characters, without control characters, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "A-1001")]
pub struct OrderId(String);

/// The shop's id of a customer: 1 to 255 characters, without control characters, kept byte for byte. It need not be the
/// id of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "C-7")]
pub struct CustomerId(String);

impl OrderId {
    /// Validates a JSON value, or a missing field (`None`).
    ///
    /// # Errors
    /// If it is not a string, empty, longer than 255 characters, or contains control characters.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        text::from_json(value, MAX_CHARS, EXPECTED).map(Self)
    }

    /// As text.
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
    /// Validates a JSON value, or a missing field (`None`).
    ///
    /// # Errors
    /// If it is not a string, empty, longer than 255 characters, or contains control characters.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        text::from_json(value, MAX_CHARS, EXPECTED).map(Self)
    }

    /// As text.
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
    fn order_ids_are_short_texts_without_control_characters() {
        assert_eq!(OrderId::from_json(Some(&json!("o-1"))).unwrap().as_str(), "o-1");
        for bad in [json!(1), json!(""), json!("a\nb"), json!("x".repeat(256)), json!(null), json!([])] {
            assert!(OrderId::from_json(Some(&bad)).is_err(), "{bad}");
            assert!(CustomerId::from_json(Some(&bad)).is_err(), "{bad}");
        }
    }
}
