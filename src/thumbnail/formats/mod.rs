//! The supported formats. Each has a folder with a [`Codec`]: signature, header, truncation check and decoder.
//!
//! To add a format, create its folder, declare the module, and add one line to the registry below.

mod bmp;
mod buffer;
mod buffered;
mod codec;
mod gif;
mod header;
mod image_adapter;
mod jpeg;
mod png;
#[cfg(test)]
pub(super) mod test_support;
mod tiff;
mod unsupported;
mod webp;

pub(super) use codec::{ReadSeek, RowDecoder};
pub(super) use header::header_error;

use codec::Codec;

use super::error::Error;

/// Defines [`Format`] and maps each variant to its codec.
macro_rules! registry {
    ($($(#[$doc:meta])* $format:ident => $codec:expr;)*) => {
        /// A supported input format; [`Format::Jpeg`], [`Format::Png`] and [`Format::WebP`] are also output formats.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])* $format,)*
        }

        impl Format {
            /// All formats, in the order in which they are detected.
            const ALL: &[Self] = &[$(Self::$format),*];

            pub(super) fn codec(self) -> &'static dyn Codec {
                match self {
                    $(Self::$format => &$codec,)*
                }
            }
        }
    };
}

registry! {
    /// ITU-T T.81: baseline and progressive, Huffman coding, 8 bits; grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg => jpeg::Jpeg;
    /// Every colour type and depth, interlaced or not; the first frame of an animation.
    Png => png::Png;
    /// Lossy, lossless, with and without alpha; the first frame of an animation.
    WebP => webp::WebP;
    /// The first frame.
    Gif => gif::Gif;
    /// The first page; most colours, depths and compressions, see `docs/formats.md`.
    Tiff => tiff::Tiff;
    /// Windows and OS/2 bitmaps.
    Bmp => bmp::Bmp;
}

impl Format {
    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        self.codec().info().extension
    }

    /// The registered media type (IANA).
    pub fn media_type(self) -> &'static str {
        self.codec().info().media_type
    }

    /// The names of all formats, as an enumeration for messages.
    pub(super) fn names() -> String {
        let names: Vec<&str> = Self::ALL.iter().map(|format| format.codec().info().name).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }
}

/// Number of bytes for [`sniff`]; an SVG can begin with a long comment.
pub(super) const SNIFF_BYTES: usize = 1024;

/// Detects the format of a file from its first [`SNIFF_BYTES`] bytes, or from the whole of a shorter file, never from
/// its name.
pub(super) fn sniff(head: &[u8]) -> Result<Format, Error> {
    if head.is_empty() {
        return Err(Error::Empty);
    }
    let format = Format::ALL.iter().find(|format| format.codec().sniff(head));
    format.copied().ok_or_else(|| unsupported::name(head).map_or(Error::NotAnImage, Error::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_formats_are_named() {
        let table: [(&[u8], &str); 13] = [
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isom", "video"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"\xff\x0a\xfa", "JPEG XL"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
            (b"%PDF-1.7\n", "PDF"),
            (b"8BPS\0\x01", "PSD"),
            (b"\0\0\x01\0\x01\0\x10\x10", "ICO"),
            (b"\xef\xbb\xbf <?xml version=\"1.0\"?>\n<!-- x --><svg xmlns=\"\">", "SVG"),
            (b"<svg/>", "SVG"),
            (b"\xff\xd8\xff\xf7\0\x0b", "JPEG-LS"),
        ];
        for (head, name) in table {
            assert!(matches!(sniff(head), Err(Error::Unsupported(found)) if found == name), "{name}");
        }
    }

    #[test]
    fn texts_are_not_images() {
        for text in
            [&b"hello"[..], b"BM is how this text begins, but it is no bitmap", b"<html></html>", b"\0", b"GIF89"]
        {
            assert!(matches!(sniff(text), Err(Error::NotAnImage)));
        }
        assert!(matches!(sniff(b""), Err(Error::Empty)));
    }
}
