//! The values that name things: users, jobs, pictures.
//!
//! Owns nothing, consumes nothing, publishes nothing and imports nothing of the crate. Each type has one fallible
//! constructor; past it, nobody checks again.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

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

/// A user: a whole number from 1 to 2^53-1, the numbers that JavaScript counts exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(i64);

impl UserId {
    /// The largest user id, `Number.MAX_SAFE_INTEGER` of JavaScript.
    pub const MAX: i64 = (1 << 53) - 1;
    const EXPECTED: &str = "a whole number from 1 to 9007199254740991";

    /// Makes a user id.
    ///
    /// # Errors
    /// When the number is out of range.
    pub fn new(number: i64) -> Result<Self, Invalid> {
        if (1..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Invalid { got: number.to_string(), expected: Self::EXPECTED })
        }
    }

    /// Reads a user id from JSON: a number that is whole, however it is written (`1`, `1.0`, `1e3`).
    ///
    /// # Errors
    /// When it is missing, of another type (strings included), fractional or out of range.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        let number = match value {
            Some(Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            _ => None,
        };
        number.and_then(|number| Self::new(number).ok()).ok_or_else(|| Invalid::json(value, Self::EXPECTED))
    }

    /// The number, from 1 to [`UserId::MAX`].
    pub fn get(self) -> i64 {
        self.0
    }
}

/// The integer that a float stands for, if it is one that a user id can hold.
fn whole(float: f64) -> Option<i64> {
    let fits = float.fract() == 0.0 && (1.0..=UserId::MAX as f64).contains(&float);
    fits.then_some(float as i64)
}

impl FromStr for UserId {
    type Err = Invalid;

    /// Reads the decimal form that URLs and form fields use: digits only, no sign, no space.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.and_then(|number| Self::new(number).ok()).ok_or_else(|| Invalid::text(text, Self::EXPECTED))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A job: a UUID version 7 (RFC 9562), so that ids sort by the time they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new id, greater than every one this process made before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    /// Reads the hyphenated form only, so that a job has one spelling.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        let id = if hyphenated { Uuid::parse_str(text).ok() } else { None };
        id.map(Self).ok_or_else(|| Invalid::text(text, "a job id, which is a UUID"))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Where a picture lies below the image root: relative, `/`-separated, without `.`, `..`, empty parts or NUL.
///
/// It says nothing about what lies there; that shows when the file is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ImagePath(String);

impl ImagePath {
    /// The longest path in bytes, `PATH_MAX` of Linux without its NUL.
    pub const MAX_BYTES: usize = 4095;
    /// The longest part between two slashes in bytes, `NAME_MAX` of Linux.
    pub const MAX_PART_BYTES: usize = 255;

    /// Makes an image path. A leading `./` and doubled slashes are tidied away.
    ///
    /// # Errors
    /// When it is empty, absolute, too long, or holds `..` or NUL.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let refuse = |expected| Err(Invalid::text(text, expected));
        if text.is_empty() {
            return refuse("a path relative to the image root, such as \"photos/1.jpg\"");
        }
        if text.len() > Self::MAX_BYTES {
            return refuse("a path of at most 4095 bytes");
        }
        if text.contains('\0') {
            return refuse("a path without NUL characters");
        }
        if text.starts_with('/') {
            return refuse("a path relative to the image root, without a leading \"/\"");
        }
        if text.ends_with('/') {
            return refuse("the path of a file, not of a folder");
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return refuse("a path without \"..\"");
        }
        if parts.iter().any(|part| part.len() > Self::MAX_PART_BYTES) {
            return refuse("a path whose parts have at most 255 bytes each");
        }
        if parts.is_empty() {
            return refuse("the path of a file, not of a folder");
        }
        Ok(Self(parts.join("/")))
    }

    /// Reads an image path from JSON.
    ///
    /// # Errors
    /// When it is missing, no string, or not as [`ImagePath::new`] wants it.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value {
            Some(Value::String(text)) => Self::new(text),
            other => Err(Invalid::json(other, "a string, the picture's path below the image root")),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn user_ids_are_whole_numbers_that_javascript_counts_exactly() {
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

    #[test]
    fn an_error_says_what_came_and_what_is_allowed_without_repeating_a_megabyte() {
        let error = ImagePath::new(&"x".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("got a string of 1048576 bytes that begins with \"xxx"), "{error}");
        assert!(error.len() < 200);
    }

    #[test]
    fn image_paths_stay_below_the_root() {
        for bad in ["", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "a/", "a\0b"] {
            assert!(ImagePath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ImagePath::new("./a//b #?%.jpg").unwrap().as_str(), "a/b #?%.jpg");
        assert_eq!(ImagePath::new("…/é.jpg").unwrap().as_str(), "…/é.jpg");
    }

    #[test]
    fn a_job_id_has_one_spelling() {
        let id = JobId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().replace('-', "").parse::<JobId>().is_err());
        assert!(JobId::generate() > id);
    }

    proptest! {
        #[test]
        fn any_text_makes_a_path_that_is_relative_and_plain_or_an_error(text in any::<String>()) {
            if let Ok(path) = ImagePath::new(&text) {
                prop_assert!(path.as_str().split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(ImagePath::new(path.as_str()), Ok(path.clone()));
            }
        }
    }
}
