//! Thumbnail files, named by their content and the key of the installation.

use std::fmt;
use std::io;
use std::str::FromStr;

use super::THUMBNAILS;
use super::name_key::NameKey;
use super::root::Root;
use super::temporary::{Reuse, Temporary};

const EXTENSIONS: [&str; 3] = ["jpg", "png", "webp"];
const HASH_DIGITS: usize = 64;

/// The name of a thumbnail: the HMAC-SHA-256 of its bytes in hex ([`NameKey`]), a dot, and the extension. Older versions
/// have used the SHA-256, which has the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThumbnailName(String);

impl ThumbnailName {
    /// As text: ASCII that needs no escaping in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn path(&self) -> String {
        format!("{THUMBNAILS}/{}/{}", &self.0[..2], self.0)
    }
}

/// The text is not the name of a thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a thumbnail's name")]
pub struct NotAName;

impl FromStr for ThumbnailName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (hash, extension) = text.split_once('.').ok_or(NotAName)?;
        let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hash && EXTENSIONS.contains(&extension) { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

impl fmt::Display for ThumbnailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn save(root: &Root, key: &NameKey, bytes: &[u8], extension: &str) -> io::Result<ThumbnailName> {
    let hash = key.name(bytes);
    let name = ThumbnailName(format!("{hash}.{extension}"));
    let mut file = Temporary::create(&root.path().join(THUMBNAILS))?;
    file.write(bytes)?;
    file.persist(&format!("{}/{name}", &hash[..2]), Reuse::Keep)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashes_with_a_known_extension() {
        let hash = "0f".repeat(32);
        assert!(format!("{hash}.jpg").parse::<ThumbnailName>().is_ok());
        for bad in
            [format!("{hash}.exe"), hash.clone(), format!("{}.jpg", hash.to_uppercase()), format!("../{hash}.jpg")]
        {
            assert_eq!(bad.parse::<ThumbnailName>(), Err(NotAName));
        }
    }
}
