//! Whether a file goes on to its own end marker: decoders fill what is missing with grey, or never look.

use super::{Error, Format};

/// Walks the container, not the pixels; formats whose decoders notice a missing byte themselves are passed.
pub(super) fn check(bytes: &[u8], format: Format) -> Result<(), Error> {
    let whole = match format {
        Format::Png => png(bytes),
        Format::WebP => webp(bytes),
        Format::Gif => gif(bytes),
        Format::Jpeg | Format::Tiff | Format::Bmp => Some(()),
    };
    whole.ok_or(Error::Truncated)
}

/// Chunks up to IEND: length, type, data, checksum (PNG specification, 5.3).
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let &[a, b, c, d, ref name @ .., _, _, _, _] = rest.first_chunk::<12>()?;
        if name == b"IEND" {
            return Some(());
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        rest = rest.get(length.checked_add(12)?..)?;
    }
}

/// The length in the RIFF header, and every chunk within it (RFC 9649, 2.3). The last padding byte is often missing.
fn webp(bytes: &[u8]) -> Option<()> {
    let length = |bytes: &[u8]| usize::try_from(u32::from_le_bytes(*bytes.get(4..8)?.first_chunk()?)).ok();
    let mut rest = bytes.get(12..length(bytes)?.checked_add(8)?)?;
    while rest.len() >= 8 {
        let length = length(rest)?.checked_add(8)?;
        let chunk = rest.get(..length)?;
        rest = rest.get(chunk.len() + (length & 1)..).unwrap_or_default();
    }
    Some(())
}

/// Blocks up to the end of the first image's data (GIF89a, 18 to 22); without an image, up to the trailer.
fn gif(bytes: &[u8]) -> Option<()> {
    let colours = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut rest = bytes.get(13 + colours(*bytes.get(10)?)..)?;
    loop {
        match *rest.first()? {
            0x21 => rest = sub_blocks(rest.get(2..)?)?,
            0x2c => {
                let data = 10 + colours(*rest.get(9)?) + 1;
                return sub_blocks(rest.get(data..)?).map(|_| ());
            }
            // A trailer, or what the decoder will not take either.
            _ => return Some(()),
        }
    }
}

/// Passes over data sub-blocks: a length and as many bytes, until a length of 0.
fn sub_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            return Some(after);
        }
        rest = after.get(usize::from(length)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_must_lie_within_its_file() {
        assert_eq!(webp(b"RIFF\x0e\0\0\0WEBPVP8 \x01\0\0\0x"), None);
        assert_eq!(webp(b"RIFF\x0d\0\0\0WEBPVP8 \x01\0\0\0x"), Some(()));
        assert_eq!(webp(b"RIFF\x0d\0\0\0WEBPVP8 \x02\0\0\0x"), None);
        assert_eq!(png(b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\0\0\0"), None);
        assert_eq!(png(b"\x89PNG\r\n\x1a\n\0\0\0\x01abcdx\0\0\0\0\0\0\0\0IEND\0\0\0\0trailing"), Some(()));
    }
}
