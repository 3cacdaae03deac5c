//! The metadata of an image, read without decoding it.

use std::io::{self, BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use exif::{Exif, In, Reader, Tag, Value};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use m3a3_thumbnail::{Format, Limits};

use super::exif_block::exif_block;
use crate::files::sha256;

/// The metadata of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// Lower-case hex.
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) format: Format,
    /// In pixels, before the EXIF orientation.
    pub(super) width: u32,
    /// In pixels, before the EXIF orientation.
    pub(super) height: u32,
    /// RFC 3339, without an offset if the camera recorded none.
    pub(super) captured_at: Option<String>,
}

/// Reads the metadata of a file. Reads the whole file only if its hash is not `known`.
///
/// # Errors
/// When the header is not that of a supported image, or when the file cannot be read.
pub(super) fn metadata<F: Read + Seek>(
    mut file: F,
    known: Option<String>,
    limits: &Limits,
) -> Result<Metadata, m3a3_thumbnail::Error> {
    let failed = |source| m3a3_thumbnail::Error::Read { source };
    let probe = m3a3_thumbnail::probe(BufReader::new(&mut file), limits)?;
    let captured_at = captured_at(&mut file, probe.format);
    let sha256 = match known {
        Some(known) => known,
        None => {
            file.rewind().map_err(failed)?;
            sha256(&mut file).map_err(failed)?
        }
    };
    let bytes = file.seek(io::SeekFrom::End(0)).map_err(failed)?;
    let m3a3_thumbnail::Probe { format, width, height } = probe;
    Ok(Metadata { sha256, bytes, format, width, height, captured_at })
}

/// The capture time: `DateTimeOriginal` of EXIF, else `DateTimeDigitized`, with its offset if there is one (EXIF 2.32).
/// A malformed value counts as missing.
fn captured_at<F: Read + Seek>(file: &mut F, format: Format) -> Option<String> {
    let block = exif_block(file, format).ok().flatten()?;
    // The bytes are untrusted: a panic of the parser costs the capture time, not the job.
    let read = || {
        // Fields beside a fault are used: some programs write blocks that end too early.
        let read = Reader::new().continue_on_error(true).read_raw(block);
        read.or_else(|error| error.distill_partial_result(|_faults| {})).ok()
    };
    let exif = catch_unwind(AssertUnwindSafe(read)).ok().flatten()?;
    let original = || time(&exif, Tag::DateTimeOriginal, Tag::OffsetTimeOriginal);
    let digitized = || time(&exif, Tag::DateTimeDigitized, Tag::OffsetTimeDigitized);
    original().or_else(digitized)
}

fn time(exif: &Exif, time: Tag, offset: Tag) -> Option<String> {
    let time = DateTime::strptime("%Y:%m:%d %H:%M:%S", text(exif, time)?).ok()?;
    let offset = text(exif, offset).and_then(parse_offset);
    Some(match offset {
        Some(offset) => format!("{time}{offset}"),
        None => time.to_string(),
    })
}

/// Parses `+02:00`, which is also the form of RFC 3339.
fn parse_offset(text: &str) -> Option<&str> {
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let digits = |part: &str| (part.len() == 2).then(|| part.parse::<i8>().ok()).flatten();
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let known = matches!(sign, "+" | "-") && Offset::from_hours(hours).is_ok() && (0..60).contains(&minutes);
    known.then_some(text)
}

