//! Image paths.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Invalid;

/// The path of an image below the image root: relative, `/`-separated, without `.`, `..`, empty parts or NUL.
///
/// The file itself is only checked when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(example = "photos/1.jpg")]
pub struct ImagePath(String);

impl ImagePath {
    /// The form of a path in JSON.
    pub const EXPECTED: &str = "a string, the path of the image below the image root";
    /// The longest path in bytes, `PATH_MAX` of Linux without its NUL.
    pub const MAX_BYTES: usize = 4095;
    /// The longest part between two slashes in bytes, `NAME_MAX` of Linux.
    pub const MAX_PART_BYTES: usize = 255;

    /// Validates a path. A leading `./` and repeated slashes are removed.
    ///
    /// # Errors
    /// If it is empty, absolute or too long, or contains `..` or NUL.
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

    /// Validates a JSON value, or a missing field (`None`).
    ///
    /// # Errors
    /// If it is not a string, or refused by [`ImagePath::new`].
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value {
            Some(Value::String(text)) => Self::new(text),
            other => Err(Invalid::json(other, Self::EXPECTED)),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ImagePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ImagePath {
    type Error = Invalid;

    fn try_from(value: String) -> Result<Self, Invalid> {
        Self::new(&value)
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

    use super::*;

    #[test]
    fn image_paths_stay_below_the_root() {
        for bad in ["", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "a/", "a\0b"] {
            assert!(ImagePath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ImagePath::new("./a//b #?%.jpg").unwrap().as_str(), "a/b #?%.jpg");
        assert_eq!(ImagePath::new("…/é.jpg").unwrap().as_str(), "…/é.jpg");
    }

    proptest! {
        #[test]
        fn any_valid_path_is_relative_and_normalized(text in any::<String>()) {
            if let Ok(path) = ImagePath::new(&text) {
                prop_assert!(path.as_str().split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(ImagePath::new(path.as_str()), Ok(path.clone()));
            }
        }
    }
}
