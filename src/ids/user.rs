//! Users.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Invalid;

/// The id of a user: an integer from 1 to 2^53-1, the range of exact integers in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i64")]
#[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 1)]
pub struct UserId(i64);

impl UserId {
    /// `Number.MAX_SAFE_INTEGER` of JavaScript.
    pub const MAX: i64 = (1 << 53) - 1;
    const EXPECTED: &str = "a whole number from 1 to 9007199254740991";

    /// # Errors
    /// If the number is out of range.
    pub fn new(number: i64) -> Result<Self, Invalid> {
        if (1..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Invalid { got: number.to_string(), expected: Self::EXPECTED })
        }
    }

    /// Validates a JSON value, or a missing field (`None`). Integers may be written in any way (`1`, `1.0`, `1e3`).
    ///
    /// # Errors
    /// If it is not a number (strings are refused), fractional or out of range.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        let number = match value {
            Some(Value::Number(number)) => number.as_i64().or_else(|| integer(number.as_f64()?)),
            _ => None,
        };
        number.and_then(|number| Self::new(number).ok()).ok_or_else(|| Invalid::json(value, Self::EXPECTED))
    }

    /// The number, from 1 to [`UserId::MAX`].
    pub fn get(self) -> i64 {
        self.0
    }
}

/// The value of a float as an integer, if it is in the range of user ids.
fn integer(float: f64) -> Option<i64> {
    let fits = float.fract() == 0.0 && (1.0..=UserId::MAX as f64).contains(&float);
    fits.then_some(float as i64)
}

impl FromStr for UserId {
    type Err = Invalid;

    /// Parses URLs and form fields: digits only, no sign, no space.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.and_then(|number| Self::new(number).ok()).ok_or_else(|| Invalid::text(text, Self::EXPECTED))
    }
}

impl TryFrom<i64> for UserId {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        Self::new(value)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn user_ids_are_exact_integers_of_javascript() {
        for good in [json!(1), json!(1.0), json!(1e3), json!(9_007_199_254_740_991_i64)] {
            assert!(UserId::from_json(Some(&good)).is_ok(), "{good}");
        }
        let bad = [json!(0), json!(-1), json!(1.5), json!(1e30), json!("42"), json!(null), json!([1]), json!({})];
        for bad in bad {
            assert!(UserId::from_json(Some(&bad)).is_err(), "{bad}");
        }
        assert!(UserId::from_json(Some(&json!(9_007_199_254_740_992_i64))).is_err());
        assert!(UserId::from_json(None).is_err());
    }

    #[test]
    fn user_ids_in_urls_are_digits_only() {
        assert_eq!("42".parse::<UserId>().map(UserId::get), Ok(42));
        for bad in ["", "+1", "-1", " 1", "1.0", "0", "9007199254740992", "99999999999999999999999"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad}");
        }
    }
}
