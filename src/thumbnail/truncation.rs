//! Detects truncated files by their end marker: some decoders fill missing pixels with grey or do not read to the end.

use std::io::{self, BufRead, Cursor, Seek, SeekFrom};

use super::error::Error;
use super::format::Format;

/// Reads the container structure without decoding pixels. Formats whose decoders detect truncation need no check.
pub(super) fn check(bytes: &[u8], format: Format) -> Result<(), Error> {
    let complete = match format {
        Format::Png => return png(Cursor::new(bytes)),
        Format::WebP => webp(bytes),
        Format::Gif => gif(bytes),
        Format::Jpeg | Format::Tiff | Format::Bmp => Some(()),
    };
    complete.ok_or(Error::Truncated)
}

/// Chunks up to IEND: length, type, data, checksum (PNG specification, 5.3). Seeks to the start of the file first.
pub(super) fn png<F: BufRead + Seek>(mut file: F) -> Result<(), Error> {
    let read_error = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        _ => Error::Read { source },
    };
    file.seek(SeekFrom::Start(8)).map_err(read_error)?;
    loop {
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk).map_err(read_error)?;
        let [a, b, c, d, name @ ..] = chunk;
        if name == *b"IEND" {
            return file.read_exact(&mut [0; 4]).map_err(read_error);
        }
        // After a seek beyond the end of the file, reading the next chunk fails.
        file.seek_relative(i64::from(u32::from_be_bytes([a, b, c, d])) + 4).map_err(read_error)?;
    }
}

/// The RIFF length and every chunk within it (RFC 9649, 2.3). The last padding byte is often missing.
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

/// Blocks up to the end of the first image (GIF89a, 18 to 22), or up to the trailer without an image.
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
            // The trailer, or an invalid block that the decoder rejects.
            _ => return Some(()),
        }
    }
}

/// Skips data sub-blocks: a length byte and that many bytes, up to a length of 0.
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
    fn a_chunk_beyond_the_end_of_the_file_is_detected() {
        assert_eq!(webp(b"RIFF\x0e\0\0\0WEBPVP8 \x01\0\0\0x"), None);
        assert_eq!(webp(b"RIFF\x0d\0\0\0WEBPVP8 \x01\0\0\0x"), Some(()));
        assert_eq!(webp(b"RIFF\x0d\0\0\0WEBPVP8 \x02\0\0\0x"), None);
        let png = |bytes: &[u8]| png(Cursor::new(bytes));
        assert!(matches!(png(b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\0\0\0"), Err(Error::Truncated)));
        assert!(matches!(png(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffabcd"), Err(Error::Truncated)));
        assert!(png(b"\x89PNG\r\n\x1a\n\0\0\0\x01abcdx\0\0\0\0\0\0\0\0IEND\0\0\0\0trailing").is_ok());
    }
}
