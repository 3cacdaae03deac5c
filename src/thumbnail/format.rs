//! Detects the format of a file from its first bytes, never from its name.

use super::error::Error;

/// A supported input format; [`Format::Jpeg`], [`Format::Png`] and [`Format::WebP`] are also output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// ITU-T T.81: baseline and progressive, Huffman coding, 8 bits; grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// Every colour type and depth, interlaced or not; the default image of an animation.
    Png,
    /// Lossy, lossless, with and without alpha; the first frame of an animation.
    WebP,
    /// The first frame.
    Gif,
    /// Grey of 1 to 16 bits; RGB, CMYK, YCbCr of 8 or 16 bits, or 32-bit floats; strips, tiles, planes; the first page.
    Tiff,
    /// Windows and OS/2 bitmaps.
    Bmp,
}

impl Format {
    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Tiff => "tiff",
            Self::Bmp => "bmp",
        }
    }

    /// The registered media type (IANA).
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Tiff => "image/tiff",
            Self::Bmp => "image/bmp",
        }
    }
}

/// Number of bytes for [`sniff`]; an SVG can begin with a long comment.
pub(super) const SNIFF_BYTES: usize = 1024;

/// Detects the format from the first [`SNIFF_BYTES`] bytes, or from the whole of a shorter file.
pub(super) fn sniff(head: &[u8]) -> Result<Format, Error> {
    match head {
        [] => Err(Error::Empty),
        [0xff, 0xd8, 0xff, 0xf7, ..] => Err(Error::Unsupported("JPEG-LS")),
        [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Format::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Format::WebP),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Format::Gif),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Format::Tiff),
        [b'B', b'M', ..] if is_bmp(head) => Ok(Format::Bmp),
        _ => Err(unsupported(head).map_or(Error::NotAnImage, Error::Unsupported)),
    }
}

/// Many texts start with "BM", so the information header must have a known size.
fn is_bmp(head: &[u8]) -> bool {
    matches!(head.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// The name of a common format that is not supported.
fn unsupported(head: &[u8]) -> Option<&'static str> {
    match head {
        [0, 0, 0, _, b'f', b't', b'y', b'p', brand @ ..] => brands(head, brand),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some("JPEG 2000"),
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => Some("JPEG XL"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some("PDF"),
        [b'8', b'B', b'P', b'S', 0, 1 | 2, ..] => Some("PSD"),
        [0, 0, 1 | 2, 0, count, 0, ..] if *count > 0 => Some("ICO"),
        [b'v', b'/', b'1', 1, ..] => Some("OpenEXR"),
        [b'%', b'!', b'P', b'S', ..] => Some("PostScript"),
        _ => is_svg(head).then_some("SVG"),
    }
}

/// ISO/IEC 14496-12 `ftyp`: the major brand, then a version, then compatible brands until the box ends.
fn brands(head: &[u8], brand: &[u8]) -> Option<&'static str> {
    let end = usize::from(head[3]).clamp(8, head.len()) - 8;
    let brands = brand.get(..end).unwrap_or(brand).as_chunks::<4>().0;
    let any = |names: &[&[u8; 4]]| brands.iter().any(|brand| names.contains(&brand));
    if any(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        Some("HEIC")
    } else {
        Some("video")
    }
}

fn is_svg(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let markup = text.starts_with(b"<");
    markup && text.windows(4).any(|window| window == b"<svg")
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