fn text(exif: &Exif, tag: Tag) -> Option<&str> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(lines) => std::str::from_utf8(lines.first()?).ok().map(str::trim),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { max_pixels: 1_000_000 };
    const PNG: &[u8] = include_bytes!("../../tests/fixtures/rgb.png");

    fn metadata(bytes: &[u8]) -> Result<Metadata, m3a3_thumbnail::Error> {
        super::metadata(Cursor::new(bytes), None, &LIMITS)
    }

    /// A PNG with an `eXIf` chunk of one sub-directory that holds these ASCII tags.
    fn with_exif(tags: &[(u16, &str)]) -> Vec<u8> {
        let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0".to_vec();
        exif.extend((tags.len() as u16).to_be_bytes());
        let mut values = exif.len() + 12 * tags.len() + 4;
        for (tag, value) in tags {
            exif.extend(tag.to_be_bytes());
            exif.extend([0, 2]);
            exif.extend((value.len() as u32 + 1).to_be_bytes());
            exif.extend((values as u32).to_be_bytes());
            values += value.len() + 1;
        }
        exif.extend([0; 4]);
        for (_, value) in tags {
            exif.extend(value.as_bytes());
            exif.push(0);
        }
        let mut png = PNG[..33].to_vec();
        png.extend((exif.len() as u32).to_be_bytes());
        png.extend(b"eXIf");
        png.extend(&exif);
        png.extend([0; 4]);
        png.extend(&PNG[33..]);
        png
    }

    const ORIGINAL: u16 = 0x9003;
    const DIGITIZED: u16 = 0x9004;
    const OFFSET: u16 = 0x9011;

    #[test]
    fn metadata_comes_from_the_content_and_the_header() {
        let metadata = metadata(PNG).unwrap();
        assert_eq!((metadata.bytes, metadata.format), (PNG.len() as u64, Format::Png));
        assert_eq!(metadata.sha256.len(), 64);
        let known = super::metadata(Cursor::new(PNG), Some(metadata.sha256.clone()), &LIMITS).unwrap();
        assert_eq!(known, metadata);
        assert!(metadata.width > 0 && metadata.height > 0);
        assert_eq!(metadata.captured_at, None);
        assert!(super::metadata(Cursor::new(b"hello"), None, &LIMITS).is_err());
    }

    #[test]
    fn the_capture_time_has_the_offset_that_the_camera_recorded() {
        let captured = |tags: &[(u16, &str)]| metadata(&with_exif(tags)).unwrap().captured_at;
        let (taken, scanned) = ("2026:07:09 18:30:05", "2026:08:01 09:00:00");
        assert_eq!(captured(&[(ORIGINAL, taken)]).unwrap(), "2026-07-09T18:30:05");
        assert_eq!(captured(&[(ORIGINAL, taken), (OFFSET, "+02:00")]).unwrap(), "2026-07-09T18:30:05+02:00");
        assert_eq!(captured(&[(ORIGINAL, taken), (OFFSET, "summer")]).unwrap(), "2026-07-09T18:30:05");
        assert_eq!(captured(&[(DIGITIZED, scanned)]).unwrap(), "2026-08-01T09:00:00");
        for none in ["", "    :  :     :  :  ", "0000:00:00 00:00:00", "2026:13:01 00:00:00", "yesterday"] {
            assert_eq!(captured(&[(ORIGINAL, none)]), None, "{none}");
        }
    }

    #[test]
    fn a_fault_beside_the_capture_time_does_not_hide_it() {
        let whole = with_exif(&[(ORIGINAL, "2026:07:09 18:30:05")]);
        // As piexif writes it: without the pointer to the next directory, the value follows at once.
        let exif = whole.windows(4).position(|window| window == b"eXIf").unwrap() + 4;
        let length = u32::from_be_bytes(whole[exif - 8..exif - 4].try_into().unwrap()) as usize;
        let mut block = whole[exif..exif + length].to_vec();
        let value = block.len() - 20;
        block.drain(value - 4..value);
        let offset = value - 12 + 4;
        block[offset..offset + 4].copy_from_slice(&((value - 4) as u32).to_be_bytes());
        let jpeg = include_bytes!("../../tests/fixtures/420.jpg");
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend([0xff, 0xe1]);
        bytes.extend((block.len() as u16 + 8).to_be_bytes());
        bytes.extend(b"Exif\0\0");
        bytes.extend(&block);
        bytes.extend(&jpeg[2..]);
        assert_eq!(metadata(&bytes).unwrap().captured_at.unwrap(), "2026-07-09T18:30:05");
    }

    proptest! {
        #[test]
        fn any_exif_block_leaves_the_other_metadata_readable(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut png = PNG[..33].to_vec();
            png.extend((noise.len() as u32).to_be_bytes());
            png.extend(b"eXIf");
            png.extend(&noise);
            png.extend([0; 4]);
            png.extend(&PNG[33..]);
            prop_assert!(metadata(&png).is_ok());
        }
    }
}
