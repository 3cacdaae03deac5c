//! Player names.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Invalid, text};

/// A player's name: 1 to 64 characters of any language, no control characters. It is neither trimmed nor normalized:
/// two names are the same player only if their bytes are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "ada")]
pub struct Username(String);

impl Username {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 64;
    const EXPECTED: &str = "a string of 1 to 64 characters without control characters";

    /// Validates a JSON value, or a missing field (`None`).
    ///
    /// # Errors
    /// If it is not a string, empty or too long, or contains control characters.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        text::from_json(value, Self::MAX_CHARS, Self::EXPECTED).map(Self)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for Username {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        text::checked(name, Self::MAX_CHARS, Self::EXPECTED).map(Self)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_any_language_are_kept_unchanged() {
        for good in ["a", " Ada ", "Åsa", "A\u{30a}sa", "日本語", "🦀", "constructor", &"é".repeat(64)] {
            assert_eq!(good.parse::<Username>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        for bad in ["", "\n", "a\0b", "tab\t", "\u{85}", &"é".repeat(65)] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?}");
        }
        for bad in [json!(1), json!(null), json!(["a"]), json!({})] {
            assert!(Username::from_json(Some(&bad)).is_err(), "{bad}");
        }
        assert!(Username::from_json(None).is_err());
    }
}
