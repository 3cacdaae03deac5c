//! Reasons for which an image has no thumbnail, with messages for uploaders.

use std::io;

use super::limits::MAX_SIDE;

/// The reason for which an image has no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The first bytes match no known format.
    #[error("the file is not an image")]
    NotAnImage,
    /// An image of an unsupported format or variant; the name is one that uploaders know.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The header is truncated or inconsistent.
    #[error("bad header: {0}")]
    BadHeader(&'static str),
    /// The width or height exceeds [`MAX_SIDE`].
    #[error("{width}x{height} pixels: the width or height exceeds {MAX_SIDE}")]
    TooWide {
        /// In pixels, from the header.
        width: u32,
        /// In pixels, from the header.
        height: u32,
    },
    /// More pixels than [`Limits::max_pixels`](super::Limits::max_pixels).
    #[error("{width}x{height} pixels exceed the limit of {max_pixels}")]
    TooManyPixels {
        /// In pixels, from the header.
        width: u32,
        /// In pixels, from the header.
        height: u32,
        /// The limit.
        max_pixels: u64,
    },
    /// Decoding would take more than [`Limits::max_bytes`](super::Limits::max_bytes).
    #[error("decoding exceeds the memory limit")]
    TooMuchMemory,
    /// The file ends before its image does.
    #[error("the file is truncated")]
    Truncated,
    /// The content is invalid or contradicts the header.
    #[error("the file is damaged")]
    Corrupt {
        /// The error of the decoder.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The reader failed; the image may be valid.
    #[error("cannot read")]
    Read {
        /// The error of the reader.
        source: io::Error,
    },
}

impl Error {
    /// Whether [`probe()`](super::probe()) detects this error from the header alone.
    pub fn shows_in_header(&self) -> bool {
        match self {
            Self::Empty
            | Self::NotAnImage
            | Self::Unsupported(_)
            | Self::BadHeader(_)
            | Self::TooWide { .. }
            | Self::TooManyPixels { .. } => true,
            Self::TooMuchMemory | Self::Truncated | Self::Corrupt { .. } | Self::Read { .. } => false,
        }
    }

    /// Whether the operating system failed to read: the image may be valid, and another attempt may succeed.
    pub fn is_of_storage(&self) -> bool {
        matches!(self, Self::Read { source } if source.raw_os_error().is_some())
    }

    /// One sentence for the uploader: the problem and the remedy.
    pub fn message(&self) -> String {
        const FORMATS: &str = "JPEG, PNG, WebP, GIF, TIFF or BMP";
        match self {
            Self::Empty => format!("The file is empty; send a {FORMATS} image."),
            Self::NotAnImage => format!("The file is not an image; send a {FORMATS} image."),
            Self::Unsupported(name) => format!("{name} is not supported; send a {FORMATS} image."),
            Self::BadHeader(_) => {
                "The image's header is damaged or cut off; send the file again or export it again.".into()
            }
            Self::TooWide { width, height } => format!(
                "The image has {width}x{height} pixels, but neither side may have more than {MAX_SIDE}; send a smaller one."
            ),
            Self::TooManyPixels { width, height, max_pixels } => format!(
                "The image has {width}x{height} pixels, but at most {max_pixels} in total are allowed; send a smaller one."
            ),
            Self::TooMuchMemory => {
                "The image takes too much memory to open; send a smaller one, or one with 8 bits per channel.".into()
            }
            Self::Truncated => "The image is cut off before its end; send the whole file.".into(),
            Self::Corrupt { .. } => {
                "The image is damaged and cannot be opened; send the file again or export it again.".into()
            }
            Self::Read { .. } => "The image could not be read; send it again.".into(),
        }
    }

    pub(super) fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Corrupt { source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_sentence_without_internal_details() {
        let errors = [
            Error::Empty,
            Error::NotAnImage,
            Error::Unsupported("AVIF"),
            Error::BadHeader("IHDR"),
            Error::TooWide { width: 70_000, height: 1 },
            Error::TooManyPixels { width: 50_000, height: 50_000, max_pixels: 100_000_000 },
            Error::TooMuchMemory,
            Error::Truncated,
            Error::corrupt("zune said: secret"),
            Error::Read { source: io::Error::other("/secret/path") },
        ];
        for error in errors {
            let message = error.message();
            assert!(message.ends_with('.') && !message.contains("secret") && !message.contains('\n'), "{message}");
            assert!(!message.to_string().is_empty() && message.matches(". ").count() == 0, "{message}");
        }
    }
}
