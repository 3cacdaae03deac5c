//! Reasons for which an image has no thumbnail.

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
    /// An unsupported variant of a supported format.
    #[error("{name} is not supported")]
    UnsupportedVariant {
        /// The variant, as uploaders know it.
        name: &'static str,
        /// How to save the image instead: an imperative without a full stop.
        remedy: &'static str,
    },
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
            | Self::UnsupportedVariant { .. }
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

    pub(super) fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Corrupt { source: source.into() }
    }

    /// Maps an I/O error of a decoder: only errors of the operating system are failed reads, others report invalid
    /// data.
    pub(super) fn decoder_io(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ if source.raw_os_error().is_some() => Self::Read { source },
            _ => Self::corrupt(source),
        }
    }
}
