//! Error messages for uploaders.

use super::error::Error;
use super::formats::Format;
use super::limits::MAX_SIDE;

impl Error {
    /// One sentence for the uploader: the problem and the remedy.
    pub fn message(&self) -> String {
        let formats = Format::names();
        match self {
            Self::Empty => format!("The file is empty; send a {formats} image."),
            Self::NotAnImage => format!("The file is not an image; send a {formats} image."),
            Self::Unsupported(name) => format!("{name} is not supported; send a {formats} image."),
            Self::UnsupportedVariant { name, remedy } => format!("{name} is not supported; {remedy}."),
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
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_message_is_one_sentence_without_internal_details() {
        let errors = [
            Error::Empty,
            Error::NotAnImage,
            Error::Unsupported("AVIF"),
            Error::UnsupportedVariant { name: "TIFF with LZMA compression", remedy: "save it with LZW" },
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
