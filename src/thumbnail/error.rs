//! What can be wrong with a picture, told to the person who sent it.

use std::io;

/// The longest side in pixels that is accepted: the most that JPEG, GIF and the BMP decoder can express anyway.
pub const MAX_SIDE: u32 = 65_535;

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no bytes at all.
    #[error("the file is empty")]
    Empty,
    /// The bytes begin like no format that is known here.
    #[error("the file is not a picture")]
    NotAPicture,
    /// A picture, but of a format or variant that is not read here; the name is one an uploader knows.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The header is cut off or contradicts itself; the text says which part.
    #[error("bad header: {0}")]
    BadHeader(&'static str),
    /// A side is longer than [`MAX_SIDE`].
    #[error("{width}x{height} pixels: a side is longer than {MAX_SIDE}")]
    TooWide {
        /// In pixels, as the header says.
        width: u32,
        /// In pixels, as the header says.
        height: u32,
    },
    /// More pixels than [`Limits::max_pixels`](super::Limits::max_pixels).
    #[error("{width}x{height} pixels are more than {max_pixels}")]
    TooManyPixels {
        /// In pixels, as the header says.
        width: u32,
        /// In pixels, as the header says.
        height: u32,
        /// What is allowed.
        max_pixels: u64,
    },
    /// Decoding would take more than [`Limits::max_bytes`](super::Limits::max_bytes).
    #[error("decoding takes more memory than is allowed")]
    TooMuchMemory,
    /// The file ends before its picture does.
    #[error("the file is cut off")]
    Truncated,
    /// The content contradicts the header, or itself.
    #[error("the file is damaged")]
    Corrupt {
        /// What the decoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The reader failed; nothing is known about the picture.
    #[error("cannot read")]
    Read {
        /// What the reader said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the header alone shows it: true for all that [`probe()`](super::probe()) says about a picture, false for
    /// what only decoding shows.
    pub fn shows_in_header(&self) -> bool {
        match self {
            Self::Empty
            | Self::NotAPicture
            | Self::Unsupported(_)
            | Self::BadHeader(_)
            | Self::TooWide { .. }
            | Self::TooManyPixels { .. } => true,
            Self::TooMuchMemory | Self::Truncated | Self::Corrupt { .. } | Self::Read { .. } => false,
        }
    }

    /// Whether the system failed to read: nothing is known about the picture, and another attempt may succeed.
    pub fn is_of_storage(&self) -> bool {
        matches!(self, Self::Read { source } if source.raw_os_error().is_some())
    }

    /// One sentence for the uploader: what is wrong with the picture, and what would be right.
    pub fn message(&self) -> String {
        const FORMATS: &str = "JPEG, PNG, WebP, GIF, TIFF or BMP";
        match self {
            Self::Empty => format!("The file is empty; send a {FORMATS} picture."),
            Self::NotAPicture => format!("The file is not a picture; send a {FORMATS} picture."),
            Self::Unsupported(what) => format!("{what} is not supported; send a {FORMATS} picture."),
            Self::BadHeader(_) => {
                "The picture's header is damaged or cut off; send the file again or export it anew.".into()
            }
            Self::TooWide { width, height } => format!(
                "The picture has {width}x{height} pixels, but neither side may have more than {MAX_SIDE}; send a smaller one."
            ),
            Self::TooManyPixels { width, height, max_pixels } => format!(
                "The picture has {width}x{height} pixels, but at most {max_pixels} in all are allowed; send a smaller one."
            ),
            Self::TooMuchMemory => {
                "The picture takes too much memory to open; send a smaller one, or one with 8 bits a channel.".into()
            }
            Self::Truncated => "The picture is cut off before its end; send the whole file.".into(),
            Self::Corrupt { .. } => {
                "The picture is damaged and cannot be opened; send the file again or export it anew.".into()
            }
            Self::Read { .. } => "The picture could not be read; send it again.".into(),
        }
    }

    /// A [`Error::Corrupt`] that says why.
    pub(super) fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Corrupt { source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_sentence_that_says_nothing_of_the_inside() {
        let errors = [
            Error::Empty,
            Error::NotAPicture,
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
