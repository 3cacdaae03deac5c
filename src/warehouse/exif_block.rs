//! The EXIF block of an image file, found without reading its pixels: a TIFF structure (CIPA DC-008, 4.5).

use std::io::{self, BufRead, BufReader, Read, Seek};

use m3a3_thumbnail::Format;

/// A longer block is ignored.
const MAX_BYTES: u64 = 4 << 20;
/// Before the block in JPEG, and in some WebP.
const HEADER: &[u8] = b"Exif\0\0";

/// The EXIF block of a file of this format; `None` if it has none, or if it is damaged before the block.
///
/// # Errors
/// When the file cannot be read, or ends early.
pub(super) fn exif_block<F: Read + Seek>(mut file: F, format: Format) -> io::Result<Option<Vec<u8>>> {
    file.rewind()?;
    let mut file = BufReader::new(file);
    match format {
        Format::Jpeg => of_jpeg(&mut file),
        Format::Png => of_png(&mut file),
        Format::WebP => of_webp(&mut file),
        Format::Tiff => {
            let mut whole = Vec::new();
            file.read_to_end(&mut whole)?;
            Ok(Some(whole))
        }
        Format::Gif | Format::Bmp => Ok(None),
    }
}

/// In a segment APP1 before the first scan (CIPA DC-008, 4.7.2).
fn of_jpeg<F: Read + Seek>(file: &mut BufReader<F>) -> io::Result<Option<Vec<u8>>> {
    const APP1: u8 = 0xe1;
    file.seek_relative(2)?;
    loop {
        let marker = marker(file)?;
        match marker {
            // Stuffing, and markers without a segment.
            0x00 | 0x01 | 0xd0..=0xd7 => continue,
            // Start and end of an image, and the start of a scan.
            0xd8..=0xda => return Ok(None),
            _ => {}
        }
        let Some(length) = u16::from_be_bytes(array(file)?).checked_sub(2) else { return Ok(None) };
        if marker != APP1 {
            file.seek_relative(length.into())?;
            continue;
        }
        let segment = bytes(file, length.into())?;
        if let Some(block) = segment.strip_prefix(HEADER) {
            return Ok(Some(block.to_vec()));
        }
    }
}

/// The next marker; skips bytes that are none, as libjpeg does.
fn marker(file: &mut impl BufRead) -> io::Result<u8> {
    file.skip_until(0xff)?;
    loop {
        match array(file)? {
            [0xff] => {}
            [marker] => return Ok(marker),
        }
    }
}

/// In a chunk `eXIf` (PNG, third edition, 11.3.2.1).
fn of_png<F: Read + Seek>(file: &mut BufReader<F>) -> io::Result<Option<Vec<u8>>> {
    file.seek_relative(8)?;
    loop {
        let length = u32::from_be_bytes(array(file)?);
        match &array(file)? {
            b"eXIf" => return block(file, length),
            b"IEND" => return Ok(None),
            // With its checksum.
            _ => file.seek_relative(i64::from(length) + 4)?,
        }
    }
}

/// In a chunk `EXIF` (RFC 9649, 2.7.1.5).
fn of_webp<F: Read + Seek>(file: &mut BufReader<F>) -> io::Result<Option<Vec<u8>>> {
    file.seek_relative(12)?;
    loop {
        let name: [u8; 4] = array(file)?;
        let length = u32::from_le_bytes(array(file)?);
        if name == *b"EXIF" {
            return block(file, length);
        }
        // Chunks are padded to an even length.
        file.seek_relative(i64::from(length) + i64::from(length % 2))?;
    }
}

fn block(file: &mut impl Read, length: u32) -> io::Result<Option<Vec<u8>>> {
    if u64::from(length) > MAX_BYTES {
        return Ok(None);
    }
    let bytes = bytes(file, length.into())?;
    Ok(Some(bytes.strip_prefix(HEADER).map_or_else(|| bytes.clone(), <[u8]>::to_vec)))
}

fn bytes(file: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, SeekFrom};

    use proptest::prelude::*;

    use super::*;

    /// Counts the bytes that are read.
    struct Counted<'a> {
        file: Cursor<&'a [u8]>,
        read: usize,
    }

    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.file.read(buffer)?;
            self.read += read;
            Ok(read)
        }
    }

    impl Seek for Counted<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    /// The block, and the number of bytes that were read.
    fn found(bytes: &[u8], format: Format) -> (Option<Vec<u8>>, usize) {
        let mut file = Counted { file: Cursor::new(bytes), read: 0 };
        (exif_block(&mut file, format).unwrap(), file.read)
    }

    static PIXELS: [u8; 1 << 20] = [0x55; 1 << 20];
    /// The most that is read beside the block: a buffer for each of a few seeks.
    const FEW: usize = 64 << 10;

    fn segment(marker: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker], &length[..], payload].concat()
    }

    #[test]
    fn the_block_of_a_jpeg_is_before_its_scan() {
        let start = [0xff, 0xd8];
        let (scan, xmp, exif) =
            (segment(0xda, &[0; 10]), segment(0xe1, b"http://ns.adobe.com/xap"), segment(0xe1, b"Exif\0\0MM"));
        let with = [&start[..], &xmp, b"stray", &exif, &scan, &PIXELS].concat();
        assert_eq!(found(&with, Format::Jpeg).0.as_deref(), Some(&b"MM"[..]));
        let without = [&start[..], &xmp, &scan, &PIXELS, &exif].concat();
        let (block, read) = found(&without, Format::Jpeg);
        assert!(block.is_none() && read <= FEW, "{read}");
    }

    #[test]
    fn the_block_of_a_png_may_follow_the_pixels_which_are_not_read() {
        let chunk =
            |name: &[u8; 4], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], name, data, &[0; 4]].concat();
        let (head, pixels, end) = (chunk(b"IHDR", &[0; 13]), chunk(b"IDAT", &PIXELS), chunk(b"IEND", &[]));
        let png = [&b"\x89PNG\r\n\x1a\n"[..], &head, &pixels, &chunk(b"eXIf", b"II"), &end].concat();
        let (block, read) = found(&png, Format::Png);
        assert!(block.as_deref() == Some(b"II") && read <= FEW, "{block:?} {read}");
        let png = [&b"\x89PNG\r\n\x1a\n"[..], &head, &pixels, &end].concat();
        assert_eq!(found(&png, Format::Png).0, None);
    }

    #[test]
    fn the_block_of_a_webp_may_follow_the_pixels_which_are_not_read() {
        let chunk = |name: &[u8; 4], data: &[u8]| {
            [name, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat()
        };
        for exif in [&b"MM\0"[..], b"Exif\0\0MM\0"] {
            let webp = [&b"RIFF....WEBP"[..], &chunk(b"VP8 ", &PIXELS[1..]), &chunk(b"EXIF", exif)].concat();
            let (block, read) = found(&webp, Format::WebP);
            assert!(block.as_deref() == Some(b"MM\0") && read <= FEW, "{block:?} {read}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Gif, Format::Bmp, Format::Tiff] {
                let _ = exif_block(Cursor::new(&bytes), format);
            }
        }
    }
}
